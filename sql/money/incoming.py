"""Payments that other systems tell: taken in once, booked where one match is sure, otherwise left to a person.

However often, in whatever order and at how many places at once the same events are told, the end is the same: a refund
that comes before its payment waits for it, and a second telling that knows more helps the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from policy.money.currency import is_known, money
from policy.money.incoming import TEXTS, Incoming, IncomingKind, both
from sql.checks import EARLIEST, checked_text
from sql.errors import Refused
from sql.models import Feed, IncomingPayment, Operator
from sql.money.feeds import PAYMENTS, heard
from sql.money.intake import Intake, differs
from sql.money.payments import METHOD_MAXIMUM_BYTES
from sql.sessions import database_time

AHEAD_MOST: Final = timedelta(days=1)  # clocks and zones differ by hours
AT_ONCE: Final = 1000
# Everything of a source would wait for the feed's one row; silence is counted in hours.
NEWS_AFTER: Final = timedelta(minutes=1)
EXTERNAL_ID_MAXIMUM_BYTES: Final = 180  # with its source it is a payment's external id
SOURCE_MAXIMUM_BYTES: Final = 64


class Outcome(StrEnum):
    """What became of something that was told."""

    BOOKED = "booked"
    REVIEW = "review"
    KNOWN = "known"
    REFUSED = "refused"


class Taken(NamedTuple):
    """What became of one event, with a sentence. `id` is the row's, None where nothing is stored."""

    external_id: str
    outcome: Outcome
    explanation: str
    id: int | None = None
    subscriber_id: int | None = None
    payment_id: int | None = None
    reversal_id: int | None = None


def take_in(
    session: Session,
    operator: Operator,
    payments: Sequence[Incoming],
    source: str,
    *,
    actor: str,
    import_id: int | None = None,
) -> list[Taken]:
    """Store what a source tells, each event once, and book what is surely somebody's; at most `AT_ONCE` events.

    What cannot be a payment is refused by itself and stored nowhere. All of it is one transaction with the bookings.
    Raises Refused for a source without a name.
    """
    checked_source(source)
    if len(payments) > AT_ONCE:
        raise Refused(f"At most {AT_ONCE} payments are taken in at once.")
    now = database_time(session)
    refused = [refusal(one, now) for one in payments]
    told: dict[str, Incoming] = {}
    for place, one in enumerate(payments):
        if not refused[place] and one.external_id in told and told[one.external_id].kind != one.kind:
            refused[place] = _another(one, told[one.external_id].kind)
        if not refused[place]:
            told[one.external_id] = both(told[one.external_id], one) if one.external_id in told else one
    taken = {}
    if told:
        rows, news = Intake(session, operator, source, actor).take(told, import_id)
        taken = {key: _taken(row, told[key], has_news=key in news) for key, row in rows.items()}
    _spoke(session, operator.id, source, now)
    return [
        Taken(one.external_id, Outcome.REFUSED, why) if why else taken[one.external_id]
        for one, why in zip(payments, refused, strict=True)
    ]


def checked_source(source: str) -> str:
    """The name of a source. Raises Refused."""
    if not checked_text("name of the source", source, SOURCE_MAXIMUM_BYTES).strip():
        raise Refused("The source of the payments needs a name.")
    return source


def refusal(one: Incoming, now: datetime) -> str:
    """Why something that was told cannot be stored at all, in a sentence; or ""."""
    try:
        if not checked_text("external id", one.external_id, EXTERNAL_ID_MAXIMUM_BYTES).strip():
            return "It has no id of its own, by which it would be counted once."
        if one.original_external_id is not None:
            checked_text("id of the payment it is about", one.original_external_id, EXTERNAL_ID_MAXIMUM_BYTES)
        if not checked_text("method", one.method, METHOD_MAXIMUM_BYTES).strip():
            return "It has no method, such as bank or card."
        for name, most in TEXTS.items():
            checked_text(name, getattr(one, name), most)
    except Refused as error:
        return str(error)
    if not 1 <= one.amount_minor <= AMOUNT_MAXIMUM_MINOR:
        return "The amount is not more than zero, or it is larger than any that can be booked."
    if not is_known(one.currency):
        return f"The currency {one.currency[:20]!r} is not a code of ISO 4217, such as EUR."
    if one.occurred_at.tzinfo is None or not one.occurred_at >= EARLIEST:
        return f"Its day lies before the year {EARLIEST.year}."
    if one.occurred_at > now + AHEAD_MOST:
        return f"Its day, {one.occurred_at.date()}, lies in the future."
    if one.kind is not IncomingKind.PAYMENT and not one.original_external_id:
        return f"A {one.kind} must name the payment that it is about."
    return ""


def _another(one: Incoming, known: str) -> str:
    return f"A {known} has the id {one.external_id!r} already; a {one.kind} needs one of its own."


def _spoke(session: Session, operator_id: int, source: str, now: datetime) -> None:
    known = session.scalar(
        select(Feed.last_at).where(Feed.operator_id == operator_id, Feed.kind == PAYMENTS, Feed.source == source)
    )
    if known is None or known < now - NEWS_AFTER:
        heard(session, operator_id, PAYMENTS, source, now)


def _taken(row: IncomingPayment, one: Incoming, *, has_news: bool) -> Taken:
    if has_news:
        outcome, said = Outcome(row.state), row.explanation
    elif row.kind != one.kind:
        return Taken(row.external_id, Outcome.REFUSED, _another(one, row.kind))
    else:
        outcome, said = Outcome.KNOWN, f"It was told before ({row.state}); it counts once."
        if differs(row, one):
            said = f"It was told before with {money(row.amount_minor, row.currency)}, which stands; it counts once."
    return Taken(row.external_id, outcome, said, row.id, row.subscriber_id, row.payment_id, row.reversal_id)
