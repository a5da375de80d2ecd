"""The web application: sign-in, home, changes, customers, audit, the health check, and what programs use."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import Engine
from werkzeug.middleware.proxy_fix import ProxyFix

from web import guard, headers, health, pages, problems, programs
from web.acting import ENGINE
from web.api import routes as api
from web.audit import routes as audit
from web.batches import routes as batches
from web.changes import routes as changes
from web.customers import routes as customers
from web.home import routes as home
from web.hooks import routes as hooks
from web.settings import WebSettings
from web.sign_in import setup as sign_in

REQUEST_MAXIMUM_BYTES = 64 * 1024


def create_app(engine: Engine, settings: WebSettings) -> Flask:
    """The application on the web role's engine."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = REQUEST_MAXIMUM_BYTES
    app.extensions[ENGINE] = engine
    headers.install(app, behind_tls=settings.behind_tls)
    guard.install(app)
    limiter = sign_in.install(app, engine, settings)
    pages.install(app)
    problems.install(app)
    for subject in (health, home, changes, batches, customers, audit):
        app.register_blueprint(subject.blueprint)
    app.extensions[programs.BOX] = settings.provider_box
    for subject in (hooks, api):
        programs.install(app, subject.blueprint, limiter)
    if settings.behind_tls:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign] # Flask's own way
    return app
