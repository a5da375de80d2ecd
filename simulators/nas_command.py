"""``python -m simulators.nas``: one router from the command line, a line of counters a second."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import signal
import sys
from pathlib import Path
from typing import NoReturn, TextIO

from simulators.coa_server import Received
from simulators.faults import FaultSettings, LineFaults
from simulators.login import LoginResult
from simulators.nas import Nas
from simulators.packets import COA_REQUEST
from simulators.routeros import ApiUser, RouterOs, RouterOsSettings, TlsFiles
from simulators.settings import METHODS, PROTOCOLS, Client, NasSettings, RadiusServer, UnsupportedByCoA

COLUMNS = ("username", "password", "mac", "method", "protocol")
REDIAL_S = 3.0  # what a home router waits before it dials again


class UsageError(ValueError):
    """The command line or a file it names cannot be used. The message says what to change."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; raises UsageError."""
    parser = _Parser(prog="python -m simulators.nas", description="A MikroTik access router over real UDP sockets.")
    add = parser.add_argument
    add("--address", required=True, help="the address to bind to and send from, such as 127.0.0.11")
    add("--name", required=True, help="/system identity, sent as NAS-Identifier")
    add("--nas-ip", default="", help="NAS-IP-Address, where it is not the address")
    add("--radius", required=True, action="append", help="ADDRESS:AUTH_PORT:ACCT_PORT; may be repeated")
    add("--secret-file", required=True, type=Path, help="a file with the RADIUS secret")
    add("--clients", type=Path, help="CSV with the columns " + ", ".join(COLUMNS))
    add("--interim-s", type=float, default=60.0)
    add("--timeout-s", type=float, default=3.0, help="RADIUS timeout of one send")
    add("--coa-port", type=int, default=3799, help="0 takes any free port")
    add("--coa-any-source", action="store_true", help="take CoA from addresses that are no RADIUS server")
    add("--coa-address-list", action="store_true", help="let CoA change Mikrotik-Address-List")
    add("--coa-unsupported", choices=[kind.value for kind in UnsupportedByCoA], default="ignore")
    add("--upload-bps", type=int, default=0, help="traffic of every client")
    add("--download-bps", type=int, default=0)
    add("--redial-s", type=float, default=REDIAL_S)
    add("--loss", type=float, default=0.0, help="share of packets lost in each direction, such as 0.01")
    add("--duplicate", type=float, default=0.0)
    add("--reorder", type=float, default=0.0)
    add("--delay-ms", type=float, default=0.0)
    add("--jitter-ms", type=float, default=0.0)
    add("--seed", type=int, default=0)
    add("--api-port", type=int, help="also be its RouterOS API on this port of the address; 0 takes any free port")
    add("--api-user", default="admin", help="who may log in there")
    add("--api-password-file", type=Path, help="a file with the password; without it there is none")
    add("--api-certificate", type=Path, help="a PEM file: api-ssl on the next port too, with --api-key")
    add("--api-key", type=Path)
    add("--routeros", default="7.16.1", help="the release that the API belongs to, such as 6.49.10")
    return parser.parse_args(arguments)


def _server(text: str) -> RadiusServer:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) < 65536 for part in parts[1:]):
        raise UsageError(f"--radius {text!r} is not ADDRESS:AUTH_PORT:ACCT_PORT, such as 127.0.0.1:1812:1813")
    return RadiusServer(parts[0], int(parts[1]), int(parts[2]))


def _secret(option: str, path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {error.strerror}") from error
    if not secret:
        raise UsageError(f"{option} {path} is empty")
    return secret


def _api_settings(options: argparse.Namespace) -> RouterOsSettings | None:
    """Return the settings of the API, None where none is asked for; raises UsageError."""
    if options.api_port is None:
        return None
    certificate, key = options.api_certificate, options.api_key
    if (certificate is None) != (key is None):
        raise UsageError("--api-certificate and --api-key go together")
    tls = TlsFiles(certificate=certificate, key=key) if certificate is not None else None
    try:
        if tls is not None:
            tls.context()
    except OSError as error:
        raise UsageError(f"--api-certificate and --api-key name PEM files that belong together: {error}") from error
    password = _secret("--api-password-file", options.api_password_file) if options.api_password_file else b""
    try:
        return RouterOsSettings(
            version=options.routeros,
            identity=options.name,
            address=options.address,
            port=options.api_port,
            tls=tls,
            tls_port=options.api_port + 1 if options.api_port else 0,
            users=(ApiUser(name=options.api_user, password=password.decode("utf-8", "surrogateescape")),),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def read_clients(path: Path, options: argparse.Namespace) -> list[Client]:
    """Return the clients of a CSV file; raises UsageError that names the line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = set(COLUMNS) - set(rows.fieldnames or ())
            if missing:
                raise UsageError(f"--clients {path} lacks the columns {', '.join(sorted(missing))}")
            return [_client(row, f"{path} line {rows.line_num}", options) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--clients {path} cannot be read: {error}") from error


def _client(row: dict[str, str], where: str, options: argparse.Namespace) -> Client:
    method = next((known for known in METHODS if known == row["method"]), None)
    protocol = next((known for known in PROTOCOLS if known == row["protocol"]), None)
    if method is None or protocol is None:
        raise UsageError(f"{where}: method is one of {', '.join(METHODS)}, protocol one of {', '.join(PROTOCOLS)}")
    try:
        return Client(
            username=row["username"],
            password=row["password"],
            mac=row["mac"],
            method=method,  # type: ignore[arg-type]  # checked above
            protocol=protocol,  # type: ignore[arg-type]
            redial_s=options.redial_s,
            upload_bps=options.upload_bps,
            download_bps=options.download_bps,
        )
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _settings(options: argparse.Namespace) -> NasSettings:
    try:
        line = LineFaults(
            loss=options.loss,
            duplication=options.duplicate,
            reorder=options.reorder,
            delay_s=options.delay_ms / 1000.0,
            jitter_s=options.jitter_ms / 1000.0,
        )
        return NasSettings(
            name=options.name,
            address=options.address,
            nas_ip_address=options.nas_ip,
            radius=tuple(_server(text) for text in options.radius),
            secret=_secret("--secret-file", options.secret_file),
            radius_timeout_s=options.timeout_s,
            interim_update_s=options.interim_s,
            coa_port=options.coa_port,
            check_coa_source=not options.coa_any_source,
            coa_address_list=options.coa_address_list,
            coa_unsupported=UnsupportedByCoA(options.coa_unsupported),
            faults=FaultSettings.both_ways(line, options.seed),
            seed=options.seed,
        )
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from error


def describe(received: Received) -> str:
    """Return one line about a CoA or Disconnect."""
    kind = "CoA" if received.code == COA_REQUEST else "Disconnect"
    if received.answer_code is None:
        outcome = f"dropped: {received.why}"
    elif received.acked:
        outcome = "ACK"
    else:
        outcome = f"NAK {received.error_cause}: {received.why}"
    again = " (duplicate)" if received.duplicate else ""
    pairs = " ".join(f"{name}={value!r}" for name, value in received.attributes if name != "Message-Authenticator")
    return f"{kind} from {received.source[0]}:{received.source[1]} {pairs} -> {outcome}{again}"


async def run(
    settings: NasSettings, clients: list[Client], out: TextIO, api_settings: RouterOsSettings | None = None
) -> None:
    """Run the router until SIGINT or SIGTERM, with its RouterOS API where there are settings for one."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    nas = Nas(settings)

    def say(text: str) -> None:
        out.write(text + "\n")
        out.flush()

    def said_no(result: LoginResult) -> None:
        if result.problem:
            say(f"a login led nowhere: {result.problem}")

    nas.on_received = lambda received: say(describe(received))
    nas.on_login = said_no
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(nas)
        say(f"router {settings.name} at {settings.address}, CoA port {nas.coa_port}, {len(clients)} clients")
        if api_settings is not None:
            api = await stack.enter_async_context(RouterOs(api_settings, nas=nas))
            say(f"its RouterOS API {api_settings.version} at {api.address}, ports {', '.join(map(str, api.ports))}")
        dialling = [loop.create_task(nas.keep_online(client)) for client in clients]
        while not ended.is_set():
            say(_counters(nas))
            try:
                await asyncio.wait_for(ended.wait(), timeout=1.0)
            except TimeoutError:
                continue
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
    say(f"router {settings.name} stopped")


def _counters(nas: Nas) -> str:
    counters = nas.counters
    return (
        f"online {len(nas.sessions)} accepts {counters.accepts} rejects {counters.rejects} "
        f"timeouts {counters.timeouts} resends {counters.resends} bad-replies {counters.bad_replies} "
        f"acct-acked {counters.acct_acked} acct-given-up {counters.acct_given_up} "
        f"coa {counters.coa_received} ack {counters.coa_acked} nak {counters.coa_naked} drop {counters.coa_dropped}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns 0 after Ctrl-C, 2 with one sentence for arguments that cannot be used."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        settings = _settings(options)
        api_settings = _api_settings(options)
        clients = read_clients(options.clients, options) if options.clients else []
        asyncio.run(run(settings, clients, sys.stdout, api_settings))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"the router cannot bind its sockets, check --address, --coa-port and --api-port: {error}\n")
        return 2
    return 0
