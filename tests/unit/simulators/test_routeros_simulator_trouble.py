"""The simulated RouterOS goes wrong as it is told, and the same way for the same seed; over TLS too."""

from __future__ import annotations

import datetime as dt
import ipaddress
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from routeros_talk import Talk

from simulators.clock import HandClock
from simulators.nas_command import main
from simulators.routeros import ApiFaults, Break, RouterOs, RouterOsSettings, TlsFiles, many

ADD = ("/ppp/secret/add", "=name=anna")


@pytest.fixture
def router() -> Iterator[RouterOs]:
    with RouterOs() as router:
        yield router


@pytest.fixture
def talk(router: RouterOs) -> Iterator[Talk]:
    with Talk(router.address, router.port) as talk:
        talk.log_in("admin", "")
        yield talk


@pytest.mark.parametrize(
    ("how", "is_there"),
    [(Break.BEFORE, False), (Break.AFTER, True), (Break.MID_REPLY, True), (Break.FATAL, False), (Break.REBOOT, True)],
)
def test_one_command_breaks(router: RouterOs, talk: Talk, how: Break, is_there: bool) -> None:
    """The connection ends, and only looking tells whether the command was carried out."""
    router.break_next("/ppp/secret/add", how)
    assert talk.rows("/ppp/secret/print") == []  # other commands are left alone
    talk.say(*ADD)
    if how is Break.FATAL:
        assert talk.hear()[0] == "!fatal"
    elif how is Break.REBOOT:
        assert talk.hear()[0] == "!done"
    else:
        with pytest.raises(ConnectionError):
            talk.hear()
    assert talk.gone()
    assert bool(router.rows("/ppp/secret", name="anna")) is is_there
    with Talk(router.address, router.port) as again:
        again.log_in("admin", "")
        assert again.refusal("/ppp/secret/add", "=name=bert") == ""


def test_silence_and_a_trap_in_the_middle(router: RouterOs, talk: Talk) -> None:
    """A command without an answer was carried out; one that is trapped was not, and the next one works."""
    router.break_next("/ppp/secret/add", Break.SILENT)
    router.break_next("/ppp/secret/add", Break.TRAP)
    talk.say(*ADD)
    assert talk.refusal("/ppp/secret/add", "=name=bert") == "failure: interrupted"
    assert [row["name"] for row in talk.rows("/ppp/secret/print")] == ["anna"]


def test_the_same_seed_breaks_the_same_commands() -> None:
    """Shares of trouble are seeded: two runs of the same commands end alike."""

    def run(seed: int) -> list[int]:
        faults = ApiFaults(breaks={Break.TRAP: 0.2, Break.BEFORE: 0.1}, seed=seed)
        ended = []
        with RouterOs(RouterOsSettings(faults=faults)) as router:
            for _ in range(3):
                with Talk(router.address, router.port) as talk:
                    talk.log_in("admin", "")
                    traps = 0
                    try:
                        while True:
                            traps += bool(talk.refusal("/system/identity/print"))
                    except ConnectionError:
                        ended.append(traps)
        return ended

    assert run(7) == run(7) != run(8)


def test_a_full_menu() -> None:
    """A menu that is full takes nothing more and keeps what it has."""
    settings = RouterOsSettings(rows_max={"/ip/firewall/address-list": 1})
    with RouterOs(settings) as full, Talk(full.address, full.port) as talk:
        talk.log_in("admin", "")
        words = ("/ip/firewall/address-list/add", "=list=late")
        assert [talk.refusal(*words, f"=address=10.0.0.{last}") for last in (1, 2)] == [
            "",
            "failure: can not add more entries",
        ]
        assert len(talk.rows("/ip/firewall/address-list/print")) == 1


def test_by_hand(router: RouterOs, talk: Talk) -> None:
    """Somebody at the router changes and removes what a client has just seen."""
    row_id = talk.ask(*ADD)[0][1]["ret"]
    router.set("/ppp/secret", row_id, comment="mine", disabled="yes")
    assert talk.rows("/ppp/secret/print", "?comment=mine")[0]["disabled"] == "true"
    router.remove("/ppp/secret", "anna")
    assert talk.refusal("/ppp/secret/set", f"=.id={row_id}", "=disabled=no") == "no such item"


def test_latency_is_the_lines_own() -> None:
    """Commands that are sent together wait together: their delays overlap, and their order stays."""
    clock = HandClock()
    with RouterOs(clock=clock) as router, Talk(router.address, router.port) as talk:
        talk.log_in("admin", "")
        router.switch_faults(latency_s=5.0, jitter_s=2.0)
        for name in "abc":
            talk.say("/ppp/secret/add", f"=name={name}", f".tag={name}")
        moving = threading.Event()

        def move() -> None:
            while not moving.wait(0.005):
                router.do(lambda _: clock.advance(0.5))

        mover = threading.Thread(target=move)
        before = clock.now()
        mover.start()
        assert [talk.hear()[1][".tag"] for _ in "abc"] == ["a", "b", "c"]
        moving.set()
        mover.join()
        assert clock.now() - before >= 5.0


def test_slow_menus_can_be_cancelled(router: RouterOs, talk: Talk) -> None:
    """A slow print leaves other commands alone, and /cancel ends it with a trap and a done."""
    router.switch_faults(slow={"/ppp/secret": 60.0})
    talk.say("/ppp/secret/print", ".tag=slow")
    assert talk.rows("/system/identity/print") == [{"name": "MikroTik"}]
    talk.say("/cancel", "=tag=slow", ".tag=end")
    assert [talk.hear() for _ in range(3)] == [
        ("!trap", {".tag": "slow", "category": "2", "message": "interrupted"}),
        ("!done", {".tag": "slow"}),
        ("!done", {".tag": "end"}),
    ]


def test_many_on_one_thread() -> None:
    """Routers on one thread are still routers of their own, and `do` reaches each from outside."""
    with many(RouterOs(RouterOsSettings(identity=f"tower-{number}")) for number in range(3)) as routers:
        for number, router in enumerate(routers):
            with Talk(router.address, router.port) as talk:
                talk.log_in("admin", "")
                assert talk.rows("/system/identity/print") == [{"name": f"tower-{number}"}]
            assert router.rows("/system/identity")[0]["name"] == f"tower-{number}"


def test_a_booting_router_hangs_up() -> None:
    """While it boots, nobody is let in."""
    clock = HandClock()
    with RouterOs(RouterOsSettings(boot_s=30.0), clock=clock) as router:
        router.reboot()
        with Talk(router.address, router.port) as talk:
            assert talk.gone()
        router.do(lambda _: clock.advance(30.0))
        with Talk(router.address, router.port) as talk:
            assert talk.log_in("admin", "") == ""


def test_garbage_hangs_up(router: RouterOs) -> None:
    """What is no RouterOS API ends the connection, and only this one."""
    for garbage in (b"\xff\xff", b"GET / HTTP/1.1\r\n\r\n" * 100, b"\xe0\x20\x00\x00"):
        with Talk(router.address, router.port) as talk:
            talk.socket.sendall(garbage)
            assert talk.gone()
    with Talk(router.address, router.port) as talk:
        assert talk.log_in("admin", "") == ""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate that signs itself, for the name `router`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "router")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("router"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    files = TlsFiles(certificate=folder / "certificate.pem", key=folder / "key.pem")
    Path(files.certificate).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    Path(files.key).write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


def test_tls(tls: TlsFiles) -> None:
    """api-ssl speaks TLS with the given certificate, and the router shows it under /certificate."""
    trusting = ssl.create_default_context(cafile=str(tls.certificate))
    with RouterOs(RouterOsSettings(tls=tls)) as router:
        with Talk(router.address, router.tls_port, tls=trusting) as talk:
            assert talk.log_in("admin", "") == ""
            (row,) = talk.rows("/certificate/print")
            seen = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
            assert row["fingerprint"] == x509.load_der_x509_certificate(seen).fingerprint(hashes.SHA256()).hex()
            assert row["common-name"] == "router"
            talk.ask("/ip/service/disable", "=.id=api-ssl")
        with (
            pytest.raises((ssl.SSLError, ConnectionError)),
            Talk(router.address, router.tls_port, tls=trusting) as talk,
        ):
            talk.log_in("admin", "")


def test_the_command_starts_it_too(tmp_path: Path) -> None:
    """``python -m simulators.nas --api-port`` is a NAS with the API of the same router."""
    (tmp_path / "secret").write_text("made-up")
    command = [sys.executable, "-m", "simulators.nas", "--address", "127.0.0.14", "--name", "tower-4"]
    command += ["--radius", "127.0.0.1:1:1", "--coa-port", "0", "--secret-file", str(tmp_path / "secret")]
    command += ["--api-port", "0", "--api-password-file", str(tmp_path / "secret"), "--routeros", "6.49.10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "RouterOS API" in line)
        with Talk("127.0.0.14", int(said.rpartition(" ")[2])) as talk:
            assert talk.log_in("admin", "made-up") == ""
            assert talk.rows("/system/identity/print") == [{"name": "tower-4"}]
            assert talk.rows("/radius/print")[0]["address"] == "127.0.0.1"
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--api-port", "70000"], "a port lies between"),
        (["--api-port", "0", "--routeros", "seven"], "is no RouterOS version"),
        (["--api-port", "0", "--api-key", "/nonexistent"], "go together"),
        (["--api-port", "0", "--api-key", "/dev/null", "--api-certificate", "/dev/null"], "belong together"),
    ],
)
def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """Nonsense about the API is one sentence and exit code 2."""
    (tmp_path / "secret").write_text("made-up")
    usual = ["--address", "127.0.0.14", "--name", "a", "--radius", "127.0.0.1:1:1"]
    assert main([*usual, "--secret-file", str(tmp_path / "secret"), *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
