"""Feeds: when payments and outside standings last came in. While one that is watched is silent nobody is suspended."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sql.among import among
from sql.models import AssertedStanding, Feed, Operator, Payment
from sql.money.dunning import OUTSIDE

PAYMENTS, STANDINGS = "payments", "standings"


def heard(session: Session, operator_id: int, kind: str, source: str, now: datetime) -> None:
    """A source has spoken, whatever it said; its last word never moves back."""
    row = insert(Feed).values(operator_id=operator_id, kind=kind, source=source, last_at=now)
    later = {"last_at": func.greatest(Feed.last_at, row.excluded.last_at)}
    session.execute(row.on_conflict_do_update(index_elements=["operator_id", "kind", "source"], set_=later))


def payments_silent(session: Session, operator: Operator, now: datetime) -> bool:
    """Whether no payment has come in, and no source of payments has spoken, for as long as is watched for."""
    if not operator.payment_feed_hours:
        return False
    newest = select(Payment.created_at).where(Payment.operator_id == operator.id).order_by(Payment.id.desc()).limit(1)
    newest_word = select(func.max(Feed.last_at)).where(Feed.operator_id == operator.id, Feed.kind == PAYMENTS)
    last = session.scalar(select(func.greatest(newest.scalar_subquery(), newest_word.scalar_subquery())))
    return last is None or last < now - timedelta(hours=operator.payment_feed_hours)


def standings_silent(
    session: Session, operator: Operator, service_ids: Collection[int], now: datetime
) -> frozenset[int]:
    """Those of these services whose outside source has been silent for too long; all where every source has."""
    if operator.standings_from != OUTSIDE or not operator.standing_feed_hours:
        return frozenset()
    oldest = now - timedelta(hours=operator.standing_feed_hours)
    mine = select(Feed.source).where(Feed.operator_id == operator.id, Feed.kind == STANDINGS, Feed.last_at >= oldest)
    speaking = set(session.scalars(mine))
    if not speaking:
        return frozenset(service_ids)
    rows = session.execute(
        select(AssertedStanding.service_id, AssertedStanding.source).where(
            AssertedStanding.operator_id == operator.id, among(AssertedStanding.service_id, service_ids)
        )
    )
    return frozenset(row.service_id for row in rows if row.source not in speaking)
