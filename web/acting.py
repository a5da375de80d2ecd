"""For whom a page acts: the person who signed in, and a transaction for that person's operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from flask import current_app, g
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sql.models import Operator
from sql.sessions import acting_for
from web.sign_in.store import SignedIn

ENGINE = "ispagents.engine"


def engine() -> Engine:
    """The web role's engine of this application."""
    return cast("Engine", current_app.extensions[ENGINE])


def person() -> SignedIn:
    """Who asks for this page. Only called behind the guard, which has let somebody in."""
    return cast("SignedIn", g.person)


@contextmanager
def acting() -> Iterator[tuple[Session, int]]:
    """A transaction for the operator of whoever asks."""
    operator_id = person().operator_id
    with acting_for(engine(), operator_id) as session:
        g.time_zone = session.get_one(Operator, operator_id).time_zone  # in which the page tells its times
        yield session, operator_id
