"""Payment providers: who may tell us of payments by webhook, under which address, signed with which secret."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from sql import audit
from sql.ending import end_named
from sql.errors import NotFound, Refused
from sql.models import Operator, PaymentProvider
from sql.secrets import SecretBox
from sql.sessions import ACT_FOR_FOUND, acting_for_found

TOKEN_BYTES: Final = 24  # 192 bits in the address, so that nobody guesses one
_NAME: Final = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_BY_TOKEN: Final = text(f"SELECT provider_id, {ACT_FOR_FOUND} FROM provider_by_token(:token)")  # noqa: S608 - constants


class Addressed(NamedTuple):
    """Whose provider a webhook's address names."""

    provider: PaymentProvider
    operator: Operator


def secret_place(operator_id: int, name: str) -> str:
    """The place of a provider's secret, for the box."""
    return f"payment_providers.secret/{operator_id}/{name}"


def add_provider(
    session: Session, operator_id: int, *, name: str, kind: str, secret: str, box: SecretBox, actor: str
) -> PaymentProvider:
    """A new provider with an address of its own. `kind` is a scheme that its caller knows. Raises Refused."""
    if not _NAME.fullmatch(name):
        raise Refused("A provider's name has small letters, digits, - and _, at most 64, such as stripe or m-pesa.")
    if not secret.strip():
        raise Refused("The secret must not be empty.")
    provider = PaymentProvider(
        operator_id=operator_id,
        name=name,
        kind=kind,
        secret=box.seal(secret, secret_place(operator_id, name)),
        token=secrets.token_urlsafe(TOKEN_BYTES),
    )
    session.add(provider)
    session.flush()
    audit.record(session, operator_id, actor, "payment:provider:add", name=name, kind=kind)
    return provider


def providers(session: Session, operator_id: int) -> list[PaymentProvider]:
    """All providers, those that ended too, by name."""
    return list(
        session.scalars(
            select(PaymentProvider)
            .where(PaymentProvider.operator_id == operator_id)
            .order_by(PaymentProvider.name, PaymentProvider.id)
        )
    )


def end_provider(session: Session, operator_id: int, name: str, *, actor: str) -> PaymentProvider:
    """Its address is gone at once. Raises NotFound."""
    provider = end_named(session, PaymentProvider, operator_id, name)
    if provider is None:
        raise NotFound(f"There is no provider {name!r}; `ispagents provider list` shows those there are.")
    audit.record(session, operator_id, actor, "payment:provider:end", name=name)
    return provider


@contextmanager
def acting_for_provider(engine: Engine, token: str) -> Iterator[tuple[Session, Addressed | None]]:
    """A transaction for the operator whose provider this address names; None, and for nobody, for every other."""
    with acting_for_found(engine, _BY_TOKEN, {"token": token}) as (session, row):
        found = None
        if row is not None:
            known = select(PaymentProvider, Operator).join(Operator, Operator.id == PaymentProvider.operator_id)
            found = Addressed(*session.execute(known.where(PaymentProvider.id == row.provider_id)).one())
        yield session, found
