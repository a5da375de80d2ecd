"""Routes for programs: no cookies, no forms; each answer is JSON, and each mishap one sentence in it."""

from __future__ import annotations

from typing import Any, cast

import structlog
from flask import Blueprint, Flask, Response, current_app, jsonify
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from policy.errors import PolicyError
from sql.errors import Refused
from sql.secrets import SecretBox
from web.health import DATABASE_DOWN

BOX = "ispagents.provider_box"
# Only what is not let in is counted: who guesses is stopped, and a provider on a busy day is not.
FAILURES_A_MINUTE = 60
_COUNTED = frozenset({401, 403, 404})
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address takes POST alone.",
    413: "The body is larger than this address takes.",
    429: "Too many requests that were refused; wait a minute.",
}
OTHER = "Something went wrong here, and nothing was stored; send it again later."

log = structlog.get_logger()


class Refusal(Exception):  # noqa: N818 - reads as what happened
    """What a program asks is refused with a sentence and a status; whatever its transaction did is undone."""

    def __init__(self, sentence: str, status: int) -> None:
        """One sentence that says what to do."""
        super().__init__(sentence)
        self.status = status


def blueprint_for(name: str, module: str, prefix: str) -> Blueprint:
    """A blueprint that answers every mishap as JSON."""
    made = Blueprint(name, module, url_prefix=prefix)
    made.register_error_handler(Refusal, lambda error: _problem(str(error), error.status))
    made.register_error_handler(Refused, lambda error: _problem(str(error), 422))
    made.register_error_handler(PolicyError, lambda error: _problem(_sentence(str(error)), 400))
    made.register_error_handler(HTTPException, of_http)
    made.register_error_handler(SQLAlchemyError, _of_database)
    made.register_error_handler(Exception, _of_anything)
    return made


def install(app: Flask, blueprint: Blueprint, limiter: Limiter) -> None:
    """Add routes for programs to the application."""
    limiter.limit(f"{FAILURES_A_MINUTE} per minute", deduct_when=_is_counted)(blueprint)
    csrf = cast("CSRFProtect", app.extensions["csrf"])
    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)


def of_http(error: HTTPException) -> tuple[Any, int]:
    """The answer for what HTTP itself refuses, also where no route of ours was reached."""
    code = error.code or 500
    return _problem(SENTENCES.get(code, OTHER if code >= 500 else "This cannot be read."), code)


def provider_box() -> SecretBox:
    """The box of the payment providers' secrets."""
    return cast("SecretBox", current_app.extensions[BOX])


def _is_counted(response: Response) -> bool:
    return response.status_code in _COUNTED


def _sentence(error: str) -> str:
    text = f"{error[:1].upper()}{error[1:]}"
    return text if text.endswith((".", "?")) else f"{text}."


def _of_database(error: SQLAlchemyError) -> tuple[Any, int]:
    # The text of a database error quotes values; its kind is enough.
    log.error("a program met a database error", kind=type(getattr(error, "orig", error)).__name__)
    down = isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated)
    return _problem(DATABASE_DOWN if down else OTHER, 503 if down else 500)


def _of_anything(error: Exception) -> tuple[Any, int]:
    log.error("a program met an error", kind=type(error).__name__)
    return _problem(OTHER, 500)


def _problem(sentence: str, status: int) -> tuple[Any, int]:
    return jsonify({"problem": sentence}), status
