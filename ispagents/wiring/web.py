"""The web process: gunicorn with threads on the configured address.

One process, since the limit of sign-ins a minute is counted in its memory.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from ispagents.database import find, provider_box
from ispagents.errors import Problem
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from sql.roles import Role
from web.app import create_app
from web.settings import WebSettings

KEY_FILE = "web.key"
KEY_BYTES = 32


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn ships no types
    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app


def main(state: StateFolder, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    engine = find(state, settings).engine(Role.WEB, pool=8)
    address = f"[{settings.web_address}]" if ":" in settings.web_address else settings.web_address
    options = {
        "bind": f"{address}:{settings.web_port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": 8,
        "timeout": 30,
        "limit_request_line": 4094,
        "control_socket_disable": True,
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "warning",
    }
    web = WebSettings(
        session_keys(state.secrets / KEY_FILE),
        settings.web_behind_tls,
        settings.web_idle_minutes,
        settings.web_sign_ins_a_minute,
        provider_box(state),
    )
    _Server(create_app(engine, web), options).run()


def session_keys(path: Path) -> list[str]:
    """The keys of the session cookies, one hexadecimal key a line, newest first; a new file (mode 0600) where none is.

    Removing the file signs everybody out. Raises Problem when it cannot be made, or is damaged.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise Problem(f"The key file {path} cannot be made: {error.strerror}.") from error
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    remedy = "remove it, and everybody signs in anew"
    try:
        keys = path.read_text(encoding="ascii").split()
        good = all(len(bytes.fromhex(key)) == KEY_BYTES for key in keys)
    except (OSError, ValueError) as error:
        raise Problem(f"The key file {path} cannot be read ({error}); {remedy}.") from error
    if not keys or not good:
        raise Problem(f"The key file {path} is damaged; {remedy}.")
    return keys


if __name__ == "__main__":
    common.run("web", main)
