"""Why a live session is not what it should be: the step that is on its way, or in the way."""

from __future__ import annotations

from datetime import datetime

from policy import wording
from policy.access import Access
from policy.cause import LATE, Cause, Code, NextStep
from policy.changes.enforcement import Enforcement
from policy.changes.route import RouteKind
from policy.errors import PolicyError
from policy.explanations import explain
from policy.facts import INTERIM_INTERVAL_S
from policy.rate_limit import parse
from policy.situation import HeldLine, LatestStep, LiveLine, Situation
from policy.wording import command

# RFC 2866 promises no interims; a router that sends them is taken for gone after it missed two, as at logins.
INTERIMS_MISSED = 2
ROUTE_WORDS = {
    RouteKind.COA: "CoA",
    RouteKind.DISCONNECT: "Disconnect",
    RouteKind.NEXT_LOGIN: "change",
    RouteKind.CONFIGURE: "configuration",
}
OPEN = (Enforcement.WAITING, Enforcement.STARTED, Enforcement.RETRYING)
# The advice of the catalogue where it is the very command that stands beside it.
TESTING = "ispagents router test"
DONE = (Enforcement.VERIFIED, Enforcement.SUPERSEDED)


def main_session(situation: Situation) -> LiveLine | None:
    """The session that speaks for the customer: the newest that still reports, or the newest."""
    newest = sorted(situation.sessions, key=lambda one: one.started_at, reverse=True)
    return next((one for one in newest if not is_quiet(situation, one)), newest[0] if newest else None)


def is_quiet(situation: Situation, line: LiveLine) -> bool:
    """Whether a session has missed two interims."""
    interval_s = line.due.interim_interval_s or INTERIM_INTERVAL_S
    return (situation.now - line.last_seen_at).total_seconds() > INTERIMS_MISSED * interval_s


def has(line: LiveLine) -> Access | None:
    """What a session has, as far as it is known."""
    return line.due if line.in_line else line.applied


def is_slower(rate: str, than: str) -> bool:
    """Whether a rate limit is below another one in a direction; "" is no limit, and so is a rate of 0."""
    if rate == than or not rate:
        return False
    try:
        one, other = parse(rate).rate_bps, parse(than).rate_bps if than else None
    except PolicyError:
        return False
    pairs = ((one.up, other.up if other else 0), (one.down, other.down if other else 0))
    return any(mine and (not theirs or mine < theirs) for mine, theirs in pairs)


def is_unproved(line: LiveLine) -> bool:
    """Whether the router said yes and the proof did not come in time."""
    return line.step is not None and line.step.state == Enforcement.UNVERIFIED


def out_of_line(situation: Situation, line: LiveLine | HeldLine) -> list[Cause]:
    """Why a session, or a router, does not have what is authorised: what stops all steps, the router, the step."""
    step, router = line.step, wording.short(line.router.name)
    test = NextStep(command(line.test, line.router.name), "see whether the router answers")
    found = []
    idle = step is None or step.state in DONE
    if situation.writes_stopped_at is not None and (step is None or idle or step.state in OPEN):
        age = wording.span(situation.now - situation.writes_stopped_at)
        by = wording.short(situation.writes_stopped_by) or "somebody"
        words = f"{by} stopped all network writes {age} ago"
        go_on = NextStep(command("network start"), "let network writes go on, once that is safe")
        found.append(Cause(Code.WRITES_STOPPED, words, "", (go_on,), "what waits is sent when they go on"))
    if line.router.down_since is not None and step is not None and step.state not in DONE:
        age = wording.span(situation.now - line.router.down_since)
        words = f"router {router} has not answered for {age}"
        found.append(Cause(Code.ROUTER_DOWN, words, line.evidence, (test,), "what waits is sent when it is back"))
    until = situation.healing_held_until
    if idle and until is not None and _is_long_authorised(situation):
        found.append(_held_back(situation, line, until))
        return found
    if step is None or idle:
        status = NextStep(command("status"), "see whether the worker runs")
        words = f"the worker has planned no step yet for {line.noun} on {router}"
        found.append(Cause(Code.NO_STEP, words, line.evidence, (status,)))
        return found
    found.append(_step(situation, line, step))
    return found


def _is_long_authorised(situation: Situation) -> bool:
    """Whether the worker would have planned a step for what was authorised last, but for a brake."""
    return situation.authorised_at is None or situation.now - situation.authorised_at > LATE


def _held_back(situation: Situation, line: LiveLine | HeldLine, until: datetime) -> Cause:
    router = wording.short(line.router.name)
    words = (
        f"{line.noun} on {router} is not as authorised and is to be healed, but so many are that the brake on healing "
        "lets only a share of the services through in an hour"
    )
    all_now = NextStep(command("drift fix", options=heal_all(line.router.name)), "heal all that it should hold, now")
    audit = NextStep(command("drift list"), "see what is not as it should be, and why")
    remedy = f"the next share follows at {wording.minute(until, situation.time_zone)}"
    steps = (all_now, audit) if isinstance(line, HeldLine) else (audit,)
    return Cause(Code.HEALING_HELD, words, line.evidence, steps, remedy)


def heal_all(router: str) -> str:
    """The option that heals a router, whatever its name holds."""
    return f"--all={wording.shell_word(router)}"


def _step(situation: Situation, line: LiveLine | HeldLine, step: LatestStep) -> Cause:
    router = wording.short(line.router.name)
    packet = f"the {ROUTE_WORDS.get(step.route, step.route.value)} to {router}"
    evidence = f"step {step.id}"
    steps = _look_at(situation, step)
    test = NextStep(command(line.test, line.router.name), _advice(line, step))
    if step.route == RouteKind.NEXT_LOGIN:
        words = f"{router} takes no CoA or Disconnect, so the change waits for the next login"
        return Cause(Code.NEXT_LOGIN, words, evidence, steps, "let the customer restart the router at home")
    if step.state == Enforcement.WAITING:
        return _waiting(situation, step, packet, steps)
    tries = "once" if step.attempts == 1 else f"{step.attempts} times"
    if step.state == Enforcement.STARTED:
        words = f"{packet} was sent and its answer is awaited"
        return Cause(Code.STEP_WAITING, words, evidence, steps)
    if step.state == Enforcement.RETRYING:
        words = f"{packet} was tried {tries} in vain: {_happened(line, step)}"
        again = f"it is tried again at {wording.minute(step.due_at, situation.time_zone)}"
        return Cause(Code.STEP_RETRYING, words, evidence, (test, *steps), again)
    sooner, remedy = _tried_again(line)
    if step.state == Enforcement.REFUSED:
        if step.cause == "conflict":
            take_over = command("service place", situation.username, "--adopt")
            test = NextStep(take_over, "let this system take over what stands there, or rename it on the router")
        words = f"{packet} was refused: {_happened(line, step)}"
        return Cause(Code.STEP_REFUSED, words, evidence, (test, *sooner, *steps))
    if step.state == Enforcement.STUCK:
        words = f"{packet} came to nothing after {step.attempts} attempts: {_happened(line, step)}"
        return Cause(Code.STEP_STUCK, words, evidence, (test, *sooner, *steps), remedy)
    return unproved(situation, line, step)


def _tried_again(line: LiveLine | HeldLine) -> tuple[tuple[NextStep, ...], str]:
    """When what came to nothing is tried again, and what a person types to have it sooner."""
    if not isinstance(line, HeldLine):
        return (), "it is tried again when the session next reports"
    now = NextStep(command("drift fix", options=heal_all(line.router.name)), "try it again now, once the cause is gone")
    return (now,), "it is tried again within an hour"


def unproved(situation: Situation, line: LiveLine | HeldLine, step: LatestStep) -> Cause:
    """The router said yes, and nothing proves it yet (acknowledged), or in time (unverified)."""
    router = wording.short(line.router.name)
    age = wording.span(situation.now - (step.ended_at or step.created_at))
    words = f"{router} said yes to the {ROUTE_WORDS.get(step.route, step.route.value)} {age} ago, and nothing proves it"
    test = NextStep(command(line.test, line.router.name), "see whether the router does what it acknowledges")
    return Cause(
        Code.STEP_UNPROVED,
        words,
        f"step {step.id}",
        (test, *_look_at(situation, step)),
        "look at the session on the router",
    )


def _waiting(situation: Situation, step: LatestStep, packet: str, steps: tuple[NextStep, ...]) -> Cause:
    age = wording.span(situation.now - step.created_at)
    behind = [wording.short(node.name) for node in situation.nodes if node.behind and not node.silent]
    if step.route == RouteKind.DISCONNECT and behind:
        status = NextStep(command("status"), "see why edge lags behind")
        words = f"{packet} waits until the RADIUS server {' and '.join(behind)} has the change"
        return Cause(Code.EDGE_BEHIND, words, f"step {step.id}", (status, *steps))
    status = NextStep(command("status"), "see whether the worker runs")
    return Cause(Code.STEP_WAITING, f"{packet} has waited for {age} to be sent", f"step {step.id}", (status, *steps))


def _look_at(situation: Situation, step: LatestStep) -> tuple[NextStep, ...]:
    if step.change_id is not None:
        return (NextStep(command(f"change show {step.change_id}"), "see every packet and its answer"),)
    return (NextStep(command("timeline", situation.username, "--kind packet"), "see every packet and its answer"),)


def _happened(line: LiveLine | HeldLine, step: LatestStep) -> str:
    # What a router's API answered has the router's own words in it, and they matter.
    known = step.cause and step.route != RouteKind.CONFIGURE
    said = explain(step.cause, router=wording.short(line.router.name)).happened if known else step.explanation
    return wording.clause(said) or "nothing is known of it"


def _advice(line: LiveLine | HeldLine, step: LatestStep) -> str:
    advice = explain(step.cause, router=wording.short(line.router.name)).next_step if step.cause else ""
    if not advice or TESTING in advice:
        return "tell the likely causes apart: address, port, secret, abilities"
    return wording.escaped(advice).rstrip(".")
