"""The web process: gunicorn with threads on the configured address."""

from __future__ import annotations

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from ispagents.database import find
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from sql.roles import Role
from web.app import create_app


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
    _Server(create_app(engine), options).run()


if __name__ == "__main__":
    common.run("web", main)
