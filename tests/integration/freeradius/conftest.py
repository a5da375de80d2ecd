"""One real FreeRADIUS for all tests of this folder, and routers and services of each test's own."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that these tests also run by themselves

from fixtures_freeradius import Router, Server, router_row, running_server, service_row

_numbers = itertools.count(2)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The running server. When the tests have ended it still runs, and no file of it holds a password."""
    with running_server() as one:
        yield one
        assert one.is_running(), one.log()
        assert not one.leaks()


@pytest.fixture
def router(server) -> Router:
    """A router that only this test uses, of an operator of its own."""
    number = next(_numbers)
    address = f"127.1.{number // 250}.{number % 250 + 1}"
    server.add_router(router_row(address, number, operator=number))
    return Router(server, address, operator=number)


@pytest.fixture
def add(server, router) -> Callable[..., int]:
    """Add a service of this test's operator; its columns by name, and `plan` as the text of a new plan version."""

    def one(username: str, *, plan: str = "", **columns: object) -> int:
        service_id = next(_numbers)
        if plan:
            server.writer.put_plan(service_id, "a plan", plan)
            columns["plan_version_id"] = service_id
        server.add(service_row(username, service_id, operator_id=router.operator, **columns))
        return service_id

    return one


@pytest.fixture
def chosen(server, router) -> Callable[[str], None]:
    """Set what this test's operator chose for refused logins, as JSON."""

    def put(refusals: str) -> None:
        server.writer.put_operator(router.operator, refusals)

    return put


@pytest.fixture
def notes(server, router) -> Callable[[], list[dict[str, str]]]:
    """What the logins spool holds of this test's router: the note's words and the user's name."""

    def read() -> list[dict[str, str]]:
        return [
            dict(word.split("=", 1) for word in record.first("Tmp-String-0").split())
            | {"user": record.first("User-Name")}
            for record in server.spooled("logins")
            if record.first("Packet-Src-IP-Address") == router.address
        ]

    return read
