"""The simulated routers and their customers, on an event loop of their own beside the story."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ispagents.errors import Problem
from simulators.coa_server import Received
from simulators.login import LoginResult
from simulators.nas import Nas
from simulators.routeros import ApiUser, RouterOs, RouterOsSettings
from simulators.routeros.device import Device
from simulators.sessions import Session
from simulators.settings import Client, NasSettings, RadiusServer

T = TypeVar("T")

REDIAL_S = 0.3
INTERIM_S = 60.0
CALL_TIMEOUT_S = 60.0
API_USER = "ispagents"


@dataclass
class FieldRouter:
    """A simulated router. `coa_address_list`: whether its CoA changes address lists, as some RouterOS versions do."""

    name: str
    address: str
    coa_address_list: bool
    radius: RadiusServer
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    nas: Nas | None = None
    api: RouterOs | None = None
    api_password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)

    @property
    def coa_port(self) -> int:
        """Where it listens for CoA."""
        return self.running.coa_port

    @property
    def running(self) -> Nas:
        """The running simulator."""
        if self.nas is None:
            raise Problem(f"The simulated router {self.name} is not running.")
        return self.nas

    @property
    def running_api(self) -> RouterOs:
        """The running API of the same router."""
        if self.api is None:
            raise Problem(f"The API of the simulated router {self.name} is not running.")
        return self.api


class Field:
    """All simulated routers. Methods may be called from the story's thread."""

    def __init__(self, routers: list[FieldRouter]) -> None:
        """Nothing runs before `start`."""
        self.routers = routers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="field", daemon=True)

    def start(self) -> None:
        """Start the routers."""
        self._thread.start()
        for router in self.routers:
            self.call(self._start(router))

    def stop(self) -> None:
        """Stop the routers, whatever state they are in."""
        if not self._thread.is_alive():
            return
        for router in self.routers:
            if router.api is not None:
                self.call(router.api.stop())
            if router.nas is not None:
                self.call(router.nas.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the routers' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    def read(self, look: Callable[[], T]) -> T:
        """Look at a router's state on its own loop, where nothing changes meanwhile."""

        async def looked() -> T:
            return look()

        return self.call(looked())

    def login(self, place: int, client: Client) -> LoginResult:
        """Log a client in; one that has `redial_s` comes back by itself after it was disconnected."""
        nas = self.routers[place].running
        return self.call(nas.keep_online(client) if client.redial_s is not None else nas.login(client))

    def sessions(self, place: int, username: str) -> tuple[Session, ...]:
        """The live sessions of a user name at a router."""
        nas = self.routers[place].running
        return self.read(lambda: nas.sessions.by_username(username))

    def received(self, place: int) -> list[Received]:
        """The CoA and Disconnect requests that a router got, oldest first."""
        nas = self.routers[place].running
        return self.read(lambda: list(nas.received))

    def device(self, place: int, look: Callable[[Device], T]) -> T:
        """Look at a router's configuration, or do something there by hand."""
        api = self.routers[place].running_api
        return self.read(lambda: api.do(look))

    async def _start(self, router: FieldRouter) -> None:
        settings = NasSettings(
            name=router.name,
            address=router.address,
            radius=(router.radius,),
            secret=router.secret,
            interim_update_s=INTERIM_S,
            coa_port=0,
            coa_address_list=router.coa_address_list,
            radius_timeout_s=2.0,
            radius_tries=5,
        )
        nas = Nas(settings)
        try:
            await nas.start()
        except OSError as error:
            raise Problem(
                f"The simulated router {router.name} cannot use {router.address}: {error.strerror}; is another demo "
                "running?"
            ) from error
        router.nas = nas
        user = ApiUser(name=API_USER, password=router.api_password)
        api = RouterOs(RouterOsSettings(identity=router.name, address=router.address, users=(user,)), nas=nas)
        await api.start()
        router.api = api
