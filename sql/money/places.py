"""Where services stand in their periods: read with all that moves their price, and written back, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from policy.money.charging import Place
from policy.money.periods import Period, Unit
from policy.money.pricing import Discount, Fee, Line, Priced, Terms
from sql.models import Operator, Plan
from sql.money.invoices import LineDraft

_COLUMNS = """
SELECT place.service_id, place.subscriber_id, place.starts_on, place.anchor_day, place.billed_until, place.next_on,
       place.setup_charged, place.price_minor, place.next_plan_id, place.next_plan_on, service.username,
       service.plan_id, service.closed_at, service.prepaid_until
FROM service_billing AS place JOIN services AS service ON service.id = place.service_id
"""
_BY_SERVICE = text(
    _COLUMNS + "WHERE place.operator_id = :operator AND place.service_id = ANY(:services) "
    "ORDER BY place.next_on, place.subscriber_id, place.service_id FOR UPDATE OF place"
).bindparams(bindparam("services", type_=ARRAY(BigInteger)))
_SEEN = text(
    _COLUMNS + "WHERE place.operator_id = :operator AND place.next_on <= :day "
    "ORDER BY place.subscriber_id, place.service_id"
)
_DISCOUNTS = text("""
SELECT service_id, id, reason, percent_basis_points, amount_minor, periods_left, until_on FROM discounts
WHERE operator_id = :operator AND service_id = ANY(:services) AND ended_at IS NULL ORDER BY id
""").bindparams(bindparam("services", type_=ARRAY(BigInteger)))
_FEES = text("""
SELECT service_id, id, description, amount_minor, tax_basis_points, tax_included,
       (created_at AT TIME ZONE :zone)::date AS added_on FROM fees
WHERE operator_id = :operator AND service_id = ANY(:services) AND invoice_id IS NULL AND cancelled_at IS NULL
ORDER BY id
""").bindparams(bindparam("services", type_=ARRAY(BigInteger)))
_STORE = text("""
UPDATE service_billing AS place SET starts_on = moved.starts_on, anchor_day = moved.anchor_day,
    billed_until = moved.billed_until, next_on = moved.next_on, setup_charged = moved.setup_charged,
    price_minor = moved.price_minor, next_plan_on = moved.next_plan_on, updated_at = now(),
    next_plan_id = CASE WHEN moved.next_plan_on IS NOT NULL THEN place.next_plan_id END,
    next_plan_by = CASE WHEN moved.next_plan_on IS NOT NULL THEN place.next_plan_by END
FROM unnest(CAST(:services AS bigint[]), CAST(:starts AS date[]), CAST(:anchors AS smallint[]), CAST(:billed AS date[]),
    CAST(:nexts AS date[]), CAST(:setups AS boolean[]), CAST(:prices AS bigint[]), CAST(:switches AS date[]))
    AS moved (service_id, starts_on, anchor_day, billed_until, next_on, setup_charged, price_minor, next_plan_on)
WHERE place.service_id = moved.service_id
""")
_COUNT_DISCOUNTS = text("""
UPDATE discounts SET periods_left = periods_left - used.times,
    ended_at = CASE WHEN periods_left - used.times <= 0 THEN now() ELSE ended_at END
FROM (SELECT id, count(*) AS times FROM unnest(CAST(:discounts AS bigint[])) AS one (id) GROUP BY id) AS used
WHERE discounts.id = used.id AND periods_left IS NOT NULL
""")
_CHARGE_FEES = text("""
UPDATE fees SET invoice_id = charged.invoice_id
FROM unnest(CAST(:fees AS bigint[]), CAST(:invoices AS bigint[])) AS charged (id, invoice_id) WHERE fees.id = charged.id
""")
# The review is marked before its service is touched: the order in which the worker locks the two.
_MARK = text("""
INSERT INTO reviews (service_id, operator_id, due_at)
SELECT id, :operator, now() FROM unnest(CAST(:services AS bigint[])) AS one (id) ORDER BY id
ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at)
""")
_MOVE_SERVICES = text("""
UPDATE services SET plan_id = moved.plan_id, prepaid_until = moved.prepaid_until
FROM unnest(CAST(:services AS bigint[]), CAST(:plans AS bigint[]), CAST(:ends AS timestamptz[]))
    AS moved (id, plan_id, prepaid_until)
WHERE services.id = moved.id
""")


@dataclass(slots=True)
class Standing:
    """A service with its place, its terms and all that moves its price."""

    service_id: int
    subscriber_id: int
    username: str
    place: Place
    plan: Terms
    next_plan: Terms | None
    closed_on: date | None
    prepaid_until: datetime | None
    discounts: list[Discount] = field(default_factory=list)
    fees: list[Fee] = field(default_factory=list)


@dataclass(slots=True)
class Moved:
    """A service that stands elsewhere: its new place, and what of the service itself changes with it."""

    standing: Standing
    place: Place
    plan_id: int
    prepaid_until: datetime | None

    @property
    def touches_service(self) -> bool:
        """Whether the network may hear of it: another plan, or another end of prepaid time."""
        return (self.plan_id, self.prepaid_until) != (self.standing.plan.plan_id, self.standing.prepaid_until)


def terms_of(plan: Plan) -> Terms:
    """What a plan asks."""
    return Terms(
        plan_id=plan.id,
        name=plan.name,
        price_minor=plan.price_minor,
        period=Period(plan.period_count, Unit(plan.period_unit)),
        tax_basis_points=plan.tax_basis_points,
        tax_included=plan.tax_included,
        setup_minor=plan.setup_minor,
        prepaid=plan.billing == "prepaid",
        anchor_day=plan.anchor_day,
    )


def standings(session: Session, operator: Operator, service_ids: Sequence[int]) -> list[Standing]:
    """These services as far as they are charged at all, locked, in the order of their next look.

    The subscribers are locked by the caller: always they first, then this.
    """
    return _read(
        session, operator, session.execute(_BY_SERVICE, {"operator": operator.id, "services": list(service_ids)})
    )


def due_standings(session: Session, operator: Operator, day: date, most: int) -> Iterable[list[Standing]]:
    """All services that are to be looked at up to a day, by subscriber, a part at a time and without a lock."""
    rows = session.execute(_SEEN, {"operator": operator.id, "day": day}, execution_options={"yield_per": most})
    for part in rows.partitions():
        yield _read(session, operator, part)


def _read(session: Session, operator: Operator, found: Iterable[Any]) -> list[Standing]:
    rows = list(found)
    if not rows:
        return []
    zone = ZoneInfo(operator.time_zone)
    ids = {row.plan_id for row in rows} | {row.next_plan_id for row in rows if row.next_plan_id is not None}
    terms = {plan.id: terms_of(plan) for plan in session.scalars(select(Plan).where(Plan.id.in_(ids)))}
    result = {row.service_id: _standing(row, terms, zone) for row in rows}
    known = {"operator": operator.id, "services": list(result)}
    for row in session.execute(_DISCOUNTS, known):
        result[row.service_id].discounts.append(Discount(*row[1:]))
    for row in session.execute(_FEES, {**known, "zone": operator.time_zone}):
        result[row.service_id].fees.append(Fee(*row[1:]))
    return list(result.values())


def _standing(row: Any, terms: dict[int, Terms], zone: ZoneInfo) -> Standing:
    place = Place(
        row.starts_on,
        row.anchor_day,
        row.billed_until,
        row.next_on,
        row.setup_charged,
        row.price_minor,
        row.next_plan_on,
    )
    return Standing(
        row.service_id,
        row.subscriber_id,
        row.username,
        place,
        terms[row.plan_id],
        terms.get(row.next_plan_id),
        row.closed_at.astimezone(zone).date() if row.closed_at is not None else None,
        row.prepaid_until,
    )


def store_places(session: Session, operator_id: int, moved: Sequence[Moved]) -> None:
    """Write places back, and what changes of the services, in at most three statements."""
    if not moved:
        return
    places = [one.place for one in moved]
    session.execute(
        _STORE,
        {
            "services": [one.standing.service_id for one in moved],
            "starts": [place.starts_on for place in places],
            "anchors": [place.anchor_day for place in places],
            "billed": [place.billed_until for place in places],
            "nexts": [place.next_on for place in places],
            "setups": [place.setup_charged for place in places],
            "prices": [place.price_minor for place in places],
            "switches": [place.next_plan_on for place in places],
        },
    )
    touched = [one for one in moved if one.touches_service]
    if touched:
        services = [one.standing.service_id for one in touched]
        session.execute(_MARK, {"operator": operator_id, "services": services})
        session.execute(
            _MOVE_SERVICES,
            {
                "services": services,
                "plans": [one.plan_id for one in touched],
                "ends": [one.prepaid_until for one in touched],
            },
        )


def store_used(session: Session, charged: Sequence[tuple[Priced, int | None]]) -> None:
    """Count the discounts that were given, and remember which invoice holds which fee."""
    used = [one for priced, _ in charged for one in priced.discount_ids]
    if used:
        session.execute(_COUNT_DISCOUNTS, {"discounts": used})
    fees = [(fee, invoice_id) for priced, invoice_id in charged for fee in priced.fee_ids]
    if fees:
        session.execute(
            _CHARGE_FEES, {"fees": [fee for fee, _ in fees], "invoices": [invoice_id for _, invoice_id in fees]}
        )


def line_drafts(service_id: int, lines: Iterable[Line]) -> list[LineDraft]:
    """The lines of a service as an invoice holds them."""
    return [
        LineDraft(
            line.kind,
            line.description,
            line.net_minor,
            line.tax_basis_points,
            line.tax_minor,
            service_id,
            line.plan_id,
            line.start,
            line.end,
        )
        for line in lines
    ]
