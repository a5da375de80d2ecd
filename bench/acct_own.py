"""Ours for `bench acct`: the embedded database as it is shipped, FreeRADIUS with its spool, and the ingester."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import psycopg
from sqlalchemy.orm import Session

import bench
from bench import subscribers
from bench.acct_load import BEGAN, BYTES_AN_INTERIM, INTERIM, STAMP, START, Sent, class_text, session_id
from bench.installed import database
from bench.load import LoadError
from bench.servers import process
from bench.servers.accounting import OwnServer, start_own
from bench.servers.contract import SECRET, Endpoint
from edge.detail_file import waiting_bytes
from edge.ingester import ACCOUNTING
from ispagents.database import Databases, embedded, secret_box
from ispagents.state_folder import StateFolder
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.roles import Role
from sql.router_store import add_router
from worker import planning

ACTOR: Final = "bench"
OPERATOR: Final = 1
POLL_S: Final = 0.005
PATIENCE_S: Final = 1800.0
FILE_RECORDS: Final = 60_000
TICK_S: Final = 0.1
USAGE_DAYS: Final = 30
ASKED: Final = 40
RECORD: Final = """Mon Nov 23 00:00:00 2026
\tPacket-Type = Accounting-Request
\tPacket-Src-IP-Address = 127.0.0.1
\tPacket-Dst-IP-Address = 127.0.0.1
\tPacket-Src-Port = 40000
\tPacket-Dst-Port = 1813
\tAcct-Status-Type = {kind}
\tUser-Name = "{name}"
\tAcct-Session-Id = "{session}"
\tService-Type = Framed-User
\tFramed-Protocol = PPP
\tNAS-Port-Type = Ethernet
\tNAS-Port = {number}
\tCalling-Station-Id = "{mac}"
\tCalled-Station-Id = "internet"
\tNAS-Port-Id = "vlan100"
\tFramed-IP-Address = {address}
\tClass = 0x{label}
\tAcct-Authentic = RADIUS
\tAcct-Session-Time = {seconds}
\tAcct-Input-Octets = {upload}
\tAcct-Input-Gigawords = {upload_high}
\tAcct-Output-Octets = {download}
\tAcct-Output-Gigawords = {download_high}
\tEvent-Timestamp = "Nov 23 2026 00:00:00 UTC"
\tNAS-Identifier = "bench-nas"
\tNAS-IP-Address = 127.0.0.1
\tAcct-Delay-Time = 0
\tTmp-String-1 = "127.0.0.1"
\tTmp-String-0 = "operator=1 router=1 service={service} stamp={stamp}"
\tTimestamp = {at}

"""
_QUERIES: Final = {
    "usage_of_service_ms": "SELECT * FROM usage_days WHERE service_id = %s AND day >= current_date - 31 ORDER BY day",
    "top_of_day_ms": (
        "SELECT service_id, upload_bytes + download_bytes AS bytes FROM usage_days WHERE operator_id = 1 "
        "AND day = current_date - %s %% 25 ORDER BY bytes DESC LIMIT 50"
    ),
    "online_page_ms": (
        "SELECT * FROM sessions WHERE operator_id = 1 AND ended_at IS NULL AND id > %s ORDER BY id LIMIT 100"
    ),
}


def record(number: int, interims: int, kind: str, at: int) -> str:
    """A record of a subscriber's session as FreeRADIUS writes it."""
    upload, download = interims * BYTES_AN_INTERIM, interims * BYTES_AN_INTERIM * 9
    return RECORD.format(
        kind=kind,
        name=subscribers.user_name(number),
        session=session_id(number),
        number=15728640 + number,
        mac=subscribers.mac(number),
        address=subscribers.address(number),
        label=class_text(number).encode().hex(),
        seconds=at - BEGAN,
        upload=upload & 0xFFFFFFFF,
        upload_high=upload >> 32,
        download=download & 0xFFFFFFFF,
        download_high=download >> 32,
        service=number + 1,
        stamp=STAMP,
        at=at,
    )


BACKLOG_RECORD: Final = len(record(1, 1, "Interim-Update", 1_795_000_000))


def load(endpoint: Endpoint, sessions: int, count: int, first: int, window: int, *, starts: bool = False) -> Sent:
    """One load run by a process of its own. Raises LoadError."""
    values = {
        "port": endpoint.port,
        "secret": SECRET,
        "sessions": sessions,
        "count": count,
        "first": first,
        "window": window,
        "status": START if starts else INTERIM,
    }
    options = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "bench.acct_load", *options],
        capture_output=True,
        check=False,
        start_new_session=True,
        timeout=PATIENCE_S,
        cwd=Path(bench.__file__).parent.parent,
    )
    if done.returncode:
        raise LoadError(f"{done.stderr.decode(errors='replace').strip()}; {process.fate(endpoint)}")
    return Sent(**json.loads(done.stdout))


@dataclass
class Own:
    """Runs within `started`."""

    state: StateFolder
    databases: Databases
    superuser: str
    services: int
    server: OwnServer
    edge: "subprocess.Popen[bytes]"
    interims: int = 0
    began: int = field(default_factory=lambda: int(time.time()))
    _peak_kib: int = 0

    @property
    def endpoint(self) -> Endpoint:
        """Where accounting is sent to."""
        return self.server.endpoint

    @classmethod
    @contextmanager
    def started(cls, services: int) -> Iterator["Own"]:
        """Everything for so many services; ended and removed afterwards."""
        with database("acct") as (databases, superuser, state), ExitStack() as stack:
            _fill(databases, state, superuser, services)
            server = start_own(state, services)
            stack.callback(server.stop)
            own = cls(state, databases, superuser, services, server, _edge(databases, state))
            stack.callback(own.pause)
            yield own

    def pause(self) -> None:
        """End the ingester, in order; what it had at most is remembered."""
        self.peak_mib()
        self.edge.communicate()

    def resume(self) -> None:
        """Another one."""
        self.edge = _edge(self.databases, self.state)

    def peak_mib(self) -> float:
        """The most memory that an ingester had (VmHWM)."""
        try:
            lines = Path(f"/proc/{self.edge.pid}/status").read_text().splitlines()
        except OSError:
            lines = []
        found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        self._peak_kib = max([self._peak_kib, *found])
        return round(self._peak_kib / 1024, 1)

    def drained(self) -> float:
        """Wait until nothing is left in the spool; the wall clock then. Raises LoadError."""
        given_up_at = time.monotonic() + PATIENCE_S
        folder = self.state.spool / ACCOUNTING
        while waiting_bytes(folder):
            if time.monotonic() > given_up_at or self.edge.poll() is not None:
                raise LoadError(f"the ingester does not come to an end; {waiting_bytes(folder):,} bytes wait")
            time.sleep(POLL_S)
        return time.time()

    def check(self, least: int) -> None:
        """So many records are kept, none was set aside, and usage is what the sessions say. Raises LoadError."""
        with psycopg.connect(self.superuser) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM accounting_records), (SELECT count(*) FROM spool_rejects), "
                "(SELECT sum(upload_bytes + download_bytes) FROM sessions) "
                "- (SELECT sum(upload_bytes + download_bytes) FROM usage_hours)"
            ).fetchone()
        if row is None or row[0] < least or row[1] or row[2]:
            raise LoadError(f"{row} instead of {least} records, no rejects and no difference of usage")

    def backlog(self, count: int, kind: str) -> None:
        """Records of the services in turn, in files as an outage leaves them."""
        for begin in range(0, count, FILE_RECORDS):
            self._write(range(begin, min(begin + FILE_RECORDS, count)), kind)
        self.interims += -(-count // self.services)

    def live(self, rate: float, seconds: float) -> dict[str, float]:
        """Interims at this rate; how long each tenth of a second's waits until it is stored, and what edge costs."""
        lags: list[float] = []
        cpu_s, began = process.usage(self._usage()), time.monotonic()
        number, watchers = 0, []
        while (now := time.monotonic()) - began < seconds:
            upto = int((now - began + TICK_S) * rate)
            path, number = self._write(range(number, upto), "Interim-Update"), upto
            watcher = threading.Thread(target=_watch, args=(path, lags))
            watcher.start()
            watchers.append(watcher)
            time.sleep(max(0.0, TICK_S - (time.monotonic() - now)))
        for watcher in watchers:
            watcher.join()
        self.interims += 1 + number // self.services
        after = process.usage(self._usage())
        parts = quantiles(lags, n=100)
        return {
            "live_per_s": round(number / seconds),
            "lag_p50_ms": round(parts[49] * 1000),
            "lag_p99_ms": round(parts[98] * 1000),
            "live_edge_cpu_percent": round((after.server_cpu_s - cpu_s.server_cpu_s) / seconds * 100, 1),
            "live_database_cpu_percent": round((after.helpers_cpu_s - cpu_s.helpers_cpu_s) / seconds * 100, 1),
        }

    def queries(self) -> dict[str, Any]:
        """What pages ask, by the web role, with 30 days of usage of every service."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO usage_days SELECT 1, id, current_date - day, id * 1000 + day, id * 9000 %% 7777777, 1 "
                "FROM services, generate_series(1, %s) AS day ON CONFLICT DO NOTHING",
                (USAGE_DAYS,),
            )
            connection.execute("VACUUM ANALYZE usage_days, sessions")
        found: dict[str, Any] = {"usage_days_rows": self.services * USAGE_DAYS}
        with psycopg.connect(self.databases.conninfo(Role.WEB), autocommit=True) as connection:
            connection.execute("SELECT set_config('app.operator', '1', false)")
            for name, query in _QUERIES.items():
                took = []
                for number in range(ASKED):
                    began = time.perf_counter()
                    connection.execute(query.encode(), (1 + number * 97 % self.services,)).fetchall()
                    took.append((time.perf_counter() - began) * 1000)
                found[name.replace("_ms", "_p95_ms")] = round(quantiles(took, n=20)[18], 1)
        return found

    def _usage(self) -> Endpoint:
        postgres = embedded(self.state).running_server()
        helpers = (postgres.pid,) if postgres is not None else ()
        return self.endpoint._replace(pid=self.edge.pid, helpers=helpers)

    def _write(self, numbers: range, kind: str) -> Path:
        folder = self.state.spool / ACCOUNTING
        path = folder / f"detail.{time.time_ns():020d}.work"
        # A minute for each round, so that history is as long as it would be.
        text = "".join(
            record(number % self.services, turn, kind, self.began + turn * 60)
            for number in numbers
            for turn in (self.interims + number // self.services,)
        )
        hidden = folder / "being-written"
        hidden.write_text(text)
        return hidden.rename(path)


def _watch(path: Path, lags: list[float]) -> None:
    began = time.monotonic()
    while path.exists() and time.monotonic() - began < PATIENCE_S:
        time.sleep(POLL_S)
    lags.append(time.monotonic() - began)


def _edge(databases: Databases, state: StateFolder) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            "setpriv",
            "--pdeathsig=KILL",
            sys.executable,
            "-m",
            "bench.acct_edge",
            databases.conninfo(Role.EDGE),
            str(state.spool),
        ],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(bench.__file__).parent.parent,
    )


def _fill(databases: Databases, state: StateFolder, superuser: str, services: int) -> None:
    """An operator with a router and a limited plan, and services that are copies of the first."""
    web, worker = databases.engine(Role.WEB, pool=1), databases.engine(Role.WORKER, pool=1)
    box = secret_box(state)
    with Session(web) as session, session.begin():
        operator = add_operator(session, name="Bench", currency="EUR", time_zone="Europe/Warsaw", actor=ACTOR).id
        facts = {"rate_limit": "10M/50M", "quota_bytes": 10**15}
        plan = add_plan(session, operator, name="Home 50", facts=facts, price_minor=2500, actor=ACTOR)
        add_router(session, operator, name="bench", address="127.0.0.1", secret=SECRET, box=box, actor=ACTOR)
        add_service(
            session,
            operator,
            subscriber=add_subscriber(session, operator, reference="0", name="x", actor=ACTOR),
            plan=plan,
            username=subscribers.user_name(0),
            password="made-up password",
            method="pppoe",
            box=box,
            actor=ACTOR,
        )
    planning.review_operator(worker, operator)
    for engine in (web, worker):
        engine.dispose()
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO services (operator_id, subscriber_id, plan_id, method, username, password, authorised, "
            "authorised_stamp, authorised_at) SELECT operator_id, subscriber_id, plan_id, method, "
            "'sub' || lpad(number::text, 7, '0'), password, authorised, %s, now() "
            "FROM services, generate_series(1, %s) AS number ORDER BY number",
            (STAMP, services - 1),
        )
        connection.execute("UPDATE services SET authorised_stamp = %s", (STAMP,))
        connection.execute("VACUUM ANALYZE services")
