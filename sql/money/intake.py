"""One transaction in which a source's events become rows, bookings and reversals, whatever else goes on meanwhile."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from policy.money.currency import money
from policy.money.incoming import TEXTS, Incoming, IncomingKind, both
from policy.money.matching import Match, match
from sql.models import Feed, IncomingPayment, Operator, Payment, Subscriber
from sql.money.clues import clues
from sql.money.feeds import PAYMENTS
from sql.money.payments import Received, ReversalKind, receive_payments, reverse_payment
from sql.money.settling import lock_subscribers
from sql.sessions import database_time

_LOCK: Final = 762395
_BUCKETS: Final = 64
_NOT_YET: Final = "It is being looked at."

# The second of two who tell the same waits here for the first, and then tells nothing new.
_INSERT = text("""
INSERT INTO incoming_payments (operator_id, source, external_id, kind, amount_minor, currency, occurred_at, method,
    reference, payer, phone, username, original_external_id, import_id, state, explanation)
SELECT :operator, :source, external_id, kind, amount_minor, currency, occurred_at, method, reference, payer, phone,
    username, original_external_id, :import, 'review', :explanation
FROM unnest(CAST(:external_ids AS text[]), CAST(:kinds AS text[]), CAST(:amounts AS bigint[]),
    CAST(:currencies AS text[]), CAST(:moments AS timestamptz[]), CAST(:methods AS text[]), CAST(:references AS text[]),
    CAST(:payers AS text[]), CAST(:phones AS text[]), CAST(:usernames AS text[]), CAST(:originals AS text[]))
    AS told (external_id, kind, amount_minor, currency, occurred_at, method, reference, payer, phone, username,
        original_external_id)
ON CONFLICT (operator_id, source, external_id) DO NOTHING
RETURNING external_id
""")
_LOCKS = text("SELECT pg_advisory_xact_lock(:lock, key) FROM unnest(CAST(:keys AS integer[])) AS key")


class Intake:
    """Takes in the events of one source in one transaction."""

    def __init__(self, session: Session, operator: Operator, source: str, actor: str) -> None:
        self._session = session
        self._operator = operator
        self._source = source
        self._actor = actor

    def take(self, told: dict[str, Incoming], import_id: int | None) -> tuple[dict[str, IncomingPayment], set[str]]:
        """The row of each event by its id, and of which ones this telling was news."""
        self.serialise(told.values())
        new = self._insert(told, import_id)
        rows = {row.external_id: row for row in self._rows(sorted(told))}
        moved = [rows[key] for key in rows if key in new or _learnt(rows[key], told[key])]
        self.settle(moved)
        return rows, {row.external_id for row in moved}

    def serialise(self, told: Iterable[Incoming | IncomingPayment]) -> None:
        """A payment and its refund, or the same of two sources, told at the same moment, must see one another."""
        keys = {zlib.crc32(f"{self._operator.id}/{_bucket(one)}".encode()) - 2**31 for one in told}
        self._session.execute(_LOCKS, {"lock": _LOCK, "keys": sorted(keys)})

    def settle(self, rows: Sequence[IncomingPayment]) -> None:
        """Book what is surely somebody's, and the refunds that wait for it; write down why the rest is not."""
        money_in = [row for row in rows if row.kind == IncomingKind.PAYMENT]
        matches = self._matches(money_in)
        chosen = {row.id: found.subscriber_id for row, found in matches if found.subscriber_id is not None}
        why = {row.id: found.explanation for row, found in matches}
        self._leave([(row, found) for row, found in matches if row.id not in chosen])
        backs = [row for row in rows if row.kind != IncomingKind.PAYMENT]
        originals = self._originals(backs)
        if originals:  # all in one order, as everybody locks them
            concerned = {*chosen.values(), *(one.subscriber_id for one in originals.values())}
            lock_subscribers(self._session, sorted(concerned))
        self.book([row for row in money_in if row.id in chosen], chosen, why)
        for row in backs:
            if row.state == "review":  # it may have waited for a payment of this very telling
                self._reverse(row, originals)
        self._session.flush()

    def book(
        self, rows: Sequence[IncomingPayment], chosen: Mapping[int, int], why: Mapping[int, str] | None = None
    ) -> None:
        """Book payments for the customers chosen for them, then the refunds that came before them."""
        if not rows:
            return
        received = [
            Received(
                chosen[row.id],
                row.amount_minor,
                row.method,
                booked_id(self._source, row.external_id),
                min(row.occurred_at, database_time(self._session)),
                row.reference,
            )
            for row in rows
        ]
        booked = receive_payments(self._session, self._operator, received, actor=self._actor)
        for row, payment in zip(rows, booked, strict=True):
            row.state, row.payment_id, row.subscriber_id = "booked", payment.id, payment.subscriber_id
            row.explanation = (why or {}).get(row.id, row.explanation)
        self._session.flush()
        waiting = list(
            self._session.scalars(
                select(IncomingPayment)
                .where(
                    IncomingPayment.operator_id == self._operator.id,
                    IncomingPayment.source == self._source,
                    IncomingPayment.original_external_id.in_([row.external_id for row in rows]),
                    IncomingPayment.original_external_id.is_not(None),
                    IncomingPayment.state == "review",
                )
                .order_by(IncomingPayment.id)
                .with_for_update()
            )
        )
        originals = {row.external_id: payment for row, payment in zip(rows, booked, strict=True)}
        for row in waiting:
            if row.kind != IncomingKind.PAYMENT:
                self._reverse(row, originals)
        again = [row for row in waiting if row.kind == IncomingKind.PAYMENT and row.currency == self._operator.currency]
        owners = {row.id: originals[cast("str", row.original_external_id)] for row in again}
        self.book(
            again,
            {key: payment.subscriber_id for key, payment in owners.items()},
            {key: _came_back(payment) for key, payment in owners.items()},
        )
        self._session.flush()

    def _insert(self, told: dict[str, Incoming], import_id: int | None) -> set[str]:
        ordered = [told[key] for key in sorted(told)]
        values = {
            "operator": self._operator.id,
            "source": self._source,
            "import": import_id,
            "explanation": _NOT_YET,
            "external_ids": [one.external_id for one in ordered],
            "kinds": [one.kind.value for one in ordered],
            "amounts": [one.amount_minor for one in ordered],
            "currencies": [one.currency for one in ordered],
            "moments": [one.occurred_at for one in ordered],
            "methods": [one.method for one in ordered],
            "references": [one.reference for one in ordered],
            "payers": [one.payer for one in ordered],
            "phones": [one.phone for one in ordered],
            "usernames": [one.username for one in ordered],
            "originals": [one.original_external_id for one in ordered],
        }
        return set(self._session.scalars(_INSERT, values))

    def _rows(self, external_ids: Sequence[str]) -> list[IncomingPayment]:
        return list(
            self._session.scalars(
                select(IncomingPayment)
                .where(
                    IncomingPayment.operator_id == self._operator.id,
                    IncomingPayment.source == self._source,
                    IncomingPayment.external_id.in_(external_ids),
                )
                .order_by(IncomingPayment.id)
                .with_for_update()
                .execution_options(populate_existing=True)
            )
        )

    def _matches(self, rows: Sequence[IncomingPayment]) -> list[tuple[IncomingPayment, Match]]:
        if not rows:
            return []
        events = [incoming_of(row) for row in rows]
        found = [
            match(one, hits) for one, hits in zip(events, clues(self._session, self._operator.id, events), strict=True)
        ]
        by_hand, elsewhere = self._by_hand(rows), self._elsewhere(rows)
        originals = self._originals([row for row in rows if row.original_external_id])
        result = []
        for row, one in zip(rows, found, strict=True):
            why = ""
            if row.currency != self._operator.currency:
                why = f"It is in {row.currency}, and only {self._operator.currency} is booked here."
            elif row.external_id in by_hand:
                why = f"A payment with the id {row.external_id!r} was booked by hand; drop this one if it is the same."
            elif (row.external_id, row.amount_minor) in elsewhere:
                other = elsewhere[row.external_id, row.amount_minor]
                why = f"{other} told of a payment with this id and amount too; drop this one if it is the same."
            elif row.original_external_id:
                known = originals.get(row.original_external_id)
                if known is not None:
                    one = Match(known.subscriber_id, _came_back(known), one.candidates)  # noqa: PLW2901 - what is told
                else:
                    why = _not_booked(row)
            result.append((row, replace(one, subscriber_id=None, explanation=why) if why else one))
        return result

    def _by_hand(self, rows: Sequence[IncomingPayment]) -> set[str]:
        """Ids under which somebody booked a payment by hand already."""
        ids = [form for row in rows for form in (row.external_id, booked_id(self._source, row.external_id))]
        found = self._session.scalars(
            select(Payment.external_id).where(Payment.operator_id == self._operator.id, Payment.external_id.in_(ids))
        )
        return {cast("str", one).removeprefix(f"{self._source}/") for one in found}

    def _elsewhere(self, rows: Sequence[IncomingPayment]) -> dict[tuple[str, int], str]:
        """Which other source's booked payment has an id and its amount. Two may count from one, so a person decides."""
        others = select(Feed.source).where(
            Feed.operator_id == self._operator.id, Feed.kind == PAYMENTS, Feed.source != self._source
        )
        found = self._session.execute(
            select(IncomingPayment.external_id, IncomingPayment.amount_minor, IncomingPayment.source).where(
                IncomingPayment.operator_id == self._operator.id,
                IncomingPayment.source.in_(self._session.scalars(others).all()),
                IncomingPayment.external_id.in_([row.external_id for row in rows]),
                IncomingPayment.kind == IncomingKind.PAYMENT,
                IncomingPayment.state == "booked",
            )
        )
        return {(row.external_id, row.amount_minor): row.source for row in found}

    def _leave(self, matches: Sequence[tuple[IncomingPayment, Match]]) -> None:
        """Leave payments to a person, with who they may be from."""
        ids = {one.subscriber_id for _, found in matches for one in found.candidates}
        names = (
            {
                row.id: row
                for row in self._session.execute(
                    select(Subscriber.id, Subscriber.reference, Subscriber.name).where(
                        Subscriber.operator_id == self._operator.id, Subscriber.id.in_(ids)
                    )
                )
            }
            if ids
            else {}
        )
        for row, found in matches:
            row.explanation = found.explanation
            row.candidates = [
                {
                    "subscriber": names[one.subscriber_id].reference,
                    "name": names[one.subscriber_id].name,
                    "reasons": list(one.reasons),
                }
                for one in found.candidates
                if one.subscriber_id in names
            ]

    def _originals(self, rows: Sequence[IncomingPayment]) -> dict[str, Payment]:
        """The payments that refunds and chargebacks are about, by the source's id."""
        wanted = [cast("str", row.original_external_id) for row in rows]
        if not wanted:
            return {}
        both = [form for one in wanted for form in (one, booked_id(self._source, one))]
        found = self._session.scalars(
            select(Payment).where(
                Payment.operator_id == self._operator.id, Payment.kind == "money", Payment.external_id.in_(both)
            )
        )
        return {cast("str", one.external_id).removeprefix(f"{self._source}/"): one for one in found}

    def _reverse(self, row: IncomingPayment, originals: dict[str, Payment]) -> None:
        payment = originals.get(cast("str", row.original_external_id))
        if payment is None:
            row.explanation = _not_booked(row)
            return
        if row.currency != payment.currency:
            row.explanation = f"It is in {row.currency}, and the payment was in {payment.currency}."
            return
        reverse_as_told(self._session, row, payment, actor=self._actor)


def reverse_as_told(session: Session, row: IncomingPayment, payment: Payment, *, actor: str) -> None:
    """Book a refund or chargeback against its payment; never more than is left of it."""
    session.refresh(payment)
    left = payment.amount_minor - payment.reversed_minor
    if left == 0:
        row.explanation = "All of the payment went back already."
        return
    amount = min(left, row.amount_minor)
    reversal, _ = reverse_payment(
        session,
        payment,
        kind=cast("ReversalKind", row.kind),
        reason=row.reference.strip() or f"told by {row.source}",
        actor=actor,
        amount_minor=amount,
        external_id=booked_id(row.source, row.external_id),
    )
    row.state, row.reversal_id, row.subscriber_id = "booked", reversal.id, payment.subscriber_id
    row.explanation = f"It names payment {payment.id}."
    if amount < row.amount_minor:
        row.explanation = (
            f"It names payment {payment.id}, of which only {money(amount, row.currency)} was left to go back."
        )


def _came_back(payment: Payment) -> str:
    return f"It names payment {payment.id}, whose money came back again."


def _not_booked(row: IncomingPayment) -> str:
    return f"The payment {row.original_external_id!r} that it is about is not booked here yet."


def incoming_of(row: IncomingPayment) -> Incoming:
    """The event as it was told, from its row."""
    return Incoming(
        row.external_id,
        row.amount_minor,
        row.currency,
        row.occurred_at,
        row.method,
        IncomingKind(row.kind),
        row.reference,
        row.payer,
        row.phone,
        row.username,
        row.original_external_id,
    )


def _bucket(one: Incoming | IncomingPayment) -> int:
    return zlib.crc32((one.original_external_id or one.external_id).encode()) % _BUCKETS


def _learnt(row: IncomingPayment, one: Incoming) -> bool:
    """Let a row that waits for a person know what this telling knows more; whether that was anything."""
    if row.state != "review" or row.decided_at is not None or differs(row, one):
        return False
    more = both(incoming_of(row), one)
    changed = {name: said for name in TEXTS if (said := getattr(more, name)) != getattr(row, name)}
    for name, said in changed.items():
        setattr(row, name, said)
    return bool(changed)


def differs(row: IncomingPayment, one: Incoming) -> bool:
    """Whether an event is told otherwise than it was before."""
    return (row.kind, row.amount_minor, row.currency) != (one.kind.value, one.amount_minor, one.currency)


def booked_id(source: str, external_id: str) -> str:
    """Under which external id a source's payment is booked: two sources may count from one."""
    return f"{source}/{external_id}"
