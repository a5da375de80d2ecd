"""`ispagents router test`: a diagnosis for people and programs, and abilities learnt with consent on a live session."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from fixtures_database import Isp

from ispagents.installation import details_file
from ispagents.state_folder import StateFolder
from network.coa.target import Retransmission
from simulators.nas import Nas
from simulators.sessions import Session
from simulators.settings import Client, NasSettings, UnsupportedByCoA
from worker.self_test import address_list, examining

HERE = "127.0.0.1"
ADDRESS = "127.82.0.1"
SECRET = "made-up secret"
DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
LISTS = ("online",)
TESTED = ("online", address_list.TEST_LIST)
RATE = "10M/50M"


class Tower:
    """A simulated router on an event loop of its own, since a command has its own too."""

    def __init__(self, **options: Any) -> None:
        """Runs from `start` on."""
        values: dict[str, Any] = {"name": "tower", "address": ADDRESS, "radius": ((HERE, 9, 9),), "coa_port": 0}
        self._settings = NasSettings(**(values | {"secret": SECRET} | options))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> "Tower":
        """Bind its sockets."""
        self._thread.start()
        self.nas = self._do(self._begin())
        return self

    def stop(self) -> None:
        """Give them back."""
        self._do(self.nas.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def online(self, username: str) -> Session:
        """Bring a customer online with what the plan of `isp` gives."""
        reply = (("Mikrotik-Rate-Limit", RATE), *(("Mikrotik-Address-List", name) for name in LISTS))
        return self._do(self._online(Client(username=username, mac="02:00:00:00:00:07"), reply))

    async def _begin(self) -> Nas:
        nas = Nas(self._settings)
        await nas.start()
        return nas

    async def _online(self, client: Client, reply: Any) -> Session:
        return self.nas.add_session(client, reply=reply, accounting=False)

    def _do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(DEADLINE_S)


@contextmanager
def running(**options: Any) -> Iterator[Tower]:
    """A running router."""
    tower = Tower(**options).start()
    try:
        yield tower
    finally:
        tower.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is told after a moment, and only the configured port is asked."""
    patience = Retransmission(first_timeout_s=0.1, max_attempts=2)
    examine = partial(examining.examine, patience=patience, usual_ports=())
    monkeypatch.setattr("ispagents.wiring.self_test.examine", examine)
    monkeypatch.setattr(address_list, "send", partial(address_list.send, patience=patience))


def known(isp: Any, tower: Tower, *more: str, secret: str = SECRET) -> None:
    """Tell the system of the router."""
    words = ("--address", ADDRESS, "--coa-port", str(tower.nas.coa_port), "--secret-stdin", *more)
    isp.ok("router", "add", "tower", *words, typed=f"{secret}\n".encode())


@pytest.fixture
def ours(database: Any, isp: Any) -> Isp:
    """The operator of the command line, with its service's access authorised."""
    found = Isp(database, 1)
    found.review()
    return found


def lend(ours: Isp, tower: Tower, username: str = "zofia") -> Session:
    """A customer online at the router and in the database alike."""
    live = tower.online(username)
    with ours.web() as session:
        from sql.customers import router_by_name, service_by_username  # noqa: PLC0415 - used here alone

        service = service_by_username(session, 1, username)
        router = router_by_name(session, 1, "tower")
    session_id = ours.online(service, router, service.authorised_stamp)
    with ours.database.as_superuser() as connection:
        connection.execute(
            "UPDATE sessions SET acct_session_id = %s, framed_address = %s WHERE id = %s",
            (live.session_id, live.address, session_id),
        )
    return live


def abilities(isp: Any) -> dict[str, Any]:
    """What `router show` says was learnt, the router's own setting beside it."""
    row = isp.ok("router", "show", "tower")
    learnt = {one["ability"]: (one["able"], one["level"]) for one in row["learnt"]}
    return {"setting": row["coa_address_list"], **learnt}


def events(ours: Isp) -> list[str]:
    """The audit events about abilities, oldest first."""
    with ours.database.as_superuser() as connection:
        rows = connection.execute("SELECT event FROM audit_events WHERE event LIKE 'router:ability:%' ORDER BY id")
        return [row[0] for row in rows.fetchall()]


def test_a_right_router(isp: Any) -> None:
    """Rows of what was sent, came back and means, one conclusion, and exit code 0."""
    with running() as tower:
        known(isp, tower)
        found = isp.ok("router", "test", "tower")
        assert (found["verdict"], found["right"]) == ("right", True)
        assert [one["aim"] for one in found["probes"]] == ["configured", "disconnect"]
        said = isp("router", "test", "tower")
        assert (said.code, said.err) == (0, "")
        assert "All is right: tower takes CoA and Disconnect from 127.0.0.1" in said.out
        assert max(len(line) for line in said.out.splitlines()[:-1]) <= 120
        assert SECRET not in said.out


def test_a_fault_is_told_with_what_to_type(isp: Any) -> None:
    """Exit code 1, nothing on standard error, and a line for RouterOS."""
    with running(accept_incoming=False) as tower:
        known(isp, tower)
        said = isp("router", "test", "tower")
        assert (said.code, said.err) == (1, "")
        assert "/radius incoming set accept=yes port=" in said.out
        found = isp("router", "test", "tower", "--json")
        assert found.code == 1
        assert found.json["verdict"] == "silent"


def test_without_consent_nothing_is_sent(isp: Any, ours: Isp) -> None:
    """It says exactly what it would send, and neither the router nor the database hears of it."""
    with running(coa_address_list=True) as tower:
        known(isp, tower)
        live = lend(ours, tower)
        found = isp.ok("router", "test", "tower", "--session", "zofia")
        assert found["sent"] is False
        assert found["would_send"] == [
            ["Mikrotik-Rate-Limit", RATE],
            *(["Mikrotik-Address-List", name] for name in TESTED),
        ]
        assert len(tower.nas.received) == 0
        assert live.address_lists == LISTS
        assert events(ours) == []
        assert abilities(isp) == {"setting": False}


def test_what_a_person_saw_steers_the_planner(isp: Any, ours: Isp) -> None:
    """An acknowledgement decides nothing; what a person saw does, and the list goes away again."""
    with running(coa_address_list=True) as tower:
        known(isp, tower)
        live = lend(ours, tower)
        tried = isp.ok("router", "test", "tower", "--session", "zofia", "--yes")
        assert tried["level"] == "acknowledged"
        assert live.address_lists == TESTED
        assert abilities(isp) == {"setting": False, "coa_address_list": (None, "acknowledged")}
        assert "not known yet" in isp("router", "show", "tower").out

        saw = isp.ok("router", "test", "tower", "--saw-it", "yes")
        assert saw["able"] is True
        assert live.address_lists == LISTS
        assert live.rate_limit == RATE
        assert abilities(isp) == {"setting": True, "coa_address_list": (True, "seen")}
        assert events(ours) == ["router:ability:try", "router:ability:learn", "router:ability:learn"]

        isp.ok("router", "test", "tower", "--session", "zofia", "--yes")
        assert abilities(isp) == {"setting": True, "coa_address_list": (True, "seen")}


def test_a_router_that_says_yes_and_does_nothing(isp: Any, ours: Isp) -> None:
    """The person sees nothing there, and lists go by Disconnect from then on."""
    with running(coa_address_list=False, coa_unsupported=UnsupportedByCoA.IGNORE) as tower:
        known(isp, tower, "--coa-address-list")
        live = lend(ours, tower)
        assert isp.ok("router", "test", "tower", "--session", "zofia", "--yes")["level"] == "acknowledged"
        assert live.address_lists == LISTS
        assert abilities(isp)["setting"] is True
        assert isp.ok("router", "test", "tower", "--saw-it", "no", "--session", "zofia")["able"] is False
        assert abilities(isp) == {"setting": False, "coa_address_list": (False, "seen")}


def test_a_router_that_refuses_lists(isp: Any, ours: Isp) -> None:
    """Its refusal is an answer, and stored as one."""
    with running(coa_address_list=False, coa_unsupported=UnsupportedByCoA.NAK) as tower:
        known(isp, tower, "--coa-address-list")
        lend(ours, tower)
        found = isp.ok("router", "test", "tower", "--session", "zofia", "--yes")
        assert (found["level"], found["cause"]) == ("refused", "error_cause:401")
        assert abilities(isp) == {"setting": False, "coa_address_list": (False, "refused")}
        assert "was acknowledged yet" in isp.refused("router", "test", "tower", "--saw-it", "yes")


def test_silence_teaches_nothing(isp: Any, ours: Isp) -> None:
    """No answer is no ability and no inability; that it was tried stays in the audit."""
    with running(accept_incoming=False) as tower:
        known(isp, tower)
        lend(ours, tower)
        found = isp.ok("router", "test", "tower", "--session", "zofia", "--yes")
        assert (found["level"], found["cause"]) == (None, "timeout")
        assert found["said"].startswith("Nothing was learnt.")
        assert abilities(isp) == {"setting": False}
        assert events(ours) == ["router:ability:try"]


def test_a_session_that_ended_meanwhile(isp: Any, ours: Isp) -> None:
    """What was seen is stored all the same, and nothing is left to take away."""
    with running(coa_address_list=True) as tower:
        known(isp, tower)
        lend(ours, tower)
        isp.ok("router", "test", "tower", "--session", "zofia", "--yes")
        with ours.database.as_superuser() as connection:
            connection.execute("UPDATE sessions SET ended_at = now(), ended_by = 'stop'")
        assert "has ended meanwhile" in isp.ok("router", "test", "tower", "--saw-it", "yes")["said"]
        assert abilities(isp)["setting"] is True


def test_what_may_not_be_tried(isp: Any, ours: Isp) -> None:
    """One sentence each: nobody online, unknown access, a change on its way, all writes stopped, no CoA at all."""
    with running(coa_address_list=True) as tower:
        known(isp, tower)
        trying = ("router", "test", "tower", "--session", "zofia", "--yes")
        assert "is not online at tower" in isp.refused(*trying)
        lend(ours, tower)
        with ours.database.as_superuser() as connection:
            connection.execute("UPDATE operators SET writes_stopped_at = now(), writes_stopped_by = 'cli:anna'")
            assert "network writes are stopped" in isp.refused(*trying)
            connection.execute("UPDATE operators SET writes_stopped_at = NULL, writes_stopped_by = ''")
            connection.execute("UPDATE routers SET dynamic_authorization = false")
            assert "taking no CoA" in isp.refused(*trying)
            connection.execute("UPDATE routers SET dynamic_authorization = true")
            connection.execute("UPDATE sessions SET applied_stamp = NULL")
            assert "not known what the session" in isp.refused(*trying)
        assert len(tower.nas.received) == 0
        assert events(ours) == []


def test_packets_leave_from_where_the_running_installation_says(isp: Any) -> None:
    """`up` may have other settings than the terminal of the test; what runs counts, as soon as it runs."""
    state = StateFolder(isp.state)
    with running(coa_sources=("127.82.0.9",)) as tower:
        known(isp, tower)
        details_file(state).parent.mkdir(exist_ok=True)
        details_file(state).write_text(
            json.dumps({"node": {"name": "n", "address": "127.82.0.9"}, "radius": {"address": "127.82.0.9"}})
        )
        assert isp("router", "test", "tower", "--json").json["verdict"] == "silent"
        with state.lock():
            assert isp.ok("router", "test", "tower")["verdict"] == "right"


def test_a_router_of_another_node(isp: Any, database: Any) -> None:
    """Its CoA would come from the wrong address here, so the node to ask is named."""
    with running() as tower:
        known(isp, tower)
        with database.as_superuser() as connection:
            connection.execute("INSERT INTO nodes (name, address) VALUES ('north', '192.0.2.5')")
        isp.ok("router", "set", "tower", "--node", "north")
        assert "from the node 'north' only" in isp.refused("router", "test", "tower")


def test_nonsense(isp: Any) -> None:
    """Each combination that means nothing ends in one sentence."""
    with running() as tower:
        known(isp, tower)
        for words in (
            ["nobody"],
            [""],
            ["nobody", "--session", "zofia"],
            ["nobody", "--saw-it", "yes"],
            ["tower", "--yes"],
            ["tower", "--saw-it", "maybe"],
            ["tower", "--saw-it", "yes"],
            ["tower", "--saw-it", "yes", "--session", "zofia", "--yes"],
            ["tower", "--session", "nobody"],
            ["tower", "--operator", "nobody"],
        ):
            isp.refused("router", "test", *words)
        assert len(tower.nas.received) == 0
