"""The router self-test, run at once by whoever asks: the worker's part for one router, with the worker's rights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy.orm import Session

from ispagents.database import Databases
from ispagents.errors import Problem
from ispagents.installation import details_file
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from network.coa.errors import CoaError
from network.contract import Result
from policy.attributes import Attributes
from sql.abilities import LentSession, check_may_try, session_to_test
from sql.customers import router_by_name
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for
from worker.self_test import address_list
from worker.self_test.examining import Report, examine
from worker.self_test.place import Place, place_of

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared, not bound


class Here(NamedTuple):
    """This node: its name, where its CoA leaves, and where its FreeRADIUS listens."""

    node: str
    address: str
    listens: str


def here(state: StateFolder, settings: Settings) -> Here:
    """What the running installation says of itself, which may have been started with other settings than ours."""
    try:
        if state.holder() is not None:
            running = json.loads(details_file(state).read_text())
            return Here(running["node"]["name"], running["node"]["address"], running["radius"]["address"])
    except (OSError, ValueError, KeyError):
        pass  # it is just starting or stopping
    return Here(settings.node_name, settings.node_address, settings.radius_address)


class SelfTest:
    """The self-test of one router of one operator."""

    def __init__(self, databases: Databases, here: Here, box: SecretBox, operator_id: int, router_name: str) -> None:
        """Opens nothing yet."""
        self._databases = databases
        self._here = here
        self._box = box
        self._operator_id = operator_id
        self._router_name = router_name

    def run(self) -> Report:
        """Send the harmless requests. Raises Refused and Problem."""
        with self._acting() as session:
            place = self._place(session)
        with _one_sentence():
            return asyncio.run(examine(place))

    def send(self, username: str, *, back: bool, acct_session_id: str = "") -> tuple[LentSession, Result | None]:
        """Give a live session the test's list, or take it away (`back`); None where no CoA can take it away.

        The session is held meanwhile, for a few seconds at most. Raises Refused and Problem.
        """
        with self._acting() as session:
            place = self._place(session)
            router = router_by_name(session, self._operator_id, self._router_name)
            check_may_try(session, router)
            lent = session_to_test(session, router, username, acct_session_id, held=True)
            attributes = self._attributes(lent, back=back)
            if not attributes:
                return lent, None
            with _one_sentence():
                return lent, asyncio.run(address_list.send(place, lent, attributes))

    @staticmethod
    def _attributes(lent: LentSession, *, back: bool) -> Attributes:
        return address_list.put_back(lent.present) if back else address_list.with_test_list(lent.present)

    def _place(self, session: Session) -> Place:
        listens = self._here.listens
        return place_of(
            session,
            router_by_name(session, self._operator_id, self._router_name),
            self._box,
            node=self._here.node,
            source=self._here.address,
            other_sources=(listens,) if listens != EVERY_ADDRESS else (),
        )

    @contextmanager
    def _acting(self) -> Iterator[Session]:
        engine = self._databases.engine(Role.WORKER, pool=1)
        try:
            with acting_for(engine, self._operator_id) as session:
                yield session
        finally:
            engine.dispose()


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except CoaError as error:
        raise Problem(str(error)) from error
