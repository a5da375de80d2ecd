"""Edges: replicas that may lag, logins decided from them, and accounting on its way into the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from policy.access import Access, decide
from policy.documents import read_operator, read_plan, read_service
from policy.facts import Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.stamp import SessionClass, stamp
from simulation.database import EPOCH, roll_back
from simulation.routers import Online, RouterModel
from simulation.world import Violation, World
from sql import following
from sql.attempts import NODE_SILENT_S
from sql.ingestion import store_reports
from sql.reports import Kind, Note, Report

RECORDS_AT_ONCE = 8
DRAIN_S = (0.2, 8.0)
REPORT_S = 30.0
# How long after a notification a node follows, and how often one follows while somebody's transaction is open.
HEARS_S = (0.005, 1.5)
FOLLOWS_MEANWHILE = 0.05
_BEHIND = """
SELECT change.id FROM steps JOIN changes AS change ON change.id = steps.change_id
WHERE NOT coalesce(pg_visible_in_snapshot(change.revision, %s::pg_snapshot), false) AND steps.id = %s
"""
# A router sends a record again for a while when nobody acknowledges it; what is still lost then is lost.
HELD_UP_S = (1.0, 90.0)


@dataclass
class Edge:
    """A RADIUS node: its replica, and the records that it has not taken in yet."""

    world: World
    name: str
    seen: str | None = None
    services: dict[str, ServiceFacts] = field(default_factory=dict)
    plans: dict[int, PlanFacts] = field(default_factory=dict)
    operators: dict[int, OperatorFacts] = field(default_factory=dict)
    spool: list[Report] = field(default_factory=list)
    drains: bool = False
    followed_at: datetime = EPOCH
    revision: str = ""
    lags: bool = False

    def follow(self) -> None:
        """Read what the replica has not seen, exactly as edge does, and report where it stands."""
        self.followed_at = self.world.now
        self.revision = self.world.revision
        connection = self.world.on(self.world.database.edge_reads)
        position = following.begin(connection)
        try:
            for row in following.operators(connection, self.seen):
                self.operators[row[0]] = read_operator({"refusals": row[1]}, row[0])
            for row in following.plans(connection, self.seen):
                self.plans[row[0]] = read_plan(row[2], row[0], row[1])
            for row in following.services(connection, self.seen):
                self.services[row[2]] = read_service(row[4])
        finally:
            roll_back(connection)
        self.seen = position.snapshot
        self._report(self.seen)

    def copy(self, other: Edge) -> None:
        """Read what another replica has read just now from the same place on."""
        self.revision, self.followed_at, self.seen = other.revision, other.followed_at, other.seen
        self.services, self.plans, self.operators = dict(other.services), dict(other.plans), dict(other.operators)
        self._report(other.seen or "")

    def report(self) -> None:
        """Say that it is there; it reads nothing where nothing was committed that is for it."""
        if self.seen is None or self.revision != self.world.revision:
            self.follow()
        else:
            self.followed_at = self.world.now
            self.world.on(self.world.database.edge_reads)
            self._report(self.seen)

    def _report(self, seen: str) -> None:
        said = following.Report(self.name, "127.0.0.1", 1, seen, len(self.services), 0.0, 0.0, 0)
        following.report(self.world.database.edge_reads, said)

    def decide(self, username: str, login: Login) -> tuple[ServiceFacts, Access] | None:
        """What a login gets by this replica; None for a name that it does not know."""
        facts = self.services.get(username)
        if facts is None:
            return None
        known = Facts(self.operators[self.world.operator_id], facts, self.plans[facts.plan_version_id])
        return facts, decide(known, login, self.world.now)

    def take(self, report: Report) -> None:
        """A record arrives."""
        self.spool.append(report)
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self.spool and not self.drains:
            self.drains = True
            self.world.after(self.world.between(*DRAIN_S), self._drain)

    def _drain(self) -> None:
        """Take some records in, in one transaction. One that is rolled back, or whose commit nobody hears of, is done
        again.
        """
        self.drains = False
        world = self.world
        batch = self.spool[: world.random.randint(1, RECORDS_AT_ONCE)]
        connection = world.begin(world.database.edge_stores)
        store_reports(connection, batch)
        restarts = world.chance(world.weather.database_restarts)
        if restarts and world.chance(0.5):
            world.counts["database restarts"] += 1
            roll_back(connection)
            self._drain_soon()
            return
        connection.commit()
        if not restarts:
            del self.spool[: len(batch)]
        self._drain_soon()
        world.committed()


class Edges:
    """The nodes of the town. `lost` and `doubled` records are decided on the way to a spool."""

    def __init__(self, world: World, count: int) -> None:
        """Nodes with empty replicas."""
        self._world = world
        self.all = [Edge(world, f"node-{number}") for number in range(1, count + 1)]
        self.news_under_way = 0
        """Records that no node has yet; interims are none."""
        self._following = False
        world.on_revision.append(self._hear)
        world.while_open.append(self._follow_meanwhile)
        world.after(REPORT_S, self._report)

    def follow_all(self) -> None:
        """Every replica that does not lag is brought up to date; those that stand at the same place read the same."""
        read: dict[str | None, Edge] = {}
        for edge in self.all:
            if edge.lags:
                continue
            before = edge.seen
            if before in read:
                edge.copy(read[before])
            else:
                edge.follow()
                read[before] = edge

    def tell(self, router: RouterModel, session: Online, kind: Kind, cause: str = "") -> None:
        """A router sends an accounting record to a node of its choice."""
        world = self._world
        edge = world.random.choice(self.all)
        login = Login(Method.PPPOE, session.mac, router.router_id, "")
        decided = edge.decide(session.username, login)
        report = _report(world, router, session, kind, cause, stamp(decided[1]) if decided else "")
        for _ in range(2 if world.chance(world.weather.record_doubled) else 1):
            if world.chance(world.weather.record_lost):
                world.counts["records lost"] += 1
                continue
            late = world.chance(world.weather.record_late)
            self.news_under_way += kind != Kind.INTERIM
            world.after(world.between(*(HELD_UP_S if late else (0.01, 0.5))), lambda: self._arrive(edge, report))

    @property
    def all_told(self) -> bool:
        """Whether the database knows all that routers have said. Interims come for ever and are no news."""
        stored = all(report.kind == Kind.INTERIM for edge in self.all for report in edge.spool)
        return stored and not self.news_under_way

    def check_redial(self, step_id: int, sent_at: datetime) -> None:
        """A Disconnect has thrown a customer out: whichever node is asked next must have the change behind it.

        A node that had said nothing for a minute when it was sent is taken for dead. Raises Violation.
        """
        for edge in self.all:
            if edge.followed_at > sent_at - timedelta(seconds=NODE_SILENT_S):
                rows = self._world.look(_BEHIND, edge.seen, step_id)
                if rows:
                    raise Violation(f"step {step_id} throws a customer out before {edge.name} knows why")

    def restarted(self, router: RouterModel) -> None:
        """Accounting-On, as accel-ppp sends it; RouterOS does not."""
        nobody = Online("", "", "", 0, "", "", {}, "", self._world.now)
        edge = self._world.random.choice(self.all)
        edge.take(_report(self._world, router, nobody, Kind.ON, "", ""))

    def _hear(self) -> None:
        """A notification: whoever listens follows in a moment, once for all that happened meanwhile."""
        if not self._following:
            self._following = True
            self._world.after(self._world.between(*HEARS_S), self._woken)

    def _report(self) -> None:
        """A node that says nothing for a minute is taken for dead, and nobody waits for it."""
        for edge in self.all:
            if not edge.lags and self._world.now - edge.followed_at >= timedelta(seconds=REPORT_S):
                edge.report()
        self._world.after(REPORT_S / 2, self._report)

    def _arrive(self, edge: Edge, report: Report) -> None:
        self.news_under_way -= report.kind != Kind.INTERIM
        edge.take(report)

    def _woken(self) -> None:
        self._following = False
        self.follow_all()

    def _follow_meanwhile(self) -> None:
        """While somebody's transaction is open: what it writes must be read the next time, not skipped.

        One node after the other: what the first reports is a later transaction, which the second sees done already.
        """
        if self._world.chance(FOLLOWS_MEANWHILE):
            for edge in self.all:
                if not edge.lags:
                    edge.follow()


def _report(world: World, router: RouterModel, session: Online, kind: Kind, cause: str, authorised: str) -> Report:
    at = world.now.replace(microsecond=0)
    seconds = max(0, int((at - session.started_at).total_seconds()))
    ours = SessionClass(session.login_id, session.service_id, session.class_stamp) if session.login_id else None
    return Report(
        kind=kind,
        source=router.address,
        note=Note(world.operator_id, router.router_id, session.service_id, authorised),
        session_class=ours,
        username=session.username,
        acct_session_id=session.acct_session_id,
        method="pppoe",
        mac=session.mac,
        port="",
        framed_address=session.framed_address or None,
        at=at,
        started_at=_second(at, seconds),
        session_time_s=seconds,
        upload_bytes=seconds * 100,
        download_bytes=seconds * 900,
        terminate_cause=cause,
    )


def _second(at: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() - seconds, at.tzinfo)
