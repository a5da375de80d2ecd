"""Routers as far as a change can tell: sessions with what was applied to them, and the ways in which routers lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from network.coa.error_causes import ErrorCause
from network.coa.packets import Kind, Reply, Request
from simulation.world import World

Tag = tuple[int, int]
"""The step and the attempt that a packet belongs to."""

REMEMBERED = 64  # requests whose copies are answered without being done again
IDENTIFYING = frozenset({"User-Name", "Acct-Session-Id"})


@dataclass
class Quirks:
    """What a router does otherwise than it says. Those that lie stay; the others end when the world is calmed."""

    lies_about_coa: bool = False
    lies_about_disconnect: bool = False
    refuses_coa: bool = False
    refuses_disconnect: bool = False
    remembers_requests: bool = True
    wrong_secret: bool = False
    busy: bool = False


@dataclass
class Online:
    """A session on a router. `attributes` is what is applied now, by name."""

    acct_session_id: str
    login_id: str
    username: str
    service_id: int
    mac: str
    framed_address: str
    attributes: dict[str, tuple[str, ...]]
    class_stamp: str
    started_at: datetime
    coa_by: Tag | None = None


class Effect(NamedTuple):
    """A packet that changed something. `late`: its sender had given it up, or the answer was known already."""

    tag: Tag
    kind: Kind
    acct_session_id: str
    late: bool


@dataclass
class RouterModel:
    """One router. `ended` is called with a session that the router ended by itself or by order."""

    world: World
    router_id: int
    name: str
    address: str
    coa_address_list: bool
    dynamic_authorization: bool
    quirks: Quirks
    reachable: bool = True
    running: bool = True
    boots: int = 0
    sessions: dict[str, Online] = field(default_factory=dict)
    seen: list[Tag] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    ended: Callable[[RouterModel, Online, str], None] | None = None
    lost: Callable[[RouterModel, Online], None] | None = None
    _answers: dict[int, Reply] = field(default_factory=dict)
    _count: int = 0

    @property
    def lies(self) -> bool:
        """Whether an acknowledgement of this router may be worth nothing."""
        return self.quirks.lies_about_coa or self.quirks.lies_about_disconnect

    @property
    def obeys(self) -> bool:
        """Whether a Disconnect ends a session here; where it does not, the same is tried for ever."""
        return not (self.quirks.lies_about_disconnect or self.quirks.refuses_disconnect)

    def new_session_id(self) -> str:
        """As RouterOS writes it: the boot in the first digits, then a counter."""
        self._count += 1
        return f"8{self.boots % 16:x}{self._count:06x}"

    def receive(self, request: Request, number: int, tag: Tag, *, late: bool) -> Reply | None:
        """What the router answers to a packet; None is silence. Copies have the `number` of their original."""
        if not (self.reachable and self.running):
            return None
        self.seen.append(tag)
        if self.quirks.remembers_requests and number in self._answers:
            return self._answers[number]
        if self.quirks.busy and self.world.chance(0.5):
            return Reply(acknowledged=False, error_cause=ErrorCause.RESOURCES_UNAVAILABLE, attributes=(), signed=True)
        reply = self._do(request, tag, late=late)
        self._answers[number] = reply
        if len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return reply

    def reboot(self) -> list[Online]:
        """Everything is forgotten; nobody is told. Returns the sessions that were lost."""
        lost = list(self.sessions.values())
        self.sessions.clear()
        self._answers.clear()
        self.boots += 1
        self._count = 0
        return lost

    def end(self, session: Online, cause: str) -> None:
        """A session ends, and accounting says so."""
        del self.sessions[session.acct_session_id]
        if self.ended is not None:
            self.ended(self, session, cause)

    def _do(self, request: Request, tag: Tag, *, late: bool) -> Reply:
        said: dict[str, list[str]] = {}
        for name, value in request.attributes:
            said.setdefault(name, []).append(value)
        session = self.sessions.get(said["Acct-Session-Id"][0])
        if session is None or session.username != said["User-Name"][0]:
            return _refused(ErrorCause.SESSION_CONTEXT_NOT_FOUND)
        if request.kind == Kind.DISCONNECT:
            return self._disconnect(session, tag, late=late)
        if self.quirks.refuses_coa:
            return _refused(ErrorCause.UNSUPPORTED_ATTRIBUTE)
        if not self.quirks.lies_about_coa:
            self._change(session, said, tag, late=late)
        return Reply(acknowledged=True, error_cause=None, attributes=(), signed=True)

    def _disconnect(self, session: Online, tag: Tag, *, late: bool) -> Reply:
        if self.quirks.refuses_disconnect:
            return _refused(ErrorCause.ADMINISTRATIVELY_PROHIBITED)
        if not self.quirks.lies_about_disconnect:
            self.effects.append(Effect(tag, Kind.DISCONNECT, session.acct_session_id, late))
            self.end(session, "Admin-Reset")
        return Reply(acknowledged=True, error_cause=None, attributes=(), signed=True)

    def _change(self, session: Online, said: dict[str, list[str]], tag: Tag, *, late: bool) -> None:
        new = {name: tuple(values) for name, values in said.items() if name not in IDENTIFYING}
        if new.pop("Framed-IP-Address", (session.framed_address,)) != (session.framed_address,):
            raise AssertionError("a CoA names an address that the session does not have")
        changed = {name: values for name, values in new.items() if session.attributes.get(name) != values}
        if changed:
            session.attributes.update(changed)
            self.effects.append(Effect(tag, Kind.COA, session.acct_session_id, late))
        session.coa_by = tag


def _refused(cause: ErrorCause) -> Reply:
    return Reply(acknowledged=False, error_cause=int(cause), attributes=(), signed=True)
