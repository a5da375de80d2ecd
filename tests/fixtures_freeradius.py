"""A real FreeRADIUS on loopback with a replica of its own, and a small RADIUS client to ask it with."""

import hashlib
import hmac
import random
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from edge.detail_file import NAME, Record, TakenFile
from edge.replica_writer import ReplicaWriter
from ispagents import freeradius
from ispagents.installation import free_port
from policy.facts import Bindings, Method, ServiceFacts
from policy.stamp import SessionClass, read_class
from policy.standing import Standing
from radius_module.records import RouterRow, ServiceRow
from simulators import attributes, mschap

ACCEPT, REJECT, ACCOUNTING_RESPONSE, STATUS_SERVER = 2, 3, 5, 12
DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
ANSWER_S = 20.0
RESEND_S = 1.0  # a full socket buffer loses packets; the same packet again is answered from the server's memory
SILENCE_S = 0.05  # after others were answered, which is what tells silence from slowness
CONTROL = "127.0.0.2"  # a router that is always there, to tell silence from slowness
SECRET = b"made-up radius secret"

_random = random.Random(20261122)
md5 = partial(hashlib.md5, usedforsecurity=False)  # RADIUS is MD5 by its RFC


def service_row(username: str, service_id: int, **changes: Any) -> ServiceRow:
    """A service as edge writes it into the replica."""
    row: dict[str, Any] = {
        "operator_id": 1,
        "password": "right password",
        "method": "pppoe",
        "standing": "current",
        "plan_version_id": 1,
        "prepaid_until": None,
        "address": "",
        "ipv6_prefix": "",
        "delegated_ipv6_prefix": "",
        "routes": (),
        "bind_mac": False,
        "mac": "",
        "bind_router": False,
        "bound_router_id": 0,
        "bind_port": False,
        "port": "",
    }
    assert changes.keys() <= row.keys()
    row |= changes
    until = row["prepaid_until"]
    facts = ServiceFacts(
        service_id,
        Method(row["method"]),
        Standing(row["standing"]),
        row["plan_version_id"],
        datetime.fromtimestamp(until, UTC) if until is not None else None,
        *(row[name] for name in ("address", "ipv6_prefix", "delegated_ipv6_prefix", "routes")),
    )
    names = ("bind_mac", "mac", "bind_router", "bound_router_id", "bind_port", "port")
    return ServiceRow(row["operator_id"], username, row["password"], facts, Bindings(*(row[name] for name in names)))


def router_row(
    address: str, router_id: int, secret: str = SECRET.decode(), *, signed: bool = False, operator: int = 1
) -> tuple[str, RouterRow]:
    """A router as edge writes it into the replica."""
    return address, RouterRow(router_id, operator, f"router {router_id}", secret, signed)


@dataclass(frozen=True)
class Reply:
    """What came back, its signatures already judged."""

    code: int
    pairs: tuple[tuple[str, str], ...]
    signed: bool

    def all(self, name: str) -> list[str]:
        """Every value of one attribute, in order."""
        return [value for found, value in self.pairs if found == name]

    def names(self) -> set[str]:
        """The names of all attributes."""
        return {name for name, _ in self.pairs}

    @property
    def session_class(self) -> SessionClass:
        """What our Class says."""
        (value,) = self.all("Class")
        found = read_class(bytes.fromhex(value.removeprefix("0x")).decode())
        assert found is not None
        return found


@dataclass(frozen=True)
class Router:
    """A router as the server sees it: a source address and a secret."""

    server: "Server"
    address: str
    secret: bytes = SECRET
    operator: int = 1

    def pap(self, username: str | bytes, password: str | bytes, **more: Any) -> Reply | None:
        """A login by PAP."""
        hidden_by = _random.randbytes(16)
        secret = as_bytes(password)
        self.server.never_on_disk.add(secret)
        proof = [("User-Password", hide(secret, hidden_by, self.secret))]
        return self.login(username, proof, authenticator=hidden_by, **more)

    def chap(
        self, username: str | bytes, password: str, *, challenge_in_header: bool = False, **more: Any
    ) -> Reply | None:
        """A login by CHAP (RFC 1994 section 4.1)."""
        ident, challenge = _random.randbytes(1), _random.randbytes(16)
        response = md5(ident + password.encode() + challenge).digest()
        self.server.never_on_disk |= {password.encode(), response}
        proof = [("CHAP-Password", ident + response)]
        if challenge_in_header:
            return self.login(username, proof, authenticator=challenge, **more)
        return self.login(username, [("CHAP-Challenge", challenge), *proof], **more)

    def mschap(self, username: str | bytes, password: str, **more: Any) -> Reply | None:
        """A login by MS-CHAPv2; the reply's MS-CHAP2-Success must prove that the server knows the password."""
        challenge, peer, name = _random.randbytes(16), _random.randbytes(16), as_bytes(username)
        nt = mschap.nt_response(challenge, peer, name, password)
        self.server.never_on_disk |= {password.encode(), nt}
        proof = [("MS-CHAP-Challenge", challenge), ("MS-CHAP2-Response", bytes((7, 0)) + peer + bytes(8) + nt)]
        reply = self.login(username, proof, **more)
        if reply is not None and reply.code == ACCEPT:
            wanted = bytes((7,)) + mschap.authenticator_response(password, nt, peer, challenge, name).encode()
            assert reply.all("MS-CHAP2-Success") == ["0x" + wanted.hex()]
        return reply

    def login(
        self, username: str | bytes, proof: list[Any], *, authenticator: bytes = b"", signed: bool = True, **more: Any
    ) -> Reply | None:
        """Send an Access-Request; None where `silent` was passed and no packet came."""
        silent = more.pop("silent", False)
        pairs = [("User-Name", as_bytes(username)), *proof, *_named(more)]
        if "Service_Type" not in more:
            pairs += [("Service-Type", 2), ("Framed-Protocol", 1)]
        packet = access_request(pairs, self.secret, authenticator or _random.randbytes(16), signed=signed)
        reply = self.ask(packet, self.server.layout.auth_port, silent=silent)
        assert reply is None or reply.signed, "every Accept and Reject is signed"
        return reply

    def account(self, status: int, username: str | bytes, session: str, **more: Any) -> Reply | None:
        """Send an Accounting-Request (RFC 2866 section 3), `times` times the same."""
        silent, times = more.pop("silent", False), more.pop("times", 1)
        pairs = [("Acct-Status-Type", status), ("User-Name", as_bytes(username)), ("Acct-Session-Id", session)]
        body = attributes.encode_all(pairs + _named(more))
        header = struct.pack("!BBH", 4, _random.randrange(256), 20 + len(body))
        signature = md5(header + bytes(16) + body + self.secret).digest()
        return self.ask(header + signature + body, self.server.layout.acct_port, silent=silent, times=times)

    def ask(self, packet: bytes, port: int, *, silent: bool, times: int = 1) -> Reply | None:
        """Send a packet and judge what comes back. Silence is believed once the server has answered others since."""
        reply = None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.bind((self.address, 0))
            line.connect((self.server.layout.address, port))
            for _ in range(times):
                if silent:
                    line.send(packet)
                    self.server.answers_others()
                    assert not select.select([line], [], [], SILENCE_S)[0], "there is an answer"
                    continue
                answer = sent_until_answered(line, packet, ANSWER_S)
                assert answer is not None, f"no answer; {self.server.log()[-2000:]}"
                reply = judged(answer, packet, self.secret)
        return reply


@dataclass
class Server:
    """The running server. Rows may be written at any time; `never_on_disk` are bytes that no file may hold."""

    installed: freeradius.FreeRadius
    layout: freeradius.Layout
    folder: Path
    writer: ReplicaWriter
    process: subprocess.Popen[bytes] | None = None
    never_on_disk: set[bytes] = field(default_factory=set)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                freeradius.command(self.installed, self.layout), stdout=output, stderr=output
            )
        deadline = time.monotonic() + DEADLINE_S
        while self.status(wait_s=0.05) is None:
            assert self.is_running(), (self.folder / "output").read_text()
            assert time.monotonic() < deadline, self.log()

    def stop(self) -> None:
        """End the process, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE_S)

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def add(self, *services: ServiceRow) -> None:
        """Write services into the live replica."""
        with self.writer:
            self.writer.put_services(services)

    def add_router(self, row: tuple[str, RouterRow], *, removed: bool = False) -> None:
        """Write a router into the live replica, or take it out."""
        with self.writer:
            if removed:
                self.writer.remove_router(row[1].router_id)
            else:
                self.writer.put_router(*row)

    def answers_others(self) -> None:
        """Assert that the server runs and answers: twice as many requests as it has threads."""
        for _ in range(2 * self.layout.threads):
            assert self.status() is not None

    def status(self, wait_s: float = ANSWER_S) -> Reply | None:
        """Ask Status-Server (RFC 5997), which needs the router in the client cache only."""
        packet = access_request([], SECRET, _random.randbytes(16), signed=True, code=STATUS_SERVER)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.bind((CONTROL, 0))
            line.connect((self.layout.address, self.layout.auth_port))
            try:
                answer = sent_until_answered(line, packet, wait_s)
            except ConnectionRefusedError:
                return None
            return judged(answer, packet, SECRET) if answer is not None else None

    def spooled(self, kind: str) -> list[Record]:
        """The records in the spool, read by edge's own reader."""
        path = self.layout.spool / kind / NAME
        if not path.exists():
            return []
        taken = TakenFile(path)
        try:
            found = list(taken.records(0))
        finally:
            taken.close()
        assert all(isinstance(record, Record) for record in found), found
        return found  # type: ignore[return-value] # asserted

    def log(self) -> str:
        """What the server has written to its log so far."""
        return (self.layout.log / "freeradius.log").read_text(errors="replace")

    @contextmanager
    def without_replica(self) -> Iterator[None]:
        """Take the pointer away for a while, as on a node that has no replica yet; the server notices in a second."""
        pointer = self.layout.replica / "current"
        away = pointer.with_name("away")
        pointer.rename(away)
        asker = Router(self, CONTROL)
        try:
            given_up_at = time.monotonic() + DEADLINE_S
            while time.monotonic() < given_up_at:
                with suppress(AssertionError):
                    assert asker.pap("nobody", "any password", silent=True) is None
                    break
            yield
        finally:
            away.rename(pointer)

    def leaks(self) -> list[str]:
        """Written files, replica aside, that hold one of the bytes that no file may hold, in clear or as hex."""
        kept = (self.layout.replica, self.layout.raddb)
        wanted = [form for secret in self.never_on_disk if len(secret) > 7 for form in (secret, secret.hex().encode())]
        found = []
        for path in (path for path in self.folder.rglob("*") if path.is_file()):
            if not set(kept) & set(path.parents):
                content = path.read_bytes().lower()
                found += [f"{path.name}: {secret!r}" for secret in wanted if secret.lower() in content]
        return found


def sent_until_answered(line: socket.socket, packet: bytes, wait_s: float) -> bytes | None:
    """Send a packet, again and again as a router does, until an answer comes; None where none came in time."""
    deadline = time.monotonic() + wait_s
    while (left_s := deadline - time.monotonic()) > 0:
        line.send(packet)
        if select.select([line], [], [], min(left_s, RESEND_S))[0]:
            return line.recv(4096)
    return None


def as_bytes(text: str | bytes) -> bytes:
    """Text as it goes on the wire."""
    return text if isinstance(text, bytes) else text.encode()


def hide(password: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """User-Password hidden by RFC 2865 section 5.2."""
    padded = password.ljust(max(16, -(-len(password) // 16) * 16), b"\0")
    hidden, last = b"", authenticator
    for start in range(0, len(padded), 16):
        mask = md5(secret + last).digest()
        last = bytes(one ^ other for one, other in zip(padded[start : start + 16], mask, strict=True))
        hidden += last
    return hidden


def access_request(pairs: Any, secret: bytes, authenticator: bytes, *, signed: bool, code: int = 1) -> bytes:
    """The bytes of an Access-Request, signed by Message-Authenticator (RFC 2869 section 5.14) where wanted."""
    body = attributes.encode_all(pairs)
    blank = bytes((80, 18)) + bytes(16) if signed else b""
    header = struct.pack("!BBH", code, _random.randrange(256), 20 + len(blank) + len(body)) + authenticator
    if not signed:
        return header + body
    return header + blank[:2] + hmac.digest(secret, header + blank + body, "md5") + body


def judged(data: bytes, asked: bytes, secret: bytes) -> Reply:
    """The reply, after checking both its signatures (RFC 2865 section 3, RFC 2869 section 5.14)."""
    assert data[1] == asked[1]
    assert len(data) == int.from_bytes(data[2:4], "big")
    assert data[4:20] == md5(data[:4] + asked[4:20] + data[20:] + secret).digest()
    pairs = attributes.split(data)
    signature = next((raw for key, raw in pairs if key == 80), None)
    if signature is not None:
        place = data.index(bytes((80, 18)) + signature) + 2
        blank = data[:4] + asked[4:20] + data[20:place] + bytes(16) + data[place + 16 :]
        assert signature == hmac.digest(secret, blank, "md5")
    return Reply(data[0], attributes.describe(pairs), signature is not None)


def _named(values: dict[str, Any]) -> list[Any]:
    return [(name.replace("_", "-"), value) for name, value in values.items()]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder below /tmp that FreeRADIUS's own user may pass, and leave nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="ispagents-radius-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def layout_in(folder: Path) -> freeradius.Layout:
    """Where everything is, with ports of its own."""
    auth_port = free_port("127.0.0.1", socket.SOCK_DGRAM)
    acct_port = free_port("127.0.0.1", socket.SOCK_DGRAM, but_not=auth_port)
    names = ("raddb", "log", "run", "spool", "replica")
    return freeradius.Layout(*(folder / name for name in names), "127.0.0.1", auth_port, acct_port)


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server with plan 1 and the control router in its replica; stop it whatever happens."""
    installed = freeradius.find()
    with temporary_folder() as folder:
        layout = layout_in(folder)
        freeradius.prepare(installed, layout)
        freeradius.check(installed, layout)
        writer = ReplicaWriter.begin_empty(layout.replica)
        writer.put_plan(1, "Home 50", '{"rate_limit": "10M/50M"}')
        writer.put_operator(1, "{}")
        writer.put_router(*router_row(CONTROL, 1))
        writer.publish()
        server = Server(installed, layout, folder, writer)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.writer.close()
