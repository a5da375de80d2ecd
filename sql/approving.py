"""What an approval rule must know of this moment, gathered once for all changes of a review."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DatabaseSession

from policy.changes.approval import TAKES_AWAY, UNBRAKED, ApprovalTerms, Asked, Verdict, hindrance, read_rules, verdict
from policy.changes.brakes import BrakeTerms
from policy.changes.intent import ChangeKind
from policy.money.dunning import next_allowed, waiting
from sql.among import among
from sql.models import Change, Operator, Plan, Router, RouterHealth, Service, Session
from sql.money.dunning import Dunning
from sql.money.feeds import payments_silent, standings_silent
from sql.router_health import COA


def approval_terms(operator: Operator) -> ApprovalTerms:
    """An operator's rules and brakes."""
    return ApprovalTerms(
        frozenset(ChangeKind(kind) for kind in operator.automatic_changes),
        read_rules(operator.approval_rules),
        brake_terms(operator),
    )


def brake_terms(operator: Operator) -> BrakeTerms:
    """An operator's brakes."""
    return BrakeTerms(operator.brake_percent, operator.brake_number, operator.brake_free)


class Judge:
    """Judges the changes of one transaction, in order: what it let through counts for the next."""

    def __init__(self, session: DatabaseSession, operator: Operator, now: datetime) -> None:
        """For one operator at one moment."""
        self._session = session
        self._operator = operator
        self._terms = approval_terms(operator)
        self._now = now
        self._local = now.astimezone(ZoneInfo(operator.time_zone))
        self._today = self._local.replace(hour=0, minute=0, second=0, microsecond=0)
        self._ran: Counter[ChangeKind] = Counter()
        self._asked: Counter[ChangeKind] = Counter()
        self._counted: set[ChangeKind] = set()
        self._active: int | None = None
        self._silent: bool | None = None
        self._mute: frozenset[int] | None = None
        self._dunning = Dunning(session, operator, now)
        self._plans: dict[int, int | None] | None = None
        self._waits: dict[int | None, str] = {}
        self._down: dict[int, str] | None = None
        self._services: list[int] = []

    def load(self, service_ids: list[int]) -> None:
        """Say which services will be asked about, so that their routers are read in one query."""
        self._services = service_ids

    def verdict(self, kind: ChangeKind, plan: str, service_id: int) -> Verdict:
        """Who approves a change of this kind and plan."""
        self._count(kind)
        self._asked[kind] += 1
        ran = self._ran[kind]
        asked = Asked(
            kind=kind,
            plan=plan,
            hour=self._local.hour,
            today=self._asked[kind],
            ran=ran,
            # A million services are not counted for what the brake lets through anyway.
            active=self._active_services() if kind not in UNBRAKED and ran >= self._terms.brakes.free else 0,
            feed_silent=self._feed_silent(kind),
            standings_silent=self._standings_silent(kind, service_id),
            router_down=self._router_down(kind, service_id),
            waits=self._waits_for(kind, service_id),
        )
        said = verdict(asked, self._terms)
        self._ran[kind] += said.people == 0
        return said

    def hindrance(self, kind: ChangeKind, service_id: int) -> str:
        """Why nobody may approve this now, or ""."""
        return hindrance(
            Asked(
                kind,
                feed_silent=self._feed_silent(kind),
                standings_silent=self._standings_silent(kind, service_id),
                router_down=self._router_down(kind, service_id),
                waits=self._waits_for(kind, service_id),
            )
        )

    def allowed_at(self, kind: ChangeKind, service_id: int) -> datetime | None:
        """The day and hour that a change of this kind waits for; None where it waits for none."""
        if not self._waits_for(kind, service_id) or self._plans is None:
            return None
        return next_allowed(self._now, self._dunning.terms(self._plans[service_id]))

    def _count(self, kind: ChangeKind) -> None:
        if kind in self._counted:
            return
        self._counted.add(kind)
        mine = (Change.operator_id == self._operator.id, Change.kind == kind.value)
        since = (Change.rule.is_not(None), Change.decided_at >= self._today)
        self._ran[kind] = self._session.scalar(select(func.count()).select_from(Change).where(*mine, *since)) or 0
        self._asked[kind] = self._ran[kind]
        if any(rule.more_than for rule in self._terms.rules):
            waiting = (Change.state == "awaiting_approval", Change.created_at >= self._today)
            self._asked[kind] += (
                self._session.scalar(select(func.count()).select_from(Change).where(*mine, *waiting)) or 0
            )

    def _active_services(self) -> int:
        if self._active is None:
            mine = (
                Service.operator_id == self._operator.id,
                Service.authorised.is_not(None),
                Service.closed_at.is_(None),
            )
            self._active = self._session.scalar(select(func.count()).select_from(Service).where(*mine)) or 0
        return self._active

    def _feed_silent(self, kind: ChangeKind) -> bool:
        if kind not in TAKES_AWAY:
            return False
        if self._silent is None:
            self._silent = payments_silent(self._session, self._operator, self._now)
        return self._silent

    def _standings_silent(self, kind: ChangeKind, service_id: int) -> bool:
        if kind not in TAKES_AWAY:
            return False
        if self._mute is None:
            services = self._services or [service_id]
            self._mute = standings_silent(self._session, self._operator, services, self._now)
        return service_id in self._mute

    def _waits_for(self, kind: ChangeKind, service_id: int) -> str:
        """The day or hour that a suspension waits for, as a sentence, or "". Late ones keep to them as well."""
        if kind != ChangeKind.SUSPEND:
            return ""
        if self._plans is None:
            mine = among(Service.id, self._services or [service_id])
            rows = self._session.execute(
                select(Service.id, Plan.dunning_policy_id)
                .join(Plan, Plan.id == Service.plan_id)
                .where(Service.operator_id == self._operator.id, mine)
            )
            self._plans = {row.id: row.dunning_policy_id for row in rows}
        policy_id = self._plans.get(service_id)
        if policy_id not in self._waits:
            self._waits[policy_id] = waiting(self._now, self._dunning.terms(policy_id))
        return self._waits[policy_id]

    def _router_down(self, kind: ChangeKind, service_id: int) -> str:
        """The router that is down and has a live session of the service, or ""."""
        if kind not in TAKES_AWAY:
            return ""
        if self._down is None:
            rows = self._session.execute(
                select(Session.service_id, Router.name)
                .join(Router, Router.id == Session.router_id)
                .join(RouterHealth, (RouterHealth.router_id == Session.router_id) & (RouterHealth.path == COA))
                .where(
                    Session.operator_id == self._operator.id,
                    among(Session.service_id, self._services or [service_id]),
                    Session.ended_at.is_(None),
                    RouterHealth.down_since.is_not(None),
                )
            )
            self._down = {row.service_id: row.name for row in rows}
        return self._down.get(service_id, "")
