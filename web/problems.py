"""When a page cannot be shown: one sentence that says what happened and what to do."""

from __future__ import annotations

from typing import Any

import structlog
from flask import Flask, current_app, g, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from sql.errors import NotFound, Refused
from web.health import DATABASE_DOWN
from web.programs import of_http as of_http_for_programs

SENTENCES = {
    400: ("This cannot be read", "Go back, load the page again, and try once more."),
    403: ("This is not yours to do", "Your roles do not include it; `ispagents person role` changes them."),
    404: ("There is nothing here", "The address is wrong, or what it showed belongs to nobody you can see."),
    405: ("This page cannot be used that way", "Open it from the menu instead."),
    413: ("That is too much", "Send less than 64 kB."),
    429: ("Too many tries", "Wait a minute, then sign in again."),
}
OTHER = ("That did not work", "Nothing was stored; try again, and tell whoever runs this system if it happens again.")
OPEN_TOO_LONG = ("This page was open too long", "Nothing was stored; load it again and do it once more.")
PROGRAMS = ("/api/", "/hooks/")

log = structlog.get_logger()


def install(app: Flask) -> None:
    """Answer every mishap with a page."""
    app.register_error_handler(CSRFError, lambda _: _page(*OPEN_TOO_LONG, 400))
    app.register_error_handler(NotFound, lambda error: _page("There is nothing here", str(error), 404))
    app.register_error_handler(Refused, lambda error: _page("That was refused", str(error), 409))
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(SQLAlchemyError, _of_database)


def _of_http(error: HTTPException) -> tuple[Any, int]:
    if request.path.startswith(PROGRAMS):
        return of_http_for_programs(error)  # no blueprint's handler is asked where no route was found
    code = error.code or 500
    return _page(*SENTENCES.get(code, OTHER), code)


def _of_database(error: SQLAlchemyError) -> tuple[str, int]:
    # The text of a database error quotes values; its kind is enough.
    log.error("a page met a database error", kind=type(getattr(error, "orig", error)).__name__)
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return _page("The database does not answer", f"{DATABASE_DOWN} Try again in a minute.", 503)
    return _page(*OTHER, 500)


def _page(heading: str, sentence: str, code: int) -> tuple[str, int]:
    # Without Flask's context processors: they would ask the database who is there.
    template = current_app.jinja_env.get_template("problem.html")
    return template.render(heading=heading, sentence=sentence, person=g.get("person")), code
