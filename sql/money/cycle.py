"""The billing cycle: what is due on a day becomes invoices, in portions of a fixed number of statements.

A portion is one short transaction: it locks its subscribers, so that their payments wait for it and it for them, then
looks at their services. What was done shows in `next_on` alone, so a cycle that was killed, run twice or out for a week
goes on where services stand. Periods that were missed come one by one, each as the invoice that it would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from policy.money.charging import Look, look
from policy.money.pricing import Priced
from sql.errors import Refused
from sql.models import Operator, Subscriber
from sql.money.invoices import InvoiceDraft, issue, start_of_day
from sql.money.ledger import local_day
from sql.money.places import Moved, Standing, line_drafts, standings, store_places, store_used
from sql.money.renewing import Wallet, renew
from sql.sessions import acting_for, database_time

ACTOR = "billing"
# So many services a transaction: large enough that statements cost little, short enough that no payment waits long.
PORTION = 250
ATTEMPTS = 3
_DEADLOCK = "40P01"
_CYCLE_LOCK = 762395

_DUE = text("""
SELECT next_on, subscriber_id, service_id FROM service_billing AS place
WHERE operator_id = :operator AND next_on <= :day
  AND (next_on, subscriber_id, service_id) > (:on, :subscriber, :service)
  AND NOT EXISTS (SELECT FROM billing_problems AS problem WHERE problem.service_id = place.service_id
                  AND problem.day = :day AND problem.resolved_at IS NULL AND problem.created_at >= :began)
ORDER BY next_on, subscriber_id, service_id LIMIT :most
""")
_ALONE = text("SELECT pg_advisory_xact_lock(:lock, CAST(:operator % 2147483647 AS integer))")
_STORE_PROBLEM = text("""
INSERT INTO billing_problems (operator_id, service_id, day, explanation, created_at)
VALUES (:operator, :service, :day, :explanation, clock_timestamp())
ON CONFLICT (service_id, day) DO UPDATE SET explanation = excluded.explanation, created_at = excluded.created_at,
    resolved_at = NULL
""")
_SOLVED = text("""
UPDATE billing_problems SET resolved_at = now() WHERE service_id = ANY(:services) AND resolved_at IS NULL
""").bindparams(bindparam("services", type_=ARRAY(BigInteger)))
_COUNT = text("""
UPDATE billing_runs SET invoices = invoices + :invoices, amount_minor = amount_minor + :amount,
    problems = problems + :problems
WHERE operator_id = :operator AND day = :day
""")


class Key(NamedTuple):
    """A service that is due, by the order in which the cycle goes through them."""

    next_on: date
    subscriber_id: int
    service_id: int


FIRST = Key(date(1, 1, 1), 0, 0)


class Done(NamedTuple):
    """What a part of the cycle did. `services`: how many it looked at; `problems`: how many it had to leave."""

    services: int = 0
    invoices: int = 0
    amount_minor: int = 0
    problems: int = 0

    def __add__(self, other: tuple[int, ...]) -> Done:  # type: ignore[override] # two counts are one count
        """Both together."""
        return Done(*(mine + others for mine, others in zip(self, other, strict=True)))


@dataclass(slots=True)
class Charged:
    """A service's new place with the lines that it owes for its day."""

    moved: Moved
    on: date
    priced: Priced


def bill_day(engine: Engine, operator_id: int, day: date, between: Callable[[], None] = lambda: None) -> Done:
    """Invoice all that is due up to a local day of the operator, in many transactions. Run again it finds nothing.

    `between` is called before each of them and may raise. Raises OperationalError when the database goes away. Either
    way the next run goes on from there.
    """
    with acting_for(engine, operator_id) as session:
        operator = session.get_one(Operator, operator_id)
        if not charges(operator):
            return Done()
        began = database_time(session)
    total = Done()
    while True:
        done = _pass(engine, operator_id, day, began, between)
        total += done
        if not done.services:
            return total


def charges(operator: Operator) -> bool:
    """Whether the cycle charges anybody of an operator now."""
    return operator.charges_from is not None and operator.standings_from != "outside"


def _pass(engine: Engine, operator_id: int, day: date, began: datetime, between: Callable[[], None]) -> Done:
    """Once through all that is due, from the longest due on."""
    total, after = Done(), FIRST
    while True:
        between()
        with acting_for(engine, operator_id) as session:
            keys = due_keys(session, operator_id, day, after, began)
        if not keys:
            return total
        total += _bill(engine, operator_id, day, keys)
        after = keys[-1]


def due_keys(session: Session, operator_id: int, day: date, after: Key, began: datetime) -> list[Key]:
    """The next portion: services that were due on one and the same day, the longest due first.

    Those of one subscriber come together, for they share an invoice; those of a later day wait, as others may join.
    """
    known = {"operator": operator_id, "day": day, "began": began}
    rows = session.execute(_DUE, {**known, **_place(after), "most": PORTION})
    keys = [Key(*row) for row in rows]
    whole = len(keys) == PORTION
    keys = [key for key in keys if key.next_on == keys[0].next_on]
    if whole and len(keys) == PORTION:
        last = keys[-1]
        rest = session.execute(_DUE, {**known, **_place(last), "most": PORTION})
        keys += [key for key in (Key(*row) for row in rest) if key[:2] == last[:2]]
    return keys


def _place(key: Key) -> dict[str, object]:
    return {"on": key.next_on, "subscriber": key.subscriber_id, "service": key.service_id}


def _bill(engine: Engine, operator_id: int, day: date, keys: Sequence[Key]) -> Done:
    """One portion. What fails is narrowed down to the service that cannot be billed; all others are."""
    try:
        return _try(engine, operator_id, day, [key.service_id for key in keys])
    except OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one service, it stops no other
        if len(keys) > 1:
            half = len(keys) // 2
            return _bill(engine, operator_id, day, keys[:half]) + _bill(engine, operator_id, day, keys[half:])
        return _leave(engine, operator_id, day, keys[0].service_id, explained(error))


def _try(engine: Engine, operator_id: int, day: date, service_ids: Sequence[int]) -> Done:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with acting_for(engine, operator_id) as session:
                return bill_portion(session, operator_id, day, service_ids)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DEADLOCK or attempt == ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returns or raises


def _leave(engine: Engine, operator_id: int, day: date, service_id: int, explanation: str) -> Done:
    with acting_for(engine, operator_id) as session:
        session.execute(
            _STORE_PROBLEM,
            {"operator": operator_id, "service": service_id, "day": day, "explanation": explanation},
        )
        session.execute(_COUNT, {"operator": operator_id, "day": day, "invoices": 0, "amount": 0, "problems": 1})
    return Done(problems=1)


def explained(error: Exception) -> str:
    """Why a service could not be billed, in one sentence."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, DBAPIError):
        lines = str(error.orig).splitlines()
        return f"The database refused it: {lines[0] if lines else 'it did not say why'}."[:2000]
    return f"It could not be computed ({type(error).__name__}: {error})."[:2000]


def bill_portion(session: Session, operator_id: int, day: date, service_ids: Sequence[int]) -> Done:
    """One look at each of these services, one invoice for each subscriber and day: all of it or nothing."""
    session.execute(_ALONE, {"lock": _CYCLE_LOCK, "operator": operator_id})
    operator = session.get_one(Operator, operator_id)
    if not charges(operator):
        return Done()  # stopped while the cycle was under way
    owners = _locked_owners(session, operator_id, service_ids)
    found = [one for one in standings(session, operator, service_ids) if _is_due(one, day)]
    charged = [charge(one, operator) for one in found if not one.plan.prepaid]
    due_on = max(day, local_day(session, operator)) + timedelta(days=operator.due_days)
    invoices, amount = _issue(session, operator, owners, charged, due_on)
    store_places(session, operator_id, [one.moved for one in charged])
    prepaid = [one for one in found if one.plan.prepaid]
    if prepaid:
        renewed = renew(session, operator, owners, prepaid, Wallet.of(session, operator, prepaid), day, actor=ACTOR)
        invoices += len(renewed)
        amount += sum(invoice.amount_minor for invoice in renewed)
    session.execute(_SOLVED, {"services": [one.service_id for one in found]})
    session.execute(
        _COUNT, {"operator": operator_id, "day": day, "invoices": invoices, "amount": amount, "problems": 0}
    )
    return Done(len(found), invoices, amount)


def _is_due(one: Standing, day: date) -> bool:
    return one.place.next_on is not None and one.place.next_on <= day


def _locked_owners(session: Session, operator_id: int, service_ids: Sequence[int]) -> dict[int, Subscriber]:
    """The subscribers of these services, locked in the order of their ids: first they, as with every payment."""
    owned = (
        select(text("subscriber_id"))
        .select_from(text("service_billing"))
        .where(
            text("service_id = ANY(:services)").bindparams(
                bindparam("services", list(service_ids), type_=ARRAY(BigInteger))
            )
        )
    )
    rows = session.scalars(
        select(Subscriber)
        .where(Subscriber.operator_id == operator_id, Subscriber.id.in_(owned))
        .order_by(Subscriber.id)
        .with_for_update(key_share=True)
    )
    return {subscriber.id: subscriber for subscriber in rows}


def charge(one: Standing, operator: Operator) -> Charged:
    """What a service owes for its day, and where it stands then. Raises Refused where it cannot be asked."""
    assert one.place.next_on is not None  # noqa: S101 - only what is due is looked at
    seen = look_at(one, operator)
    return Charged(_moved(one, seen, operator), one.place.next_on, seen.priced)


def look_at(one: Standing, operator: Operator) -> Look:
    """One look at a service. Raises Refused where it owes more than can be asked."""
    seen = look(
        one.place,
        one.plan,
        one.next_plan,
        one.discounts,
        one.fees,
        closed_on=one.closed_on,
        days_before=operator.invoice_days_before,
    )
    if seen.priced.total_minor > AMOUNT_MAXIMUM_MINOR:
        raise Refused(f"A period of {one.username!r} costs more than ten trillion; look at its price and its fees.")
    return seen


def _moved(one: Standing, seen: Look, operator: Operator) -> Moved:
    place, plan_id, prepaid_until = seen.place, one.plan.plan_id, one.prepaid_until
    if seen.switch and one.next_plan is not None:
        plan_id = one.next_plan.plan_id
        if one.next_plan.prepaid and one.place.next_plan_on is not None:
            prepaid_until = start_of_day(one.place.next_plan_on, operator).astimezone(ZoneInfo("UTC"))
            place = place._replace(next_plan_on=None, price_minor=None)
    return Moved(one, place, plan_id, prepaid_until)


def _issue(
    session: Session, operator: Operator, owners: dict[int, Subscriber], charged: Sequence[Charged], due_on: date
) -> tuple[int, int]:
    """One invoice for each day and subscriber that owe something. Returns how many, and their sum."""
    groups: dict[tuple[date, int], list[Charged]] = {}
    for one in charged:
        groups.setdefault((one.on, one.moved.standing.subscriber_id), []).append(one)
    owing = {key: some for key, some in groups.items() if sum(one.priced.total_minor for one in some) > 0}
    drafts = [
        InvoiceDraft(
            owners[subscriber_id],
            start_of_day(due_on, operator),
            [line for one in some for line in line_drafts(one.moved.standing.service_id, one.priced.lines)],
            _description(some),
        )
        for (_, subscriber_id), some in owing.items()
    ]
    invoices = issue(session, operator, drafts, actor=ACTOR)
    issued = {key: invoice.id for key, invoice in zip(owing, invoices, strict=True)}
    used = [(one.priced, issued.get((one.on, one.moved.standing.subscriber_id))) for one in charged]
    store_used(session, [(priced, invoice_id) for priced, invoice_id in used if priced.lines])
    return len(invoices), sum(invoice.amount_minor for invoice in invoices)


def _description(some: Sequence[Charged]) -> str:
    names = dict.fromkeys(line.description for one in some for line in one.priced.lines if line.kind == "period")
    text_of_all = ", ".join(names)
    return text_of_all if len(text_of_all) <= 200 else text_of_all[:200] + "..."
