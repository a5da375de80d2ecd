"""Devices: they dial, get what some replica says, hang up, and dial again when they are thrown out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policy.access import Kind as AccessKind
from policy.attributes import reply_attributes
from policy.documents import service_document
from policy.facts import Login, Method
from policy.stamp import stamp
from simulation.edges import Edges
from simulation.routers import Online, RouterModel
from simulation.world import Violation, World
from sql.reports import Kind

REDIAL_S = (0.5, 20.0)
REFUSED_REDIAL_S = (30.0, 120.0)
INTERIM_S = 150.0


@dataclass(eq=False)
class Device:
    """A customer's box on one service. `session` is what it believes to have."""

    username: str
    mac: str
    home: RouterModel
    service_id: int
    router: RouterModel | None = None
    session: Online | None = None
    off: bool = False
    unheard_s: float = 0.0
    """The next end of its session is told to nobody, and it stays away for so long."""
    unheard: Callable[[RouterModel], None] = lambda _: None
    """What begins when that session has ended."""
    dialling: bool = False
    held: bool = False
    """A router that asks no RADIUS has it, until it is brought back."""


class Customers:
    """All devices. `authorised` says whether these facts were authorised for a service at any time."""

    def __init__(
        self, world: World, edges: Edges, routers: list[RouterModel], authorised: Callable[[int, object], bool]
    ) -> None:
        """Nobody is online yet."""
        self._world = world
        self._edges = edges
        self._routers = routers
        self._authorised = authorised
        self.devices: dict[str, Device] = {}
        self._logins = 0
        for router in routers:
            router.ended = self._ended

    def add(self, username: str, service_id: int, home: RouterModel) -> None:
        """A new device, which dials soon."""
        number = len(self.devices) + 1
        device = Device(username, f"02:00:00:00:00:{number:02X}", home, service_id)
        self.devices[username] = device
        self.redial(device, REDIAL_S)

    def redial(self, device: Device, within_s: tuple[float, float]) -> None:
        """Dial in a while."""
        if not device.dialling and not device.off:
            device.dialling = True
            self._world.after(self._world.between(*within_s), lambda: self._dial(device))

    def hang_up(self, device: Device, for_s: float) -> None:
        """Switched off, and on again later."""
        device.off = True
        if device.session is not None and device.router is not None:
            if device.session.acct_session_id in device.router.sessions:
                device.router.end(device.session, "User-Request")
            device.session = None
        self._world.after(for_s, lambda: self._switch_on(device))

    def reboot(self, router: RouterModel, for_s: float, *, says_so: bool) -> None:
        """A router restarts: its sessions are gone in silence, and their devices dial again."""
        self._world.say(f"{router.name} reboots, {len(router.sessions)} sessions are lost")
        router.running = False
        lost = {session.username for session in router.reboot()}
        self._world.after(for_s, lambda: self._up(router, lost, says_so=says_so))

    def interims(self) -> None:
        """Every live session reports."""
        for router in self._routers:
            for session in list(router.sessions.values()):
                self._edges.tell(router, session, Kind.INTERIM)

    def _up(self, router: RouterModel, lost: set[str], *, says_so: bool) -> None:
        router.running = True
        if says_so:
            self._edges.restarted(router)
        for name in sorted(lost):
            device = self.devices[name]
            if device.router is router:
                device.session = None
                self.redial(device, REDIAL_S)

    def _switch_on(self, device: Device) -> None:
        if device.held:
            return
        device.off = False
        if device.session is None:
            self.redial(device, REDIAL_S)

    def _dial(self, device: Device) -> None:
        device.dialling = False
        if device.off or device.session is not None:
            return
        router = device.home if self._world.chance(0.9) else self._world.random.choice(self._routers)
        if not router.running:
            self.redial(device, REDIAL_S)
            return
        edge = self._world.random.choice(self._edges.all)
        decided = edge.decide(device.username, Login(Method.PPPOE, device.mac, router.router_id, ""))
        if decided is None or decided[1].kind == AccessKind.DENY:
            self.redial(device, REFUSED_REDIAL_S)
            return
        facts, access = decided
        if not self._authorised(device.service_id, service_document(facts)):
            raise Violation(f"the login of {device.username} got {facts}, which nobody authorised")
        attributes: dict[str, tuple[str, ...]] = {}
        for name, value in reply_attributes(access):
            attributes[name] = (*attributes.get(name, ()), value)
        self._logins += 1
        login_id = f"{self._logins:032x}"
        # Between the answer and the session itself something may be authorised that this session never hears of.
        device.dialling = True
        self._world.after(
            self._world.between(0.01, 3.0), lambda: self._online(device, router, login_id, attributes, stamp(access))
        )

    def _online(
        self, device: Device, router: RouterModel, login_id: str, attributes: dict[str, tuple[str, ...]], given: str
    ) -> None:
        device.dialling = False
        if device.off or not router.running:
            self.redial(device, REDIAL_S)
            return
        address = attributes.get("Framed-IP-Address", (f"100.64.0.{self._logins % 250 + 1}",))[0]
        session = Online(
            router.new_session_id(),
            login_id,
            device.username,
            device.service_id,
            device.mac,
            address,
            attributes,
            given,
            self._world.now,
        )
        router.sessions[session.acct_session_id] = session
        device.router, device.session = router, session
        self._world.say(f"{device.username} is online at {router.name} as {session.acct_session_id} with {given}")
        self._edges.tell(router, session, Kind.START)
        limit = attributes.get("Session-Timeout")
        if limit is not None:
            self._world.after(float(limit[0]), lambda: self._timed_out(router, session))
        self._world.after(self._world.between(5.0, INTERIM_S), lambda: self._interim(router, session))

    def _interim(self, router: RouterModel, session: Online) -> None:
        if router.sessions.get(session.acct_session_id) is session:
            self._edges.tell(router, session, Kind.INTERIM)
            self._world.after(INTERIM_S, lambda: self._interim(router, session))

    def _timed_out(self, router: RouterModel, session: Online) -> None:
        if router.sessions.get(session.acct_session_id) is session:
            router.end(session, "Session-Timeout")

    def _ended(self, router: RouterModel, session: Online, cause: str) -> None:
        self._world.say(f"session {session.acct_session_id} of {session.username} ends: {cause}")
        device = self.devices[session.username]
        if device.unheard_s:
            device.off = True
            self._world.after(device.unheard_s, lambda: self._switch_on(device))
            device.unheard_s = 0.0
            device.unheard(router)
        else:
            self._edges.tell(router, session, Kind.STOP, cause)
        if device.session is session:
            device.session = None
            self.redial(device, REDIAL_S)
