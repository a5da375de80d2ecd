"""Notices: what customers are told, put beside what it is about, once for each event.

What becomes of them is in `sql.notice_deliveries`, the channels and the operator's own words in `sql.notice_settings`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from policy.notices import Event

# An operator who tells nobody of an event has no rows of it. The key makes one event be told once.
_PUT = text("""
INSERT INTO notices (operator_id, event, key, subscriber_id, service_id, invoice_id, payment_id, data)
SELECT :operator, draft.event, draft.key, draft.subscriber_id, draft.service_id, draft.invoice_id, draft.payment_id,
    CAST(draft.data AS jsonb)
FROM unnest(CAST(:events AS text[]), CAST(:keys AS text[]), CAST(:subscribers AS bigint[]), CAST(:services AS bigint[]),
    CAST(:invoices AS bigint[]), CAST(:payments AS bigint[]), CAST(:data AS text[]))
    AS draft (event, key, subscriber_id, service_id, invoice_id, payment_id, data)
WHERE EXISTS (SELECT FROM notice_channels AS channel WHERE channel.operator_id = :operator AND channel.ended_at IS NULL
    AND draft.event = ANY(channel.events))
ON CONFLICT (operator_id, key) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Draft:
    """Something to tell a customer. `key` names the event that it is about, such as `receipt:17`."""

    event: Event
    key: str
    subscriber_id: int
    service_id: int | None = None
    invoice_id: int | None = None
    payment_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def put(session: Session, operator_id: int, drafts: Sequence[Draft]) -> None:
    """Store notices in one statement. Those of a key that is known, or that no channel is for, are left out."""
    if not drafts:
        return
    session.execute(
        _PUT,
        {
            "operator": operator_id,
            "events": [one.event.value for one in drafts],
            "keys": [one.key for one in drafts],
            "subscribers": [one.subscriber_id for one in drafts],
            "services": [one.service_id for one in drafts],
            "invoices": [one.invoice_id for one in drafts],
            "payments": [one.payment_id for one in drafts],
            "data": [json.dumps(one.data) for one in drafts],
        },
    )


def of_invoice(invoice_id: int, subscriber_id: int) -> Draft:
    """An invoice was issued."""
    return Draft(Event.INVOICE, f"invoice:{invoice_id}", subscriber_id, invoice_id=invoice_id)


def of_payment(payment_id: int, subscriber_id: int) -> Draft:
    """Money came in."""
    return Draft(Event.RECEIPT, f"receipt:{payment_id}", subscriber_id, payment_id=payment_id)


def of_usage(subscriber_id: int, service_id: int, starts_at: datetime, usage: dict[str, Any]) -> Draft:
    """A share of a limit was passed, in the span that began at `starts_at`; `usage` as `sql.metering` writes it."""
    key = f"usage:{service_id}:{usage['span']}:{starts_at.astimezone(UTC):%Y%m%dT%H%M}:{usage['share']}"
    return Draft(Event.USAGE, key, subscriber_id, service_id, data=usage)


def of_change(event: Event, change_id: int, service_id: int, subscriber_id: int) -> Draft:
    """A service was restricted or restored; it is told once the network does so (`sql.notice_deliveries`)."""
    return Draft(event, f"{event.value}:{change_id}", subscriber_id, service_id, data={"change": change_id})
