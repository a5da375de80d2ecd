"""Dunning policies and holidays: storing what people say, and finding it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.money.calendar_file import NamedDay
from policy.money.dunning import EVERY_WEEKDAY
from sql import audit
from sql.checks import EARLIEST, LATEST, NAME_MAXIMUM_BYTES, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import DunningPolicy, Holiday, Plan

REMINDERS_MAXIMUM = 16
REMINDERS_FROM, REMINDERS_TO = -60, 365
PAGE = 1000


def add_policy(session: Session, operator_id: int, *, name: str, actor: str, **options: Any) -> DunningPolicy:
    """A new dunning policy. `options` are columns such as grace_days, suspend_hour. Raises Refused."""
    policy = DunningPolicy(operator_id=operator_id, name=_name("dunning policy", name), **_checked(options))
    session.add(policy)
    session.flush()
    audit.record(session, operator_id, actor, "dunning:policy:add", name=name, **_said(options))
    return policy


def change_policy(session: Session, operator_id: int, *, name: str, actor: str, **options: Any) -> DunningPolicy:
    """Change a dunning policy; every service that owes something is looked at again. Raises Refused, NotFound."""
    policy = policy_by_name(session, operator_id, name)
    for key, value in _checked(options).items():
        setattr(policy, key, value)
    session.flush()
    audit.record(session, operator_id, actor, "dunning:policy:change", name=name, **_said(options))
    defer_review(session, operator_id)
    return policy


def policy_by_name(session: Session, operator_id: int, name: str) -> DunningPolicy:
    """The dunning policy of this name. Raises NotFound."""
    mine = (DunningPolicy.operator_id == operator_id, DunningPolicy.name == name)
    found = session.scalar(select(DunningPolicy).where(*mine))
    if found is None:
        raise NotFound(f"There is no dunning policy {name!r}; `ispagents dunning list` shows those there are.")
    return found


def use_for_plan(session: Session, plan: Plan, name: str, *, actor: str) -> Plan:
    """Give a plan the dunning policy of this name, which beats the operator's; "" takes it away. Raises NotFound."""
    policy = policy_by_name(session, plan.operator_id, name) if name else None
    plan.dunning_policy_id = policy.id if policy is not None else None
    session.flush()
    audit.record(session, plan.operator_id, actor, "plan:dunning:change", plan=plan.name, dunning=name)
    defer_review(session, plan.operator_id)
    return plan


def policies(session: Session, operator_id: int, *, after: str = "", limit: int = PAGE) -> list[DunningPolicy]:
    """Dunning policies by name."""
    mine = select(DunningPolicy).where(DunningPolicy.operator_id == operator_id, DunningPolicy.name > after)
    return list(session.scalars(mine.order_by(DunningPolicy.name).limit(limit)))


def add_holiday(session: Session, operator_id: int, *, day: date, name: str, actor: str) -> Holiday:
    """A day on which nobody is suspended, where the dunning policy says so; it may be renamed so. Raises Refused."""
    row = insert(Holiday).values(operator_id=operator_id, day=_within(day), name=_name("holiday", name))
    named = row.on_conflict_do_update(index_elements=["operator_id", "day"], set_={"name": row.excluded.name})
    found = session.scalars(named.returning(Holiday), execution_options={"populate_existing": True}).one()
    audit.record(session, operator_id, actor, "holiday:day:add", day=day.isoformat(), name=name)
    defer_review(session, operator_id)
    return found


def add_holidays(session: Session, operator_id: int, *, days: Sequence[NamedDay], actor: str) -> int:
    """Add the days of a calendar, or give those that are there another name. Returns how many were news.

    Raises Refused, and then none of them is stored.
    """
    rows = [{"operator_id": operator_id, "day": _within(one.day), "name": _name("holiday", one.name)} for one in days]
    if not rows:
        return 0
    row = insert(Holiday).values(rows)
    named = row.on_conflict_do_update(
        index_elements=["operator_id", "day"],
        set_={"name": row.excluded.name},
        where=Holiday.name.is_distinct_from(row.excluded.name),
    )
    news = len(session.scalars(named.returning(Holiday.day)).all())
    if news:
        said: dict[str, Any] = {"days": news, "first": str(days[0].day), "last": str(days[-1].day)}
        audit.record(session, operator_id, actor, "holiday:calendar:add", **said)
        defer_review(session, operator_id)
    return news


def remove_holiday(session: Session, operator_id: int, *, day: date, actor: str) -> None:
    """A day that is no holiday any more. Raises NotFound."""
    mine = (Holiday.operator_id == operator_id, Holiday.day == day)
    if session.scalar(delete(Holiday).where(*mine).returning(Holiday.day)) is None:
        raise NotFound(f"{day} is no holiday here; `ispagents holiday list` shows those there are.")
    audit.record(session, operator_id, actor, "holiday:day:remove", day=day.isoformat())
    defer_review(session, operator_id)


def holidays(session: Session, operator_id: int, *, since: date, limit: int = PAGE) -> list[Holiday]:
    """Holidays from a day on, in order."""
    mine = select(Holiday).where(Holiday.operator_id == operator_id, Holiday.day >= since)
    return list(session.scalars(mine.order_by(Holiday.day).limit(limit)))


def _within(day: date) -> date:
    if not EARLIEST.date() <= day < LATEST.date():
        raise Refused(f"The holiday lies outside the years {EARLIEST.year} to {LATEST.year - 1}.")
    return day


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    values = dict(options)
    for key, least, most, words in (
        ("grace_days", 0, 365, "Grace days lie between 0 and 365."),
        ("overdue_days", 0, 365, "Overdue days lie between 0 and 365."),
        ("close_days", 1, 3650, "Services are closed after 1 to 3650 days of suspension, or never."),
        ("suspend_hour", 0, 23, "The hour of suspensions lies between 0 and 23, or is none."),
    ):
        if values.get(key) is not None and not least <= values[key] <= most:
            raise Refused(words)
    if "suspend_weekdays" in values:
        days = sorted(set(values["suspend_weekdays"]))
        if not days or not set(days) <= EVERY_WEEKDAY:
            raise Refused("Weekdays are numbers from 1 (Monday) to 7 (Sunday), and there must be one.")
        values["suspend_weekdays"] = days
    if "reminder_days" in values:
        days = sorted(set(values["reminder_days"]))
        if len(days) > REMINDERS_MAXIMUM or not all(REMINDERS_FROM <= day <= REMINDERS_TO for day in days):
            raise Refused(
                f"Reminders are at most {REMINDERS_MAXIMUM} days from {REMINDERS_FROM} (before the due day) "
                f"to {REMINDERS_TO}."
            )
        values["reminder_days"] = days
    return values


def _said(options: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) for key, value in options.items()}


def _name(what: str, value: str) -> str:
    if not value.strip():
        raise Refused(f"The name of the {what} must not be empty.")
    return checked_text(f"name of the {what}", value, NAME_MAXIMUM_BYTES)
