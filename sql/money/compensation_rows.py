"""The services of a compensation: given days or credit, and taken back, a portion at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from sql.errors import Refused
from sql.models import Compensation, Operator
from sql.money.payments import Given, give_credits, payment_by_id, reverse_payment
from sql.money.settling import lock_subscribers

PORTION = 500
# Taking a credit back asks a dozen times for each, so its portions are smaller.
CREDITS_PORTION = 50

_NEXT = text("""
SELECT made.*, service.subscriber_id FROM compensation_rows AS made JOIN services AS service
    ON service.id = made.service_id
WHERE made.compensation_id = :compensation AND made.state = :state AND made.service_id > :after
ORDER BY made.service_id LIMIT :most FOR UPDATE OF made
""")
# Reviews are marked before a service is touched, the order in which the worker locks the two.
_MARK = text(
    "SELECT review_service(:operator, id) FROM (SELECT unnest(CAST(:ids AS bigint[])) AS id ORDER BY id) AS row"
)
_MOVE_PLACES = text("""
UPDATE service_billing AS place SET
    billed_until = row.billed_to, starts_on = coalesce(row.starts_to, place.starts_on),
    next_on = place.next_on + CAST(:days AS integer), updated_at = now(),
    next_plan_on = CASE WHEN place.next_plan_on = place.billed_until THEN place.next_plan_on + CAST(:days AS integer)
        ELSE place.next_plan_on END
FROM unnest(CAST(:ids AS bigint[]), CAST(:billed_from AS date[]), CAST(:billed_to AS date[]),
    CAST(:starts_from AS date[]), CAST(:starts_to AS date[]))
    AS row (service_id, billed_from, billed_to, starts_from, starts_to)
WHERE place.operator_id = :operator AND place.service_id = row.service_id
    AND place.billed_until IS NOT DISTINCT FROM row.billed_from
    AND (row.starts_from IS NULL OR place.starts_on = row.starts_from)
RETURNING place.service_id
""")
_MOVE_PREPAID = text("""
UPDATE services SET prepaid_until = row.later
FROM unnest(CAST(:ids AS bigint[]), CAST(:earlier AS timestamptz[]), CAST(:later AS timestamptz[]))
    AS row (service_id, earlier, later)
WHERE services.operator_id = :operator AND services.id = row.service_id AND services.prepaid_until = row.earlier
    AND services.closed_at IS NULL
RETURNING services.id
""")
_STORE = text("""
UPDATE compensation_rows AS made SET state = row.state, explanation = row.explanation,
    payment_id = coalesce(row.payment_id, made.payment_id)
FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:explanations AS text[]),
    CAST(:payments AS bigint[])) AS row (service_id, state, explanation, payment_id)
WHERE made.compensation_id = :compensation AND made.service_id = row.service_id
""")
_MOVED_SINCE = "Its time was moved by something else since the plan was made, so it was left as it is."
_USED_SINCE = "Its time was moved by something else since, such as an invoice or a payment, so the days stay."


def give(session: Session, operator: Operator, made: Compensation, after: int, *, actor: str) -> int | None:
    """Give the next services what is planned. Returns the last of them; None when there is none left."""
    rows = _next(session, made, "planned", after, PORTION)
    if not rows:
        return None
    if made.days is not None:
        moved = _move(session, operator, rows, made.days)
        _store(session, made, [(row, *_said(row, moved, "applied", _MOVED_SINCE), None) for row in rows])
        return int(rows[-1].service_id)
    given = [
        Given(row.subscriber_id, made.amount_minor or 0, f"compensation:{made.id}:{row.service_id}", made.reason)
        for row in rows
    ]
    credits_given = give_credits(session, operator, given, actor=actor)
    _store(session, made, [(row, "applied", "", one.id) for row, one in zip(rows, credits_given, strict=True)])
    return int(rows[-1].service_id)


def take_back(session: Session, operator: Operator, made: Compensation, after: int, *, actor: str) -> int | None:
    """Take back what the next services were given, where it still stands. Returns the last of them, or None."""
    rows = _next(session, made, "applied", after, PORTION if made.days is not None else CREDITS_PORTION)
    if not rows:
        return None
    if made.days is not None:
        moved = _move(session, operator, rows, -made.days)
        _store(session, made, [(row, *_said(row, moved, "undone", _USED_SINCE), None) for row in rows])
        return int(rows[-1].service_id)
    lock_subscribers(session, sorted({row.subscriber_id for row in rows}))
    reason = f"Compensation {made.name} was undone."
    _store(session, made, [(row, *_reversed(session, operator, row, reason, actor), None) for row in rows])
    return int(rows[-1].service_id)


def _next(session: Session, made: Compensation, state: str, after: int, most: int) -> Sequence[Row[Any]]:
    values = {"compensation": made.id, "state": state, "after": after, "most": most}
    return session.execute(_NEXT, values).all()


def _move(session: Session, operator: Operator, rows: Sequence[Row[Any]], days: int) -> set[int]:
    """Move billed days or prepaid time, forwards or (less than zero) back. Returns the services that were moved."""
    lock_subscribers(session, sorted({row.subscriber_id for row in rows}))
    forwards = days > 0

    def images(name: str, chosen: Sequence[Row[Any]]) -> tuple[list[Any], list[Any]]:
        pairs = [(getattr(row, f"{name}_before"), getattr(row, f"{name}_after")) for row in chosen]
        ordered = pairs if forwards else [(after, before) for before, after in pairs]
        return [one for one, _ in ordered], [other for _, other in ordered]

    prepaid = [row for row in rows if row.prepaid_before is not None]
    places = [row for row in rows if row.prepaid_before is None]
    return {
        *_moved_places(session, operator, places, images, days),
        *_moved_prepaid(session, operator, prepaid, images),
    }


_Images = Callable[[str, Sequence[Row[Any]]], tuple[list[Any], list[Any]]]


def _moved_places(
    session: Session, operator: Operator, rows: Sequence[Row[Any]], images: _Images, days: int
) -> list[int]:
    if not rows:
        return []
    billed_from, billed_to = images("billed", rows)
    starts_from, starts_to = images("starts", rows)
    values = {
        "operator": operator.id,
        "days": days,
        "ids": [row.service_id for row in rows],
        "billed_from": billed_from,
        "billed_to": billed_to,
        "starts_from": starts_from,
        "starts_to": starts_to,
    }
    return list(session.execute(_MOVE_PLACES, values).scalars())


def _moved_prepaid(session: Session, operator: Operator, rows: Sequence[Row[Any]], images: _Images) -> list[int]:
    if not rows:
        return []
    earlier, later = images("prepaid", rows)
    ids = [row.service_id for row in rows]
    session.execute(_MARK, {"operator": operator.id, "ids": ids})
    values = {"operator": operator.id, "ids": ids, "earlier": earlier, "later": later}
    return list(session.execute(_MOVE_PREPAID, values).scalars())


def _said(row: Row[Any], moved: set[int], state: str, why_not: str) -> tuple[str, str]:
    return (state, "") if row.service_id in moved else ("stuck", why_not)


def _reversed(session: Session, operator: Operator, row: Row[Any], reason: str, actor: str) -> tuple[str, str]:
    """What the credit has paid is open again; one that was taken back already has nothing left."""
    payment = payment_by_id(session, operator.id, row.payment_id)
    try:
        reverse_payment(session, payment, kind="correction", reason=reason, actor=actor)
    except Refused as error:
        return "stuck", f"The credit was not taken back. {error}"
    return "undone", ""


def _store(session: Session, made: Compensation, ends: Sequence[tuple[Row[Any], str, str, int | None]]) -> None:
    session.execute(
        _STORE,
        {
            "compensation": made.id,
            "ids": [row.service_id for row, _, _, _ in ends],
            "states": [state for _, state, _, _ in ends],
            "explanations": [explanation for _, _, explanation, _ in ends],
            "payments": [payment_id for _, _, _, payment_id in ends],
        },
    )
