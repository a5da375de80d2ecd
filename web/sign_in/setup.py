"""Flask-Security, CSRF and rate limits, set up for our pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask, g, session
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import user_logged_out
from flask_security import Security, user_authenticated
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import Engine

from web.settings import WebSettings
from web.sign_in.forms import SignInForm
from web.sign_in.passwords import HASHING
from web.sign_in.store import PeopleStore, SignedIn

TEMPLATE = "sign_in.html"


def install(app: Flask, engine: Engine, settings: WebSettings) -> Limiter:
    """Give the application its sign-in; returns what limits requests."""
    app.config.update(HASHING, **_cookies(settings), **_security())
    CSRFProtect(app)
    store = PeopleStore(engine)
    security = Security(app, store, login_form=SignInForm)
    security.want_json(lambda _: False)
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://", strategy="moving-window")
    limited: Any = limiter.limit(f"{settings.sign_ins_a_minute} per minute", methods=["POST"])
    app.view_functions["security.login"] = limited(app.view_functions["security.login"])
    # `weak=False`: the signals would forget functions that nobody else keeps.
    user_authenticated.connect(lambda _, user, **__: _begin(store, user), app, weak=False)
    user_logged_out.connect(lambda _, user, **__: _end(store, user), app, weak=False)
    return limiter


def _cookies(settings: WebSettings) -> dict[str, Any]:
    return {
        "SECRET_KEY": settings.secret_keys[0],
        "SECRET_KEY_FALLBACKS": settings.secret_keys[1:],
        # __Host-: a browser takes it over HTTPS only, for this very host.
        "SESSION_COOKIE_NAME": "__Host-ispagents" if settings.behind_tls else "ispagents",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.behind_tls,
        "PERMANENT_SESSION_LIFETIME": timedelta(minutes=settings.idle_minutes),
        "SESSION_REFRESH_EACH_REQUEST": True,
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session
    }


def _security() -> dict[str, Any]:
    return {
        "SECURITY_LOGIN_URL": "/sign-in",
        "SECURITY_LOGOUT_URL": "/sign-out",
        "SECURITY_LOGOUT_METHODS": ["POST"],
        "SECURITY_POST_LOGIN_VIEW": "/",
        "SECURITY_POST_LOGOUT_VIEW": "/sign-in",
        "SECURITY_REDIRECT_VALIDATE_MODE": ["regex"],
        "SECURITY_LOGIN_USER_TEMPLATE": TEMPLATE,
        "SECURITY_API_ENABLED_METHODS": ["session"],
        "SECURITY_USER_IDENTITY_ATTRIBUTES": [{"login": {"mapper": str.lower, "case_insensitive": True}}],
        "SECURITY_FLASH_MESSAGES": False,
        "SECURITY_STATIC_FOLDER": None,
        "SECURITY_DEFAULT_REMEMBER_ME": False,
    }


def _begin(store: PeopleStore, person: SignedIn) -> None:
    session.permanent = True
    # A token from before the sign-in could be known to somebody else.
    session.pop("csrf_token", None)
    g.pop("csrf_token", None)
    store.signed_in(person)


def _end(store: PeopleStore, person: SignedIn | None) -> None:
    if person is not None and person.is_authenticated:
        store.signed_out(person)
