"""The health check, which the supervisor asks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from web.acting import engine

DATABASE_DOWN = "The database does not answer; logins go on from the replica, and changes wait."

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def show() -> tuple[Any, int]:
    """Whether the pages can work."""
    problem = _problem(engine())
    body = {"status": "ok" if problem is None else "down", "problem": problem}
    return jsonify(body), 200 if problem is None else 503


def _problem(database: Engine) -> str | None:
    try:
        with database.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return DATABASE_DOWN
    return None
