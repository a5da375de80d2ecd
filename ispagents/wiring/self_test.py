"""The router self-test, run at once by whoever asks: the worker's part for one router, with the worker's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from ispagents.database import Databases
from ispagents.errors import Problem
from ispagents.settings import Settings
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


class SelfTest:
    """The self-test of one router of one operator."""

    def __init__(
        self, databases: Databases, settings: Settings, box: SecretBox, operator_id: int, router_name: str
    ) -> None:
        """Opens nothing yet."""
        self._databases = databases
        self._settings = settings
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
        settings = self._settings
        listening = settings.radius_address
        return place_of(
            session,
            router_by_name(session, self._operator_id, self._router_name),
            self._box,
            node=settings.node_name,
            source=settings.node_address,
            other_sources=(listening,) if listening != "0.0.0.0" else (),  # noqa: S104 - compared, not bound
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
