"""The web application: for now a bare page and a health check."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ISPAgents</title>
<link rel="stylesheet" href="/static/page.css">
</head>
<body>
<main>
<h1>ISPAgents</h1>
<p>{sentence}</p>
<p>The admin pages follow. Until then everything is done on the command line: <code>ispagents --help</code>.</p>
<p><a href="/health">Health</a></p>
</main>
</body>
</html>
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(engine: Engine) -> Flask:
    """The application on the web role's engine."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    @app.get("/")
    def home() -> str:
        problem = _problem(engine)
        return PAGE.format(sentence="Everything answers." if problem is None else problem)

    @app.get("/health")
    def health() -> tuple[Any, int]:
        problem = _problem(engine)
        body = {"status": "ok" if problem is None else "down", "problem": problem}
        return jsonify(body), 200 if problem is None else 503

    return app


def _problem(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return "The database does not answer; logins go on from the replica, and changes wait."
    return None
