"""The audit to read and to take away: a page of events for people, and the whole of it as lines."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from policy.audit_chain import Event, exported, exported_unsealed, genesis
from sql.audit_seal import EVENT_COLUMNS
from sql.errors import NotFound
from sql.listing import NUMBER_MAXIMUM
from sql.models import AuditEvent, AuditSeal, Service

PAGE_EVENTS = 5000
# A page looks at so many events at most, so that a filter that matches nothing costs no more than one that does.
LOOKED_AT = 50_000

_SEALED = f"""
SELECT seal.number, seal.hash, {EVENT_COLUMNS}
FROM audit_seals AS seal
LEFT JOIN audit_events AS event ON event.id = seal.event_id AND event.operator_id = seal.operator_id
WHERE seal.operator_id = :operator AND seal.number > :after ORDER BY seal.number LIMIT :rows
"""  # noqa: S608 - columns are constants
_UNSEALED = f"""
SELECT {EVENT_COLUMNS} FROM audit_events AS event
WHERE event.operator_id = :operator AND event.id > :after AND event.id <= :upper
    AND NOT EXISTS (SELECT FROM audit_seals AS seal WHERE seal.operator_id = :operator AND seal.event_id = event.id
        AND seal.event_id > :after AND seal.event_id <= :upper)
ORDER BY event.id
"""  # noqa: S608 - columns are constants


class Found(NamedTuple):
    """An event with its service's user name and its number in the chain, where it has them."""

    event: AuditEvent
    username: str | None
    number: int | None


class Page(NamedTuple):
    """Events, the newest first. `before`: where the next page begins, or None at the end."""

    found: list[Found]
    before: int | None


def events(
    session: Session,
    operator_id: int,
    *,
    event: str = "",
    actor: str = "",
    service: Service | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Page:
    """Events whose name begins with `event`, of this actor and service, since then, with an id below `before`.

    A page may hold fewer than `limit` and still not be the last: it looks at LOOKED_AT events at most.
    """
    mine = select(AuditEvent.id).where(
        AuditEvent.operator_id == operator_id, AuditEvent.id < (before or NUMBER_MAXIMUM)
    )
    if service is not None:
        mine = mine.where(AuditEvent.service_id == service.id)
    looked_at = mine.order_by(AuditEvent.id.desc()).limit(LOOKED_AT).subquery()
    query = (
        select(AuditEvent, Service.username, AuditSeal.number)
        .join(looked_at, looked_at.c.id == AuditEvent.id)
        .outerjoin(Service, Service.id == AuditEvent.service_id)
        .outerjoin(AuditSeal, AuditSeal.event_id == AuditEvent.id)
        .where(AuditEvent.event.startswith(event, autoescape=True))
        .order_by(AuditEvent.id.desc())
        .limit(limit)
    )
    if actor:
        query = query.where(AuditEvent.actor == actor)
    if since is not None:
        query = query.where(AuditEvent.at >= since)
    found = [Found(*row) for row in session.execute(query)]
    if len(found) == limit:
        return Page(found, found[-1].event.id)
    lowest, count = session.execute(select(func.min(looked_at.c.id), func.count())).one()
    return Page(found, lowest if count == LOOKED_AT else None)


def lines(session: Session, operator_id: int, after: int = 0) -> Iterator[str]:
    """The audit as lines of JSON: sealed events after a number in the order of the chain, then those that wait.

    An event that is sealed meanwhile stands there twice, first without its number; none is left out. Raises NotFound
    where nothing has the number `after`. It shows what is there; `sql/audit_check.py` verifies.
    """
    if after and _hash_of(session, operator_id, after) is None:
        raise NotFound(f"Nothing has the number {after} in the audit; the export goes on after one that is there.")
    end = yield from _sealed(session, operator_id, after)
    yield from _unsealed(session, operator_id)
    yield from _sealed(session, operator_id, end)


def _sealed(session: Session, operator_id: int, after: int) -> Generator[str, None, int]:
    before = _hash_of(session, operator_id, after) or genesis(operator_id)
    while True:
        values: dict[str, Any] = {"operator": operator_id, "after": after, "rows": PAGE_EVENTS}
        rows = session.execute(text(_SEALED), values).all()
        for number, value, *columns in rows:
            if columns[0] is not None:  # one that was removed leaves a gap in the numbers
                yield exported(number, before, value, Event(*columns))
            after, before = number, value
        if len(rows) < PAGE_EVENTS:
            return after


def _unsealed(session: Session, operator_id: int) -> Iterator[str]:
    after = 0
    ids = select(AuditEvent.id).where(AuditEvent.operator_id == operator_id)
    while True:
        page = ids.where(AuditEvent.id > after).order_by(AuditEvent.id).limit(LOOKED_AT).subquery()
        upper = session.execute(select(func.max(page.c.id))).scalar_one()
        if upper is None:
            return
        values = {"operator": operator_id, "after": after, "upper": upper}
        for row in session.execute(text(_UNSEALED), values):
            yield exported_unsealed(Event(*row))
        after = upper


def _hash_of(session: Session, operator_id: int, number: int) -> str | None:
    return session.scalar(
        select(AuditSeal.hash).where(AuditSeal.operator_id == operator_id, AuditSeal.number == number)
    )
