"""What is authorised: written once a change is approved, and brought up where it changes by itself."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from policy.access import Access, Kind
from policy.changes.enforcement import HURRY_PRIORITY, PRIORITIES
from policy.changes.intent import MOVES, ChangeKind, Intent
from policy.changes.moves import move
from policy.documents import access_document, read_service
from policy.notices import Event
from policy.stamp import stamp
from sql import audit, notices
from sql.among import among
from sql.jobs import defer_enforce, driver_connection
from sql.models import Change, Operator, Service, UsageState
from sql.wanted import Decider

REVIEWS_AT_ONCE = 200
_TOLD = {ChangeKind.SUSPEND: Event.RESTRICTED, ChangeKind.RESTORE: Event.RESTORED}
_REMEMBER = text("""
INSERT INTO accesses (operator_id, stamp, document)
SELECT :operator, * FROM unnest(CAST(:stamps AS text[]), CAST(:documents AS jsonb[])) ON CONFLICT DO NOTHING
""")
# Only the worker may say that a rule approved.
_APPROVED_BY_RULES = text("""
UPDATE changes SET state = 'approved', decided_at = clock_timestamp(), revision = pg_current_xact_id(), rule = row.rule
FROM unnest(CAST(:changes AS bigint[]), CAST(:rules AS text[])) AS row (id, rule) WHERE changes.id = row.id
""")
_APPROVED_BY_PERSON = text("""
UPDATE changes SET state = 'approved', decided_at = clock_timestamp(), revision = pg_current_xact_id(),
    decided_by = :by
WHERE id = ANY(CAST(:changes AS bigint[]))
""")
_AUTHORISE = text("""
UPDATE services SET authorised = change.to_facts, authorised_stamp = row.stamp, authorised_until = row.until,
    authorised_at = now(), authorised_change_id = change.id
FROM unnest(CAST(:changes AS bigint[]), CAST(:stamps AS text[]), CAST(:untils AS timestamptz[]))
        AS row (id, stamp, until)
    JOIN changes AS change ON change.id = row.id
WHERE services.operator_id = change.operator_id AND services.id = change.service_id
""")


class Granted(NamedTuple):
    """A change that is approved: by a person, or by the rule named."""

    change: Change
    service: Service
    access: Access
    rule: str | None = None


def authorise(session: Session, operator_id: int, granted: list[Granted], by: str | None) -> None:
    """Write what the network is given from now on, in a fixed number of statements. `by` None: the rules did it."""
    if not granted:
        return
    for one in granted:
        move(MOVES, Intent(one.change.state), Intent.APPROVED)
    session.flush()
    remember(session, operator_id, [one.access for one in granted])
    changes = [one.change.id for one in granted]
    if by is None:
        session.execute(_APPROVED_BY_RULES, {"changes": changes, "rules": [one.rule for one in granted]})
    else:
        session.execute(_APPROVED_BY_PERSON, {"changes": changes, "by": by})
    session.execute(
        _AUTHORISE,
        {
            "changes": changes,
            "stamps": [stamp(one.access) for one in granted],
            "untils": [one.access.valid_until for one in granted],
        },
    )
    for one in granted:
        set_committed_value(one.change, "state", Intent.APPROVED.value)
        audit.record(
            session,
            operator_id,
            by or f"rule: {one.rule}",
            "change:approval:grant",
            service_id=one.change.service_id,
            subscriber_id=one.service.subscriber_id,
            change=one.change.id,
            kind=one.change.kind,
        )
        session.expire(one.service, ["authorised", "authorised_stamp", "authorised_until", "authorised_change_id"])
    told = [
        notices.of_change(_TOLD[kind], one.change.id, one.change.service_id, one.service.subscriber_id)
        for one in granted
        if (kind := ChangeKind(one.change.kind)) in _TOLD and _is_so(kind, one.access)
    ]
    notices.put(session, operator_id, told)
    for hurry in (True, False):
        services = [
            one.change.service_id
            for one in granted
            if (PRIORITIES[ChangeKind(one.change.kind)] <= HURRY_PRIORITY) == hurry
        ]
        if services:
            defer_enforce(driver_connection(session), operator_id, services, hurry=hurry)


def remember(session: Session, operator_id: int, accesses: list[Access]) -> None:
    """Keep accesses by their stamps, so that a session's stamp can be read later."""
    rows = {
        stamp(access): access_document(access._replace(session_timeout_s=0, total_limit_bytes=0, valid_until=None))
        for access in accesses
    }
    if rows:
        stamps = sorted(rows)
        documents = [json.dumps(rows[one]) for one in stamps]
        session.execute(_REMEMBER, {"operator": operator_id, "stamps": stamps, "documents": documents})


def renew_authorised(session: Session, operator_id: int, now: datetime, most: int = REVIEWS_AT_ONCE) -> list[int]:
    """Services whose authorised access changed by itself (window edge, prepaid end): their new stamp. Returns ids."""
    services = session.scalars(
        select(Service)
        .where(Service.operator_id == operator_id, Service.authorised_until <= now)
        .order_by(Service.id)
        .limit(most)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    if services:
        _renew(session, operator_id, services, now)
    return [service.id for service in services]


def renew_limited(session: Session, operator_id: int, service_ids: Collection[int], now: datetime) -> None:
    """The stamp of those of these services that have a state of usage, by what they have used by now."""
    services = session.scalars(
        select(Service)
        .join(UsageState, UsageState.service_id == Service.id)
        .where(Service.operator_id == operator_id, among(Service.id, service_ids), Service.authorised.is_not(None))
        .order_by(Service.id)
        .with_for_update(of=Service, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    if services:
        _renew(session, operator_id, services, now)


def _renew(session: Session, operator_id: int, services: Sequence[Service], now: datetime) -> None:
    decider = Decider(session, session.get_one(Operator, operator_id))
    facts = {service.id: read_service(service.authorised or {}) for service in services}
    decider.load({one.plan_version_id for one in facts.values()}, list(facts))
    accesses = [decider.access(facts[service.id], now) for service in services]
    remember(session, operator_id, accesses)
    for service, access in zip(services, accesses, strict=True):
        service.authorised_stamp, service.authorised_until = stamp(access), access.valid_until
    session.flush()


def _is_so(kind: ChangeKind, access: Access) -> bool:
    """Whether the customer sees it: nobody is restored by the end of a suspension whose prepaid time is over."""
    return (access.kind == Kind.GRANT) == (kind == ChangeKind.RESTORE)
