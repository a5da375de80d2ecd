"""Routers for the tests of the RouterOS connector: simulated ones, their certificates, and a peer that misbehaves."""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from network.contract import Secret
from network.routeros.connection import connect
from network.routeros.target import Limits, RouterTarget, Security
from network.routeros.words import Reader, encode
from policy.routeros.objects import Change, Command, Plan, Verb
from simulators.routeros.router import RouterOs
from simulators.routeros.settings import ApiFaults, ApiUser, RouterOsSettings, TlsFiles

PASSWORD = "hush-hush 'łódź' \"quoted\""
USER = ApiUser(name="ispagents", password=PASSWORD)
LIST = "/ip/firewall/address-list"
SECRETS = "/ppp/secret"
PROFILES = "/ppp/profile"


def asynchronous(test):
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


async def until(condition):
    """Wait for something that nobody announces."""
    while not condition():  # noqa: ASYNC110 # the state of a socket has no event of its own
        await asyncio.sleep(0.001)


def simulated(*, tls: TlsFiles | None = None, faults: ApiFaults | None = None, **settings) -> RouterOs:
    """A simulated router with our user."""
    settings = {"users": (USER,), "tls": tls, "faults": faults or ApiFaults()} | settings
    return RouterOs(RouterOsSettings(**settings))


def target_of(router, limits: Limits | None = None, **changed) -> RouterTarget:
    given = {
        "address": router.address,
        "port": router.port,
        "username": USER.name,
        "password": Secret(PASSWORD),
        "security": Security.PLAIN,
        "limits": limits or Limits(),
    }
    return RouterTarget(**(given | changed))


@asynccontextmanager
async def connected(router, limits: Limits | None = None, **changed):
    connection = await connect(target_of(router, limits, **changed))
    try:
        yield connection
    finally:
        await connection.close()


def added(menu: str, why: str = "test", **fields: str) -> Change:
    """An add whose key is its first field, with its reverse."""
    named = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    key = named[:2] if menu == LIST else named[:1]
    return Change(Command(Verb.ADD, menu, key, named), Command(Verb.REMOVE, menu, key), why)


def changed(router: RouterOs, menu: str, name: str, **fields: str) -> Change:
    """A set of the item of that name, with its reverse, as a planner that has just looked would make it."""
    (row,) = router.rows(menu, name=name)
    after = tuple((field.replace("_", "-"), value) for field, value in fields.items())
    before = tuple((field, row.get(field, "")) for field, _ in after)
    key = (("name", name),)
    return Change(
        Command(Verb.SET, menu, key, after, id=row[".id"]), Command(Verb.SET, menu, key, before, id=row[".id"]), "test"
    )


def removed(router: RouterOs, menu: str, name: str) -> Change:
    (row,) = router.rows(menu, name=name)
    key = (("name", name),)
    fields = tuple((field, value) for field, value in row.items() if field in ("name", "profile", "comment", "service"))
    return Change(Command(Verb.REMOVE, menu, key, id=row[".id"]), Command(Verb.ADD, menu, key, fields), "test")


def plan(*changes: Change) -> Plan:
    return Plan(changes)


def certificate(folder: Path, name: str = "tower", days: int = 30) -> tuple[TlsFiles, str, str]:
    """A self-signed certificate: its files, its fingerprint, and itself as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    files = TlsFiles(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    files.certificate.write_bytes(pem)
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    der = made.public_bytes(serialization.Encoding.DER)
    return files, hashlib.sha256(der).hexdigest(), pem.decode()


Script = Callable[["Peer", str, list[str]], None]


class Peer(asyncio.Protocol):
    """A server that lets everybody in, and then says to each command what its script says. It is one client's."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.heard: list[list[str]] = []

    @classmethod
    @asynccontextmanager
    async def running(cls, script: Script):
        peer = cls(script)
        server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
        peer.address, peer.port = server.sockets[0].getsockname()
        try:
            yield peer
        finally:
            server.close()
            transport = getattr(peer, "transport", None)
            if transport is not None:
                transport.abort()

    def connection_made(self, transport):
        self.transport = transport
        self.reader = Reader()

    def data_received(self, data):
        for raw in self.reader.feed(data):
            words = [word.decode() for word in raw]
            tag = next(word for word in words if word.startswith(".tag="))
            self.heard.append(words)
            if words[0] == "/login":
                self.say("!done", tag)
            else:
                self.script(self, tag, words)

    def say(self, *words: str) -> None:
        self.transport.write(encode(words))
