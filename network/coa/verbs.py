"""Change or end one live session; a verb acts when called and says what happened as a `Result`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from network.coa.abilities import ROUTEROS, Ability
from network.coa.error_causes import ErrorCause, meaning_of
from network.coa.errors import (
    BadAuthenticatorError,
    BadMessageAuthenticatorError,
    InvalidAttributeError,
    MissingMessageAuthenticatorError,
)
from network.coa.exchange import Ending, Exchange
from network.coa.packets import Kind, Reply, Request
from network.coa.target import IDENTIFICATION, Target
from network.coa.transport import Transport
from network.contract import Outcome, Result, nothing_sent

# NAS-IP-Address and NAS-Identifier name a router, not a session.
NAMES_A_SESSION: Final = frozenset(IDENTIFICATION) - {"NAS-IP-Address", "NAS-Identifier"}
WRONG_SECRET_SIGNS: Final = frozenset({BadAuthenticatorError.cause, BadMessageAuthenticatorError.cause})
CACHED_READERS: Final = 64  # there are as many as routers are set differently
CACHED_CHANGES: Final = 256
WORDS: Final = {Kind.COA: "change", Kind.DISCONNECT: "disconnect"}
ACKNOWLEDGED: Final = {
    kind: (Outcome.APPLIED, "acknowledged", f"The router acknowledged the {what}; read back to prove it.", False)
    for kind, what in WORDS.items()
}


class Session(NamedTuple):
    """The identification of a live session, as the router itself reported it; "" is "not known".

    `acct_session_id` exactly as received: RouterOS compares text, so case and leading zeros matter.
    Which of these are sent is the target's `identify_by`.
    """

    user_name: str = ""
    acct_session_id: str = ""
    framed_ip_address: str = ""
    nas_ip_address: str = ""
    nas_identifier: str = ""
    calling_station_id: str = ""

    def identification(self, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """The known ones of `names` as attributes.

        Raises InvalidAttributeError if none of them names a session: such a request could hit anybody.
        """
        values = _reader(names)(self)
        pairs = tuple(zip(names, values, strict=True))
        if not all(values):
            pairs = tuple([pair for pair in pairs if pair[1]])
        for name, _ in pairs:
            if name in NAMES_A_SESSION:
                return pairs
        raise InvalidAttributeError(
            f"Nothing known of the session is among {', '.join(names)}; read the session again, "
            "or let this router be sent more of the identification."
        )

    def key(self) -> tuple[str, str]:
        """What two requests for the same session have in common, even if one knows more of it."""
        return self.user_name, self.acct_session_id or self.framed_ip_address or self.calling_station_id


@lru_cache(maxsize=CACHED_READERS)
def _reader(names: tuple[str, ...]) -> Callable[[Session], tuple[str, ...]]:
    """What gives the values of `names` in one call; the fields of a Session are in the order of IDENTIFICATION."""
    places = [IDENTIFICATION.index(name) for name in names]
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))  # a tuple even of one
    return itemgetter(*places)


async def change_authorization(
    transport: Transport, target: Target, session: Session, attributes: tuple[tuple[str, str], ...]
) -> Result:
    """Send a CoA-Request with `attributes` as (name, value) text, the full new state of what should change.

    Waits its turn if this session has a request in flight. An attribute that RouterOS can never change by CoA is
    refused here and nothing is sent. `applied` means acknowledged; read back or wait for accounting to know.

    Raises InvalidAttributeError, InvalidTargetError, TooManyWaitingError, TransportClosedError (nothing was sent).
    """
    if not attributes:
        raise InvalidAttributeError("A CoA without attributes changes nothing; give at least one.")
    name = _never_changeable(attributes)
    if name is not None:
        return _not_changeable(name)
    request = Request(Kind.COA, session.identification(target.identify_by) + attributes)
    return await _ask(transport, target, session, request)


async def disconnect(transport: Transport, target: Target, session: Session) -> Result:
    """Send a Disconnect-Request. A router that has no such session (Error-Cause 503) gives `already_so`.

    Waits its turn if this session has a request in flight. Raises as `change_authorization` does.
    """
    return await _ask(transport, target, session, Request(Kind.DISCONNECT, session.identification(target.identify_by)))


@lru_cache(maxsize=CACHED_CHANGES)
def _never_changeable(attributes: tuple[tuple[str, str], ...]) -> str | None:
    """The first that needs a Disconnect, None if there is none; raises InvalidAttributeError.

    A run makes the same change to thousands of sessions, so it is looked at once.
    """
    for name, _ in attributes:
        if name in IDENTIFICATION and name != "Framed-IP-Address":
            raise InvalidAttributeError(f"{name} identifies the session; give it in the Session, not as a change.")
        if ROUTEROS.of(name) is Ability.NEEDS_DISCONNECT:
            return name
    return None


async def _ask(transport: Transport, target: Target, session: Session, request: Request) -> Result:
    key = (target.endpoint, session.key())
    if not transport.turns.take_free(key):
        request.encode_attributes()  # a value that cannot be sent is an error now, not after waiting for a turn
        await transport.turns.take(key)
    try:
        exchange = await transport.exchange(target, request)
    finally:
        transport.turns.give_back(key)
    return _result(target, request, exchange)


def _result(target: Target, request: Request, exchange: Exchange) -> Result:
    if exchange.reply is not None:
        outcome, cause, explanation, may_retry = _answered(request.kind, exchange.reply)
    else:
        outcome, cause, explanation, may_retry = _unanswered(target, exchange)
    return Result(
        outcome=outcome,
        cause=cause,
        explanation=explanation,
        attempts=exchange.attempts,
        round_trip_ms=exchange.round_trip_ms,
        sent=request.attributes,
        reply=exchange.reply.attributes if exchange.reply else (),
        started_at=exchange.started_at,
        ended_at=exchange.ended_at,
        may_retry=may_retry,
    )


def _answered(kind: Kind, reply: Reply) -> tuple[Outcome, str, str, bool]:
    if reply.acknowledged:
        return ACKNOWLEDGED[kind]
    what = WORDS[kind]
    if reply.error_cause is None:
        sentence = (
            f"The router refused the {what} without saying why; see its log, compare the identification and values "
            "sent with its session list, and check what its service supports."
        )
        return Outcome.REFUSED, "no_error_cause", sentence, False
    if reply.error_cause in (ErrorCause.SESSION_CONTEXT_NOT_FOUND, ErrorCause.RESIDUAL_SESSION_CONTEXT_REMOVED):
        return _session_gone(kind, reply.error_cause)
    meaning = meaning_of(reply.error_cause)
    return Outcome.REFUSED, f"error_cause:{reply.error_cause}", meaning.sentence, meaning.may_retry


def _session_gone(kind: Kind, error_cause: int) -> tuple[Outcome, str, str, bool]:
    if kind is Kind.DISCONNECT:
        sentence = (
            f"The session is already offline: the router has none like it ({error_cause}). If it still shows as "
            "online there, the identification that was sent does not match; read the session again."
        )
        return Outcome.ALREADY_SO, "already_offline", sentence, False
    sentence = (
        f"The session is gone: the router has none like it ({error_cause}), so there was nothing to change. Read the "
        "sessions again; a new login gets the new access by itself."
    )
    return Outcome.REFUSED, "session_gone", sentence, False


def _unanswered(target: Target, exchange: Exchange) -> tuple[Outcome, str, str, bool]:
    where = f"{target.address} port {target.port}"
    rejected = dict(exchange.rejected)
    if exchange.ending is Ending.CLOSED:
        if not exchange.attempts:
            sentence = f"This program stopped before anything was sent to {where}; send it again."
            return Outcome.UNKNOWN, "closed_before_sending", sentence, True
        sentence = (
            f"This program stopped while waiting for {where}; look at the session, then send the wanted state again."
        )
        return Outcome.UNKNOWN, "closed", sentence, True
    if WRONG_SECRET_SIGNS & rejected.keys():
        sentence = (
            f"Answers came from {where}, but all with a wrong signature: most likely the secret here differs from the "
            "one in the router's /radius entry for our address. Set both to the same."
        )
        return Outcome.NO_ANSWER, "wrong_secret_signs", sentence, False
    if MissingMessageAuthenticatorError.cause in rejected:
        sentence = (
            f"Answers came from {where} without Message-Authenticator, which this router is set to require; "
            "correct that setting if the router does not send it."
        )
        return Outcome.NO_ANSWER, "missing_message_authenticator", sentence, False
    if exchange.ending is Ending.UNREACHABLE:
        return _unreachable(where, exchange)
    sentence = (
        f"No answer from {where} to {exchange.attempts} packets. A router is silent for any of these: /radius incoming "
        "has accept=no, another port (1700 or 3799), a source address that is not their RADIUS server, another "
        "secret, or a firewall in between. Check these, and send the wanted state again."
    )
    return Outcome.NO_ANSWER, "malformed_replies" if rejected else "timeout", sentence, True


def _unreachable(where: str, exchange: Exchange) -> tuple[Outcome, str, str, bool]:
    number = exchange.network_errno
    if number == errno.ECONNREFUSED:
        sentence = (
            f"{where} said that nothing listens there: set /radius incoming accept=yes on the router, and the same "
            "port here and there (1700 or 3799). If the router is starting, try again."
        )
        return Outcome.UNREACHABLE, "port_unreachable", sentence, True
    name = errno.errorcode.get(number, str(number))
    sentence = (
        f"{where} cannot be reached ({os.strerror(number)}): check the route, the tunnel, our source "
        "address and the firewall on the way, then try again."
    )
    return Outcome.UNREACHABLE, f"network:{name}", sentence, True


def _not_changeable(name: str) -> Result:
    said = f"A CoA cannot change {name} of a live session; disconnect it: the next login gets the new value."
    return nothing_sent(
        Outcome.REFUSED, cause=f"not_changeable:{name}", explanation=said, now=datetime.now(UTC), may_retry=False
    )
