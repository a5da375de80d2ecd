"""The operator of `bench changes`: a customer for each live session of the routers, and what happens to them."""

import http.client
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from sqlalchemy import Engine, Select, func, select, text
from sqlalchemy.orm import Session

from bench import subscribers
from bench.routers import PASSWORD, Line
from bench.servers.contract import SECRET
from bench.statements import Statements
from bench.webhook_load import signed_payment
from ispagents.database import provider_box, secret_box
from ispagents.installation import Installation
from policy.changes.enforcement import OPEN_STATES, PRIORITIES, Enforcement
from policy.changes.intent import ChangeKind
from policy.changes.route import RouteKind
from sql.among import among
from sql.batches import AT_ONCE, approve_some, batches, waiting_rows
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.models import Evidence, Operator, Service, Step, Subscriber
from sql.money.invoices import InvoiceDraft, LineDraft, issue
from sql.money.providers import add_provider
from sql.roles import Role
from sql.router_store import add_router
from sql.sessions import acting_for

ACTOR: Final = "bench"
PATIENCE_S: Final = 900.0
LOOK_S: Final = 0.02
DISCONNECTS_EVERY: Final = 4
QUIET_S: Final = 5.0
OWED_MINOR: Final = 2500
HOOK_SECRET: Final = "a made-up secret of the bench"
PLAN: Final = {
    "rate_limit": "10M/50M",
    "address_lists": ["paid"],
    "suspended": {"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"},
}


_OF_BATCH: Final = Step.priority == PRIORITIES[ChangeKind.SUSPEND]


class ChangesBenchError(Exception):
    """Something did not come to its end, so that its time means nothing."""


class Town:
    """An operator with a customer for each live session of the routers, and what happens to them."""

    def __init__(self, machine: Installation, lines: list[Line], say: Callable[[str], None]) -> None:
        self._machine = machine
        self._lines = lines
        self._say = say
        self._engine: Engine = machine.databases.engine(Role.WEB, pool=4)
        self._online_since = datetime.now(UTC)
        self._statements = Statements(machine)
        self._operator = 0
        self._disconnecting: set[str] = set()
        self._services: list[int] = []
        self._subscribers: list[int] = []
        self._hook = ""
        self._payments = 0

    def build(self) -> None:
        """Operator, plan, routers and customers; waits until all are open, then writes their sessions."""
        self._say(f"making {len(self._lines)} customers on {len({line.address for line in self._lines})} routers")
        box = secret_box(self._machine.state)
        with Session(self._engine) as session, session.begin():
            operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR)
            self._operator = operator.id
            provider = add_provider(
                session,
                operator.id,
                name="bank",
                kind="signed",
                secret=HOOK_SECRET,
                box=provider_box(self._machine.state),
                actor=ACTOR,
            )
            self._hook = f"/hooks/{provider.token}"
            plan = add_plan(session, operator.id, name="Home 50", facts=PLAN, price_minor=OWED_MINOR, actor=ACTOR)
            addresses = sorted({(line.address, line.port) for line in self._lines})
            self._disconnecting = {address for address, _ in addresses[DISCONNECTS_EVERY - 1 :: DISCONNECTS_EVERY]}
            routers = {
                address: add_router(
                    session,
                    operator.id,
                    name=f"router {address}",
                    address=address,
                    secret=SECRET,
                    box=box,
                    actor=ACTOR,
                    coa_port=port,
                    coa_address_list=address not in self._disconnecting,
                ).id
                for address, port in addresses
            }
            for line in self._lines:
                subscriber = add_subscriber(session, operator.id, reference=line.user_name, name="x", actor=ACTOR)
                service = add_service(
                    session,
                    operator.id,
                    subscriber=subscriber,
                    plan=plan,
                    username=line.user_name,
                    password=PASSWORD,
                    method="pppoe",
                    box=box,
                    actor=ACTOR,
                )
                self._subscribers.append(subscriber.id)
                self._services.append(service.id)
        self._until(
            "all are open",
            lambda session: (
                not session.scalar(select(func.count()).select_from(Service).where(Service.authorised.is_(None)))
            ),
        )
        self._write_sessions(routers)

    def _write_sessions(self, routers: dict[str, int]) -> None:
        edge = self._machine.databases.engine(Role.EDGE, pool=1)
        rows = [
            {
                "operator": self._operator,
                "router": routers[line.address],
                "service": service,
                "session": line.session_id,
                "username": line.user_name,
                "address": line.framed_ip_address,
                "mac": subscribers.mac(number),
                "started_at": self._online_since,
            }
            for number, (line, service) in enumerate(zip(self._lines, self._services, strict=True))
        ]
        with edge.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, "
                    "method, mac, framed_address, class_stamp, applied_stamp, started_at, last_seen_at) "
                    "SELECT :operator, :router, id, '-:' || :session, :username, :session, 'pppoe', "
                    ":mac, CAST(:address AS inet), authorised_stamp, authorised_stamp, :started_at, now() "
                    "FROM services WHERE id = :service"
                ),
                rows,
            )
        edge.dispose()

    def payers(self, count: int) -> tuple[list[int], list[int]]:
        """The places of so many customers who are told by CoA, spread over the routers; and those of all others."""
        able = [place for place, line in enumerate(self._lines) if line.address not in self._disconnecting]
        chosen = able[:: len(able) // count][:count]
        return chosen, sorted(set(range(len(self._lines))).difference(chosen))

    def owe(self, places: Sequence[int]) -> None:
        """A long overdue invoice for each."""
        due_at = datetime(2026, 1, 1, tzinfo=UTC)
        for start in range(0, len(places), AT_ONCE):
            some = [self._subscribers[place] for place in places[start : start + AT_ONCE]]
            with acting_for(self._engine, self._operator) as session:
                owing = session.scalars(select(Subscriber).where(among(Subscriber.id, some)))
                lines = [LineDraft("plain", "", OWED_MINOR)]
                drafts = [InvoiceDraft(one, due_at, lines, "") for one in owing]
                issue(session, session.get_one(Operator, self._operator), drafts, actor=ACTOR)
        self._until(
            "all invoices are looked at",
            lambda session: (
                not session.execute(text("SELECT count(*) FROM reviews WHERE due_at <= now()")).scalar_one()
            ),
        )

    def all_wait(self, count: int) -> None:
        """Wait until so many changes wait for a person."""
        self._until(
            f"{count} changes wait",
            lambda session: (
                session.execute(text("SELECT count(*) FROM changes WHERE state = 'awaiting_approval'")).scalar_one()
                == count
            ),
        )

    def approve_all(self) -> float:
        """A person approves whatever waits, by batch; when that was done."""
        now = datetime.now(UTC)
        with acting_for(self._engine, self._operator) as session:
            found = [one.batch.id for one in batches(session, self._operator, before=2**62, limit=100)]
            seen = [
                (row.change_id, row.preview_hash)
                for batch_id in found
                for row in waiting_rows(session, self._operator, batch_id)
            ]
        for start in range(0, len(seen), AT_ONCE):
            with acting_for(self._engine, self._operator) as session:
                approve_some(session, self._operator, seen[start : start + AT_ONCE], by=ACTOR, now=now)
        return time.time()

    def settled(self) -> None:
        """Wait until every session has what is authorised: the router said so, or it ended and another one has it."""
        self._until(
            "every step has ended",
            lambda session: (
                not session.execute(
                    text(
                        "SELECT count(*) FROM sessions JOIN services ON services.id = sessions.service_id "
                        "WHERE ended_at IS NULL AND applied_stamp IS DISTINCT FROM authorised_stamp"
                    )
                ).scalar_one()
            ),
        )

    def pay_each(self, places: Sequence[int], what: str) -> list[float]:
        """Each pays when the one before has been told; ms from webhook to first packet, by the worker's evidence."""
        took = []
        for place in places:
            sent = time.time()
            self._pay(place)
            took.append((self._packet_after(self._services[place], sent) - sent) * 1000)
        self._say(f"{what}: {len(took)} payments, median {median(took):.0f} ms, slowest {max(took):.0f} ms")
        return took

    def _pay(self, place: int) -> None:
        """A signed webhook, as a bank sends it: a connection of its own, and the whole way through the web process."""
        name = self._lines[place].user_name
        self._payments += 1
        paid = {"id": f"T-{self._payments}", "amount": "25.00", "currency": "EUR", "username": name}
        settings = self._machine.settings
        connection = http.client.HTTPConnection(settings.web_address, settings.web_port, timeout=PATIENCE_S)
        connection.request("POST", self._hook, *signed_payment(paid, HOOK_SECRET))
        said = connection.getresponse().read()
        connection.close()
        if b'"booked"' not in said:
            raise ChangesBenchError(f"a webhook was answered {said[:200]!r}")

    def _packet_after(self, service_id: int, sent: float) -> float:
        first = (
            select(func.min(Evidence.started_at))
            .join(Step, Step.id == Evidence.step_id)
            .where(
                Step.service_id == service_id,
                Evidence.outcome.is_not(None),
                Evidence.started_at > datetime.fromtimestamp(sent, UTC),
            )
        )
        found: list[datetime] = []

        def told(session: Session) -> bool:
            at = session.scalar(first)
            if at is not None:
                found.append(at)
            return bool(found)

        self._until("the payment's packet", told)
        return found[0].timestamp()

    def count_statements(self, payers: list[int], paying_count: int) -> dict[str, float]:
        """What the database is asked for a change: those who paid are suspended once more; so many pay, one by one."""
        self.owe(payers)
        self.all_wait(len(payers))
        self._statements.until_settled()
        with self._statements.counted() as quiet:
            time.sleep(QUIET_S)
        with self._statements.counted() as batch:
            self.approve_all()
            self._statements.until_settled()
        paying = payers[:paying_count]
        with self._statements.counted() as payments:
            for place in paying:
                self._pay(place)
                self._statements.until_settled()
        return {
            "statements_per_change": round(batch.total / len(payers), 2),
            "statements_per_payment": round(payments.total / len(paying), 1),
            "statements_per_s_quiet": round(quiet.total / quiet.seconds, 1),
        }

    def last_answer(self) -> float:
        """When the last attempt of the batch ended, as soon as none of its steps is open."""
        self._until(
            "every suspension has ended",
            lambda session: (
                not session.execute(
                    select(func.count()).select_from(Step).where(_OF_BATCH, Step.state.in_(OPEN_STATES))
                ).scalar_one()
            ),
        )
        return self._newest(
            select(func.max(Evidence.ended_at)).join(Step, Step.id == Evidence.step_id).where(_OF_BATCH)
        )

    def last_proof(self) -> float:
        """When the last step of the batch was proved, as soon as every disconnect is."""
        waits = (
            _OF_BATCH,
            Step.route == RouteKind.DISCONNECT,
            Step.state.in_((*OPEN_STATES, Enforcement.ACKNOWLEDGED)),
        )
        self._until(
            "every disconnect is proved",
            lambda session: not session.execute(select(func.count()).select_from(Step).where(*waits)).scalar_one(),
        )
        return self._newest(select(func.max(Step.ended_at)).where(_OF_BATCH))

    def _newest(self, query: Select[Any]) -> float:
        with acting_for(self._engine, self._operator) as session:
            newest: datetime | None = session.scalar(query)
        if newest is None:
            raise ChangesBenchError("no packet was ever answered")
        return newest.timestamp()

    def _until(self, what: str, holds: Callable[[Session], bool]) -> None:
        given_up_at = time.monotonic() + PATIENCE_S
        while True:
            with acting_for(self._engine, self._operator) as session:
                if holds(session):
                    return
            if time.monotonic() > given_up_at:
                raise ChangesBenchError(f"waited {PATIENCE_S:.0f} s for: {what}")
            time.sleep(LOOK_S)
