"""Why a customer is offline, slow or restricted right now: one sentence, what led there, and the next step.

Pure: from the facts of `policy.situation` to words. `answer` is one sentence on one line whatever the names hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from policy import held, offline, wording
from policy.access import Access, Kind
from policy.cause import KIND_WORDS, Cause, Code, NextStep, by_access, undecided
from policy.changes.intent import Intent
from policy.findings import Finding, findings
from policy.online import has, is_quiet, is_slower, is_unproved, main_session, out_of_line, unproved
from policy.situation import HeldLine, LiveLine, Situation
from policy.wording import command

STEPS_MOST = 6
_WITHOUT_WHAT_IS_WANTED = (Code.AWAITING_APPROVAL, Code.REJECTED, Code.NOT_REVIEWED)


class State(StrEnum):
    """How the customer is. `online`: connected, but not with what is wanted or authorised."""

    FINE = "fine"
    ONLINE = "online"
    SLOW = "slow"
    RESTRICTED = "restricted"
    OFFLINE = "offline"
    REFUSED = "refused"


class Explanation(NamedTuple):
    """The answer; the causes with the one that matters first; the facts; and what to do, most helpful first."""

    answer: str
    state: State
    causes: tuple[Cause, ...]
    facts: tuple[Finding, ...]
    next_steps: tuple[NextStep, ...]


class _Judged(NamedTuple):
    state: State
    condition: str
    causes: list[Cause]


def explain(situation: Situation) -> Explanation:
    """Explain a customer's state at `situation.now`. Never raises; without a cause nothing is wrong."""
    judged = _judge(situation)
    causes = tuple(judged.causes)
    if judged.state != State.FINE and not causes:
        causes = (_unexplained(situation),)
    steps = list(dict.fromkeys(step for cause in causes for step in cause.steps))
    if judged.state == State.FINE:
        steps = _for_the_fine(situation)
    named = {step.command: step for step in reversed(steps)}
    return Explanation(
        _answer(situation, judged, causes),
        judged.state,
        causes,
        tuple(findings(situation)),
        tuple(step for step in steps if named[step.command] is step)[:STEPS_MOST],
    )


def _judge(situation: Situation) -> _Judged:
    if situation.held is not None:
        return _held(situation, situation.held)
    line = main_session(situation)
    if line is None:
        return _without_session(situation)
    if is_quiet(situation, line):
        causes = offline.quiet(situation, line) + offline.afterwards(situation)
        return _Judged(State.OFFLINE, "is most likely offline", causes)
    return _with_session(situation, line)


def _held(situation: Situation, one: HeldLine) -> _Judged:
    """A router's configuration tells what a customer gets, not whether anybody is there."""
    shut = offline.shut_out(situation)
    authorised = situation.authorised
    if authorised is None:
        return _Judged(State.REFUSED, "gets nothing yet", shut)
    if not one.in_line:
        late = "may still have more than is authorised" if authorised.kind != Kind.GRANT else "lacks what is authorised"
        return _Judged(State.ONLINE, late, held.not_in_line(situation, one))
    if one.drift is not None:
        return _Judged(State.ONLINE, "may not have what is authorised", [held.drifted(one, one.drift), *shut])
    if shut:
        return _Judged(State.REFUSED, "cannot get through", shut)
    causes = [found for found in (undecided(situation), by_access(situation, authorised)) if found is not None]
    if authorised.kind == Kind.RESTRICT:
        missing = held.without_garden(one, authorised)
        if missing is None:
            return _Judged(State.RESTRICTED, "is in the walled garden", causes)
        lists = " and ".join(wording.short(name) for name in authorised.address_lists)
        slowed = f"is restricted{f' by the list {lists}' if lists else ''} without a walled garden of ours"
        return _Judged(State.RESTRICTED, slowed, [*causes, missing])
    if is_slower(authorised.rate_limit, situation.plan_rate):
        return _Judged(State.SLOW, f"is slower than the plan, at {authorised.rate_limit}", causes)
    waiting = [found for found in causes if found.code in _WITHOUT_WHAT_IS_WANTED]
    if waiting:
        return _Judged(State.ONLINE, "is without what is wanted by now", waiting)
    return _Judged(State.FINE, "", [])


def _without_session(situation: Situation) -> _Judged:
    shut = offline.shut_out(situation)
    refused = offline.last_refusal(situation)
    if shut:
        return _Judged(State.REFUSED, "cannot log in", shut)
    if refused is not None:
        return _Judged(
            State.REFUSED, "cannot log in", [offline.refusal(situation, refused), *offline.afterwards(situation)]
        )
    ended = situation.last_session
    since = (
        f"has been offline for {wording.span(situation.now - ended.ended_at)}" if ended is not None else "is offline"
    )
    return _Judged(State.OFFLINE, since, offline.silence(situation) + offline.afterwards(situation))


def _with_session(situation: Situation, line: LiveLine) -> _Judged:
    causes = [] if line.in_line else out_of_line(situation, line)
    if line.in_line and is_unproved(line) and line.step is not None:
        causes.append(unproved(situation, line, line.step))
    causes += [one for one in (undecided(situation), by_access(situation, line.due)) if one is not None]
    access = has(line)
    if access is not None and access.kind == Kind.RESTRICT:
        return _Judged(State.RESTRICTED, "is online but in the walled garden", causes)
    if not line.in_line:
        return _out_of_line(line, access, causes)
    if is_slower(line.due.rate_limit, situation.plan_rate):
        return _Judged(State.SLOW, f"is online but slower than the plan, at {line.due.rate_limit}", causes)
    if is_unproved(line):
        return _Judged(State.ONLINE, "is online, but whether with what is authorised is not proved", causes)
    waiting = [one for one in causes if one.code in _WITHOUT_WHAT_IS_WANTED]
    if waiting:
        return _Judged(State.ONLINE, "is online, but without what is wanted by now", waiting)
    # What is left is a window or tier that takes nothing away.
    return _Judged(State.FINE, "", [])


def _out_of_line(line: LiveLine, access: Access | None, causes: list[Cause]) -> _Judged:
    if line.due.kind != Kind.GRANT:
        return _Judged(State.ONLINE, "is still online without the restriction that is authorised", causes)
    if access is not None and is_slower(access.rate_limit, line.due.rate_limit):
        return _Judged(State.SLOW, f"is online but slower than authorised, at {access.rate_limit}", causes)
    return _Judged(State.ONLINE, "is online, but not with what is authorised", causes)


def _answer(situation: Situation, judged: _Judged, causes: tuple[Cause, ...]) -> str:
    who = wording.short(situation.name.strip() or situation.username)
    if not causes:
        return f"{who} {_fine(situation)}."
    first = causes[0]
    remedy = f"; {first.remedy}" if first.remedy else ""
    return f"{who} {judged.condition}, because {first.clause}{remedy}."


def _fine(situation: Situation) -> str:
    line = main_session(situation)
    decision = situation.decision
    waits = ""
    if decision is not None and decision.state == Intent.AWAITING_APPROVAL:
        waits = f"; a {KIND_WORDS.get(decision.kind, decision.kind.value)} (change {decision.id}) waits for approval"
    if situation.held is not None and situation.authorised is not None:
        rate = situation.authorised.rate_limit or _unlimited(situation.authorised)
        seen = held.where(situation, situation.held)
        return f"gets all that the plan {wording.short(situation.plan)} gives ({rate}), {seen}{waits}"
    if line is None:
        return f"has nothing wrong{waits}"
    since = wording.minute(line.started_at, situation.time_zone)
    rate = line.due.rate_limit or "no speed limit"
    plan = wording.short(situation.plan)
    where = wording.short(line.router.name)
    return f"is online with all that the plan {plan} gives ({rate}), on {where} since {since}{waits}"


def _unlimited(access: Access) -> str:
    """No speed of ours: where the plan names a group, the router's own profile of that name may set one."""
    return f"the speed of the profile {wording.short(access.group)}" if access.group else "no speed limit"


def _for_the_fine(situation: Situation) -> list[NextStep]:
    decision = situation.decision
    if decision is not None and decision.state == Intent.AWAITING_APPROVAL:
        return [NextStep(command(f"change show {decision.id}"), "read what waits for approval")]
    return []


def _unexplained(situation: Situation) -> Cause:
    look = NextStep(command("timeline", situation.username), "see what happened last")
    return Cause(Code.UNKNOWN, "of something that is not known here", "", (look,))
