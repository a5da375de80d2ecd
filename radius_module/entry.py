"""The hooks that rlm_python3 calls; the only file that imports radiusd.

Answers are exact tuples and exact ints, as rlm_python3 demands; the key for control attributes is `config`.
Whatever goes wrong ends in silence, so that the router asks its other server, and in one line of the log.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import radiusd

from policy.reasons import Reason
from policy.stamp import read_class
from radius_module.logins import LEARN, Answer, Logins, UnknownRouter, note
from radius_module.pairs import Pair, UnfitValue, escaped
from radius_module.records import RouterRow
from radius_module.replica import NoReplica, Replica
from radius_module.space import SpoolSpace

OK = radiusd.RLM_MODULE_OK
REJECT = radiusd.RLM_MODULE_REJECT
NOOP = radiusd.RLM_MODULE_NOOP
NOTFOUND = radiusd.RLM_MODULE_NOTFOUND

# Set by `update request` in sites-available/ispagents: the packet's source, which selects router and operator.
SOURCE = "Tmp-String-1"
NOTE = "Tmp-String-0"
LOG_EVERY_S = 10.0
KNOWN_ROUTERS = 4096  # the most recently seen; about a megabyte

# The request's attributes as text. A name that occurs twice counts with its last value.
Packet = tuple[tuple[str, str], ...]
ACCEPT = (("Auth-Type", ":=", "Accept"),)
# The section of post-auth that spools what the login teaches.
NOTED = ("Post-Auth-Type", ":=", "NOTED")
# What is about a router as a whole, and so about everybody's sessions.
WHOLE_ROUTER = ("Accounting-On", "Accounting-Off")
SILENCE = (OK, {"config": (("Response-Packet-Type", ":=", "Do-Not-Respond"),)})
_logins: Logins | None = None
_replica: Replica | None = None
_space: SpoolSpace | None = None
_known_routers: dict[str, RouterRow] = {}
_logged_at: dict[str, float] = {}


class DiskFull(Exception):  # noqa: N818 - reads as what happened
    """There is no room for accounting; routers keep it and send it again."""


def instantiate(_: Any) -> int:
    """Prepare; opens nothing, so that the server's own check mode touches nothing."""
    global _logins, _replica, _space  # noqa: PLW0603 - rlm_python3 offers functions only; this is where their state begins
    _replica = Replica(Path(radiusd.config["replica"]))
    _logins = Logins(_replica, time.time)
    _space = SpoolSpace(radiusd.config["spool"], time.monotonic)
    return OK  # type: ignore[no-any-return] # radiusd has no types


def authorize(packet: Packet) -> Any:
    """Decide on a login."""
    request = dict(packet)
    try:
        usual = _logins.usual(request, request[SOURCE])  # type: ignore[union-attr] # set by instantiate
        if usual is None:
            return _result(_logins.decided(request, request[SOURCE]))  # type: ignore[union-attr] # as above
    except (NoReplica, UnknownRouter, UnfitValue) as problem:
        return _silent(problem)
    reply, password = usual
    return (OK, reply, (("Cleartext-Password", ":=", escaped(password)),))


def authenticate(packet: Packet) -> Any:
    """Called after PAP or CHAP found the password wrong: a restricted login if the operator chose that."""
    return _wrong_password(packet, (NOTED,))


def authorize_ours(packet: Packet) -> Any:
    """Decide on a login beside other modules: NOOP leaves it to them, NOTFOUND says that nobody can tell."""
    request = dict(packet)
    try:
        if not _is_ours(request):
            return NOOP
        answer = _logins.authorize(request, request[SOURCE])  # type: ignore[union-attr] # set by instantiate
    except NoReplica as problem:
        _log(problem)
        return NOTFOUND
    except (UnknownRouter, UnfitValue) as problem:
        return _silent(problem)
    return _result(answer, noted=())


def authenticate_ours(packet: Packet) -> Any:
    """As `authenticate`; what is to be noted, the server's own post-auth sees by the note."""
    return _wrong_password(packet, ())


def post_auth(packet: Packet) -> Any:
    """Called for refused logins: note why, unless authorize did. What got this far had a wrong password.

    A note of what the login would have taught is replaced: a wrong password must not bind a device.
    """
    request = dict(packet)
    if NOTE in request and LEARN not in request[NOTE]:
        return NOOP
    try:
        row = _replica.login(request[SOURCE], request.get("User-Name", ""))  # type: ignore[union-attr] # as above
    except NoReplica:
        return NOOP
    if row is None:
        return NOOP
    return (OK, {"request": ((NOTE, ":=", note(row, Reason.WRONG_PASSWORD)),)})


def accounting(packet: Packet) -> Any:
    """Note router, service and the authorised stamp on the record. The spool's own write decides the answer.

    Without room for it the record is refused, and so not acknowledged.
    """
    if not _space.enough():  # type: ignore[union-attr] # set by instantiate
        _log(DiskFull("the disk of the accounting spool is full; accounting is not acknowledged until there is room"))
        return REJECT
    request = dict(packet)
    try:
        text = _logins.annotate(request, request[SOURCE])  # type: ignore[union-attr] # set by instantiate
    except (NoReplica, UnknownRouter) as problem:
        _log(problem)
        return NOOP
    return (OK, {"request": ((NOTE, ":=", text),)})


def accounting_ours(packet: Packet) -> Any:
    """As `accounting`, beside other modules: NOOP for what is not ours, NOTFOUND where nobody can tell.

    A session that we opened stays ours by its Class, whatever has become of its service since; a router that restarts
    tells everybody.
    """
    request = dict(packet)
    try:
        router = _replica.router(request[SOURCE])  # type: ignore[union-attr] # set by instantiate
        ours = router is not None and (
            request.get("Acct-Status-Type") in WHOLE_ROUTER or _carries_our_class(packet) or _is_ours(request)
        )
    except NoReplica as problem:
        _log(problem)
        return REJECT if not _space.enough() else NOTFOUND  # type: ignore[union-attr] # as above
    if not ours:
        return NOOP
    result = accounting(packet)
    return NOTFOUND if result == NOOP else result


def client(packet: Packet) -> Any:
    """Tell FreeRADIUS who a packet's source is, so that a new router needs no restart (dynamic clients).

    While the replica cannot be read a router that was known stays so: its accounting can still be spooled.
    """
    request = dict(packet)
    try:
        router = _replica.router(request[SOURCE])  # type: ignore[union-attr] # set by instantiate
        _remember(request[SOURCE], router)
    except NoReplica as problem:
        _log(problem)
        router = _known_routers.get(request[SOURCE])
    if router is None:
        return NOTFOUND
    return (
        OK,
        {
            "config": (
                ("FreeRADIUS-Client-IP-Address", ":=", request[SOURCE]),
                ("FreeRADIUS-Client-Secret", ":=", escaped(router.secret)),
                ("FreeRADIUS-Client-Shortname", ":=", f"router-{router.router_id}"),
                ("FreeRADIUS-Client-Require-MA", ":=", "yes" if router.require_message_authenticator else "no"),
            )
        },
    )


def _wrong_password(packet: Packet, noted: tuple[Pair, ...]) -> Any:
    request = dict(packet)
    try:
        answer = _logins.wrong_password(request, request[SOURCE])  # type: ignore[union-attr] # set by instantiate
    except (NoReplica, UnknownRouter, UnfitValue) as problem:
        return _silent(problem)
    if not answer.accepted:
        return (REJECT, {"request": ((NOTE, ":=", answer.note),)})
    # The first decision's attributes were taken out of the reply before, so that none widens these. Its note goes too:
    # what it would have learnt, a wrong password must not teach.
    return (OK, {"reply": answer.reply, "config": noted, "request": ((NOTE, ":=", answer.note),)})


def _remember(source: str, router: RouterRow | None) -> None:
    _known_routers.pop(source, None)
    if router is not None:
        _known_routers[source] = router
        if len(_known_routers) > KNOWN_ROUTERS:
            del _known_routers[next(iter(_known_routers))]


def _is_ours(request: dict[str, str]) -> bool:
    found = _replica.find(request[SOURCE], request.get("User-Name", ""))  # type: ignore[union-attr] # set by instantiate
    return found is not None and found[2] is not None


def _carries_our_class(packet: Packet) -> bool:
    """Whether one of the packet's Class attributes is ours; octets come as hexadecimal text."""
    for name, value in packet:
        if name == "Class" and value.startswith("0x"):
            with suppress(ValueError):  # of somebody else's octets
                if read_class(bytes.fromhex(value[2:]).decode("ascii")) is not None:
                    return True
    return False


def _result(answer: Answer, noted: tuple[Pair, ...] = (NOTED,)) -> Any:
    accepted, reply, password, text = answer
    if not accepted:
        return (REJECT, {"request": ((NOTE, ":=", text),)})
    config: tuple[Pair, ...] = ACCEPT if password is None else (("Cleartext-Password", ":=", escaped(password)),)
    if text:
        return (OK, {"reply": reply, "config": (*config, *noted), "request": ((NOTE, ":=", text),)})
    # Reply and config as a tuple: for a dict the server would also look for four other lists.
    return (OK, reply, config)


def _silent(problem: Exception) -> Any:
    _log(problem)
    return SILENCE


def _log(problem: Exception) -> None:
    """One line a kind every ten seconds: an outage must not fill the disk with itself."""
    kind, now = type(problem).__name__, time.monotonic()
    if now - _logged_at.get(kind, -LOG_EVERY_S) < LOG_EVERY_S:
        return
    _logged_at[kind] = now
    radiusd.radlog(radiusd.L_ERR, f"ispagents: {kind}: {problem}")
