"""The web process as `up` starts it, and a headless Chromium that looks at its pages."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures_database import Database
from fixtures_postgres import temporary_state
from playwright.sync_api import Browser, Page, sync_playwright

from ispagents.installation import free_port
from sql.roles import Role

DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 800}
# As root Chromium runs without its sandbox; the rest keeps it from asking for hosts outside.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def served(database: Database) -> Iterator[str]:
    """The web process on a free port; its address."""
    port = free_port("127.0.0.1", socket.SOCK_STREAM)
    urls = {
        f"ISPAGENTS_DATABASE_{role.name}_URL": database.databases.urls[role].render_as_string(hide_password=False)
        for role in Role
    }
    with temporary_state() as state:
        process = subprocess.Popen(
            [sys.executable, "-m", "ispagents.wiring.web", "--state", str(state.path)],
            env={**os.environ, **urls, "ISPAGENTS_WEB_PORT": str(port), "ISPAGENTS_WEB_SIGN_INS_A_MINUTE": "1000"},
            cwd=Path(__file__).parents[3],
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, f"{address}/health")
            yield address
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        assert process.poll() is None, f"the web process ended with {process.returncode}"
        assert time.monotonic() < deadline, "the web process does not answer"
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own http address
                return
        except urllib.error.URLError:
            time.sleep(0.05)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("There is no Chromium; `make test` installs it (or: apt-get install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(
    browser: Browser, address: str, *, javascript: bool = True, phone: bool = False, dark: bool = False
) -> Iterator[Page]:
    """A page of a browser of its own. At the end nothing was refused, broken, or asked for elsewhere."""
    context = browser.new_context(
        base_url=address,
        viewport=PHONE if phone else WIDE,
        java_script_enabled=javascript,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(DEADLINE_S * 1000 / 4)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
    try:
        yield page
        assert wrong == []
    finally:
        context.close()
