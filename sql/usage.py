"""Counting bytes: by hour, by the operator's day, and by the spans of services whose plan limits usage.

A session's counters are cumulative. What its report adds, beside all earlier ones, counts at the moment of that report.
That is a fact of the reports and not of the order in which they arrive: where an earlier one comes late, bytes that
were counted at a later moment move to its own. So a portion may also take away from an hour.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from psycopg import Connection

from policy.documents import read_plan
from policy.errors import PolicyError
from policy.facts import PlanFacts
from policy.money.periods import Period, Unit
from policy.usage import Place, SpanKind, bounds, counted_bytes, local_day
from sql.columns import columns

KINDS = tuple(SpanKind)


class Portion(NamedTuple):
    """What a report of a service adds by itself, now and as it was counted before this transaction (0: not at all)."""

    operator_id: int
    service_id: int
    at: datetime
    upload_bytes: int
    download_bytes: int
    upload_before: int = 0
    download_before: int = 0


class _Terms(NamedTuple):
    """How a service's bytes are counted."""

    time_zone: str
    plan: PlanFacts | None
    place: Place | None

    @property
    def spans(self) -> tuple[SpanKind, ...]:
        return spans_of(self.plan) if self.plan is not None else ()


@lru_cache(maxsize=1024)
def spans_of(plan: PlanFacts) -> tuple[SpanKind, ...]:
    """The spans that are kept for services with this plan: those that its tiers and its quota are of, and no others."""
    kinds = {tier.span for tier in plan.tiers}
    if plan.quota_bytes or plan.usage_rules:
        kinds.add(SpanKind.PERIOD)
    return tuple(kind for kind in KINDS if kind in kinds)


_TERMS = """
SELECT service.id, operator.time_zone, version.id, version.name, version.facts::text
FROM services AS service JOIN operators AS operator ON operator.id = service.operator_id
LEFT JOIN plan_versions AS version ON version.id = (service.authorised->>'plan_version_id')::bigint
WHERE service.id = ANY(%s)
"""
_PLACES = """
SELECT place.service_id, coalesce(place.billed_until, place.starts_on), plan.period_count, plan.period_unit,
    place.anchor_day
FROM service_billing AS place JOIN services AS service ON service.id = place.service_id
JOIN plans AS plan ON plan.id = service.plan_id
WHERE place.service_id = ANY(%s)
"""
# Two statements: what takes away has a row already, and a negative number would not pass as a new one.
_ADD = """
INSERT INTO {table} AS usage (operator_id, {key}, upload_bytes, download_bytes, counted_bytes)
SELECT * FROM unnest({casts}) ORDER BY {order}
ON CONFLICT ({conflict}) DO UPDATE SET upload_bytes = usage.upload_bytes + excluded.upload_bytes,
    download_bytes = usage.download_bytes + excluded.download_bytes,
    counted_bytes = usage.counted_bytes + excluded.counted_bytes
"""
_MOVE = """
UPDATE {table} AS usage SET upload_bytes = greatest(0, usage.upload_bytes + row.upload_bytes),
    download_bytes = greatest(0, usage.download_bytes + row.download_bytes),
    counted_bytes = greatest(0, usage.counted_bytes + row.counted_bytes)
FROM unnest({casts}) AS row (operator_id, {key}, upload_bytes, download_bytes, counted_bytes)
WHERE {match}
"""


class _Table(NamedTuple):
    name: str
    key: tuple[str, ...]
    types: tuple[str, ...]
    conflict: tuple[str, ...]

    def statement(self, text: str) -> str:
        """A statement about this table."""
        casts = ("bigint", *self.types, "bigint", "bigint", "bigint")
        return text.format(
            table=self.name,
            key=", ".join(self.key),
            casts=", ".join(f"%s::{kind}[]" for kind in casts),
            order=", ".join(str(self.key.index(name) + 2) for name in self.conflict),
            conflict=", ".join(self.conflict),
            match=" AND ".join(f"usage.{name} = row.{name}" for name in self.conflict),
        )


_HOURS = _Table("usage_hours", ("service_id", "hour"), ("bigint", "timestamptz"), ("service_id", "hour"))
_DAYS = _Table("usage_days", ("service_id", "day"), ("bigint", "date"), ("service_id", "day"))
_SPANS = _Table(
    "usage_spans",
    ("service_id", "span", "starts_at", "ends_at"),
    ("bigint", "text", "timestamptz", "timestamptz"),
    ("service_id", "span", "starts_at"),
)
_Sums = dict[tuple[Any, ...], list[int]]


def count(connection: Connection[Any], portions: Iterable[Portion]) -> None:
    """Count portions, in the caller's transaction and in as many statements for one as for a thousand."""
    changed = [one for one in portions if one[3:5] != one[5:7]]
    if not changed:
        return
    terms = _terms(connection, {one.service_id for one in changed})
    hours: _Sums = defaultdict(lambda: [0, 0, 0])
    days: _Sums = defaultdict(lambda: [0, 0, 0])
    spans: _Sums = defaultdict(lambda: [0, 0, 0])
    for one in changed:
        of = terms[one.service_id]
        amount = _amount(one, of)
        who = (one.operator_id, one.service_id)
        day = local_day(one.at, of.time_zone)
        _add(hours[(*who, one.at.replace(minute=0, second=0, microsecond=0))], amount)
        _add(days[(*who, day)], amount)
        for kind in of.spans:
            _add(spans[(*who, kind.value, *bounds(kind, day, of.time_zone, of.place))], amount)
    for table, sums in ((_HOURS, hours), (_DAYS, days), (_SPANS, spans)):
        _store(connection, table, sums)


def _amount(one: Portion, of: _Terms) -> tuple[int, int, int]:
    rules = of.plan.usage_rules if of.plan is not None else ()
    zone = of.plan.time_zone if of.plan is not None else of.time_zone
    now = counted_bytes(rules, zone, one.at, one.upload_bytes, one.download_bytes)
    before = counted_bytes(rules, zone, one.at, one.upload_before, one.download_before)
    return one.upload_bytes - one.upload_before, one.download_bytes - one.download_before, now - before


def _add(sums: list[int], amount: tuple[int, int, int]) -> None:
    for place, number in enumerate(amount):
        sums[place] += number


def _store(connection: Connection[Any], table: _Table, sums: _Sums) -> None:
    for text, least in ((_ADD, True), (_MOVE, False)):
        rows = [(*key, *amount) for key, amount in sums.items() if any(amount) and (min(amount) >= 0) is least]
        if rows:
            connection.execute(table.statement(text).encode(), columns(rows))


def _terms(connection: Connection[Any], service_ids: set[int]) -> dict[int, _Terms]:
    ids = sorted(service_ids)
    found = {
        row[0]: _Terms(row[1], _plan(row[2], row[3], row[4]) if row[2] is not None else None, None)
        for row in connection.execute(_TERMS, (ids,)).fetchall()
    }
    placed = [service_id for service_id, one in found.items() if SpanKind.PERIOD in one.spans]
    if placed:
        for service_id, begins_on, number, unit, anchor_day in connection.execute(_PLACES, (placed,)).fetchall():
            place = Place(begins_on, Period(number, Unit(unit)), anchor_day)
            found[service_id] = found[service_id]._replace(place=place)
    return found


@lru_cache(maxsize=1024)
def _plan(plan_version_id: int, name: str, facts: str) -> PlanFacts | None:
    """A plan version, which never changes; the text is part of the key, since numbers mean more than one database."""
    try:
        return read_plan(json.loads(facts), plan_version_id, name)
    except PolicyError:
        # A version that a newer release wrote: its bytes count as they are, and nothing stops.
        return None
