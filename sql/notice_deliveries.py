"""Notices on their way: taken into deliveries, claimed before a gateway is asked, and stored with what came of it.

A claim stores `sending`. What a worker leaves there when it dies becomes `unknown`: people see it and may send it
again, nothing else does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from policy.fair_use import TierAction
from policy.notices import Event, Facts, Usage, after_quiet, again_at
from policy.windows import zone
from sql.models import Operator
from sql.money.reminders import NOT_REMINDED
from sql.sessions import database_time

State = Literal["sent", "failed", "unknown", "skipped"]

TAKEN_AT_ONCE = 500
# A gateway is asked for at most 20 s (worker/notice_gateway.py); after this long nobody waits for its answer any more.
SENDING_S = 120
# Restricted or restored is told when no step of the service is under way. Steps are planned a moment after an approval,
# and a router that is down for long must not keep it back for good: the next login has the new access anyway.
SETTLING_S = 10
SETTLED_S = 3600

_TAKE = text("""
WITH ready AS (
    SELECT id, event FROM notices
    WHERE operator_id = :operator AND taken_at IS NULL AND (
        event NOT IN ('restricted', 'restored') OR created_at <= :settled
        OR created_at <= :settling AND NOT EXISTS (SELECT FROM steps WHERE steps.operator_id = :operator
            AND steps.service_id = notices.service_id AND steps.state IN ('waiting', 'started', 'retrying')))
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED),
made AS (
    INSERT INTO notice_deliveries (notice_id, channel_id, operator_id, due_at)
    SELECT ready.id, channel.id, :operator, :due FROM ready JOIN notice_channels AS channel
        ON channel.operator_id = :operator AND channel.ended_at IS NULL AND ready.event = ANY(channel.events)
    ON CONFLICT DO NOTHING)
UPDATE notices SET taken_at = clock_timestamp() FROM ready WHERE notices.id = ready.id
""")
_WAIT = text("""
UPDATE notice_deliveries SET due_at = :until WHERE operator_id = :operator AND state = 'waiting' AND due_at <= :now
""")
_ABANDONED = text("""
UPDATE notice_deliveries SET state = 'unknown', explanation =
    'The worker ended while it asked the gateway, so nobody knows whether this was sent.'
WHERE operator_id = :operator AND state = 'sending' AND due_at <= :now
""")
_DUE = text(f"""
SELECT delivery.notice_id, delivery.channel_id, delivery.attempts + 1 AS attempts, notice.event,
    channel.name AS channel, channel.url, subscriber.email, subscriber.phone, subscriber.language,
    subscriber.name, subscriber.reference, service.username, notice.data,
    invoice.number, invoice.open_minor, invoice.issued_on, invoice.due_on,
    coalesce(payment.amount_minor, invoice.amount_minor, 0) AS amount_minor, payment.id AS payment_id, payment.method,
    payment.receipt_number, payment.received_at,
    coalesce(payment.currency, invoice.currency) AS currency,
    CASE WHEN notice.event IN ('restricted', 'restored') THEN (
        SELECT coalesce(sum(open_minor), 0) FROM invoices AS owed WHERE owed.operator_id = :operator
            AND owed.subscriber_id = notice.subscriber_id AND owed.open_minor > 0 AND owed.due_at <= :now)
        ELSE 0 END AS owed_minor,
    CASE WHEN channel.ended_at IS NOT NULL THEN 'ended'
        WHEN invoice.voided_at IS NOT NULL THEN 'void'
        WHEN notice.event = 'reminder' AND invoice.open_minor = 0 THEN 'paid'
        WHEN notice.event = 'reminder' AND {NOT_REMINDED.format(moment="now")} THEN 'held'
        WHEN notice.event = 'receipt' AND payment.reversed_minor = payment.amount_minor THEN 'reversed'
        WHEN notice.event IN ('restricted', 'restored') AND EXISTS (SELECT FROM changes
            WHERE changes.operator_id = :operator AND changes.service_id = notice.service_id
                AND changes.id > (notice.data ->> 'change')::bigint AND changes.state = 'approved'
                AND changes.kind IN ('suspend', 'restore')) THEN 'overtaken'
        WHEN notice.event = 'usage' AND service.closed_at IS NOT NULL THEN 'closed'
        WHEN notice.event = 'usage' AND (notice.data ->> 'ends_at')::timestamptz <= :now THEN 'anew'
        WHEN notice.event = 'usage' AND EXISTS (SELECT FROM usage_topups AS topup
            WHERE topup.operator_id = :operator AND topup.service_id = notice.service_id
                AND topup.span = notice.data ->> 'span' AND topup.created_at > notice.created_at) THEN 'topped_up'
        WHEN notice.event = 'usage' AND EXISTS (SELECT FROM notices AS later
            WHERE later.operator_id = :operator AND later.subscriber_id = notice.subscriber_id AND later.id > notice.id
                AND later.event = 'usage' AND later.service_id = notice.service_id
                AND later.data ->> 'span' = notice.data ->> 'span'
                AND later.data ->> 'limit_bytes' = notice.data ->> 'limit_bytes') THEN 'later'
    END AS needless
FROM notice_deliveries AS delivery
JOIN notices AS notice ON notice.id = delivery.notice_id
JOIN notice_channels AS channel ON channel.id = delivery.channel_id
JOIN subscribers AS subscriber ON subscriber.id = notice.subscriber_id
LEFT JOIN services AS service ON service.id = notice.service_id
LEFT JOIN invoices AS invoice ON invoice.id = notice.invoice_id
LEFT JOIN payments AS payment ON payment.id = notice.payment_id
WHERE delivery.operator_id = :operator AND delivery.state = 'waiting' AND delivery.due_at <= :now
    AND NOT delivery.channel_id = ANY(CAST(:resting AS bigint[]))
ORDER BY delivery.due_at LIMIT :most FOR UPDATE OF delivery SKIP LOCKED
""")  # noqa: S608 - constants; every value is bound
_CLAIM = text("""
UPDATE notice_deliveries AS delivery SET state = row.state, explanation = row.explanation, due_at = row.due_at,
    attempts = delivery.attempts + CASE row.state WHEN 'sending' THEN 1 ELSE 0 END
FROM unnest(CAST(:notices AS bigint[]), CAST(:channels AS bigint[]), CAST(:states AS text[]),
    CAST(:explanations AS text[]), CAST(:dues AS timestamptz[]))
    AS row (notice_id, channel_id, state, explanation, due_at)
WHERE delivery.notice_id = row.notice_id AND delivery.channel_id = row.channel_id
""")
_TEMPLATES = text("""
SELECT event, language, subject, body FROM notice_templates WHERE operator_id = :operator
    AND event = ANY(CAST(:events AS text[])) AND language = ANY(CAST(:languages AS text[]))
""")
# Late but sure knowledge replaces `unknown`; what a person has asked for again since is another attempt.
_STORE = text("""
UPDATE notice_deliveries AS delivery SET state = row.state, explanation = row.explanation, due_at = row.due_at,
    sent_at = CASE row.state WHEN 'sent' THEN clock_timestamp() END
FROM unnest(CAST(:notices AS bigint[]), CAST(:channels AS bigint[]), CAST(:attempts AS integer[]),
    CAST(:states AS text[]), CAST(:explanations AS text[]), CAST(:dues AS timestamptz[]))
    AS row (notice_id, channel_id, attempts, state, explanation, due_at)
WHERE delivery.notice_id = row.notice_id AND delivery.channel_id = row.channel_id
    AND delivery.attempts = row.attempts AND delivery.state IN ('sending', 'unknown')
""")
_NEEDLESS = {
    "ended": "The channel was ended before this was sent.",
    "void": "The invoice was taken back before this was sent.",
    "paid": "The invoice was paid before this was sent.",
    "held": "The customer has promised to pay, disputes it, or is not to be reminded any more.",
    "reversed": "The payment was taken back before this was sent.",
    "overtaken": "The service was restricted or restored again before this was sent.",
    "closed": "The service was closed before this was sent.",
    "anew": "Counting had begun anew before this was sent.",
    "topped_up": "The customer had got more bytes before this was sent.",
    "later": "More of the limit was used before this was sent, and that is told instead.",
}
EXPLANATION_MAXIMUM_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery to be tried now. `url` is sealed; `templates` are the operator's own words by language."""

    notice_id: int
    channel_id: int
    channel: str
    url: bytes
    event: Event
    attempts: int
    email: str
    phone: str
    languages: tuple[str, ...]
    facts: Facts
    templates: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a delivery went, with a sentence for people."""

    claimed: Claimed
    state: State
    explanation: str


def operators_to_notify(engine: Engine) -> list[int]:
    """Operators that have something to tell."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT operator_id FROM operators_to_notify()")).scalars())


def take(session: Session, operator_id: int, most: int = TAKEN_AT_ONCE) -> int:
    """Make the deliveries of notices that wait, one for each channel that is for them. Returns how many were taken."""
    now = database_time(session)
    values = {
        "operator": operator_id,
        "most": most,
        "due": _not_quiet(session, operator_id, now),
        "settling": now - timedelta(seconds=SETTLING_S),
        "settled": now - timedelta(seconds=SETTLED_S),
    }
    return session.execute(_TAKE, values).rowcount  # type: ignore[attr-defined, no-any-return] # of a cursor's result


def claim(session: Session, operator_id: int, most: int, resting: Collection[int] = ()) -> list[Claimed]:
    """Deliveries that are due, stored as `sending`. Quiet hours move them; what needs no telling any more is skipped.

    `resting` are channels that are left alone. What a worker left in `sending` long ago is `unknown` from now on.
    """
    now = database_time(session)
    session.execute(_ABANDONED, {"operator": operator_id, "now": now})
    awake = _not_quiet(session, operator_id, now)
    if awake > now:
        session.execute(_WAIT, {"operator": operator_id, "now": now, "until": awake})
        return []
    operator = session.get_one(Operator, operator_id)
    values = {"operator": operator_id, "now": now, "resting": list(resting), "most": most}
    wanted: list[Row[Any]] = []
    while not wanted and (rows := session.execute(_DUE, values).all()):
        _mark(session, rows, now)
        wanted = [row for row in rows if not row.needless]
    own = _own_words(session, operator, wanted) if wanted else {}
    return [_claimed(operator, row, own) for row in wanted]


def _mark(session: Session, rows: Sequence[Row[Any]], now: datetime) -> None:
    session.execute(
        _CLAIM,
        {
            "notices": [row.notice_id for row in rows],
            "channels": [row.channel_id for row in rows],
            "states": ["skipped" if row.needless else "sending" for row in rows],
            "explanations": [_NEEDLESS[row.needless] if row.needless else "" for row in rows],
            "dues": [now if row.needless else now + timedelta(seconds=SENDING_S) for row in rows],
        },
    )


def store(session: Session, operator_id: int, outcomes: Sequence[Outcome]) -> None:
    """Store what came of deliveries; what failed waits for its next try, as long as there is one."""
    now = database_time(session)
    rows = [_end(one, _next(session, operator_id, one, now), now) for one in outcomes]
    if rows:
        names = ("notices", "channels", "attempts", "states", "explanations", "dues")
        session.execute(_STORE, dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True)))


def _next(session: Session, operator_id: int, one: Outcome, now: datetime) -> datetime | None:
    again = again_at(now, one.claimed.attempts) if one.state == "failed" else None
    return _not_quiet(session, operator_id, again) if again is not None else None


def _end(one: Outcome, again: datetime | None, now: datetime) -> tuple[Any, ...]:
    claimed, said = one.claimed, one.explanation[:EXPLANATION_MAXIMUM_LETTERS]
    state = "waiting" if again is not None else one.state
    return claimed.notice_id, claimed.channel_id, claimed.attempts, state, said, again or now


def _not_quiet(session: Session, operator_id: int, moment: datetime) -> datetime:
    operator = session.get_one(Operator, operator_id)
    return after_quiet(moment, operator.quiet_from, operator.quiet_until, operator.time_zone)


def _own_words(session: Session, operator: Operator, rows: Sequence[Row[Any]]) -> dict[str, dict[str, tuple[str, str]]]:
    """The operator's words by event and language, as far as these rows may need them."""
    languages = {row.language for row in rows} | {operator.language}
    values = {
        "operator": operator.id,
        "events": sorted({row.event for row in rows}),
        "languages": sorted(languages),
    }
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for row in session.execute(_TEMPLATES, values):
        found.setdefault(row.event, {})[row.language] = (row.subject, row.body)
    return found


def _usage(event: str, data: dict[str, Any], time_zone: str) -> Usage | None:
    if event != Event.USAGE:
        return None
    return Usage(
        percent=int(data["percent"]),
        used_bytes=int(data["used_bytes"]),
        allowed_bytes=int(data["allowed_bytes"]),
        anew_on=datetime.fromisoformat(data["ends_at"]).astimezone(zone(time_zone)).date(),
        action=TierAction(data["action"]),
    )


def _claimed(operator: Operator, row: Row[Any], own: dict[str, dict[str, tuple[str, str]]]) -> Claimed:
    facts = Facts(
        name=row.name,
        reference=row.reference,
        operator=operator.legal_name or operator.name,
        payment_details=operator.payment_details,
        currency=row.currency or operator.currency,
        owed_minor=int(row.owed_minor),
        number=row.number or "",
        amount_minor=row.amount_minor,
        open_minor=row.open_minor or 0,
        issued_on=row.issued_on,
        due_on=row.due_on,
        username=row.username or "",
        method=row.method or "",
        received_on=row.received_at.astimezone(zone(operator.time_zone)).date() if row.received_at else None,
        receipt=row.receipt_number or (str(row.payment_id) if row.payment_id else ""),
        usage=_usage(row.event, row.data, operator.time_zone),
    )
    return Claimed(
        notice_id=row.notice_id,
        channel_id=row.channel_id,
        channel=row.channel,
        url=row.url,
        event=Event(row.event),
        attempts=row.attempts,
        email=row.email,
        phone=row.phone,
        languages=(row.language, operator.language),
        facts=facts,
        templates=own.get(row.event, {}),
    )
