"""Observe, apply, undo and settle on a simulated router: what stands there afterwards, and what is said of it."""

import pytest
from routeros_peers import (
    LIST,
    PASSWORD,
    PROFILES,
    SECRETS,
    added,
    asynchronous,
    changed,
    connected,
    plan,
    removed,
    simulated,
)

from network.contract import Outcome
from network.routeros import errors
from network.routeros.health import health
from network.routeros.target import Limits
from network.routeros.undoing import settle, undo, undo_all
from network.routeros.verbs import Query, apply, apply_all, observe
from policy.routeros.objects import Change, Command, Verb
from policy.routeros.values import HIDDEN
from simulators.routeros.settings import ApiFaults, ApiUser, Break

NAMES = ["no", "0123", "true", "łódź", '"quoted"', "two\nlines", "a=b", "1e3", "x" * 253]


def named(router, menu=SECRETS):
    return [row["name"] for row in router.rows(menu)]


def outcomes(applied):
    return [(str(step.result.outcome), step.result.cause) for step in applied.steps]


@asynchronous
async def test_names_stay_what_they_are():
    """Subscribers of any name are added, read, changed and taken away as just that."""
    async with simulated() as router, connected(router) as connection:
        done = await apply_all(connection, [plan(added(SECRETS, name=name, comment=name)) for name in NAMES])
        assert {one.outcome for one in done} == {Outcome.APPLIED}
        assert named(router) == NAMES
        found = await observe(connection, [Query(menu=SECRETS, fields=("name", "comment"))])
        assert [item.fields for item in found[SECRETS]] == [{"name": name, "comment": name} for name in NAMES]
        assert [item.id for item in found[SECRETS]] == [one.steps[0].item_id for one in done]
        for name in NAMES:
            only = await observe(connection, [Query(menu=SECRETS, fields=("name",), where=(("name", (name,)),))])
            assert [item.fields["name"] for item in only[SECRETS]] == [name]
        taken = await undo_all(connection, done)
        assert {one.outcome for one in taken} == {Outcome.APPLIED}
        assert named(router) == []


@pytest.mark.parametrize("version", ["6.49.10", "7.16.1", "7.20"])
@asynchronous
async def test_observe(version):
    """Menus are read side by side, by value and by what is set; one that is not there is None if it may be."""
    async with simulated(version=version) as router, connected(router) as connection:
        for number, (name, comment) in enumerate([("paid", "ispagents:service-1"), ("slow", ""), ("other", "mine")]):
            router.add(LIST, list=name, address=f"10.0.0.{number}", comment=comment)
        queries = [
            Query(menu=LIST, fields=("list",), where=(("list", ("paid", "slow")),)),
            Query(menu=LIST, fields=("list",), where=(("list", ("paid", "other")),), present=("comment",)),
            Query(menu=SECRETS),
            Query(menu="/no/such/menu", optional=True),
        ]
        found = await observe(connection, queries)
        assert [item.fields for item in found[LIST]] == [{"list": "paid"}, {"list": "slow"}, {"list": "other"}]
        assert found[SECRETS] == ()
        assert found["/no/such/menu"] is None
        with pytest.raises(errors.NoSuchMenuError):
            await observe(connection, [Query(menu="/no/such/menu")])


@asynchronous
async def test_hidden_secrets():
    """A user without the policy for secrets gets something that equals any of them."""
    reader = ApiUser(name="ispagents", password=PASSWORD, group="read-only")
    groups = {"read-only": "read,api"}
    async with simulated(users=(reader,), groups=groups) as router, connected(router) as connection:
        router.add(SECRETS, name="anna", password="very-secret")
        found = await observe(connection, [Query(menu=SECRETS)])
        assert found[SECRETS][0].fields["password"] == HIDDEN


@asynchronous
async def test_apply_stops_where_it_must():
    """After a refusal nothing more of the same plan is sent; other plans go on; independent changes do too."""
    async with simulated() as router, connected(router) as connection:
        bad = plan(
            added(PROFILES, name="fast"),
            added(SECRETS, name="anna", profile="no such profile", password="very-secret"),
            added(LIST, list="paid", address="10.0.0.1"),
        )
        good = plan(added(SECRETS, name="bob", profile="default"))
        first, second = await apply_all(connection, [bad, good])
        assert outcomes(first) == [("applied", "done"), ("refused", "invalid_value"), ("refused", "held_back")]
        assert [step.result.attempts for step in first.steps] == [1, 1, 0]
        assert first.outcome is Outcome.REFUSED
        assert second.outcome is Outcome.APPLIED
        assert router.rows(LIST) == []
        assert "very-secret" not in str([step.result for step in first.steps])
        again = await apply(connection, bad, independent=True)
        assert outcomes(again) == [("already_so", "already_there"), ("refused", "invalid_value"), ("applied", "done")]
        undone = await undo(connection, first)
        assert outcomes(undone) == [("applied", "done")]
        assert "fast" not in named(router, PROFILES)


@asynchronous
async def test_what_is_there_already():
    """Adding what is there just so is nothing to do; under the same key but otherwise, it is somebody else's."""
    async with simulated() as router, connected(router) as connection:
        router.add(LIST, list="paid", address="10.0.0.1", comment="ispagents:service-1")
        same, other, gone = (
            plan(added(LIST, list="paid", address="10.0.0.1", comment="ispagents:service-1")),
            plan(added(LIST, list="paid", address="10.0.0.1", comment="ispagents:service-2")),
            plan(Change(Command(Verb.REMOVE, LIST, (("list", "x"),), id="*FFFF"), None, "test")),
        )
        done = await apply_all(connection, [same, other, gone])
        assert [outcomes(one) for one in done] == [
            [("already_so", "already_there")],
            [("refused", "already_exists")],
            [("already_so", "already_gone")],
        ]
        assert [outcomes(one) for one in await undo_all(connection, done)] == [[], [], []]
        assert len(router.rows(LIST)) == 1


@asynchronous
async def test_what_cannot_be_sent():
    """A value that no router can be sent is refused before anything leaves, and the others go on."""
    async with simulated() as router, connected(router) as connection:
        bad, good = plan(added(SECRETS, **{"name=x": "a"})), plan(added(SECRETS, name="half \ud800"))
        done = await apply_all(connection, [bad, good, plan(added(SECRETS, name="anna"))])
        assert [outcomes(one) for one in done] == [
            [("refused", "invalid_command")],
            [("refused", "invalid_command")],
            [("applied", "done")],
        ]
        assert named(router) == ["anna"]


@asynchronous
async def test_undo_restores_only_what_is_still_ours():
    """What a person has changed or removed since is reported and not touched; all else is as it was before."""
    async with simulated() as router, connected(router) as connection:
        for name in ("anna", "bob", "carol", "dave"):
            router.add(SECRETS, name=name, profile="default", comment=f"of {name}")
        done = await apply(
            connection,
            plan(
                changed(router, SECRETS, "anna", comment="ours"),
                changed(router, SECRETS, "bob", comment="ours"),
                changed(router, SECRETS, "carol", comment="ours"),
                removed(router, SECRETS, "dave"),
                added(SECRETS, name="eve"),
            ),
        )
        assert done.outcome is Outcome.APPLIED
        router.set(SECRETS, "bob", comment="by hand")
        router.remove(SECRETS, "carol")
        undone = await undo(connection, done)
        assert outcomes(undone) == [
            ("applied", "done"),
            ("applied", "done"),
            ("refused", "changed_meanwhile"),
            ("refused", "changed_meanwhile"),
            ("applied", "done"),
        ]
        assert {row["name"]: row["comment"] for row in router.rows(SECRETS)} == {
            "anna": "of anna",
            "bob": "by hand",
            "dave": "of dave",
        }


@asynchronous
async def test_settings_without_items_are_undone():
    """A menu of settings has no items; its one row is changed, and set back as long as it shows what we set."""
    incoming = "/radius/incoming"
    there = Command(Verb.SET, incoming, (), (("accept", "yes"), ("port", "3799")))
    back = Command(Verb.SET, incoming, (), (("accept", "no"),))
    async with simulated() as router, connected(router) as connection:
        done = await apply(connection, plan(Change(there, back, "test"), added(SECRETS, name="anna")))
        assert router.rows(incoming)[0]["accept"] == "true"
        assert (await undo(connection, done)).outcome is Outcome.APPLIED
        assert router.rows(incoming)[0]["accept"] == "false"
        assert outcomes(await undo(connection, done))[-1] == ("refused", "changed_meanwhile")


@asynchronous
async def test_an_item_found_by_its_key_after_a_restart():
    """Ids may be others after a restart: the item is then found by its key, and taken back."""
    async with simulated() as router, connected(router) as connection:
        done = await apply_all(connection, [plan(added(SECRETS, name=f"n{one}", comment="c")) for one in range(3)])
        for name in ("n0", "n1", "n2"):
            router.remove(SECRETS, name)
        for name in ("other", "n2", "n1", "n0"):
            router.add(SECRETS, name=name, comment="c")
        taken = await undo_all(connection, done)
        assert {one.outcome for one in taken} == {Outcome.APPLIED}
        assert named(router) == ["other"]


@asynchronous
async def test_an_item_removed_before_apply():
    """What vanished between looking and changing is a refusal that says so, and nothing else is touched."""
    async with simulated() as router, connected(router) as connection:
        router.add(SECRETS, name="anna")
        change = changed(router, SECRETS, "anna", comment="ours")
        router.remove(SECRETS, "anna")
        assert outcomes(await apply(connection, plan(change))) == [("refused", "no_such_item")]


@pytest.mark.parametrize(
    ("how", "settled"), [(Break.BEFORE, "not_done"), (Break.AFTER, "seen"), (Break.MID_REPLY, "seen")]
)
@asynchronous
async def test_unknown_is_settled_by_looking(how, settled):
    """A router that dies at a command leaves it unknown; looking tells whether it was done, and undo knows too."""
    async with simulated() as router:
        async with connected(router) as connection:
            router.break_next(f"{SECRETS}/add", how)
            done = await apply(
                connection, plan(added(PROFILES, name="fast"), added(SECRETS, name="anna"), added(SECRETS, name="bob"))
            )
        assert outcomes(done) == [("applied", "done"), ("unknown", "unknown:closed"), ("refused", "held_back")]
        assert done.outcome is Outcome.UNKNOWN
        async with connected(router) as connection:
            known = await settle(connection, done)
            assert [cause for _, cause in outcomes(known)] == ["done", settled, "held_back"]
            await undo(connection, done)
        assert named(router) == []
        assert "fast" not in named(router, PROFILES)


@asynchronous
async def test_many_plans_when_the_link_dies():
    """Every plan ends as done, unknown or not sent, and the router has exactly what is done or unknown."""
    async with simulated(faults=ApiFaults(latency_s=0.002)) as router, connected(router, window=8) as connection:
        router.break_next(f"{SECRETS}/add", Break.AFTER)
        plans = [plan(added(LIST, list="paid", address=f"10.1.0.{n}")) for n in range(50)]
        plans.insert(20, plan(added(SECRETS, name="anna")))
        done = await apply_all(connection, plans)
        told = {str(one.outcome) for one in done}
        assert told == {"applied", "unknown", "unreachable"}
        have = {row["address"] for row in router.rows(LIST)}
        for wanted, one in zip(plans, done, strict=True):
            address = dict(wanted.changes[0].command.fields).get("address")
            if one.outcome is Outcome.APPLIED:
                assert address in have
            elif one.outcome is Outcome.UNREACHABLE:
                assert address not in have


@pytest.mark.parametrize("seed", range(10))
@asynchronous
async def test_any_trouble_is_settled(seed):
    """Whatever goes wrong on the way: looking tells what was done, it is what the router has, and undo is whole."""
    breaks = dict.fromkeys(Break, 0.02)
    hasty = Limits(command_timeout_s=0.1)
    names = [f"n{number}" for number in range(30)]
    plans = [plan(added(PROFILES, name=name), added(SECRETS, name=name, profile=name)) for name in names]
    async with simulated(faults=ApiFaults(breaks=breaks, seed=seed)) as router:
        done = []
        while len(done) < len(plans):
            try:
                async with connected(router, hasty, window=4) as connection:
                    done += await apply_all(connection, plans[len(done) : len(done) + 10])
            except errors.NotConnectedError:
                continue
        router.switch_faults(breaks={})
        async with connected(router) as connection:
            known = [await settle(connection, one) for one in done]
            there = {(menu, name) for menu in (PROFILES, SECRETS) for name in named(router, menu)}
            for step in (step for one in known for step in one.steps):
                item = (step.change.command.menu, step.change.command.key[0][1])
                assert (item in there) == (step.result.outcome is Outcome.APPLIED), step.result
            for one in await undo_all(connection, done):
                assert one.outcome in (Outcome.APPLIED, Outcome.ALREADY_SO)
        assert named(router) == []
        assert not set(named(router, PROFILES)) & set(names)


@asynchronous
async def test_a_trap_in_the_middle_and_a_full_list():
    """An interruption may be tried again; a full list may not until somebody makes room."""
    async with simulated(rows_max={LIST: 2}) as router, connected(router) as connection:
        router.break_next(f"{LIST}/add", Break.TRAP)
        done = await apply_all(connection, [plan(added(LIST, list="a", address=f"10.0.0.{n}")) for n in range(4)])
        causes = {one.steps[0].result.cause: one.steps[0].result.may_retry for one in done}
        assert causes["busy"] is True
        assert causes["full"] is False
        assert len(router.rows(LIST)) == 2


@asynchronous
async def test_evidence():
    """A step tells what was sent and answered, when and how long it took, and no secret."""
    async with simulated() as router, connected(router) as connection:
        done = await apply(connection, plan(added(SECRETS, name="anna", password="very-secret")))
        (step,) = done.steps
        assert step.result.sent == (("command", '/ppp secret add name="anna" password=***'),)
        assert step.result.reply == (("answer", "!done"), ("ret", step.item_id))
        assert step.result.round_trip_ms > 0
        assert step.result.started_at <= step.result.ended_at
        assert router.rows(SECRETS)[0]["password"] == "very-secret"


@pytest.mark.parametrize("version", ["6.49.10", "7.16.1"])
@asynchronous
async def test_health(version):
    """The facts of a router are read at once, with its clock in UTC and the counters of its RADIUS clients."""
    async with (
        simulated(version=version, identity="tower", clock_skew_s=3600) as router,
        connected(router) as connection,
    ):
        router.add("/radius", service="ppp", address="192.0.2.1", secret="hush-hush")
        facts = await health(connection)
        assert (facts.identity, facts.version, facts.board) == ("tower", version, router.settings.board)
        assert facts.uptime_s is not None
        assert facts.free_memory_bytes
        assert 3590 < (facts.clock - facts.read_at).total_seconds() < 3610
        assert facts.certificate_ends_at is None
        assert [one.address for one in facts.radius] == ["192.0.2.1"]
        assert facts.radius[0].bad_replies == 0
        assert facts.round_trip_ms > 0


@asynchronous
async def test_more_rows_than_asked_for():
    """A menu with more items than a query allows ends the connection instead of filling our memory."""
    async with simulated() as router, connected(router) as connection:
        for number in range(5):
            router.add(SECRETS, name=f"n{number}")
        assert len((await observe(connection, [Query(menu=SECRETS, max_rows=5)]))[SECRETS]) == 5
        with pytest.raises(errors.UnknownOutcomeError, match="more than 4 rows"):
            await observe(connection, [Query(menu=SECRETS, max_rows=4)])
        assert not connection.usable
