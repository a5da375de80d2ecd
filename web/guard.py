"""Before every request: who asks, and whether the table in `web.roles` lets them."""

from __future__ import annotations

import time

from flask import Flask, abort, current_app, g, redirect, request, session, url_for
from flask_login import current_user
from flask_security import logout_user
from werkzeug.wrappers import Response

from web.roles import is_public, may_use

FOR_ANYBODY = {"static", "health.show", "hooks.receive", "api.payments", "api.standings"}
LONGEST_SESSION_S = 12 * 3600  # however busy: then the password is asked again (ASVS 3.3.2, level 2)


def install(app: Flask) -> None:
    """Guard every route of the application."""
    app.before_request(_guard)


def _guard() -> Response | None:
    endpoint = request.endpoint
    if endpoint in FOR_ANYBODY:
        # Flask-Principal would ask the database who is there, for every file.
        g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined] # noqa: SLF001 - Flask-Login's own cache
    if endpoint is None or is_public(endpoint):
        return None  # no route: Flask says so
    if not current_user.is_authenticated:
        return _to_sign_in()
    if time.time() - float(session.get("fs_paa", 0)) > LONGEST_SESSION_S:
        logout_user()
        return _to_sign_in()
    session.permanent = True  # each page moves the end of the idle time on
    g.person = current_user._get_current_object()  # noqa: SLF001 - Flask's own name for what is behind a proxy
    if not may_use(g.person.role_names, endpoint):
        abort(403)
    return None


def _to_sign_in() -> Response:
    wanted = request.full_path.removesuffix("?") if request.method == "GET" else "/"
    return redirect(url_for("security.login", next=wanted if wanted != "/" else None), 303)
