"""What follows from usage in the worker: states brought up, customers told, spans and top-ups that end by the clock."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from policy.documents import time_text
from policy.fair_use import FairUseTier
from policy.quota import lesser_limit, main_limit, warning
from sql.jobs import defer_enforce, driver_connection
from sql.notices import of_usage, put
from sql.quota import Account, Running, accounts, look

# A portion of the clock's work is one transaction.
AT_ONCE = 500
ALL_PERCENT = 100

_DUE = text("""
SELECT service_id FROM usage_states WHERE operator_id = :operator AND valid_until <= :now
ORDER BY valid_until LIMIT :most
""")
_NOT_DUE = text("""
UPDATE usage_states SET valid_until = NULL WHERE service_id = ANY(:services) AND valid_until <= :now
""")
_WARNED = text("""
UPDATE usage_spans SET warned_percent = row.percent
FROM unnest(CAST(:services AS bigint[]), CAST(:spans AS text[]), CAST(:starts AS timestamptz[]),
    CAST(:percents AS integer[])) AS row (service_id, span, starts_at, percent)
WHERE usage_spans.service_id = row.service_id AND usage_spans.span = row.span AND usage_spans.starts_at = row.starts_at
""")
_SUBSCRIBERS = text("SELECT id, subscriber_id FROM services WHERE id = ANY(:services)")


def bring_up(session: Session, service_ids: Collection[int], now: datetime) -> tuple[int, ...]:
    """Bring the states of these services up to `now`. Returns those whose plans limit bytes.

    A transaction of its own, before sessions or services are locked: edge locks those first.
    """
    limited = look(driver_connection(session), service_ids, now, settle=True).limited
    if limited:
        _warn(session, limited, now)
    return limited


def settle_due(session: Session, operator_id: int, now: datetime, most: int = AT_ONCE) -> int:
    """Bring states up whose span or top-up has ended, and hand them on. Returns how many there were."""
    due = list(session.scalars(_DUE, {"operator": operator_id, "now": now, "most": most}))
    if due:
        bring_up(session, due, now)
        # What had nothing to settle, or belongs to a service that has no limits any more, is not due again.
        session.execute(_NOT_DUE, {"services": due, "now": now})
        # Their stamps and sessions follow as after any other news.
        defer_enforce(driver_connection(session), operator_id, due)
    return len(due)


def _warn(session: Session, service_ids: Collection[int], now: datetime) -> None:
    """Tell customers of the shares of their main limit that were passed, each once in a span; of several the highest.

    And of a tier that is reached on the way, once.
    """
    found = accounts(driver_connection(session), sorted(service_ids), now).found
    due = [
        (one, span, percent)
        for one in found
        for span in one.running
        if (percent := warning(one.plan, span.use, span.warned_percent))
    ]
    told = [
        (one, span, _usage(span, str(percent), percent, limit))
        for one, span, percent in due
        if (limit := main_limit(one.plan, span.use.span)) is not None
    ]
    told += [
        (one, span, _usage(span, f"tier-{limit.from_bytes}", ALL_PERCENT, limit))
        for one in found
        if ALL_PERCENT in one.plan.warn_percents
        for span in one.running
        if (limit := lesser_limit(one.plan, span.use)) is not None
    ]
    if due:
        values = {
            "services": [one.service_id for one, _, _ in due],
            "spans": [span.use.span.value for _, span, _ in due],
            "starts": [span.starts_at for _, span, _ in due],
            "percents": [percent for _, _, percent in due],
        }
        session.execute(_WARNED, values)
    if told:
        _put(session, told)


def _put(session: Session, told: list[tuple[Account, Running, dict[str, Any]]]) -> None:
    """What was told before has the same key."""
    services = sorted({one.service_id for one, _, _ in told})
    owners = {row.id: row.subscriber_id for row in session.execute(_SUBSCRIBERS, {"services": services})}
    for operator_id in sorted({one.operator_id for one, _, _ in told}):
        drafts = [
            of_usage(owners[one.service_id], one.service_id, span.starts_at, usage)
            for one, span, usage in told
            if one.operator_id == operator_id
        ]
        put(session, operator_id, drafts)


def _usage(span: Running, share: str, percent: int, limit: FairUseTier) -> dict[str, Any]:
    """What the notice says, as it is at this moment. `share` is what is told once in a span."""
    return {
        "span": span.use.span.value,
        "share": share,
        "ends_at": time_text(span.use.ends_at),
        "percent": percent,
        "used_bytes": span.use.used_bytes,
        "limit_bytes": limit.from_bytes,
        "allowed_bytes": limit.from_bytes + span.use.extra_bytes,
        "action": limit.action.value,
    }
