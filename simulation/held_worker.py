"""The worker's other half: it writes what routers hold. The code is the real one; its time and database are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NoReturn, ParamSpec, TypeVar, cast

from sqlalchemy.orm import Session

from network.routeros.keeper import Keeper
from simulation.api import ApiKeeper, Loop
from simulation.world import DatabaseRestarted, World
from sql.roles import Role
from sql.secrets import SecretBox
from worker.configure import Configurer
from worker.threads import Lane

P = ParamSpec("P")
T = TypeVar("T")

THREAD_S = (0.0, 0.02)


class SimulatedConfigurer(Configurer):
    """Database work takes a moment, may meet a restart, and the worker may die before it and after it."""

    def __init__(self, world: World, keeper: ApiKeeper, box: SecretBox, dies: Callable[[], bool]) -> None:
        """`dies` kills the worker in some cases, and says whether it did."""
        super().__init__(world.database.worker, cast("Keeper", keeper), box, lambda: False)
        self._world = world
        self._pause = keeper.pause
        self._dies = dies

    async def _aside(self, lane: Lane, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        del lane  # there are no threads here
        await self._moment()
        done = work(*arguments, **options)
        await self._moment()
        return done

    async def _moment(self) -> None:
        await self._pause(THREAD_S)
        if self._dies():
            await asyncio.get_running_loop().create_future()  # nothing more is done in this life

    def _acting(self, _: int) -> AbstractContextManager[Session]:
        return self._world.acting(Role.WORKER)


class HeldWorker:
    """The jobs of routers that hold services; one of a kind runs at a time, and one that comes meanwhile follows it."""

    def __init__(self, world: World, loop: Loop, keeper: ApiKeeper, box: SecretBox) -> None:
        """Idle."""
        self._world = world
        self._loop = loop
        self._keeper = keeper
        self._configurer = SimulatedConfigurer(world, keeper, box, self.dies_now)
        self._running: dict[tuple[int, bool], asyncio.Task[None]] = {}
        self._again: set[tuple[int, bool]] = set()
        self.dies = 0.0
        self.dies_after_write = False
        self.die: Callable[[], None] = lambda: None

    @property
    def idle(self) -> bool:
        """Whether no job runs."""
        return not self._running

    def work(self, router_id: int, *, hurry: bool) -> None:
        """A router's job."""
        key = (router_id, hurry)
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = self._loop.create_task(self._run(*key))
        self._loop.settle()

    def kill(self) -> None:
        """Nothing of this life goes on."""
        self._keeper.forget()
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._again.clear()
        # Later, since it may be one of these tasks that stumbled.
        self._world.after(0.0, self._loop.settle)

    def dies_now(self, verb: str = "") -> bool:
        """Let the worker die, by chance, or because a story wants it; `verb` is what a router has just done."""
        wanted = self.dies_after_write and verb == "set"
        if not wanted and not self._world.chance(self.dies):
            return False
        self.dies_after_write = self.dies_after_write and not wanted
        self.die()
        return True

    def close(self) -> None:
        """The end of the seed."""
        self.kill()
        self._loop.settle()
        self._loop.close()

    async def _run(self, router_id: int, hurry: bool) -> None:
        key = (router_id, hurry)
        own = asyncio.current_task()
        try:
            attempts = await self._configurer.work(self._world.operator_id, router_id, hurry=hurry)
            if attempts:
                self._world.counts["attempts at routers that hold services"] += attempts
        except DatabaseRestarted:
            self._world.counts["steps cut by a restart"] += 1
        except Exception as error:  # noqa: BLE001 - thrown where the world ends with it
            self._world.after(0.0, partial(_throw, error))
        finally:
            if self._running.get(key) is own:
                del self._running[key]
                if key in self._again:
                    self._again.discard(key)
                    self._world.after(0.0, lambda: self.work(router_id, hurry=hurry))


def _throw(error: Exception) -> NoReturn:
    raise error
