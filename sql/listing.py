"""Lists, a page at a time: ordered by a key, going on after the last key of the page before, one query a page.

Prefix searches are ranges (`>=` and `<`), not LIKE: under row-level security only leakproof operators reach an index.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from policy.changes.intent import Intent
from sql.errors import Refused
from sql.models import (
    Change,
    Evidence,
    Hold,
    Invoice,
    Node,
    Payment,
    Plan,
    PlanVersion,
    Router,
    Service,
    Step,
    Subscriber,
)
from sql.money.invoices import read_number

PAGE = 100
NUMBER_MAXIMUM = 2**63 - 1
LAST_LETTER = "\U0010ffff"  # no text that people type goes on with it
AWAITING_KEY = "awaiting:"


class Billed(NamedTuple):
    """An invoice, and whose it is."""

    invoice: Invoice
    reference: str


class Attempted(NamedTuple):
    """A step with its router's name and every attempt's evidence, in order."""

    step: Step
    router: str
    evidence: list[Evidence]


def plans(session: Session, operator_id: int, *, after: str = "", limit: int = PAGE) -> list[tuple[Plan, PlanVersion]]:
    """Plans with their current version, by name."""
    rows = session.execute(
        select(Plan, PlanVersion)
        .join(PlanVersion, PlanVersion.id == Plan.current_version_id)
        .where(Plan.operator_id == operator_id, Plan.name > after)
        .order_by(Plan.name)
        .limit(limit)
    )
    return [(plan, version) for plan, version in rows]


def subscribers(
    session: Session, operator_id: int, *, search: str = "", after: str = "", limit: int = PAGE
) -> list[Subscriber]:
    """Subscribers by customer number. A search finds numbers that begin with it, then names that do, in any case."""
    mine = select(Subscriber).where(Subscriber.operator_id == operator_id)
    if not search:
        return list(
            session.scalars(mine.where(Subscriber.reference > after).order_by(Subscriber.reference).limit(limit))
        )
    found: list[Subscriber] = []
    if not after or after.startswith(search):
        numbers = mine.where(begins(Subscriber.reference, search), Subscriber.reference > after)
        found = list(session.scalars(numbers.order_by(Subscriber.reference).limit(limit)))
        after = ""
    if len(found) < limit:
        found += session.scalars(_by_name(mine, operator_id, search, after).limit(limit - len(found)))
    return found


def services(
    session: Session, operator_id: int, *, search: str = "", after: str = "", limit: int = PAGE
) -> list[tuple[Service, Subscriber, Plan]]:
    """Services by user name, those that begin with `search`."""
    rows = session.execute(
        select(Service, Subscriber, Plan)
        .join(Subscriber, Subscriber.id == Service.subscriber_id)
        .join(Plan, Plan.id == Service.plan_id)
        .where(Service.operator_id == operator_id, begins(Service.username, search), Service.username > after)
        .order_by(Service.username)
        .limit(limit)
    )
    return [(service, subscriber, plan) for service, subscriber, plan in rows]


def services_of(session: Session, subscriber: Subscriber, *, limit: int = PAGE) -> list[tuple[Service, Plan]]:
    """The services of one subscriber."""
    rows = session.execute(
        select(Service, Plan)
        .join(Plan, Plan.id == Service.plan_id)
        .where(Service.operator_id == subscriber.operator_id, Service.subscriber_id == subscriber.id)
        .order_by(Service.username)
        .limit(limit)
    )
    return [(service, plan) for service, plan in rows]


def routers(
    session: Session, operator_id: int, *, after: str = "", limit: int = PAGE
) -> list[tuple[Router, str | None]]:
    """Routers that were not removed, by name, each with the name of its node."""
    rows = session.execute(
        select(Router, Node.name)
        .outerjoin(Node, Node.id == Router.node_id)
        .where(Router.operator_id == operator_id, Router.removed_at.is_(None), Router.name > after)
        .order_by(Router.name)
        .limit(limit)
    )
    return [(router, node) for router, node in rows]


def invoices(
    session: Session, operator_id: int, *, subscriber: Subscriber | None = None, after: str = "", limit: int = PAGE
) -> list[Billed]:
    """Invoices, the newest first; `after` is a number. Raises Refused."""
    query = (
        select(Invoice, Subscriber.reference)
        .join(Subscriber, Subscriber.id == Invoice.subscriber_id)
        .where(Invoice.operator_id == operator_id)
        .order_by(Invoice.year.desc(), Invoice.serial.desc())
        .limit(limit)
    )
    if after:
        key = read_number(after)
        if key is None:
            raise Refused(f"{after!r} is no key to go on after; take one from the page before.")
        query = query.where(tuple_(Invoice.year, Invoice.serial) < key)
    if subscriber is not None:
        query = query.where(Invoice.subscriber_id == subscriber.id)
    return [Billed(invoice, reference) for invoice, reference in session.execute(query)]


def payments(
    session: Session, operator_id: int, *, subscriber: Subscriber | None = None, after: str = "", limit: int = PAGE
) -> list[tuple[Payment, str]]:
    """Payments with their subscriber's number, the newest first; `after` is an id."""
    query = (
        select(Payment, Subscriber.reference)
        .join(Subscriber, Subscriber.id == Payment.subscriber_id)
        .where(Payment.operator_id == operator_id, Payment.id < _number(after))
        .order_by(Payment.id.desc())
        .limit(limit)
    )
    if subscriber is not None:
        query = query.where(Payment.subscriber_id == subscriber.id)
    return [(payment, reference) for payment, reference in session.execute(query)]


class Held(NamedTuple):
    """A hold, the user name of its service, and the number of the invoice that is disputed."""

    hold: Hold
    username: str
    invoice: str


def holds(session: Session, operator_id: int, *, after: str = "", limit: int = PAGE) -> list[Held]:
    """Holds, the newest first; `after` is an id."""
    rows = session.execute(
        select(Hold, Service.username, Invoice.number)
        .join(Service, Service.id == Hold.service_id)
        .outerjoin(Invoice, Invoice.id == Hold.invoice_id)
        .where(Hold.operator_id == operator_id, Hold.id < _number(after))
        .order_by(Hold.id.desc())
        .limit(limit)
    )
    return [Held(hold, username, number or "") for hold, username, number in rows]


def changes(
    session: Session,
    operator_id: int,
    *,
    state: str = "",
    kind: str = "",
    batch_id: int | None = None,
    after: str = "",
    limit: int = PAGE,
) -> list[tuple[Change, str]]:
    """Changes with their service's user name, the newest first; without a state those that wait for approval lead.

    `batch_id`: only those of this batch. `after` is what `change_key` says of the last one.
    """
    mine = (
        select(Change, Service.username)
        .join(Service, Service.id == Change.service_id)
        .where(Change.operator_id == operator_id)
        .order_by(Change.id.desc())
    )
    if kind:
        mine = mine.where(Change.kind == kind)
    if batch_id is not None:
        mine = mine.where(Change.batch_id == batch_id)
    awaits = Change.state == Intent.AWAITING_APPROVAL.value
    found: list[Any] = []
    last = _number(after.removeprefix(AWAITING_KEY))
    if state:
        return [
            (one, name)
            for one, name in session.execute(mine.where(Change.state == state, Change.id < last).limit(limit))
        ]
    if not after or after.startswith(AWAITING_KEY):
        found = list(session.execute(mine.where(awaits, Change.id < last).limit(limit)))
        last = NUMBER_MAXIMUM
    if len(found) < limit:
        found += session.execute(mine.where(~awaits, Change.id < last).limit(limit - len(found)))
    return [(one, name) for one, name in found]


def change_key(change: Change) -> str:
    """What a list of changes goes on after."""
    return f"{AWAITING_KEY if change.state == Intent.AWAITING_APPROVAL else ''}{change.id}"


def awaiting(session: Session, operator_id: int, service_id: int) -> list[Change]:
    """The changes of a service that wait for a person; there is one at most."""
    return list(
        session.scalars(
            select(Change).where(
                Change.operator_id == operator_id,
                Change.service_id == service_id,
                Change.state == Intent.AWAITING_APPROVAL.value,
            )
        )
    )


def steps_of(session: Session, change: Change, *, limit: int = PAGE) -> list[Attempted]:
    """What was done to live sessions because of a change, with every attempt."""
    steps = session.execute(
        select(Step, Router.name)
        .join(Router, Router.id == Step.router_id)
        .where(
            Step.operator_id == change.operator_id, Step.service_id == change.service_id, Step.change_id == change.id
        )
        .order_by(Step.id)
        .limit(limit)
    ).all()
    evidence: dict[int, list[Evidence]] = {}
    ids = [step.id for step, _ in steps]
    for one in session.scalars(
        select(Evidence).where(Evidence.step_id.in_(ids)).order_by(Evidence.step_id, Evidence.attempt)
    ):
        evidence.setdefault(one.step_id, []).append(one)
    return [Attempted(step, router, evidence.get(step.id, [])) for step, router in steps]


def active_holds(session: Session, service: Service, now: datetime) -> list[Hold]:
    """The holds that keep a service from being suspended at this moment."""
    return list(
        session.scalars(
            select(Hold)
            .where(
                Hold.operator_id == service.operator_id,
                Hold.service_id == service.id,
                Hold.until.is_(None) | (Hold.until > now),
                Hold.ended_at.is_(None),
            )
            .order_by(Hold.id)
        )
    )


def begins(column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], prefix: str) -> ColumnElement[bool]:
    """Whether a COLLATE "C" column begins with the prefix, as a range that an index answers."""
    if not prefix:
        return column >= ""
    return and_(column >= prefix, column < prefix + LAST_LETTER)


def _by_name(mine: Select[Any], operator_id: int, search: str, after: str) -> Select[Any]:
    """Names that begin with the search; numbers that do were listed before."""
    lowered = func.lower(search)
    query = mine.where(
        Subscriber.search_name >= lowered,
        Subscriber.search_name < lowered + LAST_LETTER,
        or_(Subscriber.reference < search, Subscriber.reference >= search + LAST_LETTER),
    ).order_by(Subscriber.search_name, Subscriber.reference)
    if after:
        last = (
            select(Subscriber.search_name)
            .where(Subscriber.operator_id == operator_id, Subscriber.reference == after)
            .scalar_subquery()
        )
        query = query.where(tuple_(Subscriber.search_name, Subscriber.reference) > tuple_(last, after))
    return query


def _number(after: str) -> int:
    if not after:
        return NUMBER_MAXIMUM
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise Refused(f"{after!r} is no key to go on after; take the one that the page before ends with.")
    return int(after)
