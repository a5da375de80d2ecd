"""Programs that may ask the API: the token is shown once, and only its hash is kept."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from sql import audit
from sql.checks import NAME_MAXIMUM_BYTES, checked_text
from sql.ending import end_named
from sql.errors import NotFound, Refused
from sql.models import ApiToken
from sql.sessions import ACT_FOR_FOUND, acting_for_found, database_time

PREFIX: Final = "isp_"  # so that scanners for lost secrets know one
TOKEN_BYTES: Final = 32
USED_AGAIN_AFTER: Final = timedelta(minutes=1)  # one row a program: every request would wait for the one before
_BY_HASH: Final = text(f"SELECT token_id, {ACT_FOR_FOUND} FROM operator_by_api_token(:hash)")  # noqa: S608 - constants


class Scope(StrEnum):
    """What a token allows."""

    PAYMENTS = "payments"
    STANDINGS = "standings"
    READ = "read"


def add_token(
    session: Session, operator_id: int, *, name: str, scopes: Collection[Scope], actor: str
) -> tuple[ApiToken, str]:
    """A new token; the second value is the token itself, which is known nowhere else. Raises Refused."""
    if not checked_text("name", name, NAME_MAXIMUM_BYTES).strip():
        raise Refused("The name must not be empty.")
    if not scopes:
        raise Refused(f"Say what the token is for: {', '.join(Scope)}.")
    shown = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    token = ApiToken(
        operator_id=operator_id, name=name, hash=_hash(shown), scopes=sorted(set(scopes)), created_by=actor
    )
    session.add(token)
    session.flush()
    audit.record(session, operator_id, actor, "api:token:add", name=name, scopes=token.scopes)
    return token, shown


def tokens(session: Session, operator_id: int) -> list[ApiToken]:
    """All tokens, those that ended too, by name."""
    return list(
        session.scalars(
            select(ApiToken).where(ApiToken.operator_id == operator_id).order_by(ApiToken.name, ApiToken.id)
        )
    )


def end_token(session: Session, operator_id: int, name: str, *, actor: str) -> ApiToken:
    """The token opens nothing any more. Raises NotFound."""
    token = end_named(session, ApiToken, operator_id, name)
    if token is None:
        raise NotFound(f"There is no token {name!r}; `ispagents token list` shows those there are.")
    audit.record(session, operator_id, actor, "api:token:end", name=name)
    return token


@contextmanager
def acting_for_token(engine: Engine, shown: str) -> Iterator[tuple[Session, ApiToken | None]]:
    """A transaction for the operator of a program's token, which is noted as used; None for every other.

    It is found by its hash, so how long that takes tells nothing of it.
    """
    with acting_for_found(engine, _BY_HASH, {"hash": _hash(shown)}) as (session, row):
        token = session.get_one(ApiToken, row.token_id) if row is not None else None
        if token is not None:
            now = database_time(session)
            if token.last_used_at is None or token.last_used_at < now - USED_AGAIN_AFTER:
                token.last_used_at = now
        yield session, token


def _hash(shown: str) -> bytes:
    return sha256(shown.encode("utf-8", "surrogateescape")).digest()
