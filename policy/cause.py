"""One cause of what a customer has now, and the causes that lie in billing, in decisions and in the plan."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from policy import wording
from policy.access import Access
from policy.changes.intent import ChangeKind, Intent
from policy.reasons import Reason, sentence
from policy.situation import Decision, Situation
from policy.standing import Standing
from policy.wording import command

HOLD_DAYS = 7
# The worker acts within a second or two; what waits longer is worth a word.
LATE = timedelta(seconds=5)
OUT = (Standing.SUSPENDED, Standing.CLOSED)
# Changes that give something: while one of them waits, the customer has less than billing says.
GIVING = (ChangeKind.OPEN, ChangeKind.RESTORE, ChangeKind.PLAN, ChangeKind.ADDRESS)
KIND_WORDS = {
    ChangeKind.OPEN: "opening of the service",
    ChangeKind.SUSPEND: "suspension",
    ChangeKind.RESTORE: "restoration",
    ChangeKind.PLAN: "change of plan",
    ChangeKind.ADDRESS: "change of address",
    ChangeKind.CLOSE: "closure",
}


class Code(StrEnum):
    """What hinders, for programs."""

    CLOSED = "closed"
    NOT_AUTHORISED = "not_authorised"
    NOT_REVIEWED = "not_reviewed"
    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    UNPAID = "unpaid"
    ASSERTED = "asserted"
    SUSPENDED = "suspended"
    PREPAID_ENDED = "prepaid_ended"
    QUOTA_USED = "quota_used"
    OUTSIDE_HOURS = "outside_hours"
    FAIR_USE = "fair_use"
    WINDOW = "window"
    LOGIN_REFUSED = "login_refused"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a code, not a password
    WRONG_DEVICE = "wrong_device"
    WRONG_PLACE = "wrong_place"
    WRONG_METHOD = "wrong_method"
    WRITES_STOPPED = "writes_stopped"
    ROUTER_DOWN = "router_down"
    EDGE_BEHIND = "edge_behind"
    EDGE_SILENT = "edge_silent"
    NEXT_LOGIN = "next_login"
    NO_STEP = "no_step"
    HEALING_HELD = "healing_held"
    NO_GARDEN = "no_garden"
    DRIFT = "drift"
    STEP_WAITING = "step_waiting"
    STEP_RETRYING = "step_retrying"
    STEP_REFUSED = "step_refused"
    STEP_STUCK = "step_stuck"
    STEP_UNPROVED = "step_unproved"
    SESSION_QUIET = "session_quiet"
    NO_LOGIN = "no_login"
    NEVER_ONLINE = "never_online"
    CANNOT_HOLD = "cannot_hold"
    UNKNOWN = "unknown"


class NextStep(NamedTuple):
    """What a person can do: a command to type, and what it is for."""

    command: str
    why: str


class Cause(NamedTuple):
    """`clause` follows "because"; `remedy` says what helps, or is ""; `evidence` names the rows it rests on."""

    code: Code
    clause: str
    evidence: str
    steps: tuple[NextStep, ...]
    remedy: str = ""


def by_access(situation: Situation, access: Access) -> Cause | None:
    """Why the service may have no more than this; None where it has what its plan gives at all hours."""
    if access.reason == Reason.SUSPENDED:
        return _suspended(situation)
    simple = _OF_THE_PLAN.get(access.reason)
    if simple is not None:
        code, words, remedy = simple
        until = access.valid_until
        if until is not None:
            remedy = f"it changes by itself at {wording.minute(until, situation.time_zone)}"
        steps: tuple[NextStep, ...] = (
            NextStep(command("plan show", situation.plan), "see the plan's limits and hours"),
        )
        if code in (Code.QUOTA_USED, Code.FAIR_USE):
            more = NextStep(
                command("quota topup", situation.username, "--gb 10 --reason WHY"), "give or sell more bytes"
            )
            steps = (
                NextStep(command("quota show", situation.username), "see what is used of which limit"),
                more,
                *steps,
            )
        if code == Code.QUOTA_USED:
            steps = (NextStep(command("service set", situation.username, "--plan NAME"), "sell a larger plan"), *steps)
        return Cause(code, words, f"plan {wording.short(situation.plan)}", steps, remedy)
    if access.reason == Reason.PREPAID_ENDED:
        return _prepaid(situation)
    if access.reason == Reason.PLAN:
        return None
    return _refused_by(situation, access.reason)


def undecided(situation: Situation) -> Cause | None:
    """A change that would give the customer more, and has not been decided, or was decided against."""
    decision = situation.decision
    if decision is not None and decision.stands and _gives(situation, decision):
        if decision.state == Intent.AWAITING_APPROVAL:
            return awaiting(situation, decision)
        if decision.state in (Intent.REJECTED, Intent.EXPIRED):
            return _declined(situation, decision)
    if _is_overlooked(situation):
        steps = (NextStep(command("status"), "see whether the worker runs"),)
        since = situation.review_due_at
        waits = situation.now - since if since is not None else timedelta()
        late = f" for {wording.span(waits)}" if waits > LATE else ""
        moved = situation.authorised_standing in OUT
        news = (
            f"billing says {situation.standing.value} now"
            if moved
            else "something else is wanted of the service by now"
        )
        clause = f"{news}, but the worker has not acted on it yet{late}"
        return Cause(Code.NOT_REVIEWED, clause, f"service {wording.short(situation.username)}", steps)
    return None


def _is_overlooked(situation: Situation) -> bool:
    """Whether more is wanted than is authorised and no change says so."""
    decision = situation.decision
    decided = decision is not None and decision.stands and decision.state in (Intent.AWAITING_APPROVAL, Intent.REJECTED)
    takes = situation.standing in OUT and situation.authorised_standing not in OUT
    return situation.wants_other and situation.override is None and not decided and not takes


def awaiting(situation: Situation, decision: Decision) -> Cause:
    """A change that waits for people: since when, and who can approve it."""
    words = KIND_WORDS.get(decision.kind, decision.kind.value)
    age = wording.span(situation.now - decision.created_at)
    steps = (
        NextStep(command(f"change show {decision.id}"), "read the preview"),
        NextStep(command(f"change approve {decision.id}"), "approve it"),
    )
    clause = f"the {words} (change {decision.id}) has waited for approval for {age}"
    return Cause(Code.AWAITING_APPROVAL, clause, f"change {decision.id}", steps, approvers(decision))


def approvers(decision: Decision) -> str:
    """Who can approve a change, as a clause."""
    missing = decision.needs_approvals - len(decision.approved_by)
    said = " and ".join(wording.short(person) for person in decision.approved_by)
    if said and missing > 0:
        return f"{said} approved it, and one more person must"
    if decision.needs_approvals > 1:
        requester = wording.short(decision.requested_by)
        only = "" if decision.requested_by == "billing" else f", of whom {requester} can be only one"
        return f"{decision.needs_approvals} different people must approve it{only}"
    return "any one person may approve it"


def _gives(situation: Situation, decision: Decision) -> bool:
    # Owing again since then, the customer has what billing says.
    owes = situation.standing == Standing.SUSPENDED and situation.override is None
    return decision.kind in GIVING and not (decision.kind == ChangeKind.RESTORE and owes)


def _declined(situation: Situation, decision: Decision) -> Cause:
    words = KIND_WORDS.get(decision.kind, decision.kind.value)
    at = decision.decided_at
    when = f" {wording.span(situation.now - at)} ago" if at is not None else ""
    by = wording.short(decision.decided_by)
    who = f"rejected by {by}" if by else "left undecided until it expired"
    why = f' ("{wording.clause(decision.note)}")' if decision.note else ""
    steps = (NextStep(command(f"change show {decision.id}"), "read what was decided, and ask whoever did"),)
    clause = f"the {words} (change {decision.id}) was {who}{when}{why}"
    return Cause(Code.REJECTED, clause, f"change {decision.id}", steps, "that stands until something else is wanted")


def _suspended(situation: Situation) -> Cause:
    unpaid, said = situation.unpaid, situation.asserted
    if situation.outside and said is not None and situation.standing == Standing.SUSPENDED:
        since = wording.minute(said.as_of, situation.time_zone)
        words = f"the billing system {wording.short(said.source)} says suspended, as of {since}"
        look = NextStep(command("timeline", situation.username), "see what it said before")
        return Cause(Code.ASSERTED, words, "standing", (look,), "it is restored as soon as that system says otherwise")
    if unpaid is None or situation.standing != Standing.SUSPENDED:
        number = situation.authorised_change_id
        step = command(f"change show {number}") if number is not None else command("timeline", situation.username)
        return Cause(
            Code.SUSPENDED,
            "the service is suspended and nothing has lifted that yet",
            f"change {number}" if number is not None else "",
            (NextStep(step, "see how it came about"),),
        )
    due = wording.day(unpaid.due_at, situation.time_zone)
    age = wording.span(situation.now - unpaid.due_at)
    amount = wording.money(unpaid.restoring_minor, unpaid.currency)
    paid = f"a payment of {amount} restores the service by itself"
    if not situation.restores_by_itself:
        paid = f"after a payment of {amount} a person can approve the restoration"
    until = wording.day(situation.now + timedelta(days=HOLD_DAYS), situation.time_zone)
    plain_amount = amount.removesuffix(f" {unpaid.currency}")
    steps = (
        NextStep(command("payment add", situation.reference, f"--amount {plain_amount}"), "book a payment"),
        NextStep(
            command("hold add", situation.username, f"--until {until} --reason WHY"),
            "or wait for the money until a day",
        ),
    )
    clause = f"invoice {unpaid.number}, due on {due}, has been unpaid for {age}"
    return Cause(Code.UNPAID, clause, f"invoice {unpaid.number}", steps, paid)


def _prepaid(situation: Situation) -> Cause:
    end = situation.prepaid_until
    when = f" on {wording.minute(end, situation.time_zone)}" if end is not None else ""
    steps = (NextStep(command("service set", situation.username, "--prepaid-until DATE"), "extend the prepaid time"),)
    evidence = f"service {wording.short(situation.username)}"
    return Cause(Code.PREPAID_ENDED, f"the prepaid time ran out{when}", evidence, steps, "a top-up restores it")


def _refused_by(situation: Situation, reason: Reason) -> Cause:
    steps: tuple[NextStep, ...] = (NextStep(command("timeline", situation.username), "see how it came about"),)
    if reason in (Reason.WRONG_DEVICE, Reason.WRONG_ROUTER, Reason.WRONG_PORT):
        steps = (NextStep(command("service unbind", situation.username), "let the next login be bound anew"), *steps)
    code = Code.CLOSED if reason == Reason.CLOSED else Code.LOGIN_REFUSED
    words = sentence(reason).rstrip(".")
    return Cause(code, words[0].lower() + words[1:], f"service {wording.short(situation.username)}", steps)


_OF_THE_PLAN = {
    Reason.QUOTA_USED: (Code.QUOTA_USED, "the quota of this period is used up", "it starts anew with the next period"),
    Reason.OUTSIDE_HOURS: (Code.OUTSIDE_HOURS, "the plan gives no access at this hour", ""),
    Reason.FAIR_USE: (
        Code.FAIR_USE,
        "the fair-use limit of this period is passed",
        "the full speed returns with the next period",
    ),
    Reason.WINDOW: (Code.WINDOW, "the plan has another speed at this hour", ""),
}
