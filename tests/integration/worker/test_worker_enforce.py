"""The worker tells routers what was authorised, over real UDP, and stores what came of it."""

import asyncio

import pytest
from town import COA, DISCONNECT, OVERDUE, PAID, SECRET, eventually, impatient, now, received

from simulators import packets
from simulators.faults import FaultSettings, LineFaults
from simulators.settings import IdentifyBy, UnsupportedByCoA
from sql.attempts import claim
from worker import enforce as enforce_module
from worker import outcomes
from worker.enforce import RouterWorker


def test_a_suspension_and_a_payment_reach_the_live_session_by_coa(town):
    """The list and the rate are those of the moment, the session stays up, and the evidence says so."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            await town.work(router)
            assert home.has() == OVERDUE

            town.pay(home)
            await town.work(router)

            assert home.has() == PAID
            assert home.session.online
            assert received(home.nas) == [COA, COA]
            assert town.states(home) == ["acknowledged", "acknowledged"]
            assert [one["outcome"] for one in town.evidence(home)] == ["applied", "applied"]
            assert town.isp.session(home.session_id).applied_stamp == town.isp.fresh(home.service).authorised_stamp
            assert town.plan_steps(home) == 0

    asyncio.run(story())


def test_who_paid_is_restored_beside_a_batch_and_not_after_it(town):
    """The job of what is in a hurry sends that alone; the suspensions of the same router wait for theirs."""

    async def story():
        async with town.tower() as router, town.worker() as worker:
            paying, owing = town.home(router), town.home(router)
            town.owe(paying)
            await town.work(router)
            town.owe(owing)
            town.pay(paying)

            assert await worker.work(town.isp.operator_id, router.id, hurry=True) == 1

            assert (paying.has(), owing.has()) == (PAID, PAID)
            assert town.states(owing) == ["waiting"]
            await town.work(router)
            assert owing.has() == OVERDUE

    asyncio.run(story())


def test_a_router_that_cannot_change_lists_gets_a_disconnect(town):
    """The session ends, and the step waits for the Stop as its proof."""

    async def story():
        async with town.tower(coa_address_list=False) as router:
            home = town.home(router)
            town.owe(home)
            await town.work(router)

            assert not home.session.online
            assert received(home.nas) == [DISCONNECT]
            assert town.states(home) == ["acknowledged"]
            assert town.plan_steps(home) == 0

    asyncio.run(story())


def test_a_disconnect_waits_until_the_edges_have_the_change(town, monkeypatch):
    """While a node's replica is older than the change nothing is sent; then it is, and the wait is in the evidence."""
    looks = []
    original = RouterWorker._edges_have

    def counted(self, operator_id, revisions):
        looks.append(revisions)
        return original(self, operator_id, revisions)

    monkeypatch.setattr(RouterWorker, "_edges_have", counted)

    async def story():
        async with town.tower(coa_address_list=False) as router:
            home = town.home(router)
            town.node("node-1")
            town.node("node-2")
            town.owe(home)
            town.node("node-2")
            working = asyncio.create_task(town.work(router))
            await eventually(lambda: len(looks) > 3)
            assert received(home.nas) == []
            assert town.states(home) == ["started"]

            town.node("node-1")
            await working

            assert received(home.nas) == [DISCONNECT]
            assert "until the RADIUS servers had the change" in town.evidence(home)[0]["explanation"]

    asyncio.run(story())


def test_the_wait_for_the_edges_is_bounded_and_recorded(town, monkeypatch):
    """A node that stays behind holds a Disconnect up for a while only, and the reason is there to read."""
    monkeypatch.setattr(enforce_module, "EDGE_WAIT_S", 0.1)

    async def story():
        async with town.tower(coa_address_list=False) as router:
            home = town.home(router)
            town.node()
            town.owe(home)
            await town.work(router)

            assert received(home.nas) == []
            assert home.session.online
            assert town.states(home) == ["retrying"]
            (one,) = town.evidence(home)
            assert (one["cause"], one["packets"]) == ("edge_behind", 0)
            assert "Nothing was sent" in one["explanation"]

            town.node()
            town.let_time_pass()
            await town.work(router)
            assert received(home.nas) == [DISCONNECT]

    asyncio.run(story())


def test_a_coa_waits_for_no_edge(town):
    """A live session that is changed in place does not depend on the next login."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.node()
            town.owe(home)
            await town.work(router)
            assert home.has() == OVERDUE

    asyncio.run(story())


def test_silence_is_tried_again_later_and_in_the_end_stuck(town, monkeypatch):
    """Each attempt has its evidence, the next one its time, and the last one the sentence for a person."""
    impatient(monkeypatch)
    monkeypatch.setattr(outcomes, "ATTEMPTS_MAXIMUM", 3)

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            home.nas.cut()
            town.owe(home)
            for attempt in (1, 2):
                await town.work(router)
                (step,) = town.isp.steps(home.service)
                assert (step.state, step.attempts) == ("retrying", attempt)
                assert step.due_at > now()
                town.let_time_pass()
            await town.work(router)

            (step,) = town.isp.steps(home.service)
            assert (step.state, step.attempts, step.proof) == ("stuck", 3, None)
            assert "No answer from" in step.explanation
            assert [one["outcome"] for one in town.evidence(home)] == ["no_answer"] * 3
            assert town.isp.session(home.session_id).ended_at is None

    asyncio.run(story())


def test_a_stuck_step_is_not_sent_again_at_once_and_a_newer_truth_is(town, monkeypatch):
    """Asked again and again nothing more is sent, until the session speaks or something else is authorised."""
    impatient(monkeypatch)
    monkeypatch.setattr(outcomes, "ATTEMPTS_MAXIMUM", 1)

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            home.nas.cut()
            town.owe(home)
            await town.work(router)
            assert town.states(home) == ["stuck"]
            assert town.plan_steps(home) == 0
            await town.work(router)
            assert len(town.evidence(home)) == 1

            with town.database.as_superuser() as connection:
                connection.execute("UPDATE sessions SET last_seen_at = now() + interval '1 s'")
            assert town.plan_steps(home) == 1
            home.nas.restore()
            await town.work(router)

            assert home.has() == OVERDUE
            assert town.states(home) == ["superseded", "acknowledged"]
            town.pay(home)
            await town.work(router)
            assert home.has() == PAID

    asyncio.run(story())


def test_a_wrong_secret_is_stuck_at_once_with_the_explanation(town, monkeypatch):
    """Answers signed with another secret: trying again cannot help, and the sentence says what to compare."""
    impatient(monkeypatch)

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            key = b"another secret"

            class Answering(asyncio.DatagramProtocol):
                def connection_made(self, transport):
                    self.transport = transport

                def datagram_received(self, data, source):
                    self.transport.sendto(packets.answer(packets.COA_ACK, data, b"", key, signed=False), source)

            loop = asyncio.get_running_loop()
            line, _ = await loop.create_datagram_endpoint(Answering, local_addr=("127.77.99.1", 0))
            with town.database.as_superuser() as connection:
                connection.execute(
                    "UPDATE routers SET coa_address = '127.77.99.1', coa_port = %s",
                    (line.get_extra_info("sockname")[1],),
                )
            town.owe(home)
            await town.work(router)
            line.close()

            (step,) = town.isp.steps(home.service)
            assert (step.state, step.attempts) == ("stuck", 1)
            assert "the secret here differs" in step.explanation
            assert SECRET not in step.explanation

    asyncio.run(story())


def test_a_secret_that_cannot_be_opened_is_stuck_with_the_explanation(town):
    """A damaged row stops its own router's steps in words, and nothing goes out."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            with town.database.as_superuser() as connection:
                connection.execute("UPDATE routers SET secret = '\\x01ffffffffff'")
            await town.work(router)

            (step,) = town.isp.steps(home.service)
            assert step.state == "stuck"
            assert "Nothing was sent" in step.explanation
            assert received(home.nas) == []

    asyncio.run(story())


def test_a_step_that_cannot_be_sent_stops_no_other(town):
    """A session whose address fits into no attribute is refused in words; the others of its router are changed."""

    async def story():
        async with town.tower() as router:
            odd, good = town.home(router), town.home(router)
            with town.database.as_superuser() as connection:
                connection.execute(
                    "UPDATE sessions SET framed_address = '2001:db8::1' WHERE id = %s", (odd.session_id,)
                )
            town.owe(odd, good)
            await town.work(router)

            assert good.has() == OVERDUE
            assert set(town.states(odd)) == {"refused"}
            assert all("Nothing was sent" in one["explanation"] for one in town.evidence(odd))

    asyncio.run(story())


@pytest.mark.parametrize("coa_address_list", [True, False])
def test_a_session_that_the_router_does_not_know_is_over(town, coa_address_list):
    """Error-Cause 503 settles the step: offline already, and the session is closed by that."""

    async def story():
        async with town.tower(coa_address_list=coa_address_list) as router:
            home = town.home(router)
            town.owe(home)
            home.nas.reboot()
            await town.work(router)

            (step,) = town.isp.steps(home.service)
            assert (step.state, step.proof) == ("verified", "ended")
            session = town.isp.session(home.session_id)
            assert session.ended_by == "unknown_to_router"
            assert ("already offline" in step.explanation) == (not coa_address_list)
            assert town.plan_steps(home) == 0

    asyncio.run(story())


def test_a_refused_coa_falls_back_to_a_disconnect(town):
    """A router that says it cannot (401) gets the other way, in the same run."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            home.nas.switch(coa_address_list=False, coa_unsupported=UnsupportedByCoA.NAK)
            town.owe(home)
            await town.work(router)

            assert not home.session.online
            assert received(home.nas) == [COA, DISCONNECT]
            assert town.states(home) == ["refused", "acknowledged"]
            assert town.evidence(home)[0]["cause"] == "error_cause:401"

    asyncio.run(story())


def test_a_router_that_refuses_everything_is_not_asked_for_ever(town):
    """CoA and Disconnect both refused: two packets, then quiet until the session speaks again."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            # Identification that names another router: 403 to everything would be the same.
            with town.database.as_superuser() as connection:
                connection.execute("UPDATE sessions SET framed_address = '10.255.255.1'")
            home.nas.switch(coa_identify_by=IdentifyBy.ANY, coa_unsupported=UnsupportedByCoA.NAK)
            town.owe(home)
            await town.work(router)

            assert received(home.nas) == [COA, DISCONNECT]
            assert town.states(home) == ["refused", "refused"]
            assert town.plan_steps(home) == 0

    asyncio.run(story())


def test_what_a_killed_worker_claimed_is_sent_again(town):
    """Started without an outcome is unknown: the same goes out again, and the evidence says why."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            with town.isp.worker() as session:
                assert len(claim(session, town.isp.operator_id, router.id, 64)) == 1
            await town.work(router)
            assert received(home.nas) == []
            assert town.evidence(home)[0]["outcome"] is None

            town.let_time_pass()
            await town.work(router)

            assert home.has() == OVERDUE
            assert town.states(home) == ["acknowledged"]
            first, second = town.evidence(home)
            assert (first["outcome"], second["outcome"], second["attempt"]) == (None, "applied", 2)
            assert "outcome is unknown" in second["explanation"]

    asyncio.run(story())


def test_a_newer_truth_while_packets_are_in_flight_wins(town, monkeypatch):
    """A payment that arrives while the suspension is on the wire is sent right after it."""
    impatient(monkeypatch, first_timeout_s=5.0)  # nothing is sent twice, however slow the machine
    slow = FaultSettings.both_ways(LineFaults(delay_s=1.0))

    async def story():
        async with town.tower(faults=slow) as router:
            home = town.home(router)
            town.owe(home)
            working = asyncio.create_task(town.work(router))
            await eventually(lambda: town.states(home) == ["started"])
            town.pay(home)
            assert town.states(home) == ["started"]
            await working

            assert home.has() == PAID
            assert received(home.nas) == [COA, COA]
            assert town.states(home) == ["acknowledged", "acknowledged"]

    asyncio.run(story())


def test_two_workers_never_have_two_requests_in_flight_for_one_session(town):
    """Both drain the same router at once: every session is told once, and attempts of one never overlap."""
    line = FaultSettings.both_ways(LineFaults(delay_s=0.02, jitter_s=0.03, duplication=0.2), seed=7)

    async def story():
        async with town.tower(faults=line) as router:
            homes = [town.home(router) for _ in range(25)]
            town.owe(*homes)
            await asyncio.gather(town.work(router), town.work(router), town.work(router))
            town.pay(*homes)
            await asyncio.gather(town.work(router), town.work(router))

            assert all(home.has() == PAID for home in homes)
            for home in homes:
                first, second = town.evidence(home)
                assert first["ended_at"] <= second["started_at"]
            assert len(received(homes[0].nas)) == 2 * len(homes)

    asyncio.run(story())
