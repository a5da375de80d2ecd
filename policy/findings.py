"""The facts behind an explanation, in the order in which one leads to the next, each with what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from policy import wording
from policy.access import Kind
from policy.cause import KIND_WORDS, approvers
from policy.changes.intent import Intent
from policy.offline import end_of
from policy.online import DONE, ROUTE_WORDS
from policy.reasons import sentence
from policy.situation import LiveLine, Promise, Situation
from policy.standing import Standing

SHOWN = 5
ACCESS_WORDS = {Kind.GRANT: "full access", Kind.RESTRICT: "the walled garden", Kind.DENY: "no access"}


class Finding(NamedTuple):
    """One fact. `evidence` names the row it rests on, "" for none; `at` is when it happened or was last seen."""

    sentence: str
    evidence: str = ""
    at: datetime | None = None


def findings(situation: Situation) -> list[Finding]:
    """Service, money, promises, decisions, sessions, steps, refusals, then what lies beside the customer."""
    return [Finding(wording.sentence(one.sentence), one.evidence, one.at) for part in _PARTS for one in part(situation)]


def _service(situation: Situation) -> Iterator[Finding]:
    name, plan = wording.short(situation.name), wording.short(situation.plan)
    bound = [
        f"{what} {wording.short(value)}"
        for what, value in (
            ("device", situation.bound_mac),
            ("router", situation.bound_router),
            ("port", situation.bound_port),
        )
        if value
    ]
    tied = f", bound to {' and '.join(bound)}" if bound else ""
    username, reference = wording.short(situation.username), wording.short(situation.reference)
    yield Finding(
        f"Service {username} of {name} (customer {reference}), by {situation.method}, plan {plan}{tied}.",
        f"service {username}",
        situation.created_at,
    )
    if situation.wanted_plan != situation.plan:
        yield Finding(f"The plan that was sold by now is {wording.short(situation.wanted_plan)}.")


def _money(situation: Situation) -> Iterator[Finding]:
    unpaid = situation.unpaid
    if unpaid is None:
        yield Finding(f"Billing says {situation.standing.value}; no invoice is unpaid.")
    else:
        due = wording.day(unpaid.due_at, situation.time_zone)
        rest = wording.money(unpaid.open_minor, unpaid.currency)
        yield Finding(
            f"Billing says {situation.standing.value}; the oldest unpaid invoice is {unpaid.number}, due on {due}, "
            f"with {rest} open.",
            f"invoice {unpaid.number}",
            unpaid.due_at,
        )
    if situation.prepaid_until is not None:
        end = wording.minute(situation.prepaid_until, situation.time_zone)
        yield Finding(f"The prepaid time ends on {end}.")


def _outside(situation: Situation) -> Iterator[Finding]:
    if not situation.outside:
        return
    said = situation.asserted
    if said is None:
        yield Finding("Another system does the billing here, and it has said nothing of this service yet.")
        return
    when = wording.minute(said.as_of, situation.time_zone)
    silent = "; it is silent for too long" if said.silent else ""
    yield Finding(
        f"Another system does the billing here: {wording.short(said.source)} says {said.standing.value}, "
        f"as of {when}{silent}.",
        "standing",
        said.as_of,
    )


def _coming(situation: Situation) -> Iterator[Finding]:
    coming = situation.suspension
    if coming is None or situation.standing in (Standing.SUSPENDED, Standing.CLOSED):
        return
    if coming.at is None:
        yield Finding(f"It is not suspended, since no day is allowed for that: {coming.why}.")
        return
    why = f", and not at {wording.minute(coming.ready_at, situation.time_zone)}, because {coming.why}"
    at = wording.minute(coming.at, situation.time_zone)
    yield Finding(f"Unless something is paid it is suspended at {at}{why if coming.why else ''}.")


def _granted(hold: Promise, situation: Situation) -> str:
    amount = wording.money(hold.amount_minor, situation.currency) if hold.amount_minor is not None else ""
    return wording.hold(hold.kind.value, hold.until, situation.time_zone, amount=amount, invoice=hold.invoice)


def _promises(situation: Situation) -> Iterator[Finding]:
    for hold in situation.holds[:SHOWN]:
        granted = _granted(hold, situation)
        yield Finding(
            f"{wording.short(hold.by)} {granted}: {wording.clause(hold.reason)}",
            f"hold {hold.id}",
            hold.created_at,
        )
    override = situation.override
    if override is not None:
        until = wording.minute(override.until, situation.time_zone)
        by, reason = wording.short(override.by), wording.clause(override.reason)
        yield Finding(
            f"{by} gave back an earlier access until {until}: {reason}",
            f"override {override.id}",
            override.created_at,
        )


def _authorised(situation: Situation) -> Iterator[Finding]:
    access = situation.authorised
    if access is None:
        yield Finding("Nothing is authorised, so every login is refused.")
        return
    rate = f", speed {access.rate_limit}" if access.rate_limit else ""
    lists = f", address list {wording.short(', '.join(access.address_lists))}" if access.address_lists else ""
    number = situation.authorised_change_id
    yield Finding(
        f"Authorised: {ACCESS_WORDS[access.kind]}{rate}{lists}. {sentence(access.reason)}",
        f"change {number}" if number is not None else "",
        situation.authorised_at,
    )


def _decision(situation: Situation) -> Iterator[Finding]:
    decision = situation.decision
    if decision is None or (decision.state == Intent.APPROVED and decision.id == situation.authorised_change_id):
        return
    words = KIND_WORDS.get(decision.kind, decision.kind.value)
    evidence = f"change {decision.id}"
    if decision.state == Intent.AWAITING_APPROVAL:
        held = f" No rule approved it: {wording.clause(decision.held_back)}." if decision.held_back else ""
        yield Finding(
            f"A {words} waits: {approvers(decision)}. {wording.escaped(decision.consequence)}{held}",
            evidence,
            decision.created_at,
        )
        return
    by = f" by {wording.short(decision.decided_by)}" if decision.decided_by else ""
    note = f": {wording.clause(decision.note)}" if decision.note else ""
    yield Finding(f"A {words} was {decision.state.value.replace('_', ' ')}{by}{note}.", evidence, decision.decided_at)


def _sessions(situation: Situation) -> Iterator[Finding]:
    for line in situation.sessions[:SHOWN]:
        yield from _session(situation, line)
    more = len(situation.sessions) - SHOWN
    if more > 0:
        yield Finding(f"There are {more} more open sessions.")
    ended = situation.last_session
    if ended is not None and not situation.sessions:
        lasted = wording.span(ended.ended_at - ended.started_at)
        yield Finding(
            f"The last session, on {wording.short(ended.router.name)}, lasted {lasted} and ended: {end_of(ended)}.",
            f"session {ended.id}",
            ended.ended_at,
        )


def _session(situation: Situation, line: LiveLine) -> Iterator[Finding]:
    has = "has what is authorised" if line.in_line else _differs(line)
    device = f", device {wording.short(line.mac)}" if line.mac else ""
    address = f", address {line.address}" if line.address else ""
    since = wording.minute(line.started_at, situation.time_zone)
    yield Finding(
        f"Online on {wording.short(line.router.name)} since {since}{device}{address}; the session {has}.",
        f"session {line.id}",
        line.last_seen_at,
    )
    step = line.step
    if step is None or (line.in_line and step.state in DONE):
        return
    said = step.explanation or step.why
    yield Finding(
        f"The {ROUTE_WORDS.get(step.route, step.route.value)} is {step.state.value} "
        f"(attempts: {step.attempts}). {wording.escaped(said)}",
        f"step {step.id}",
        step.ended_at or step.created_at,
    )


def _differs(line: LiveLine) -> str:
    if line.applied is None:
        return "was given something that is not known here"
    speed = f", speed {line.applied.rate_limit}" if line.applied.rate_limit else ""
    return f"still has {ACCESS_WORDS[line.applied.kind]}{speed}"


def _refusals(situation: Situation) -> Iterator[Finding]:
    for one in situation.refused[:SHOWN]:
        times = "once" if one.times == 1 else f"{one.times} times"
        device = f", device {wording.short(one.mac)}" if one.mac else ""
        yield Finding(
            f"Login refused on {wording.short(one.router)}, {times} in that hour: "
            f"{wording.short(one.reason.replace('_', ' '))}{device}.",
            f"refused login {one.id}",
            one.last_at,
        )


def _surroundings(situation: Situation) -> Iterator[Finding]:
    routers = {line.router.name: line.router for line in situation.sessions}
    if not routers and situation.last_session is not None:
        routers = {situation.last_session.router.name: situation.last_session.router}
    for router in routers.values():
        if router.down_since is not None:
            words = f"Router {wording.short(router.name)} has left {router.misses} requests without an answer"
            yield Finding(words, f"router {wording.short(router.name)}", router.down_since)
    if situation.writes_stopped_at is not None:
        by = wording.short(situation.writes_stopped_by)
        yield Finding(f"Network writes are stopped, by {by}.", "operator", situation.writes_stopped_at)
    for node in situation.nodes:
        name = wording.short(node.name)
        if node.silent:
            yield Finding(f"Edge of {name} has not reported lately.", f"node {name}", node.reported_at)
        elif node.behind:
            yield Finding(
                f"The replica of {name} does not have the newest decision yet.", f"node {name}", node.reported_at
            )


_PARTS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    _service,
    _money,
    _outside,
    _promises,
    _coming,
    _authorised,
    _decision,
    _sessions,
    _refusals,
    _surroundings,
)
