"""Why a customer is offline, slow or restricted: every cause that has words, and what holds for any situation."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from policy_strategies import NOW
from situations import (
    DAY,
    DOWN,
    ENDED,
    GARDEN,
    HELD,
    HERE,
    HOUR,
    MINUTE,
    NOTHING,
    PLAN,
    SLOW,
    anna,
    decision,
    holding,
    line,
    owing,
    refused,
    situations,
    step,
)

from policy.access import Kind
from policy.cause import Code
from policy.changes.enforcement import Enforcement
from policy.changes.intent import ChangeKind, Intent
from policy.changes.route import RouteKind
from policy.explain import State, explain
from policy.reasons import Reason
from policy.situation import Asserted, Coming, Drifted, Earlier, EdgeNode, Promise, Situation
from policy.standing import HoldKind, Standing

SILENT = EdgeNode("node-1", NOW - HOUR, silent=True, behind=False)
BEHIND = EdgeNode("node-1", NOW, silent=False, behind=True)
THEIRS = Asserted(Standing.SUSPENDED, NOW - DAY, "Their billing", silent=False)
BACK = Earlier(1, NOW + DAY, "a mistake. Ours.", "Ewa", NOW - HOUR)


def _pending(state: Enforcement, **more):
    """In the walled garden, paid and authorised again, and the step to the router is in this state."""
    return anna(sessions=(line(in_line=False, applied=GARDEN, step=step(state, **more)),))


def _offline(**more):
    return anna(**({"sessions": (), "last_session": ENDED} | more))


def _restricted(reason, **more):
    access = GARDEN._replace(reason=reason)
    return anna(authorised=access, sessions=(line(applied=access, due=access),), **more)


WAITING, REJECTED = decision(Intent.AWAITING_APPROVAL), decision(Intent.REJECTED)
SUSPENSION = decision(Intent.AWAITING_APPROVAL, ChangeKind.SUSPEND)
UPGRADE = decision(Intent.AWAITING_APPROVAL, ChangeKind.PLAN)

# The situation, the state, the codes in order, words of the answer, and the first command.
TABLE: dict[str, tuple[Situation, State, list[Code], str, str]] = {
    "all is well": (anna(), State.FINE, [], "online with all that the plan Home 50 gives (10M/50M)", ""),
    "all is well, though a suspension waits": (
        anna(decision=SUSPENSION, wants_other=True, standing=Standing.SUSPENDED),
        State.FINE,
        [],
        "a suspension (change 9) waits for approval",
        "ispagents change show 9",
    ),
    "a boost at night": (
        anna(sessions=(line(due=PLAN._replace(reason=Reason.WINDOW, rate_limit="20M/100M")),)),
        State.FINE,
        [],
        "gives (20M/100M)",
        "",
    ),
    "unpaid": (
        owing(),
        State.RESTRICTED,
        [Code.UNPAID],
        "because invoice 17, due on 2026-11-01, has been unpaid for 21 days; a payment of 30.00 EUR restores",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "unpaid, where people restore": (
        owing(restores_by_itself=False),
        State.RESTRICTED,
        [Code.UNPAID],
        "after a payment of 30.00 EUR a person can approve the restoration",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "another system says so": (
        owing(
            unpaid=None, outside=True, asserted=Asserted(Standing.SUSPENDED, NOW - DAY, "Their billing", silent=False)
        ),
        State.RESTRICTED,
        [Code.ASSERTED],
        "because the billing system Their billing says suspended, as of 2026-11-21 16:00; it is restored as soon as",
        "ispagents timeline anna",
    ),
    "unpaid and offline": (
        owing(sessions=(), last_session=ENDED),
        State.OFFLINE,
        [Code.NO_LOGIN, Code.UNPAID],
        "has been offline for 3 hours, because its last session ended (Lost-Carrier)",
        "ispagents timeline anna",
    ),
    "unpaid, and the plan denies": (
        owing(authorised=NOTHING, sessions=()),
        State.REFUSED,
        [Code.UNPAID],
        "cannot log in, because invoice 17",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "paid, the worker has not looked": (
        owing(standing=Standing.CURRENT, unpaid=None, wants_other=True, review_due_at=NOW - 5 * MINUTE),
        State.RESTRICTED,
        [Code.NOT_REVIEWED, Code.SUSPENDED],
        "billing says current now, but the worker has not acted on it yet for 5 minutes",
        "ispagents status",
    ),
    "paid, the restoration waits": (
        owing(standing=Standing.CURRENT, unpaid=None, wants_other=True, decision=WAITING),
        State.RESTRICTED,
        [Code.AWAITING_APPROVAL, Code.SUSPENDED],
        "the restoration (change 9) has waited for approval for 3 hours; any one person may approve it",
        "ispagents change show 9",
    ),
    "paid, the restoration was rejected": (
        owing(standing=Standing.CURRENT, unpaid=None, wants_other=True, decision=REJECTED),
        State.RESTRICTED,
        [Code.REJECTED, Code.SUSPENDED],
        'was rejected by Piotr 60 minutes ago ("ask the boss")',
        "ispagents change show 9",
    ),
    "owing again after a rejected restoration": (
        owing(decision=REJECTED),
        State.RESTRICTED,
        [Code.UNPAID],
        "invoice 17",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "an undo waits while money is owed": (
        owing(override=BACK, decision=decision(Intent.AWAITING_APPROVAL, needs_approvals=2, requested_by="Ewa")),
        State.RESTRICTED,
        [Code.AWAITING_APPROVAL, Code.UNPAID],
        "2 different people must approve it, of whom Ewa can be only one",
        "ispagents change show 9",
    ),
    "an upgrade waits for a second person": (
        anna(
            wants_other=True,
            decision=decision(Intent.AWAITING_APPROVAL, ChangeKind.PLAN, needs_approvals=2, approved_by=("Ewa",)),
        ),
        State.ONLINE,
        [Code.AWAITING_APPROVAL],
        "Ewa approved it, and one more person must",
        "ispagents change show 9",
    ),
    "an upgrade that nobody decided": (
        anna(decision=decision(Intent.EXPIRED, ChangeKind.PLAN, decided_by="", note="")),
        State.ONLINE,
        [Code.REJECTED],
        "the change of plan (change 9) was left undecided until it expired",
        "ispagents change show 9",
    ),
    "an upgrade that the worker has not seen": (
        anna(wants_other=True, wanted_plan="Home 100"),
        State.ONLINE,
        [Code.NOT_REVIEWED],
        "something else is wanted of the service by now",
        "ispagents status",
    ),
    "the prepaid time is over": (
        _restricted(Reason.PREPAID_ENDED, prepaid_until=NOW - HOUR),
        State.RESTRICTED,
        [Code.PREPAID_ENDED],
        "the prepaid time ran out on 2026-11-22 15:00; a top-up restores it",
        "ispagents service set anna --prepaid-until DATE",
    ),
    "the quota is used up": (
        _restricted(Reason.QUOTA_USED),
        State.RESTRICTED,
        [Code.QUOTA_USED],
        "quota",
        "ispagents service set anna --plan NAME",
    ),
    "outside the plan's hours": (
        _restricted(Reason.OUTSIDE_HOURS),
        State.RESTRICTED,
        [Code.OUTSIDE_HOURS],
        "at this hour",
        "ispagents plan show 'Home 50'",
    ),
    "fair use": (
        anna(sessions=(line(due=SLOW),)),
        State.SLOW,
        [Code.FAIR_USE],
        "slower than the plan, at 1M/1M",
        "ispagents quota show anna",
    ),
    "a slow window": (
        anna(sessions=(line(due=SLOW._replace(reason=Reason.WINDOW, valid_until=NOW + HOUR)),)),
        State.SLOW,
        [Code.WINDOW],
        "it changes by itself at 2026-11-22 17:00",
        "ispagents plan show 'Home 50'",
    ),
    "suspended without a debt": (
        owing(unpaid=None, standing=Standing.CURRENT),
        State.RESTRICTED,
        [Code.SUSPENDED],
        "nothing has lifted that",
        "ispagents change show 2",
    ),
    "closed": (
        anna(authorised=NOTHING._replace(reason=Reason.CLOSED), sessions=()),
        State.REFUSED,
        [Code.CLOSED],
        "closed",
        "ispagents timeline anna",
    ),
    "new, and nobody looked": (
        anna(authorised=None, authorised_standing=None, sessions=(), created_at=NOW - MINUTE),
        State.REFUSED,
        [Code.NOT_AUTHORISED],
        "nothing has been authorised for it since it was added 60 seconds ago",
        "ispagents status",
    ),
    "new, and waiting": (
        anna(authorised=None, sessions=(), decision=decision(Intent.AWAITING_APPROVAL, ChangeKind.OPEN)),
        State.REFUSED,
        [Code.AWAITING_APPROVAL],
        "the opening of the service (change 9) has waited",
        "ispagents change show 9",
    ),
    "new, and rejected": (
        anna(authorised=None, sessions=(), decision=decision(Intent.REJECTED, ChangeKind.OPEN)),
        State.REFUSED,
        [Code.REJECTED],
        "rejected by Piotr",
        "ispagents change show 9",
    ),
    "a wrong password": (
        _offline(refused=(refused("wrong_password"),)),
        State.REFUSED,
        [Code.WRONG_PASSWORD],
        "its last login on tower-1 (3 minutes ago, the 4th in that hour) came with a wrong password",
        "ispagents service password anna --generate-password",
    ),
    "another device": (
        _offline(refused=(refused("wrong_device"),), bound_mac="02:00:00:00:00:01"),
        State.REFUSED,
        [Code.WRONG_DEVICE],
        "came from device 02:00:00:00:00:02, and the service is bound to 02:00:00:00:00:01",
        "ispagents service unbind anna",
    ),
    "another device, released since": (
        _offline(refused=(refused("wrong_device"),)),
        State.OFFLINE,
        [Code.NO_LOGIN],
        "a login would be accepted",
        "ispagents timeline anna",
    ),
    "another router": (
        _offline(refused=(refused("wrong_router"),), bound_router="tower-9"),
        State.REFUSED,
        [Code.WRONG_PLACE],
        "another router than tower-9",
        "ispagents service unbind anna",
    ),
    "another port": (
        _offline(refused=(refused("wrong_port"),), bound_port="ether9"),
        State.REFUSED,
        [Code.WRONG_PLACE],
        "another port than ether9",
        "ispagents service unbind anna",
    ),
    "another method": (
        _offline(refused=(refused("wrong_method"),)),
        State.REFUSED,
        [Code.WRONG_METHOD],
        "did not come by pppoe",
        "ispagents service show anna",
    ),
    "too many sessions": (
        _offline(refused=(refused("too_many_sessions"),)),
        State.REFUSED,
        [Code.LOGIN_REFUSED],
        "as many devices as its plan allows",
        "ispagents timeline anna --kind refused",
    ),
    "a refusal that has no word here": (
        _offline(refused=(refused("full_moon"),)),
        State.REFUSED,
        [Code.LOGIN_REFUSED],
        "was refused: full moon",
        "ispagents timeline anna --kind refused",
    ),
    "refused while suspended, paid since": (
        _offline(refused=(refused("suspended"),), authorised_at=NOW - MINUTE),
        State.OFFLINE,
        [Code.NO_LOGIN],
        "has not logged in since",
        "ispagents timeline anna",
    ),
    "refused by a server that lags": (
        _offline(refused=(refused("suspended"),), authorised_at=NOW - HOUR, nodes=(BEHIND,)),
        State.REFUSED,
        [Code.EDGE_BEHIND],
        "the RADIUS server node-1 does not have the news yet",
        "ispagents status",
    ),
    "refused before the last session": (
        _offline(refused=(refused("wrong_password", last_at=NOW - 5 * HOUR),)),
        State.OFFLINE,
        [Code.NO_LOGIN],
        "has been offline for 3 hours",
        "ispagents timeline anna",
    ),
    "never online": (
        _offline(last_session=None),
        State.OFFLINE,
        [Code.NEVER_ONLINE],
        "no router has reported a session",
        "ispagents service show anna",
    ),
    "let in, and no accounting since": (
        _offline(last_session=None, bound_mac="02:00:00:00:00:01"),
        State.OFFLINE,
        [Code.NEVER_ONLINE],
        "device 02:00:00:00:00:01 was let in, but no router has reported its session yet",
        "ispagents timeline anna",
    ),
    "the router is down": (
        _offline(last_session=replace(ENDED, router=DOWN, by="missed_interims", cause="")),
        State.OFFLINE,
        [Code.ROUTER_DOWN, Code.NO_LOGIN],
        "router tower-1, where the last session was, has not answered for 2 hours",
        "ispagents router test tower-1",
    ),
    "every edge is silent": (
        _offline(nodes=(SILENT,)),
        State.OFFLINE,
        [Code.EDGE_SILENT, Code.NO_LOGIN],
        "edge of node-1 is silent",
        "ispagents status",
    ),
    "one of two edges is silent": (
        _offline(nodes=(SILENT, HERE)),
        State.OFFLINE,
        [Code.NO_LOGIN],
        "a login would be accepted",
        "ispagents timeline anna",
    ),
    "the session went quiet": (
        anna(sessions=(line(last_seen_at=NOW - HOUR),)),
        State.OFFLINE,
        [Code.SESSION_QUIET],
        "is most likely offline, because its session on tower-1 has not reported for 60 minutes",
        "ispagents router test tower-1",
    ),
    "the session went quiet with its router": (
        anna(sessions=(line(last_seen_at=NOW - HOUR, router=DOWN),)),
        State.OFFLINE,
        [Code.ROUTER_DOWN],
        "router tower-1 has not answered for 2 hours",
        "ispagents router test tower-1",
    ),
    "a ghost beside a live session": (
        anna(sessions=(line(id=6, last_seen_at=NOW - HOUR, started_at=NOW - 2 * HOUR), line())),
        State.FINE,
        [],
        "online with all",
        "",
    ),
    "the step waits": (
        _pending(Enforcement.WAITING),
        State.RESTRICTED,
        [Code.STEP_WAITING],
        "the CoA to tower-1 has waited for 10 minutes to be sent",
        "ispagents status",
    ),
    "the Disconnect waits for edge": (
        replace(_pending(Enforcement.WAITING, route=RouteKind.DISCONNECT), nodes=(BEHIND,)),
        State.RESTRICTED,
        [Code.EDGE_BEHIND],
        "waits until the RADIUS server node-1 has the change",
        "ispagents status",
    ),
    "the step is on its way": (
        _pending(Enforcement.STARTED),
        State.RESTRICTED,
        [Code.STEP_WAITING],
        "its answer is awaited",
        "ispagents change show 9",
    ),
    "the step is tried again": (
        _pending(Enforcement.RETRYING),
        State.RESTRICTED,
        [Code.STEP_RETRYING],
        "was tried 3 times in vain: No answer came from the router's CoA address; it is tried again at",
        "ispagents router test tower-1",
    ),
    "the router refused": (
        _pending(Enforcement.REFUSED, cause="error_cause:501"),
        State.RESTRICTED,
        [Code.STEP_REFUSED],
        "was refused: tower-1 prohibits the request (501)",
        "ispagents router test tower-1",
    ),
    "the step is stuck": (
        _pending(Enforcement.STUCK, attempts=8),
        State.RESTRICTED,
        [Code.STEP_STUCK],
        "came to nothing after 8 attempts",
        "ispagents router test tower-1",
    ),
    "an answer without a cause": (
        _pending(Enforcement.STUCK, cause=""),
        State.RESTRICTED,
        [Code.STEP_STUCK],
        "attempts: No answer came;",
        "ispagents router test tower-1",
    ),
    "acknowledged, not ended yet": (
        _pending(Enforcement.ACKNOWLEDGED, route=RouteKind.DISCONNECT, ended_at=NOW - MINUTE),
        State.RESTRICTED,
        [Code.STEP_UNPROVED],
        "tower-1 said yes to the Disconnect 60 seconds ago, and nothing proves it",
        "ispagents router test tower-1",
    ),
    "the router takes no CoA": (
        _pending(Enforcement.WAITING, route=RouteKind.NEXT_LOGIN),
        State.RESTRICTED,
        [Code.NEXT_LOGIN],
        "waits for the next login; let the customer restart",
        "ispagents change show 9",
    ),
    "no step at all": (
        anna(sessions=(line(in_line=False, applied=GARDEN),)),
        State.RESTRICTED,
        [Code.NO_STEP],
        "planned no step",
        "ispagents status",
    ),
    "a step that is over": (
        _pending(Enforcement.SUPERSEDED),
        State.RESTRICTED,
        [Code.NO_STEP],
        "planned no step",
        "ispagents status",
    ),
    "network writes are stopped": (
        anna(
            sessions=(line(in_line=False, applied=GARDEN, step=step(Enforcement.WAITING)),),
            writes_stopped_at=NOW - HOUR,
            writes_stopped_by="Piotr",
        ),
        State.RESTRICTED,
        [Code.WRITES_STOPPED, Code.STEP_WAITING],
        "Piotr stopped all network writes 60 minutes ago",
        "ispagents network start",
    ),
    "the step waits for a router that is down": (
        anna(sessions=(line(router=DOWN, in_line=False, applied=GARDEN, step=step(Enforcement.RETRYING)),)),
        State.RESTRICTED,
        [Code.ROUTER_DOWN, Code.STEP_RETRYING],
        "router tower-1 has not answered for 2 hours",
        "ispagents router test tower-1",
    ),
    "still unrestricted": (
        owing(sessions=(line(in_line=False, applied=PLAN, due=GARDEN, step=step(Enforcement.STUCK)),)),
        State.ONLINE,
        [Code.STEP_STUCK, Code.UNPAID],
        "still online without the restriction that is authorised",
        "ispagents router test tower-1",
    ),
    "restricted by CoA, not proved": (
        owing(sessions=(line(due=GARDEN, step=step(Enforcement.UNVERIFIED)),)),
        State.RESTRICTED,
        [Code.STEP_UNPROVED, Code.UNPAID],
        "nothing proves it",
        "ispagents router test tower-1",
    ),
    "restored by CoA, not proved": (
        anna(sessions=(line(step=step(Enforcement.UNVERIFIED)),)),
        State.ONLINE,
        [Code.STEP_UNPROVED],
        "whether with what is authorised is not proved",
        "ispagents router test tower-1",
    ),
    "slower than authorised": (
        anna(sessions=(line(in_line=False, applied=SLOW, step=step(Enforcement.STARTED)),)),
        State.SLOW,
        [Code.STEP_WAITING],
        "slower than authorised, at 1M/1M",
        "ispagents change show 9",
    ),
    "given what nobody knows": (
        anna(sessions=(line(in_line=False, applied=None, step=step(Enforcement.STARTED, change_id=None)),)),
        State.ONLINE,
        [Code.STEP_WAITING],
        "not with what is authorised",
        "ispagents timeline anna --kind packet",
    ),
    "a router cannot hold it": (
        holding(problem="a profile holds one list"),
        State.ONLINE,
        [Code.CANNOT_HOLD],
        "lacks what is authorised, because tower-1 cannot hold the service: a profile holds one list",
        "ispagents service show anna",
    ),
    "a router refused its configuration": (
        holding(step=step(Enforcement.REFUSED, route=RouteKind.CONFIGURE, cause="conflict", explanation="Not ours.")),
        State.ONLINE,
        [Code.STEP_REFUSED],
        "the configuration to tower-1 was refused: Not ours",
        "ispagents service place anna --adopt",
    ),
    "a router holds the restriction": (
        owing(sessions=(), held=replace(HELD, garden_list="overdue")),
        State.RESTRICTED,
        [Code.UNPAID],
        "is in the walled garden, because invoice 17",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "a router holds the restriction and has no walled garden": (
        owing(sessions=(), held=HELD),
        State.RESTRICTED,
        [Code.UNPAID, Code.NO_GARDEN],
        "is restricted by the list overdue without a walled garden of ours, because invoice 17",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "a router lost the rules of its walled garden": (
        owing(sessions=(), held=replace(HELD, garden_list="overdue", garden_drift=8)),
        State.RESTRICTED,
        [Code.UNPAID, Code.NO_GARDEN],
        "without a walled garden of ours, because invoice 17",
        "ispagents payment add K-1 --amount 30.00",
    ),
    "somebody changed what a router holds": (
        anna(sessions=(), held=replace(HELD, drift=Drifted(8, "Somebody lifted it. By hand.", NOW, heals=True))),
        State.ONLINE,
        [Code.DRIFT],
        "may not have what is authorised, because Somebody lifted it.",
        "ispagents drift show 8",
    ),
    "the brake on healing holds back": (
        replace(holding(), authorised_at=NOW - HOUR, healing_held_until=NOW + HOUR),
        State.ONLINE,
        [Code.HEALING_HELD],
        "the brake on healing lets only a share of the services through in an hour; the next share follows at",
        "ispagents drift fix --all=tower-1",
    ),
    "bound to another device while online": (
        anna(sessions=(line(in_line=False, due=NOTHING._replace(reason=Reason.WRONG_DEVICE)),)),
        State.ONLINE,
        [Code.NO_STEP, Code.LOGIN_REFUSED],
        "without the restriction",
        "ispagents status",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_every_cause_has_words_and_a_next_step(case: str) -> None:
    """The table above: state, causes in order of weight, the answer's words, and what to type first."""
    situation, state, codes, words, command = TABLE[case]
    found = explain(situation)
    assert (found.state, [one.code for one in found.causes]) == (state, codes), found.answer
    assert words in found.answer
    assert found.answer.startswith("Anna ")
    assert (found.next_steps[0].command if found.next_steps else "") == command


def test_a_router_that_does_not_answer_is_named_where_nothing_else_is_wrong() -> None:
    """What was read back stays so as far as anybody knows, and who reads it knows how far that is."""
    held = replace(HELD, router=replace(HELD.router, down_since=NOW - HOUR))
    assert explain(anna(sessions=(), held=held)).answer.endswith(
        "on tower-1, read back 60 seconds ago and not answering for 60 minutes."
    )


def test_the_table_has_every_cause() -> None:
    """A cause that is added to the code is added to the table."""
    told = {code for _, _, codes, _, _ in TABLE.values() for code in codes}
    assert set(Code) - told == {Code.UNKNOWN}


@settings(max_examples=600, deadline=None)
@given(situation=situations)
def test_any_situation_is_explained(situation: Situation) -> None:
    """Never an exception; one line that ends once; a cause and a next step unless all is well; commands to type."""
    found = explain(situation)
    assert found.answer.isprintable()
    assert found.answer.endswith(".")
    assert (found.state == State.FINE) == (not found.causes)
    assert found.state == State.FINE or found.next_steps
    for fact in found.facts:
        assert fact.sentence.isprintable()
        assert fact.evidence.isprintable()
    for step_ in found.next_steps:
        assert step_.command.isprintable()
        assert step_.command.startswith("ispagents ")
    assert len({one.command for one in found.next_steps}) == len(found.next_steps)


@settings(max_examples=300, deadline=None)
@given(situation=situations)
def test_the_answer_is_one_sentence(situation: Situation) -> None:
    """Whatever people and routers wrote, only names can hold a full stop within the answer."""
    named = replace(situation, name="Anna", plan="Home", bound_mac="", bound_router="", bound_port="")
    routers = [one.router.name for one in named.sessions] + [one.router for one in named.refused]
    routers += [node.name for node in named.nodes] + [named.writes_stopped_by]
    routers += [named.last_session.router.name] if named.last_session else []
    if any("." in name for name in routers) or (
        named.decision
        and "." in "".join((named.decision.decided_by, named.decision.requested_by, *named.decision.approved_by))
    ):
        return
    answer = explain(named).answer
    assert ". " not in answer


@pytest.mark.parametrize(
    "name", ["no", "0123", "łódź", 'it\'s "odd"', "two\nlines", "-x", "x" * 253, "\x1b[31m", "$(id)"]
)
def test_commands_can_be_typed(name: str) -> None:
    """A shell reads the name as it is, on one line, and never as an option or as a command of its own."""
    command = explain(anna(username=name, refused=(refused("wrong_password"),), sessions=())).next_steps[0].command
    assert command.isprintable()
    if name.isprintable():
        words = shlex.split(command)
        assert name in words
        assert not name.startswith("-") or words[words.index(name) - 1] == "--"
    else:
        assert "$'" in command


def test_facts_say_what_they_rest_on() -> None:
    """Money, promise, decision, session, step, refusal and node, each with its row and its moment."""
    found = explain(
        owing(
            holds=(Promise(1, None, "a friend. Ours.", "Ewa", NOW - HOUR),),
            override=BACK,
            decision=decision(Intent.AWAITING_APPROVAL, held_back="The brake holds. Look."),
            sessions=(line(router=DOWN, in_line=False, applied=None, due=GARDEN, step=step(Enforcement.RETRYING)),),
            refused=(refused("wrong_password"),),
            nodes=(SILENT, BEHIND),
            writes_stopped_at=NOW,
            writes_stopped_by="Piotr",
            bound_mac="02:00:00:00:00:01",
            wanted_plan="Home 100",
            prepaid_until=NOW + DAY,
        )
    )
    rests = [fact.evidence for fact in found.facts]
    for row in ("service anna", "invoice 17", "hold 1", "override 1", "change 2", "change 9", "session 5", "step 12"):
        assert row in rests
    assert {"refused login 3", "router tower-1", "node node-1", "operator"} <= set(rests)
    assert all(fact.at is not None for fact in found.facts if fact.evidence)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"suspension": Coming(NOW, NOW + 18 * HOUR, "later")},
            "Unless something is paid it is suspended at 2026-11-23 10:00, and not at 2026-11-22 16:00, because later.",
        ),
        ({"suspension": Coming(NOW, NOW)}, "Unless something is paid it is suspended at 2026-11-22 16:00."),
        (
            {"suspension": Coming(NOW, None, "2026-11-22 is a holiday (x)")},
            "It is not suspended, since no day is allowed for that: 2026-11-22 is a holiday (x).",
        ),
        (
            {"outside": True, "asserted": Asserted(Standing.OVERDUE, NOW, "X", silent=True)},
            "Another system does the billing here: X says overdue, as of 2026-11-22 16:00; it is silent for too long.",
        ),
        ({"outside": True}, "Another system does the billing here, and it has said nothing of this service yet."),
        (
            {"holds": (Promise(1, NOW, "pays on Friday", "Ewa", NOW, HoldKind.PROMISE, 750),), "currency": "EUR"},
            "Ewa took a promise to pay 7.50 EUR and not to suspend before 2026-11-22 16:00: pays on Friday.",
        ),
        (
            {"holds": (Promise(1, NOW, "wrong sum", "Ewa", NOW, HoldKind.DISPUTE, None, "2026-7"),)},
            "Ewa let invoice 2026-7 not count before 2026-11-22 16:00, since it is disputed: wrong sum.",
        ),
        (
            {"holds": (Promise(1, None, "the mayor", "Ewa", NOW, HoldKind.VIP),)},
            "Ewa promised neither to remind nor to suspend at all: the mayor.",
        ),
    ],
)
def test_what_a_suspension_waits_for_is_told(more: dict[str, Any], said: str) -> None:
    """The hold with who granted it and why, the holiday or the hour, and what another system says."""
    assert said in [fact.sentence for fact in explain(anna(standing=Standing.OVERDUE, **more)).facts]


def test_a_denied_customer_is_never_called_fine() -> None:
    """Whatever else is said: without a session nobody is fine, and a denial is told."""
    for reason in Reason:
        if reason != Reason.PLAN:
            found = explain(anna(authorised=NOTHING._replace(reason=reason), sessions=()))
            assert (found.state, found.causes != ()) == (State.REFUSED, True), reason
    assert explain(anna(authorised=PLAN._replace(kind=Kind.DENY), sessions=())).state != State.FINE
