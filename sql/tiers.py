"""What counts against services, for those who decide on them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.errors import PolicyError
from policy.fair_use import SpanUse
from policy.quota import read_state
from sql.among import among
from sql.models import UsageState


def usage_of(session: Session, service_ids: Iterable[int]) -> dict[int, tuple[SpanUse, ...]]:
    """The spans that count against these services, in one query; () for those that have no state."""
    ids = set(service_ids)
    found: dict[int, tuple[SpanUse, ...]] = dict.fromkeys(ids, ())
    if not ids:
        return found
    rows = session.execute(select(UsageState.service_id, UsageState.document).where(among(UsageState.service_id, ids)))
    for service_id, document in rows:
        try:
            found[service_id] = read_state(document).spans
        except PolicyError:
            continue  # the next look writes it anew
    return found
