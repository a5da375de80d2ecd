"""Drift on a simulated router: what somebody did there behind our back is found, explained, left alone or mended."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from fixtures_database import BOX
from held_town import API_PASSWORD, PASSWORD, HeldTown, held_town

from network.routeros.keeper import Keeper
from policy.explain import explain
from simulators.nas import Nas
from simulators.routeros import ApiUser, Break, RouterOs, RouterOsSettings
from simulators.settings import Client, NasSettings
from sql import customers
from sql.drift import Listed, findings, leave, prune
from sql.drift_healing import heal_all, healable
from sql.errors import Refused
from sql.explain import situation
from sql.models import DriftFinding, DriftRun, Router, Service
from sql.placing import place_service
from sql.roles import Role
from sql.router_store import remove_router, set_api
from worker import planning
from worker.drift import Drift, Ran

GARDEN = {"garden": {"pay_address": "10.255.0.1"}}


def _with_drift(town: HeldTown, work):
    async def turn():
        async with Keeper() as keeper:
            return await work(Drift(town.database.engine(Role.WORKER), keeper, BOX))

    return asyncio.run(turn())


def run(town: HeldTown) -> Ran:
    """The router compared, when all that was changed is long ago."""
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE services SET authorised_at = authorised_at - interval '1 hour'")
        connection.execute("UPDATE placements SET created_at = created_at - interval '1 hour'")
    return _with_drift(town, lambda drift: drift.run(town.isp.operator_id, town.router.id))


def lose(town: HeldTown) -> None:
    """The router forgets its customers, and the worker knows that it knows nothing."""
    for row in town.rows("/ppp/secret"):
        town.device.remove("/ppp/secret", row["name"])
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE placements SET applied_stamp = NULL")


def obey(town: HeldTown) -> None:
    """The worker does the jobs that it was given, and takes its turn at the router."""
    with town.database.as_superuser() as connection:
        jobs = connection.execute(
            "DELETE FROM procrastinate_jobs WHERE task_name = 'enforce_services' RETURNING id, args"
        ).fetchall()
    for _, arguments in sorted(jobs):
        planning.enforce_services(town.database.engine(Role.WORKER), **arguments)
    town.work()


def fix(town: HeldTown, number: int) -> str:
    """A person takes what is proposed."""
    return _with_drift(town, lambda drift: drift.fix(town.isp.operator_id, number, actor="a test"))


def undo(town: HeldTown, number: int) -> str:
    """A person takes it back."""
    return _with_drift(town, lambda drift: drift.undo(town.isp.operator_id, number, actor="a test"))


def found(town: HeldTown, *, left: bool = False) -> dict[str, Listed]:
    """The open findings after a run, by kind; there is one of each at most."""
    ran = run(town)
    assert ran.error == ""
    with town.isp.web() as session:
        listed = findings(session, town.isp.operator_id, left=left)
    by_kind = {one.finding.kind: one for one in listed}
    assert len(by_kind) == len(listed), [one.finding.cause for one in listed]
    return by_kind


def commands(one: Listed) -> list[str]:
    """What is proposed."""
    return [row["command"] for row in one.finding.proposal["commands"]]


def radius(town: HeldTown) -> None:
    """The router asks RADIUS as it should."""
    with town.database.as_superuser() as connection:
        connection.execute("INSERT INTO nodes (name, address) VALUES ('node-1', '10.0.0.1')")
    town.device.add("/radius", service="ppp", address="10.0.0.1", secret="made up")
    town.device.set("/ppp/aaa", "", use_radius="yes")
    town.device.set("/radius/incoming", "", accept="yes", port="3799")


@pytest.fixture
def town(database):
    """A town whose router also asks RADIUS."""
    with held_town(database, {"ppp": "queue", **GARDEN}) as town:
        radius(town)
        yield town


@pytest.mark.parametrize("username", ["anna", "no", 'ł "quoted"\nname'])
def test_what_was_changed_by_hand_is_found_and_healed_by_the_engine(town, username):
    """A limit lifted by hand: the cause and the command are told, and the engine sets it back."""
    anna = town.service(username, address="10.5.0.7")
    assert "changed_by_hand" not in found(town)
    town.device.set("/queue/simple", f"ispagents-{anna.id}-{username}", max_limit="100M/100M")

    one = found(town)["changed_by_hand"]

    assert one.finding.service_id == anna.id
    assert "max-limit of the queue" in one.finding.cause
    assert any("max-limit=10M/50M" in command for command in commands(one))
    assert one.finding.proposal["mender"] == "engine"
    with town.isp.web() as session:
        told = explain(situation(session, town.isp.operator_id, username, datetime.now(UTC)))
    assert "may not have what is authorised, because Somebody changed" in told.answer
    assert told.next_steps[1].command == f"ispagents drift fix {one.finding.id}"
    fix(town, one.finding.id)
    town.settle()
    assert town.rows("/queue/simple")[0]["max-limit"] == "10000000/50000000"
    assert "changed_by_hand" not in found(town)


def test_what_waits_for_approval_is_no_drift(town):
    """A router holds what is authorised; an address that somebody is still to agree to is not expected there."""
    anna = town.service("anna", address="10.5.0.7")
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE services SET address = '10.5.0.8' WHERE id = %s", (anna.id,))
    assert not {"changed_by_hand", "not_provisioned"} & found(town).keys()


def test_a_password_set_by_hand_is_found_and_told_to_nobody(town):
    """The customer could not log in any more; neither password is in what is stored."""
    town.service("anna")
    town.device.set("/ppp/secret", "anna", password="technician's own")
    one = found(town)["changed_by_hand"]
    assert "password" in one.finding.cause
    with town.database.as_superuser() as connection:
        for table in ("drift_findings", "drift_runs", "audit_events"):
            rows = connection.execute(f"SELECT row_to_json(one)::text FROM {table} AS one").fetchall()  # noqa: S608 - named above
            said = " ".join(row for (row,) in rows)
            assert not any(secret in said for secret in (PASSWORD, "technician's own", API_PASSWORD)), table


def test_a_paid_customer_who_is_not_set_up_is_found(town):
    """A secret that somebody deleted, and a service whose setting up was refused, each with its cause."""
    anna = town.service("anna")
    town.device.remove("/ppp/secret", "anna")
    one = found(town)["not_provisioned"]
    assert (one.username, one.router) == ("anna", "hill")
    assert "there is no PPP secret 'anna' yet" in one.finding.cause
    fix(town, one.finding.id)
    town.settle()
    assert [row["name"] for row in town.rows("/ppp/secret")] == ["anna"]

    town.device.add("/ppp/secret", name="bert", password="theirs")
    bert = town.service("bert")
    one = found(town)["in_the_way"]
    assert one.finding.service_id == bert.id != anna.id
    assert "is not ours" in one.finding.cause
    with pytest.raises(Refused, match="not ours"):
        fix(town, one.finding.id)


def test_a_router_that_lost_everything_is_healed_when_a_person_says_so(town):
    """The brake lets one through and explain says so; with one order the rest follows at once, each in the audit."""
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE operators SET brake_free = 1, brake_number = 1")
    services = [town.service(f"user{number}") for number in range(3)]
    lose(town)
    town.settle()
    assert len(town.rows("/ppp/secret")) == 1
    with town.isp.web() as session:
        told = explain(situation(session, town.isp.operator_id, "user2", datetime.now(UTC) + timedelta(minutes=1)))
    assert "the brake on healing" in told.answer
    assert told.next_steps[0].command == "ispagents drift fix --all=hill"

    run(town)
    with town.isp.worker() as session:
        router = session.get_one(Router, town.router.id)
        seen = healable(session, router)
        assert (len(seen.services), seen.kinds) == (2, {"not_provisioned": 2})
        assert heal_all(session, router, seen.services, actor="anna") == 2
    obey(town)

    assert sorted(row["name"] for row in town.rows("/ppp/secret")) == [one.username for one in services]
    assert "not_provisioned" not in found(town)
    with town.database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT service_id FROM audit_events WHERE event = 'drift:finding:fix' AND actor = 'anna' ORDER BY 1"
        ).fetchall()
    assert [service_id for (service_id,) in rows] == [one.id for one in services[1:]]


def test_a_step_that_was_refused_is_tried_at_once_when_a_person_asks(town):
    """What stood in the way is gone: nobody who asks has to wait for the hour to pass."""
    town.device.add("/ppp/secret", name="bert", password="theirs")
    bert = town.service("bert")
    assert town.steps(bert)[-1].state == "refused"
    town.device.remove("/ppp/secret", "bert")
    town.settle()
    assert town.rows("/ppp/secret") == []

    fix(town, found(town)["not_provisioned"].finding.id)
    obey(town)

    assert [row["name"] for row in town.rows("/ppp/secret")] == ["bert"]
    assert town.steps(bert)[-1].state == "verified"


def test_an_orphan_goes_with_its_way_back_and_foreign_items_stay(town):
    """Items of ours for nobody are removed on order, noted before, and what others made is never among them."""
    town.service("anna", address="10.5.0.7")
    town.device.add("/queue/simple", name="old", target="10.7.0.1", max_limit="1M/1M", comment="ispagents:service-9999")
    town.device.add("/queue/simple", name="theirs", target="10.7.0.2", comment="of the old days")
    before = [row for row in town.rows("/queue/simple") if row["name"] != "old"]

    one = found(town)["orphan"]

    assert commands(one) == ['/queue simple remove [find name="old"]']
    back = one.finding.proposal["commands"][0]["undo"]
    assert back.startswith("/queue simple add ")
    assert 'name="old"' in back
    town.device.set("/queue/simple", "old", max_limit="2M/2M")
    with pytest.raises(Refused, match="not as it was"):
        fix(town, one.finding.id)
    one = found(town)["orphan"]
    assert fix(town, one.finding.id).startswith("Done and read back")
    assert town.rows("/queue/simple") == before
    undo(town, one.finding.id)
    assert sorted(row["name"] for row in town.rows("/queue/simple")) == sorted(
        ["old", *(row["name"] for row in before)]
    )
    assert found(town)["orphan"].finding.id > one.finding.id
    with pytest.raises(Refused, match="Nothing was sent"):
        undo(town, one.finding.id)
    with town.database.as_superuser() as connection:
        events = connection.execute(
            "SELECT event, data->'commands'->0->>1 FROM audit_events WHERE event LIKE 'drift:%' ORDER BY id"
        ).fetchall()
    assert [event for event, _ in events] == [
        "drift:finding:fix",
        "drift:finding:outcome",
        "drift:finding:undo",
        "drift:finding:outcome",
    ]
    assert events[0][1] == back.replace("1000000/1000000", "2000000/2000000")


def test_a_finding_is_left_until_something_else_is_seen(town):
    """Left with a reason it is not told again; when it changes, it is."""
    anna = town.service("anna", address="10.5.0.7")
    queue = f"ispagents-{anna.id}-anna"
    town.device.set("/queue/simple", queue, max_limit="100M/100M")
    one = found(town)["changed_by_hand"]
    with town.isp.web() as session:
        leave(session, session.get_one(DriftFinding, one.finding.id), reason="a test line", actor="a test")
    assert "changed_by_hand" not in found(town)
    assert found(town, left=True)["changed_by_hand"].finding.left_reason == "a test line"

    town.device.set("/queue/simple", queue, max_limit="200M/200M")

    assert found(town)["changed_by_hand"].finding.id != one.finding.id
    assert "changed_by_hand" not in found(town, left=True)


def test_a_local_user_past_radius_and_a_stranger_online_are_found(town):
    """A secret with the name of a customer of RADIUS, and somebody online whom nobody sold anything."""
    town.isp.service("zofia")
    town.isp.review()
    town.device.add("/ppp/secret", name="zofia", password="made up")
    town.device.add("/ppp/secret", name="friend of the technician", password="made up")
    town.device.do(lambda device: device.ppp_login("friend of the technician", "made up"))

    kinds = found(town)

    local, stranger = kinds["local_user"], kinds["online_unknown"]
    assert local.username == "zofia"
    assert commands(local) == ['/ppp secret set [find name="zofia"] disabled=yes']
    assert "the router has a PPP secret of that name" in stranger.finding.cause
    assert commands(stranger)[0] == '/ppp active remove [find name="friend of the technician"]'
    with pytest.raises(Refused, match="not ours"):
        fix(town, stranger.finding.id)

    with town.isp.web() as session:
        leave(session, session.get_one(DriftFinding, stranger.finding.id), reason="our own VPN", actor="a test")
    (row,) = town.device.rows("/ppp/active")
    town.device.remove("/ppp/active", row[".id"])
    assert "online_unknown" in found(town, left=True)  # people come and go
    town.device.do(lambda device: device.ppp_login("friend of the technician", "made up"))
    assert "online_unknown" not in found(town)


def test_a_suspended_customer_with_full_access_is_found_and_a_paid_one_behind_the_wall(town):
    """Router against billing: who is restricted has to be in the list, and who has paid must not be."""
    town.device.add("/ppp/secret", name="zofia", password="made up", disabled="yes")
    town.device.add("/ppp/secret", name="pawel", password="made up", disabled="yes")
    plan = town.isp.plan("Walled", suspended={"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"})
    zofia, pawel = town.isp.service("zofia", plan=plan), town.isp.service("pawel", plan=plan)
    town.isp.review()
    town.isp.invoice(zofia.subscriber_id)
    town.isp.review()
    town.isp.approve(town.isp.changes(zofia)[-1])
    for service, address in ((zofia, "10.20.0.7"), (pawel, "10.20.0.8")):
        name = service.username
        town.device.set("/ppp/secret", name, disabled="no", remote_address=address, service="any")
        town.device.do(lambda device, name=name: device.ppp_login(name, "made up"))
        town.device.set("/ppp/secret", name, disabled="yes")
        session_id = town.isp.online(service, town.router, town.isp.fresh(service).authorised_stamp)
        with town.database.as_superuser() as connection:
            connection.execute("UPDATE sessions SET framed_address = %s WHERE id = %s", (address, session_id))
    assert town.device.do(lambda device: device.standing("zofia")).online
    town.device.add("/ip/firewall/address-list", list="overdue", address="10.20.0.8")

    kinds = found(town)

    full, walled = kinds["online_unrestricted"], kinds["restricted_though_paid"]
    assert (full.username, walled.username) == ("zofia", "pawel")
    assert "not in overdue" in full.finding.cause
    assert full.finding.proposal["mender"] == "session"
    assert 'list="overdue"' in commands(walled)[0]
    fix(town, full.finding.id)
    with town.database.as_superuser() as connection:
        assert connection.execute(
            "SELECT applied_stamp FROM sessions WHERE service_id = %s", (zofia.id,)
        ).fetchone() == (None,)


def test_accounting_and_router_are_compared_both_ways(town):
    """A session without accounting, and accounting without a session; the latter is closed on order."""
    zofia, pawel = town.isp.service("zofia"), town.isp.service("pawel")
    town.isp.review()
    town.device.add("/ppp/secret", name="zofia", password="made up")
    town.device.do(lambda device: device.ppp_login("zofia", "made up"))
    town.device.set("/ppp/secret", "zofia", disabled="yes")
    session_id = town.isp.online(pawel, town.router, None)
    assert {"not_accounted", "not_on_router"}.isdisjoint(found(town))

    town.device.do(lambda device: [setattr(one, "started_s", one.started_s - 3600) for one in device.customers])
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE sessions SET last_seen_at = now() - interval '1 hour'")
    kinds = found(town)

    assert (kinds["not_accounted"].username, kinds["not_on_router"].username) == ("zofia", "pawel")
    assert "without asking RADIUS" in kinds["not_accounted"].finding.cause
    fix(town, kinds["not_on_router"].finding.id)
    assert town.isp.session(session_id).ended_by == "unknown_to_router"
    fix(town, kinds["not_accounted"].finding.id)
    assert not town.device.do(lambda device: device.standing("zofia")).online
    assert zofia.id == kinds["not_accounted"].finding.service_id
    assert {"not_accounted", "not_on_router"}.isdisjoint(found(town))


def test_the_walled_garden_is_put_back_where_it_belongs(town):
    """Rules that are missing are added before all others on order, and one that was moved is found."""
    town.device.add("/ip/firewall/filter", chain="forward", action="accept", comment="let all pass")
    one = found(town)["garden_missing"]
    assert len(one.finding.proposal["commands"]) > 5
    assert fix(town, one.finding.id).startswith("Done")
    assert not {"garden_missing", "garden_misplaced"} & found(town).keys()
    order = [row["comment"] for row in town.rows("/ip/firewall/filter") if row["chain"] == "forward"]
    assert order[-5:] == [*(f"ispagents:garden-{number}" for number in range(1, 5)), "let all pass"]

    def to_the_top(device):
        table = device["/ip/firewall/filter"]
        rows = {row.fields["comment"]: row for row in table}
        table.move(rows["let all pass"], rows["ispagents:garden-1"])

    town.device.do(to_the_top)
    one = found(town)["garden_misplaced"]
    assert "let all pass" in one.finding.cause
    fix(town, one.finding.id)
    assert "garden_misplaced" not in found(town)
    undo(town, one.finding.id)
    assert "let all pass" in found(town)["garden_misplaced"].finding.cause


def test_what_a_removed_router_was_found_with_is_over_and_old_things_are_forgotten(town):
    """Nobody looks there any more; what is gone is kept for a quarter."""
    town.device.add("/queue/simple", name="old", target="10.7.0.1", comment="ispagents:service-9999")
    assert "orphan" in found(town)
    with town.isp.web() as session:
        remove_router(session, session.get_one(Router, town.router.id), actor="a test")
    with town.isp.worker() as session:
        assert prune(session, town.isp.operator_id) == 0
    with town.isp.web() as session:
        assert findings(session, town.isp.operator_id) == []
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE drift_findings SET gone_at = gone_at - interval '91 days'")
        connection.execute("UPDATE drift_runs SET started_at = started_at - interval '91 days'")
    with town.isp.worker() as session:
        assert prune(session, town.isp.operator_id) > 0
    with town.database.as_superuser() as connection:
        assert connection.execute("SELECT count(*) FROM drift_findings").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM drift_runs").fetchone() == (0,)


def test_a_router_that_says_unprintable_things_is_told_in_one_line(town):
    """Line breaks, control letters, bytes that are no UTF-8: stored and shown, and nothing breaks."""
    for name in ("two\nlines", "\x1b[31m", "zażółć \u202e", "x" * 300):
        town.device.add("/ppp/secret", name=name, password="made up", remote_address="10.66.0.1")
        town.device.do(lambda device, name=name: device.ppp_login(name, "made up"))
    assert run(town).error == ""
    with town.isp.web() as session:
        told = [one.finding for one in findings(session, town.isp.operator_id)]
    strangers = [one for one in told if one.kind == "online_unknown"]
    assert len(strangers) == 4
    assert all(one.cause.isprintable() and one.key.isprintable() for one in strangers)


def test_an_orphan_with_a_password_is_not_brought_back_without_it(town):
    """The password is kept nowhere, so nobody gets in without one: a person types the command."""
    town.device.add("/ppp/secret", name="old", password="made up", comment="ispagents:service-9999")
    one = found(town)["orphan"]
    assert "password=***" in one.finding.proposal["commands"][0]["undo"]
    fix(town, one.finding.id)
    with pytest.raises(Refused, match="held a password"):
        undo(town, one.finding.id)
    assert town.rows("/ppp/secret") == []


def test_a_router_that_forgot_radius_is_found(town):
    """No server of ours, PPP that asks nobody, CoA that is not taken; each is said with its command."""
    town.device.set("/radius/incoming", "", accept="no")
    assert commands(found(town)["radius_gone"]) == ['/radius incoming set accept="yes"']
    town.device.set("/radius/incoming", "", accept="yes")
    town.device.set("/ppp/aaa", "", use_radius="no")
    assert "asks no RADIUS" in found(town)["radius_gone"].finding.cause
    (row,) = town.device.rows("/radius")
    town.device.remove("/radius", row[".id"])
    assert "none of its RADIUS servers is ours" in found(town)["radius_gone"].finding.cause


def test_a_router_of_radius_with_customers_online_has_no_findings(database):
    """The NAS and the API are one simulated router: granted, restricted and refused sessions are as they should be."""

    async def turn() -> list[str]:
        settings = NasSettings(
            name="tower", radius=(("127.0.0.1", 9, 9),), address="127.88.0.1", coa_port=0, secret="made-up secret"
        )
        api = RouterOsSettings(users=(ApiUser(name="ispagents", password=API_PASSWORD),))
        async with Nas(settings) as nas, RouterOs(api, nas=nas) as device, Keeper() as keeper:
            for row in device.rows("/radius"):
                device.remove("/radius", row[".id"])
            device.add("/radius", service="ppp,hotspot", address="10.0.0.1", secret="made up")
            device.set("/radius/incoming", "", accept="yes", port=str(nas.coa_port))
            isp = database.isp()
            router = isp.router("tower", coa_port=nas.coa_port)
            with isp.web() as session:
                access = {"username": "ispagents", "password": API_PASSWORD, "security": "plain"}
                stored = session.get_one(Router, router.id)
                set_api(session, stored, box=BOX, actor="a test", address="127.0.0.1", port=device.port, **access)
            for name, lists in (("anna", ()), ("bert", ("overdue",))):
                plan = isp.plan(f"Plan of {name}", suspended={"look": "restrict", "address_list": "overdue"})
                service = isp.service(name, plan=plan)
                isp.review()
                if lists:
                    isp.invoice(service.subscriber_id)
                    isp.review()
                    isp.approve(isp.changes(service)[-1])
                reply = tuple(("Mikrotik-Address-List", name) for name in lists)
                live = nas.add_session(Client(username=name, mac="02:00:00:00:00:01"), reply=reply, accounting=False)
                session_id = isp.online(service, router, isp.fresh(service).authorised_stamp)
                with database.as_superuser() as connection:
                    values = (live.address, live.session_id, session_id)
                    connection.execute(
                        "UPDATE sessions SET framed_address = %s, acct_session_id = %s WHERE id = %s", values
                    )
            with database.as_superuser() as connection:
                connection.execute("INSERT INTO nodes (name, address) VALUES ('node-1', '10.0.0.1')")
                connection.execute("UPDATE services SET authorised_at = authorised_at - interval '1 hour'")
            ran = await Drift(database.engine(Role.WORKER), keeper, BOX).run(isp.operator_id, router.id)
            assert ran is not None
            assert (ran.error, len(device.rows("/ppp/active"))) == ("", 2)
            with isp.web() as session:
                return [one.finding.cause for one in findings(session, isp.operator_id)]

    assert asyncio.run(turn()) == []


def test_a_router_that_cannot_be_read_keeps_its_findings(town):
    """A run that fails says why, and closes nothing."""
    anna = town.service("anna", address="10.5.0.7")
    town.device.set("/queue/simple", f"ispagents-{anna.id}-anna", max_limit="100M/100M")
    before = found(town)["changed_by_hand"].finding.id
    town.device.break_next("/ppp/secret/print", Break.MID_REPLY)
    assert run(town).error.endswith("ended the connection.")  # of reading nobody asks whether it was carried out
    with town.isp.web() as session:
        session.get_one(Router, town.router.id).api_port = 1
    ran = run(town)
    assert "refused the connection" in ran.error
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE drift_runs SET started_at = started_at - interval '10 minutes'")
    again = _with_drift(town, lambda drift: drift.run(town.isp.operator_id, town.router.id, older_than_s=3600))
    assert again is not None  # it is tried again before the hour is over
    with town.isp.web() as session:
        assert before in [one.finding.id for one in findings(session, town.isp.operator_id)]


def test_the_clock_compares_what_is_due_and_only_that(town):
    """Once an hour each, whoever is first; another worker finds nothing due."""
    town.device.add("/queue/simple", name="old", target="10.7.0.1", comment="ispagents:service-9999")

    async def clock(drift: Drift) -> None:
        task = asyncio.create_task(drift.keep())
        while not await asyncio.to_thread(_ended_runs, town):
            assert not task.done()
            await asyncio.sleep(0.02)
        task.cancel()

    _with_drift(town, clock)
    with town.isp.web() as session:
        assert "orphan" in [one.finding.kind for one in findings(session, town.isp.operator_id)]
    other = _with_drift(town, lambda drift: drift.run(town.isp.operator_id, town.router.id, older_than_s=3600))
    assert other is None
    assert _ended_runs(town) == 1


def _ended_runs(town: HeldTown) -> int:
    with town.isp.web() as session:
        return session.query(DriftRun).filter(DriftRun.ended_at.is_not(None)).count()


def test_a_service_that_left_is_no_orphan_while_the_engine_is_at_it(town):
    """What is being taken away is not told as drift; what is set up just now neither."""
    anna = town.service("anna", address="10.5.0.7")
    with town.isp.web() as session:
        place_service(session, session.get_one(Service, anna.id), None, "", actor="a test")
        customers.service_by_username(session, town.isp.operator_id, "anna")
    kinds = found(town)
    assert not {"orphan", "changed_by_hand", "not_provisioned"} & kinds.keys(), json.dumps(list(kinds))
