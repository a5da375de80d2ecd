"""Edge with a real database: its follower in a thread, and a spool to write records into."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from fixtures_database import BOX, Database, Isp

from edge.detail_file import NAME
from edge.follower import Follower
from edge.ingester import ACCOUNTING, LOGINS, Ingester
from policy.stamp import class_of
from radius_module.replica import Replica
from sql.following import CHANNEL
from sql.models import Router
from sql.roles import Role

SESSION = (
    "SELECT extract(epoch FROM started_at - %s)::int, extract(epoch FROM last_seen_at - %s)::int, "
    "extract(epoch FROM ended_at - %s)::int, ended_by, terminate_cause, session_time_s, upload_bytes, download_bytes, "
    "service_id, mac, host(framed_address) FROM sessions WHERE router_id = %s AND username = %s ORDER BY started_at, id"
)
DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
POLL_S = 0.02


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until a condition is true, and return what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(POLL_S)
    return found


@dataclass
class Edge:
    """One node beside a database that can be taken away from it."""

    database: Database
    folder: Path
    node: str = "node-1"
    down: bool = False
    connections: int = 0
    problems: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (f"spool/{ACCOUNTING}", f"spool/{LOGINS}", "replica"):
            (self.folder / name).mkdir(parents=True)
        self.replica = Replica(self.folder / "replica")

    def connect(self) -> psycopg.Connection[Any]:
        """What edge connects with."""
        if self.down:
            raise psycopg.OperationalError("the test keeps the database away")
        self.connections += 1
        return psycopg.connect(self.database.databases.conninfo(Role.EDGE), autocommit=True)

    def take_database_away(self) -> None:
        """Refuse new connections and end those there are."""
        self.down = True
        with self.database.as_superuser() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
                (Role.EDGE.value, self.database.name),
            )

    def give_database_back(self) -> None:
        """Let it connect again."""
        self.down = False

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """A follower in a thread, stopped at the end; whatever it raised fails the test."""
        stop = threading.Event()
        follower = Follower(
            connect=self.connect,
            folder=self.folder / "replica",
            box=BOX,
            node=self.node,
            address="127.0.0.1",
            spool_waiting=lambda: 17,
        )

        def run() -> None:
            try:
                follower.run(stop.is_set)
            except BaseException as error:  # noqa: BLE001 - the test shows it
                self.problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield follower
        finally:
            stop.set()
            self.down = False
            while thread.is_alive():
                with self.database.as_superuser() as connection:
                    connection.execute(f"NOTIFY {CHANNEL}")
                thread.join(0.2)
        assert self.problems == []

    def ingester(self) -> Ingester:
        """An ingester of this node."""
        return Ingester(connect=self.connect, spool=self.folder / "spool", node=self.node)

    def spool(self, *records: str | bytes, kind: str = ACCOUNTING) -> None:
        """Append records to the file that FreeRADIUS writes."""
        with (self.folder / "spool" / kind / NAME).open("ab") as file:
            file.writelines(record.encode() if isinstance(record, str) else record for record in records)

    def waiting(self) -> list[Path]:
        """The spool's files."""
        return [path for kind in (ACCOUNTING, LOGINS) for path in (self.folder / "spool" / kind).iterdir()]

    def drain(self) -> None:
        """Take in everything that waits."""
        deadline = time.monotonic() + DEADLINE_S
        self.ingester().run(lambda: not self.waiting() or time.monotonic() > deadline)
        assert self.waiting() == []

    def take(self, *records: str | bytes, kind: str = ACCOUNTING) -> None:
        """Spool records and take them in."""
        self.spool(*records, kind=kind)
        self.drain()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is really in the database."""
        with self.database.as_superuser() as connection:
            return connection.execute(query, values).fetchall()


def detail(attributes: dict[str, Any]) -> str:
    """A record as FreeRADIUS prints it; text in quotes but for names that are enumerated."""
    plain = {"Acct-Status-Type", "Class", "Framed-IP-Address", "Framed-Protocol", "Packet-Src-IP-Address"}
    lines = ["Sun Nov 22 16:41:24 2026"]
    for name, value in attributes.items():
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        quoted = name not in plain and not isinstance(value, int)
        lines.append(f'\t{name} = "{text}"' if quoted else f"\t{name} = {value}")
    return "\n".join(lines) + "\n\n"


BEGAN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@dataclass
class Line:
    """A customer's session at a router, which writes its accounting records."""

    router: Router
    username: str
    service_id: int = 0
    session_id: str = "81100001"
    login: int = 1
    stamp: str = "1-0123456789abcdef"
    mac: str = "02:00:00:00:00:01"
    foreign: bool = False
    began: datetime = BEGAN

    def record(self, kind: str, after_s: int = 0, up: int = 0, down: int = 0, **more: Any) -> str:
        """A record that arrives `after_s` seconds after the session began."""
        noted = more.pop("noted_stamp", self.stamp)
        values: dict[str, Any] = {
            "Packet-Src-IP-Address": str(self.router.address),
            "Acct-Status-Type": kind,
            "User-Name": self.username,
            "Acct-Session-Id": self.session_id,
            "Framed-Protocol": "PPP",
            "Framed-IP-Address": "10.0.0.9",
            "Calling-Station-Id": self.mac,
            "NAS-Port-Id": "ether2",
            "Acct-Session-Time": after_s,
            "Acct-Input-Octets": up % 2**32,
            "Acct-Input-Gigawords": up // 2**32,
            "Acct-Output-Octets": down % 2**32,
            "Acct-Output-Gigawords": down // 2**32,
            "Timestamp": int(self.began.timestamp()) + after_s,
            "Tmp-String-0": f"operator={self.router.operator_id} router={self.router.id} "
            f"service={self.service_id} stamp={noted}",
        }
        if not self.foreign:
            login_id = f"{self.login:032x}"
            values["Class"] = "0x" + class_of(login_id, self.service_id, self.stamp).encode().hex()
        values |= {name.replace("_", "-"): value for name, value in more.items()}
        return detail({name: value for name, value in values.items() if value is not None})


def online(isp: Isp, tower: Router, username: str = "anna", **more: Any) -> Line:
    """A customer's session at the router."""
    service = isp.service(username)
    return Line(tower, username, service.id, **more)


def sessions(edge: Edge, line: Line) -> list[tuple[Any, ...]]:
    """The sessions of a customer at their router, as plain values; times in seconds since the session began."""
    return edge.rows(SESSION, line.began, line.began, line.began, line.router.id, line.username)


def usage(edge: Edge, service_id: int) -> tuple[int, int]:
    """All usage of a service: upload and download."""
    query = "SELECT coalesce(sum(upload_bytes), 0), coalesce(sum(download_bytes), 0) FROM usage_hours"
    ((up, down),) = edge.rows(f"{query} WHERE service_id = %s", service_id)
    return int(up), int(down)


def rejects(edge: Edge) -> list[tuple[str, str]]:
    """What was set aside, with the reasons."""
    return edge.rows("SELECT reason, record FROM spool_rejects ORDER BY id")
