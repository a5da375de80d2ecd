"""Outages made good: more days or a credit for all services of a router or an area, planned, approved, and taken back.

The plan keeps what it would change, service by service, with the image before and after. Approving it moves only what
still stands as before, and undoing only what still stands as after; the rest is `stuck`, with a sentence. Both go on in
portions, so that no payment waits long, and a portion that was done is done.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from sql import audit
from sql.checks import NAME_MAXIMUM_BYTES, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Compensation, Operator, Router
from sql.money import compensation_rows
from sql.money.invoices import NOTE_MAXIMUM_BYTES

DAYS_MAXIMUM = 366
ODD_MOST = 10

# Whose it is: a service belongs to the router that holds it, or of its latest session, or that it is bound to.
_OF_ROUTER = """
    AND coalesce(service.control_router_id, (SELECT router_id FROM sessions WHERE sessions.operator_id = :operator
        AND sessions.service_id = service.id ORDER BY started_at DESC LIMIT 1), service.router_id) = :router"""
_OF_AREA = " AND subscriber.area = :area"
_FROM = """
FROM services AS service
JOIN subscribers AS subscriber ON subscriber.id = service.subscriber_id
JOIN plans AS plan ON plan.id = service.plan_id
LEFT JOIN service_billing AS place ON place.service_id = service.id
WHERE service.operator_id = :operator AND subscriber.operator_id = :operator AND service.closed_at IS NULL"""
# Days are the operator's: the same hour of its clock, so many days later. Prepaid time that is over gets none.
_GETS_DAYS = """
    AND CASE plan.billing WHEN 'prepaid' THEN service.prepaid_until > now() ELSE place.service_id IS NOT NULL END"""
_INSERT = """
INSERT INTO compensation_rows (compensation_id, service_id, operator_id, billed_before, billed_after, starts_before,
    starts_after, prepaid_before, prepaid_after)
SELECT :compensation, service.id, :operator"""
_DAYS = """,
    CASE WHEN plan.billing = 'recurring' THEN place.billed_until END,
    CASE WHEN plan.billing = 'recurring' THEN place.billed_until + CAST(:days AS integer) END,
    CASE WHEN plan.billing = 'recurring' AND place.billed_until IS NULL THEN place.starts_on END,
    CASE WHEN plan.billing = 'recurring' AND place.billed_until IS NULL THEN
        place.starts_on + CAST(:days AS integer) END,
    CASE WHEN plan.billing = 'prepaid' THEN service.prepaid_until END,
    CASE WHEN plan.billing = 'prepaid' THEN
        (service.prepaid_until AT TIME ZONE :zone + make_interval(days => :days)) AT TIME ZONE :zone END"""
_NO_DAYS = ", NULL, NULL, NULL, NULL, NULL, NULL"

# A day's worth of a plan, for the preview alone: months count as thirty days.
_WORTH = """coalesce(place.price_minor, plan.price_minor) / (plan.period_count * CASE plan.period_unit
    WHEN 'hour' THEN 1 / 24.0 WHEN 'day' THEN 1 WHEN 'week' THEN 7 ELSE 30 END)"""
_AGAIN = """EXISTS (SELECT FROM compensation_rows AS earlier JOIN compensations AS other
    ON other.id = earlier.compensation_id WHERE earlier.operator_id = :operator AND earlier.service_id = service.id
        AND earlier.state = 'applied' AND other.decided_at > now() - interval '30 days')"""
_ROWS = f"""
FROM compensation_rows AS made
JOIN services AS service ON service.id = made.service_id
JOIN subscribers AS subscriber ON subscriber.id = service.subscriber_id
JOIN plans AS plan ON plan.id = service.plan_id
LEFT JOIN service_billing AS place ON place.service_id = service.id
CROSS JOIN LATERAL (SELECT {_WORTH} AS day_minor, {_AGAIN} AS again) AS odd
WHERE made.compensation_id = :compensation
"""
_COUNTED = text(f"""
SELECT count(*) AS services, count(*) FILTER (WHERE plan.billing = 'prepaid') AS prepaid,
    count(*) FILTER (WHERE service.standing = 'suspended') AS suspended, count(*) FILTER (WHERE odd.again) AS again,
    count(DISTINCT service.subscriber_id) AS subscribers,
    coalesce(round(sum(odd.day_minor * CAST(:days AS integer))), 0)::bigint AS worth_minor,
    coalesce(encode(sha256(convert_to(string_agg(concat_ws('|', made.service_id, made.billed_before,
        made.starts_before, extract(epoch FROM made.prepaid_before)), ';' ORDER BY made.service_id), 'UTF8')), 'hex'),
        '') AS digest
{_ROWS}
""")  # noqa: S608 - constants; every value is bound
_ODD = text(f"""
SELECT service.username, plan.name AS plan, service.standing, odd.again, round(odd.day_minor)::bigint AS day_minor
{_ROWS} ORDER BY odd.again DESC, service.standing = 'suspended' DESC, odd.day_minor DESC, made.service_id LIMIT :most
""")


class Wish(NamedTuple):
    """What somebody wants to give, and to whom: a router or an area, days or an amount."""

    name: str
    reason: str
    router: Router | None = None
    area: str = ""
    days: int | None = None
    amount_minor: int | None = None


def plan(session: Session, operator_id: int, wish: Wish, *, actor: str) -> Compensation:
    """Store what would be done, with a preview and its hash. Nothing is given yet. Raises Refused."""
    _check(session, operator_id, wish)
    operator = session.get_one(Operator, operator_id)
    made = Compensation(
        operator_id=operator_id,
        name=wish.name,
        router_id=wish.router.id if wish.router is not None else None,
        area=wish.area or None,
        days=wish.days,
        amount_minor=wish.amount_minor,
        reason=wish.reason,
        preview={},
        preview_hash="",
        requested_by=actor,
    )
    session.add(made)
    session.flush()
    values: dict[str, Any] = {"operator": operator_id, "compensation": made.id}
    place = _OF_ROUTER if wish.router is not None else _OF_AREA
    values |= {"router": wish.router.id} if wish.router is not None else {"area": wish.area}
    if wish.days is not None:
        statement = _INSERT + _DAYS + _FROM + place + _GETS_DAYS
        values |= {"days": wish.days, "zone": operator.time_zone}
    else:
        statement = _INSERT + _NO_DAYS + _FROM + place
    session.execute(text(statement), values)
    there = session.execute(text("SELECT count(*)" + _FROM + place), _without(values, "compensation", "days", "zone"))
    made.preview = _preview(session, operator, made, int(there.scalar_one()))
    made.preview_hash = _hash(made.preview)
    if not made.preview["services"]:
        raise Refused("No service there would get anything; look at the router's or the area's name, and the plans.")
    session.flush()
    audit.record(
        session, operator_id, actor, "compensation:plan:store", name=made.name, services=made.preview["services"]
    )
    return made


def by_name(session: Session, operator_id: int, name: str, *, lock: bool = False) -> Compensation:
    """The compensation of this name. Raises NotFound."""
    statement = select(Compensation).where(Compensation.operator_id == operator_id, Compensation.name == name)
    found = session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise NotFound(f"There is no compensation {name!r}; `ispagents compensation list` shows those there are.")
    return found


def compensations(session: Session, operator_id: int, *, before: int | None, limit: int) -> list[Compensation]:
    """All of them, the newest first."""
    statement = select(Compensation).where(Compensation.operator_id == operator_id)
    if before is not None:
        statement = statement.where(Compensation.id < before)
    return list(session.scalars(statement.order_by(Compensation.id.desc()).limit(limit)))


def approve(session: Session, operator_id: int, name: str, *, seen_hash: str, actor: str) -> Compensation:
    """Let a plan be carried out, by exactly the hash that was seen; `go_on` then does it. Approving it again goes on.

    Raises Refused when it was another preview, and for its own requester where the operator wants two people for
    anything at all.
    """
    made = by_name(session, operator_id, name, lock=True)
    if made.preview_hash != seen_hash:
        raise Refused(f"Compensation {name!r} has another preview than the one you approved; look at it again.")
    if made.state == "approved":
        return made
    if made.state != "planned":
        raise Refused(f"Compensation {name!r} is {made.state} already and cannot be approved.")
    rules = session.get_one(Operator, operator_id).approval_rules
    if made.requested_by == actor and any(int(rule.get("people", 1)) > 1 for rule in rules):
        raise Refused(f"You asked for compensation {name!r} yourself; another person must approve it.")
    made.state, made.decided_by, made.decided_at = "approved", actor, func.now()
    session.flush()
    audit.record(session, operator_id, actor, "compensation:plan:approve", name=name, hash=seen_hash)
    return made


def drop(session: Session, operator_id: int, name: str, *, actor: str) -> Compensation:
    """Say no to a plan. Raises Refused when it was decided already."""
    made = by_name(session, operator_id, name, lock=True)
    if made.state != "planned":
        raise Refused(f"Compensation {name!r} is {made.state} already and cannot be dropped.")
    made.state, made.decided_by, made.decided_at = "dropped", actor, func.now()
    session.flush()
    audit.record(session, operator_id, actor, "compensation:plan:drop", name=name)
    return made


def undo(session: Session, operator_id: int, name: str, *, actor: str) -> Compensation:
    """Let what was given be taken back; `go_on` then does it. Undoing it again goes on. Raises Refused."""
    made = by_name(session, operator_id, name, lock=True)
    if made.state == "undone":
        return made
    if made.state != "approved":
        raise Refused(f"Compensation {name!r} is {made.state}, so there is nothing to undo.")
    made.state, made.undone_by, made.undone_at = "undone", actor, func.now()
    session.flush()
    audit.record(session, operator_id, actor, "compensation:plan:undo", name=name)
    return made


def go_on(session: Session, operator_id: int, name: str, after: int, *, actor: str) -> int | None:
    """Carry out, or take back, the next portion of services after `after`. Returns where to go on; None at the end."""
    made = by_name(session, operator_id, name, lock=True)
    operator = session.get_one(Operator, operator_id)
    if made.state == "approved":
        last = compensation_rows.give(session, operator, made, after, actor=actor)
    elif made.state == "undone":
        last = compensation_rows.take_back(session, operator, made, after, actor=actor)
    else:
        raise Refused(f"Compensation {name!r} is {made.state}; there is nothing to carry out.")
    defer_review(session, operator_id)
    return last


def counts(session: Session, made: Compensation) -> dict[str, int]:
    """How many of its services are in which state."""
    rows = session.execute(
        text("SELECT state, count(*) FROM compensation_rows WHERE compensation_id = :id GROUP BY state"),
        {"id": made.id},
    )
    return {state: int(number) for state, number in rows}


def stuck(session: Session, made: Compensation, limit: int) -> list[Row[Any]]:
    """Services that could not be moved, each with its sentence."""
    statement = text("""
        SELECT service.username, made.explanation FROM compensation_rows AS made
        JOIN services AS service ON service.id = made.service_id
        WHERE made.compensation_id = :id AND made.state = 'stuck' ORDER BY made.service_id LIMIT :most""")
    return list(session.execute(statement, {"id": made.id, "most": limit}))


def _check(session: Session, operator_id: int, wish: Wish) -> None:
    for what, value, most in (("name", wish.name, NAME_MAXIMUM_BYTES), ("reason", wish.reason, NOTE_MAXIMUM_BYTES)):
        if not checked_text(what, value, most).strip():
            raise Refused(f"The {what} must not be empty.")
    if (wish.router is None) == (not wish.area):
        raise Refused("Say whom the outage hit: a router, or an area.")
    if (wish.days is None) == (wish.amount_minor is None):
        raise Refused("Say what to give: days, or an amount.")
    if wish.days is not None and not 1 <= wish.days <= DAYS_MAXIMUM:
        raise Refused(f"Days lie between 1 and {DAYS_MAXIMUM}.")
    if wish.amount_minor is not None and not 1 <= wish.amount_minor <= AMOUNT_MAXIMUM_MINOR:
        raise Refused("An amount is more than zero and at most ten trillion.")
    known = select(Compensation.id).where(Compensation.operator_id == operator_id, Compensation.name == wish.name)
    if session.scalar(known) is not None:
        raise Refused(f"There is a compensation {wish.name!r} already; choose another name.")


def _preview(session: Session, operator: Operator, made: Compensation, there: int) -> dict[str, Any]:
    values = {"operator": operator.id, "compensation": made.id}
    row = session.execute(_COUNTED, {**values, "days": made.days or 0}).one()
    odd = session.execute(_ODD, {**values, "most": ODD_MOST})
    given = row.worth_minor if made.days is not None else row.services * (made.amount_minor or 0)
    return {
        "services": row.services,
        "subscribers": row.subscribers,
        "prepaid": row.prepaid,
        "suspended": row.suspended,
        "compensated_in_30_days": row.again,
        "left_out": there - row.services,
        "money_minor": int(given),
        "money_is_estimated": made.days is not None,
        "currency": operator.currency,
        "oddest": [
            {
                "username": one.username,
                "plan": one.plan,
                "standing": one.standing,
                "compensated_before": one.again,
                "day_minor": one.day_minor,
            }
            for one in odd
        ],
        "rows_digest": row.digest,
    }


def _hash(preview: dict[str, Any]) -> str:
    return sha256(json.dumps(preview, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
