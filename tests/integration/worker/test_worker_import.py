"""A router that is in use becomes ours by marks alone: nobody drops, no rate moves, and it can be taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fixtures_database import ACTOR, BOX
from held_town import HeldTown, held_town

from policy.inspection.compare import Verdict
from simulators.routeros import Break
from sql.errors import Refused
from sql.models import Evidence, Import, ImportRow, Operator, Router, Service
from sql.onboarding.openings import Opened
from sql.onboarding.routers import Preview, Seen, Wish, apply_some, preview, see
from sql.onboarding.undoing import begin_undo, finish_undo
from worker.configure import reach
from worker.inspecting import look
from worker.releasing import release

PASSWORD = "made-up of theirs"
MAC = "02:00:00:00:00:09"
BURST = {"burst_limit": "6M/30M", "burst_threshold": "4M/15M", "burst_time": "8s/8s", "limit_at": "1M/1M"}
EVERYBODY = ("anna", "guest", MAC, "office", "10.6.0.50")
NAMES = ("anna", "no", "0123", "łódź", 'a "quoted"\nname', "x" * 200)


def seen(town: HeldTown, lists: tuple[str, ...] = ()) -> Seen:
    """One look at the router, by the worker's code."""
    with town.isp.worker() as session:
        reached = reach(session.get_one(Router, town.router.id), BOX)
    assert reached.target is not None
    found = asyncio.run(look(reached.target))
    return see(found.device, found.observed, lists)


def previewed(town: HeldTown, **wishes: Any) -> Preview:
    """The preview of an import."""
    wish = Wish(**wishes)
    found = seen(town, wish.lists)
    with town.isp.web() as session:
        operator, router = session.get_one(Operator, town.isp.operator_id), session.get_one(Router, town.router.id)
        return preview(session, operator, router, found, wish, actor=ACTOR)


def applied(town: HeldTown, read: Preview, lists: tuple[str, ...] = ()) -> list[Opened]:
    """The import, taken in, and the worker's turn at the router."""
    found = seen(town, lists)
    with town.isp.web() as session:
        operator = session.get_one(Operator, town.isp.operator_id)
        done, line = apply_some(session, operator, read.stored.id, found, after_line=0, box=BOX, actor=ACTOR)
    assert line is None
    town.settle()
    return done


def taken_back(town: HeldTown, read: Preview, *, rest: bool = False) -> int:
    """The import, undone, and the worker's turn; how many services that were."""
    with town.isp.web() as session:
        going = begin_undo(session, session.get_one(Import, read.stored.id), rest=rest)
    with town.isp.worker() as session:
        reached = reach(session.get_one(Router, town.router.id), BOX)
    assert reached.target is not None
    marked, left = asyncio.run(release(reached.target, {one.tag for one in going}))
    assert (marked >= len(going), left) == (True, [])
    with town.isp.web() as session:
        finish_undo(session, session.get_one(Import, read.stored.id), going, actor=ACTOR)
    town.settle()
    return len(going)


def everything(town: HeldTown) -> dict[str, list[dict[str, str]]]:
    """What stands on the router, without comments."""
    menus = ("/ppp/secret", "/ppp/profile", "/queue/simple", "/ip/hotspot/user", "/ip/dhcp-server/lease")
    menus += ("/ip/firewall/address-list", "/ppp/active")
    return {
        menu: [
            {key: value for key, value in row.items() if key not in ("comment", "uptime")} for row in town.rows(menu)
        ]
        for menu in menus
    }


def secrets(town: HeldTown, *names: str, **fields: str) -> None:
    """PPP secrets of the old days, with a profile of the ISP's own."""
    town.device.add("/ppp/profile", name="gold", rate_limit="10M/50M", remote_address="customers")
    for name in names:
        given = {"password": PASSWORD, "service": "pppoe", "profile": "gold", "comment": f"Mrs {name}"[:60]}
        town.device.add("/ppp/secret", name=name, **(given | fields))


def test_secrets_become_ours_by_a_mark_and_then_live_like_any_other(database):
    """Hard names too: the same rate, the same session, the old words in the comment; then restricted and restored."""
    with held_town(database) as town:
        secrets(town, *NAMES)
        latin = b"caf\xe9".decode("utf-8", "surrogateescape")
        town.device.set("/ppp/secret", "0123", comment=latin)
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        before, standing = everything(town), town.device.do(lambda device: device.standing("anna"))

        read = previewed(town)
        assert {row.verdict for row in read.rows} == {Verdict.NEW}
        assert dict(read.new_plans) == {"gold": {"group": "gold"}}
        assert town.rows("/ppp/secret")[0]["comment"] == "Mrs anna"
        done = applied(town, read)

        assert [one.refused for one in done] == [""] * len(NAMES)
        assert everything(town) == before
        assert town.device.do(lambda device: device.standing("anna")) == standing
        services = {one.username: one.service for one in done}
        for row in town.rows("/ppp/secret"):
            service = services[row["name"]]
            words = latin if row["name"] == "0123" else f"Mrs {row['name']}"[:60]
            assert row["comment"] == f"ispagents:service-{service.id} {words}"
            assert [step.state for step in town.steps(service)] == ["verified"]

        town.suspend(services["anna"])
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        assert town.device.do(lambda device: device.standing("anna")).lists == {"overdue"}
        town.pay(services["anna"])
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        assert town.device.do(lambda device: device.standing("anna")).download_bps == 50_000_000
        assert {row.verdict for row in previewed(town).rows} == {Verdict.SAME}


@pytest.mark.parametrize("broken", [Break.BEFORE, Break.MID_REPLY])
def test_a_router_that_dies_meanwhile_drops_nobody(database, broken):
    """Marked again by the next attempt; who is online stays so, though nobody knows what his session was given."""
    with held_town(database) as town:
        secrets(town, "anna", "bert")
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        before = everything(town)
        town.device.break_next("/ppp/secret/set", broken)
        done = applied(town, previewed(town))
        assert {step.state for one in done for step in town.steps(one.service)} & {"retrying", "unverified", "started"}
        with town.database.as_superuser() as connection:
            connection.execute("UPDATE steps SET due_at = now()")
            connection.execute("UPDATE router_health SET left_alone_until = NULL")
        town.settle()
        assert {step.state for one in done for step in town.steps(one.service)} == {"verified"}
        assert everything(town) == before


def test_openings_that_wait_for_a_person_are_one_batch_that_drops_nobody(database):
    """Where openings are approved by hand, the preview says that a mark is all that is written."""
    with held_town(database) as town:
        with town.isp.web() as session:
            session.get_one(Operator, town.isp.operator_id).automatic_changes = ["restore"]
        secrets(town, "anna", "bert")
        done = applied(town, previewed(town))
        changes = [change for one in done for change in town.isp.changes(one.service)]
        assert len({change.batch_id for change in changes} - {None}) == 1
        for change in changes:
            (one,) = change.preview["configured"]
            assert (one["drops"], one["cuts"], len(one["commands"])) == (False, [], 1)
            assert f'set [find name="{change.preview["username"]}"] comment="ispagents:' in one["commands"][0]
            assert not change.preview["drops"]


def test_no_password_is_kept_but_sealed(database):
    """Neither in the rows of the import, nor in steps, evidence or audit."""
    with held_town(database) as town:
        secrets(town, "anna")
        applied(town, previewed(town))
        with town.isp.worker() as session:
            kept = session.query(Service).filter_by(username="anna").one()
            assert BOX.open(kept.password, f"services.password/{town.isp.operator_id}/anna") == PASSWORD
            assert session.query(ImportRow).count() == session.query(Evidence).count() == 1
        with town.database.as_superuser() as connection:
            for table in ("imports", "import_rows", "steps", "evidence", "changes", "audit_events", "services"):
                rows = connection.execute(f"SELECT row_to_json(one)::text FROM {table} AS one").fetchall()  # noqa: S608 - named above
                assert not [row for (row,) in rows if PASSWORD in row], table


def test_queues_leases_hotspot_users_and_static_customers_stay_as_they_are(database):
    """The style fits itself to what stands there; queues keep their names, and lists that are sold become ours too."""
    with held_town(database) as town:
        device = town.device
        secrets(town, "anna", remote_address="10.5.0.7", routes="10.1.2.0/24", caller_id=MAC, service="any")
        device.add("/queue/simple", name="q of anna", target="10.5.0.7/32", max_limit="5M/20M", **BURST)
        device.add("/ip/firewall/address-list", list="paid", address="10.5.0.7", comment="Mrs anna")
        device.add("/ip/firewall/address-list", list="paid", address="10.6.0.50", comment="The mill")
        device.add("/queue/simple", name="office", target="10.6.0.9", max_limit="20M/20M", priority="5/5")
        device.add("/ip/hotspot/user/profile", name="hour", rate_limit="1M/4M")
        device.add("/ip/hotspot/user", name="guest", password=PASSWORD, profile="hour")
        device.add("/ip/dhcp-server", name="lan", interface="ether3")
        device.add(
            "/ip/dhcp-server/lease",
            address="10.8.0.5",
            mac_address=MAC,
            server="lan",
            rate_limit="2M/8M",
            address_lists="tv",
        )
        device.do(lambda one: one.ppp_login("anna", PASSWORD, caller_id=MAC))
        before, standing = everything(town), device.do(lambda one: one.standing("anna"))

        read = previewed(town, lists=("paid",))
        assert [(row.service.username, row.verdict, row.reason) for row in read.rows] == [
            (name, Verdict.NEW, "") for name in EVERYBODY
        ]
        done = applied(town, read, ("paid",))

        assert everything(town) == before
        assert device.do(lambda one: one.standing("anna")) == standing
        states = {one.username: [step.state for step in town.steps(one.service)] for one in done}
        assert states == {name: ["verified"] for name in EVERYBODY}
        for menu in ("/ppp/secret", "/queue/simple", "/ip/hotspot/user", "/ip/dhcp-server/lease"):
            kept = [row for row in town.rows(menu) if row.get("dynamic") != "true"]
            assert all(row["comment"].startswith("ispagents:service-") for row in kept), menu
        comments = [row["comment"].split(" ", 1)[1] for row in town.rows("/ip/firewall/address-list")]
        assert comments == ["Mrs anna", "The mill"]


def test_what_would_be_changed_needs_a_person(database):
    """It is shown with the reason, and not taken in."""
    odd = {
        "disabled": {"disabled": "yes"},
        "for l2tp": {"service": "l2tp"},
        "no MAC address": {"caller_id": "somebody"},
        "no single address": {"remote_address": "customers"},
        "no password": {"password": ""},
        "carries the mark": {"comment": "ispagents:service-999"},
    }
    with held_town(database) as town:
        secrets(town)
        for said, fields in odd.items():
            given = {"password": PASSWORD, "service": "pppoe", "profile": "gold"}
            town.device.add("/ppp/secret", name=said, **(given | fields))
        before = town.rows("/ppp/secret")
        read = previewed(town)
        assert {row.verdict for row in read.rows} == {Verdict.PERSON}
        assert not [row for row in read.rows if row.service.username not in row.reason]
        assert applied(town, read) == []
        assert town.rows("/ppp/secret") == before


def test_a_row_that_moved_since_the_preview_is_left_alone(database):
    """Deleted, changed, or taken by somebody else meanwhile: one sentence each, and the others come in."""
    with held_town(database) as town:
        secrets(town, "anna", "bert", "cleo", "dora")
        read = previewed(town)
        town.device.remove("/ppp/secret", "anna")
        town.device.set("/ppp/secret", "bert", profile="default")
        town.isp.service("cleo")
        done = {one.username: one for one in applied(town, read)}
        assert "changed on the router" in done["anna"].refused
        assert "changed on the router" in done["bert"].refused
        assert "already" in done["cleo"].refused
        assert done["dora"].service is not None


def test_an_import_is_taken_back_and_the_router_stays_as_it_was(database):
    """Marks go, services close, nobody drops; what was paid since stands in the way of its own customer alone."""
    with held_town(database) as town:
        secrets(town, *NAMES)
        town.device.do(lambda device: device.ppp_login("no", PASSWORD))
        before = town.rows("/ppp/secret"), everything(town)
        read = previewed(town)
        services = {one.username: one.service for one in applied(town, read)}
        town.isp.pay(services["anna"].subscriber_id)
        with town.isp.web() as session, pytest.raises(Refused, match="anna: its customer has paid"):
            begin_undo(session, session.get_one(Import, read.stored.id), rest=False)

        assert taken_back(town, read, rest=True) == len(NAMES) - 1

        comments = {row["name"]: row["comment"] for row in town.rows("/ppp/secret")}
        assert comments.pop("anna").startswith("ispagents:service-")
        assert comments == {row["name"]: row["comment"] for row in before[0] if row["name"] != "anna"}
        assert everything(town) == before[1]
        assert town.isp.fresh(services["no"]).closed_at is not None
        assert town.placement(services["no"]).ended_at is not None
        assert town.placement(services["anna"]).ended_at is None

        again = previewed(town)
        assert {row.service.username: row.verdict for row in again.rows} == {
            name: Verdict.SAME if name == "anna" else Verdict.NEW for name in NAMES
        }
        assert {one.refused for one in applied(town, again)} == {""}
        assert everything(town) == before[1]
        assert all(row["comment"].startswith("ispagents:service-") for row in town.rows("/ppp/secret"))
        assert [step.state for step in town.steps(services["no"])] == ["verified", "verified", "verified"]
        assert taken_back(town, again) == len(NAMES) - 1
        assert everything(town) == before[1]
