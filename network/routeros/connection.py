"""Opens a connection: TLS that is verified or pinned before a password is told, then the login."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from network.routeros.errors import (
    InvalidTargetError,
    LoginRefusedError,
    NotSentError,
    NotTrustedError,
    OldLoginError,
    RefusedError,
    RouterosError,
    UnknownOutcomeError,
    UnreachableError,
)
from network.routeros.link import Link, Reply
from network.routeros.target import RouterTarget, Security

CHALLENGE_BYTES: Final = range(8, 65)  # RouterOS sends 16; a longer one is nonsense
CLOSE_PATIENCE_S: Final = 1.0


class Connection:
    """A router that has let us in, from `connect` to `close`. Any number of tasks of its event loop may use it."""

    def __init__(self, target: RouterTarget, link: Link, certificate: bytes) -> None:
        self.target = target
        self._link = link
        self._certificate = certificate
        self._loop = asyncio.get_running_loop()

    @property
    def usable(self) -> bool:
        """Whether it is still there, as far as this side knows."""
        return self._link.ended is None

    @property
    def load(self) -> int:
        """Commands that are waiting or on their way."""
        return self._link.load

    @property
    def silent_s(self) -> float:
        """Seconds since the router was last heard of."""
        return self._loop.time() - self._link.heard_s

    def certificate_end(self) -> datetime | None:
        """When the router's certificate expires (aware UTC); None without TLS, or if it cannot be read."""
        if not self._certificate:
            return None
        try:
            return x509.load_der_x509_certificate(self._certificate).not_valid_after_utc
        except ValueError:
            return None

    def ask(
        self, words: Sequence[str], *, timeout_s: float | None = None, max_rows: int | None = None
    ) -> asyncio.Future[Reply]:
        """Send a command and give a future of its reply, as `Link.ask` does; the order of calls is that of sending."""
        return self._link.ask(words, timeout_s=timeout_s, max_rows=max_rows)

    async def send(self, words: Sequence[str], *, timeout_s: float | None = None, max_rows: int | None = None) -> Reply:
        """Send a command and wait for its whole reply. Raises as `Link.ask` does."""
        return await self._link.ask(words, timeout_s=timeout_s, max_rows=max_rows)

    def drop(self) -> None:
        """End it at once; what is on its way becomes unknown."""
        self._link.end("dropped", f"This program ended the connection to {self.target.where}.")

    async def close(self) -> None:
        """End it and wait until the socket is closed, which is never long."""
        self.drop()
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self._link.lost()
        except TimeoutError:
            return


async def connect(target: RouterTarget) -> Connection:
    """Connect, make sure who answers, and log in.

    Raises UnreachableError, NotTrustedError, LoginRefusedError or OldLoginError, and InvalidTargetError for authorities
    that cannot be read. Nothing stays open then.
    """
    context = _context(target)
    loop = asyncio.get_running_loop()
    link = Link(target.where, target.window, target.limits)
    try:
        async with asyncio.timeout(target.limits.connect_timeout_s):
            transport, _ = await loop.create_connection(
                lambda: link,
                target.address,
                target.port,
                ssl=context,
                server_hostname=(target.server_name or target.address) if context else None,
            )
            certificate = _certificate(target, transport)
            await _log_in(target, link)
    except TimeoutError:
        _give_up(link, target)
        raise UnreachableError(
            f"{target.where} did not let us in within {target.limits.connect_timeout_s:g} s: check the address, that "
            f"the port is that of {_service(target)}, and the firewall on the way."
        ) from None
    except (OSError, ssl.SSLError) as error:
        _give_up(link, target)
        raise _translated(target, error) from None
    except BaseException:
        _give_up(link, target)
        raise
    return Connection(target, link, certificate)


def _give_up(link: Link, target: RouterTarget) -> None:
    link.end("dropped", f"The connection to {target.where} was given up.")


def _context(target: RouterTarget) -> ssl.SSLContext | None:
    if target.security is Security.PLAIN:
        return None
    try:
        context = ssl.create_default_context(cadata=target.authorities or None)
    except (ssl.SSLError, ValueError):
        raise InvalidTargetError("The authorities are not certificates as PEM text.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if target.security is Security.PINNED:
        # The certificate itself is compared below, before anything is said; who signed it, and for whom, is all one.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _certificate(target: RouterTarget, transport: asyncio.BaseTransport) -> bytes:
    """The router's certificate as DER, b"" without TLS. Raises NotTrustedError if it is not the pinned one."""
    secure = transport.get_extra_info("ssl_object")
    if secure is None:
        return b""
    der: bytes = secure.getpeercert(binary_form=True) or b""
    if target.security is Security.PINNED:
        seen = hashlib.sha256(der).hexdigest()
        if not hmac.compare_digest(seen, target.fingerprint):
            raise NotTrustedError(
                f"{target.where} has another certificate than was pinned (its fingerprint is {seen}): it is another "
                "router, someone is in between, or the certificate was renewed. Compare it on the router itself, then "
                "pin the new one. No password was sent."
            )
    return der


async def _log_in(target: RouterTarget, link: Link) -> None:
    name = f"=name={target.username}"
    password = target.password.reveal()
    try:
        if target.old_login:
            reply = await link.ask(("/login",))
            answer = _challenge_answer(target, reply.done.get("ret", ""), password)
            await link.ask(("/login", name, f"=response={answer}"))
            return
        reply = await link.ask(("/login", name, f"=password={password.decode('utf-8', 'surrogateescape')}"))
    except RefusedError as error:
        raise LoginRefusedError(
            f"{target.where} does not let {target.username!r} in ({error.said}): check the user name and the password, "
            "and that the router's /user entry and /ip service allow our address."
        ) from None
    except (UnknownOutcomeError, NotSentError):
        sentence = link.ended[1] if link.ended else ""
        raise UnreachableError(f"{sentence} We were not logged in yet.") from None
    if "ret" in reply.done:
        raise OldLoginError(
            f"{target.where} asks for the login of releases before 6.43, which is easily overheard: upgrade the "
            "router, or allow the old login for it."
        )


def _challenge_answer(target: RouterTarget, challenge: str, password: bytes) -> str:
    """What releases before 6.43 want: 00 and the MD5 of a zero byte, the password and the challenge (API page)."""
    try:
        raw = bytes.fromhex(challenge)
    except ValueError:
        raw = b""
    if len(raw) not in CHALLENGE_BYTES:
        raise OldLoginError(f"{target.where} sent no challenge: it does not know the old login, so do not ask for it.")
    return "00" + hashlib.md5(b"\x00" + password + raw, usedforsecurity=False).hexdigest()


def _service(target: RouterTarget) -> str:
    return "api" if target.security is Security.PLAIN else "api-ssl"


def _translated(target: RouterTarget, error: OSError) -> RouterosError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrustedError(
            f"The certificate of {target.where} is not accepted ({error.verify_message}): correct the server name or "
            "the authorities, renew the certificate, or pin it. No password was sent."
        )
    if isinstance(error, ssl.SSLError):
        return NotTrustedError(
            f"No TLS with {target.where} ({error.reason or 'it was broken off'}): the port must be that of api-ssl, "
            "and /ip service must name a certificate for it."
        )
    service = _service(target)
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(f"{target.where} refused the connection: enable {service} in its /ip service.")
    if isinstance(error, ConnectionError):
        return UnreachableError(
            f"{target.where} broke the connection off: check that /ip service allows our address, and that the port is "
            f"that of {service}."
        )
    what = os.strerror(error.errno) if error.errno else str(error)
    return UnreachableError(f"{target.where} cannot be reached ({what}): check the route, the tunnel and the firewall.")
