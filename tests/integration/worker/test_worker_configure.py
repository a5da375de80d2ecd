"""Without RADIUS: billing writes a router's own configuration, reads it back, and touches nothing else."""

import json
from datetime import UTC, datetime

import pytest
from held_town import PASSWORD, held_town

from policy.changes.enforcement import PRIORITIES
from policy.changes.intent import ChangeKind
from policy.explain import explain
from simulators.routeros import Break
from sql.explain import situation
from sql.models import Router, Service
from sql.placing import adopt, place_service
from sql.timeline import timeline


@pytest.mark.parametrize("username", ["anna", "no", "0123", "łódź", 'a "quoted"\nname', "x" * 200])
def test_a_customer_is_set_up_restricted_and_restored(database, username):
    """Overdue and back by commands alone, each time proved by reading back; a session drops to take its profile."""
    with held_town(database) as town:
        anna = town.service(username)
        assert [step.state for step in town.steps(anna)] == ["verified"], town.steps(anna)[-1].explanation
        town.device.do(lambda device: device.ppp_login(username, PASSWORD, caller_id="02:00:00:00:00:01"))
        assert town.device.do(lambda device: device.standing(username)).download_bps == 50_000_000

        town.suspend(anna)

        assert [step.state for step in town.steps(anna)] == ["verified", "verified"]
        assert town.steps(anna)[-1].proof == "observed"
        assert not town.device.do(lambda device: device.standing(username)).online
        town.device.do(lambda device: device.ppp_login(username, PASSWORD, caller_id="02:00:00:00:00:01"))
        restricted = town.device.do(lambda device: device.standing(username))
        assert (restricted.download_bps, restricted.lists) == (256_000, {"overdue"})

        town.pay(anna)

        town.device.do(lambda device: device.ppp_login(username, PASSWORD, caller_id="02:00:00:00:00:01"))
        back = town.device.do(lambda device: device.standing(username))
        assert (back.download_bps, back.lists) == (50_000_000, frozenset())
        assert town.placement(anna).applied_stamp == town.steps(anna)[-1].target_stamp


def test_a_fixed_address_is_restricted_without_dropping_and_foreign_items_stay(database):
    """A queue and a list by address take hold at once, open connections end, and what others made is left alone."""
    with held_town(database, {"ppp": "queue"}) as town:
        town.device.add("/ip/firewall/address-list", list="overdue", address="10.9.9.9")
        before = town.rows("/ip/firewall/address-list")
        anna = town.service("anna", address="10.5.0.7")
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))

        town.suspend(anna)

        standing = town.device.do(lambda device: device.standing("anna"))
        assert (standing.online, standing.download_bps, standing.lists) == (True, 256_000, {"overdue"})
        town.pay(anna)
        standing = town.device.do(lambda device: device.standing("anna"))
        assert (standing.online, standing.download_bps, standing.lists) == (True, 50_000_000, frozenset())
        assert town.rows("/ip/firewall/address-list") == before


def test_what_is_not_ours_is_a_conflict_and_nothing_is_written(database):
    """A secret of the same name that somebody else made: refused in one sentence, and left as it is."""
    with held_town(database) as town:
        town.device.add("/ppp/secret", name="anna", password="theirs", comment="of the old days")
        before = town.rows("/ppp/secret")

        anna = town.service("anna")

        (step,) = town.steps(anna)
        assert step.state == "refused"
        assert "is not ours" in step.explanation
        assert town.rows("/ppp/secret") == before
        assert not [row for row in town.rows("/ppp/profile") if row["name"].startswith("ispagents")]

        with town.isp.web() as session:
            adopt(session, session.get_one(Service, anna.id), actor="a test")
        town.settle()

        assert [one.state for one in town.steps(anna)] == ["refused", "verified"]
        (secret,) = town.rows("/ppp/secret")
        assert (secret["password"], secret["comment"]) == (PASSWORD, f"ispagents:service-{anna.id} of the old days")


@pytest.mark.parametrize("broken", [Break.BEFORE, Break.AFTER, Break.MID_REPLY, Break.REBOOT])
@pytest.mark.parametrize("at", ["/ppp/profile/add", "/ppp/secret/add"])
def test_a_router_that_dies_between_two_commands_is_looked_at_again(database, broken, at):
    """Whatever part was done, the next attempt looks first and ends in the same place."""
    with held_town(database) as town:
        town.device.break_next(at, broken)

        anna = town.service("anna")

        assert town.steps(anna)[-1].state in ("retrying", "verified")
        with town.database.as_superuser() as connection:
            connection.execute("UPDATE steps SET due_at = now()")
            connection.execute("UPDATE router_health SET left_alone_until = NULL")
        town.settle()
        assert [step.state for step in town.steps(anna)] == ["verified"]
        assert [row["name"] for row in town.rows("/ppp/secret")] == ["anna"]


def test_evidence_holds_commands_and_their_reverse_but_no_password(database):
    """What was sent, what takes it back and what the router said is kept; no password is anywhere in it."""
    with held_town(database) as town:
        anna = town.service("anna")
        town.suspend(anna)

        first, second = [town.evidence(step)[-1] for step in town.steps(anna)]
        assert first.undo == [["command", '/ppp secret remove [find name="anna"]']]
        assert any("profile" in command for _, command in second.undo)
        said = json.dumps([[one.sent, one.undo, one.reply, one.explanation] for one in (first, second)])
        assert "/ppp secret" in said
        assert PASSWORD not in said
        with town.database.as_superuser() as connection:
            for table in ("steps", "evidence", "changes", "audit_events", "placements"):
                rows = connection.execute(f"SELECT row_to_json(one)::text FROM {table} AS one").fetchall()  # noqa: S608 - named above
                assert not [row for (row,) in rows if PASSWORD in row], table


def test_a_change_is_previewed_as_commands_and_their_reverse(database):
    """A person reads what will be typed before agreeing to it; the hash binds it."""
    with held_town(database) as town:
        anna = town.service("anna")
        town.isp.invoice(anna.subscriber_id)
        town.isp.review()

        preview = town.isp.changes(anna)[-1].preview

        (one,) = preview["configured"]
        assert one["router"] == "hill"
        assert any('find name="anna"' in command and "profile=" in command for command in one["commands"])
        assert any('find name="anna"' in command and "profile=" in command for command in one["undo"])
        assert one["drops"]
        assert preview["consequence"].startswith("A connection that is up drops once")
        assert PASSWORD not in json.dumps(preview)


def test_a_service_that_goes_back_to_radius_leaves_nothing_of_ours(database):
    """Its items go, its session ends, and the placement ends."""
    with held_town(database) as town:
        anna = town.service("anna", address="10.5.0.7")
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        with town.isp.web() as session:
            place_service(session, session.get_one(Service, anna.id), None, "", actor="a test")

        town.settle()

        assert town.rows("/ppp/secret") == []
        assert not town.device.do(lambda device: device.standing("anna")).online
        assert town.placement(anna).ended_at is not None


def test_a_service_that_comes_back_while_it_is_taken_away_is_no_drift(database):
    """A person asked for it, so the brake on healing does not hold it back."""
    with held_town(database) as town:
        anna = town.service("anna")
        for router_id in (None, town.router.id):
            town.device.break_next("/ppp/secret/remove", Break.AFTER)
            with town.isp.web() as session:
                router = session.get_one(Router, router_id) if router_id is not None else None
                place_service(session, session.get_one(Service, anna.id), router, "", actor="a test")
            town.settle()

        last = town.steps(anna)[-1]
        assert (last.state, last.priority) == ("verified", PRIORITIES[ChangeKind.OPEN]), last.explanation
        assert [row["name"] for row in town.rows("/ppp/secret")] == ["anna"]


def test_the_customer_record_tells_what_a_router_holds(database):
    """Support reads one sentence that is true, whether it went well, was refused or waits; and the whole story."""
    with held_town(database, {"garden": {"pay_address": "10.255.0.1"}}) as town:
        anna = town.service("anna")
        fine = "Zofia Kowalska gets all that the plan Plan of anna gives (10M/50M), on hill, read back"
        assert explained(town, "anna").startswith(fine)
        town.suspend(anna)
        assert "is in the walled garden, because " in explained(town, "anna")
        town.device.add("/ppp/secret", name="jan", password="theirs")
        town.service("jan")
        said = explained(town, "jan")
        assert "lacks what is authorised, because the configuration to hill was refused" in said
        assert "is not ours" in said

        with town.isp.web() as session:
            story = [entry.sentence for entry in timeline(session, session.get_one(Service, anna.id))]
        assert any("configuration of hill" in sentence for sentence in story), story


def explained(town, username):
    """The answer of `ispagents explain`."""
    with town.isp.web() as session:
        return explain(situation(session, town.isp.operator_id, username, datetime.now(UTC))).answer
