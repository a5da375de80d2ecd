"""Works a router's API: claims steps about what it should hold, looks, writes, reads back, and stores the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, ParamSpec, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from network.contract import Outcome as Answer
from network.contract import Result, Secret, nothing_sent
from network.routeros.connection import Connection
from network.routeros.errors import InvalidTargetError, RouterosError
from network.routeros.keeper import Keeper
from network.routeros.target import API_PORT, API_SSL_PORT, Limits, RouterTarget, Security
from network.routeros.verbs import Applied, apply_all, observe
from policy.changes.enforcement import Enforcement
from policy.errors import PolicyError
from policy.routeros.cuts import Cut, cut_changes, cuts, gives_otherwise, removal_cuts
from policy.routeros.difference import difference, proved
from policy.routeros.objects import Change, Conflict, Item, Plan, Verb, Wanted
from policy.routeros.reading import Reading
from policy.routeros.terminal import command_text
from policy.routeros.wanted import removal_items, wanted_items
from sql.attempts import Outcome
from sql.jobs import router_lock, take_over_waiting
from sql.models import Router
from sql.placement_attempts import ClaimedPlacement, claim_placements, note_commands, store_placements
from sql.secrets import SecretBox, SecretsError, router_api_place, service_password_place
from sql.sessions import acting_for
from worker.outcomes import judge
from worker.patience import patiently
from worker.planning import enforce_some
from worker.routeros_reading import cut_queries, queries
from worker.threads import Lane, in_lane

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("worker.configure")

# Steps in hand at once: a router reads its menus once for all of them.
AT_ONCE = 200
PROVED = "It was read back and is as it should be."
# A busy router has some hundred thousand tracked connections; two addresses of each are read.
LIMITS = Limits(command_timeout_s=20.0, max_rows=500_000, max_reply_bytes=64 << 20)
NOTHING_TO_DO = "The router had all of it already."


class Reached(NamedTuple):
    """A router as its connector wants it; without `target` nothing can be sent, and `problem` says why."""

    target: RouterTarget | None
    name: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """An attempt with its items, what leads there, and what stands in the way (`problem`, a sentence, or "")."""

    claimed: ClaimedPlacement
    items: tuple[Wanted, ...]
    plan: Plan
    problem: str = ""


class Configurer:
    """Brings what routers hold into line; `engine` is the worker role's. Opens nothing by itself."""

    def __init__(self, engine: Engine, keeper: Keeper, box: SecretBox, stopping: Callable[[], bool]) -> None:
        """`keeper` must be open while this works."""
        self._engine = engine
        self._keeper = keeper
        self._box = box
        self._stopping = stopping

    async def work(self, operator_id: int, router_id: int, *, hurry: bool = False) -> int:
        """Drain the router's due steps, with `hurry` only those in one. Returns how many attempts there were."""
        lane = Lane.HURRY if hurry else Lane.ROUTERS
        count = 0
        while not self._stopping():
            reached, claimed = await self._aside(lane, self._claim, operator_id, router_id, hurry)
            if not claimed:
                break
            count += len(claimed)
            results = await self._attempt(reached, claimed, lane)
            await self._aside(lane, self._store, operator_id, router_id, results)
        return count

    # The simulation has these in its own time, and lets the database restart in between.

    async def _aside(self, lane: Lane, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Database work beside the event loop."""
        return await in_lane(lane, work, *arguments, **options)

    def _acting(self, operator_id: int) -> AbstractContextManager[Session]:
        """A transaction of the worker."""
        return acting_for(self._engine, operator_id)

    def _claim(self, operator_id: int, router_id: int, hurry: bool) -> tuple[Reached, list[ClaimedPlacement]]:
        with self._acting(operator_id) as session:
            take_over_waiting(session, router_lock(router_id, hurry=hurry))
            claimed = claim_placements(session, operator_id, router_id, AT_ONCE, hurry=hurry)
            router = session.get_one(Router, router_id)
            return reach(router, self._box), claimed

    def _store(self, operator_id: int, router_id: int, outcomes: list[Outcome[ClaimedPlacement]]) -> None:
        patiently(lambda: self._store_once(operator_id, router_id, outcomes))

    def _store_once(self, operator_id: int, router_id: int, outcomes: list[Outcome[ClaimedPlacement]]) -> None:
        with self._acting(operator_id) as session:
            services = store_placements(session, operator_id, router_id, outcomes, datetime.now(UTC))
        if services:
            with self._acting(operator_id) as session:
                enforce_some(session, operator_id, services)

    async def _attempt(
        self, reached: Reached, claimed: list[ClaimedPlacement], lane: Lane
    ) -> list[Outcome[ClaimedPlacement]]:
        """One attempt of each; whatever happens, each has an outcome."""
        if reached.target is None:
            return [judge(one, _not_sent(Answer.UNREACHABLE, "unusable", reached.problem)) for one in claimed]
        try:
            async with self._keeper.connection(reached.target) as connection:
                return await self._work_on(connection, claimed, lane)
        except RouterosError as error:
            # Nothing was changed: writing reports what happened as values.
            outcome = Answer.NO_ANSWER if error.may_retry else Answer.REFUSED
            result = _not_sent(outcome, error.cause, f"Nothing was changed. {error}", may_retry=error.may_retry)
            return [judge(one, result) for one in claimed]

    async def _work_on(
        self, connection: Connection, claimed: list[ClaimedPlacement], lane: Lane
    ) -> list[Outcome[ClaimedPlacement]]:
        work = [_prepared(one, self._box) for one in claimed]
        asked = queries([(one.claimed.line, one.items) for one in work])
        work = _planned(work, await observe(connection, asked))
        await self._aside(lane, self._note, work)
        applied = await apply_all(connection, [one.plan for one in work])
        cuts = await self._cut(connection, work, applied)
        observed = _known(await observe(connection, asked))
        return [_outcome(one, done, cut, observed) for one, done, cut in zip(work, applied, cuts, strict=True)]

    def _note(self, work: list[_Work]) -> None:
        sending = [
            (one.claimed, _commands(one.plan), _undo(one.plan), any(cut.drops for cut in _cuts(one)))
            for one in work
            if one.plan.changes
        ]
        if sending:
            with self._acting(sending[0][0].operator_id) as session:
                note_commands(session, sending)

    async def _cut(self, connection: Connection, work: list[_Work], applied: Sequence[Applied]) -> list[Applied]:
        """End what is live and would keep the access before: only where something was changed, and all of it was."""
        wanted = [_cuts(one) if _is_good(done) else () for one, done in zip(work, applied, strict=True)]
        asked = cut_queries(cut for some in wanted for cut in some)
        found = _known(await observe(connection, asked)) if asked else Reading({})
        return list(await apply_all(connection, [Plan(cut_changes(some, found)) for some in wanted]))


def reach(router: Router, box: SecretBox) -> Reached:
    """A stored router as its connector wants it."""
    if router.api_username is None or router.api_password is None:
        return Reached(None, router.name, f"{router.name} has no API access; `ispagents router api` sets it up.")
    security = Security(router.api_security)
    try:
        password = box.open(router.api_password, router_api_place(router.operator_id, router.name))
        target = RouterTarget(
            address=str(router.api_address or router.address),
            port=router.api_port or (API_PORT if security == Security.PLAIN else API_SSL_PORT),
            username=router.api_username,
            password=Secret(password),
            limits=LIMITS,
            security=security,
            server_name=router.api_server_name,
            fingerprint=router.api_fingerprint or "" if security == Security.PINNED else "",
            old_login=router.api_old_login,
        )
    except (SecretsError, InvalidTargetError, ValueError) as error:
        return Reached(None, router.name, f"The API access of {router.name} cannot be used: {error}.")
    return Reached(target, router.name)


def _prepared(claimed: ClaimedPlacement, box: SecretBox) -> _Work:
    """The items with the real password, which exists here alone."""
    line = claimed.line
    try:
        if claimed.leaves:
            return _Work(claimed, removal_items(line), Plan())
        if claimed.sealed_password is not None:
            place = service_password_place(claimed.operator_id, line.username)
            line = line._replace(password=box.open(claimed.sealed_password, place))
        else:
            line = line._replace(password="")
        return _Work(claimed, wanted_items(line, claimed.access, claimed.style), Plan())
    except (SecretsError, PolicyError) as error:
        return _Work(claimed, (), Plan(), problem=f"Nothing was sent: {error}.")


def _planned(work: list[_Work], observed: dict[str, tuple[Item, ...] | None]) -> list[_Work]:
    known = _known(observed)
    planned = []
    for one in work:
        plan = Plan() if one.problem else difference(one.items, known, adopt=one.claimed.adopt)
        if plan.conflicts:
            # Half of it would be worse than nothing: a person decides first.
            one, plan = replace(one, problem=_in_the_way(plan.conflicts)), Plan()  # noqa: PLW2901 - the same piece of work
        planned.append(replace(one, plan=plan))
    return planned


def _known(observed: dict[str, tuple[Item, ...] | None]) -> Reading:
    """What was read, with what finds an item in it: made once for all services."""
    return Reading({menu: items for menu, items in observed.items() if items is not None})


def _in_the_way(conflicts: Iterable[Conflict]) -> str:
    said = "; ".join(dict.fromkeys(one.why for one in conflicts))
    return (
        f"Nothing was sent: {said}. It is not ours. Remove or rename it on the router, or let this system take it over "
        "with `ispagents service place --adopt`."
    )


def _commands(plan: Plan) -> list[list[str]]:
    return [["command", command_text(change.command)] for change in plan.changes]


def _undo(plan: Plan) -> list[list[str]]:
    return [["command", command_text(change.undo)] for change in reversed(plan.changes) if change.undo is not None]


def _cuts(work: _Work) -> tuple[Cut, ...]:
    """What has to be ended for it to hold. Nobody is dropped for a comment, or for what was there already.

    An attempt before this one may have written everything, and vanished before it came to this.
    """
    claimed = work.claimed
    felt = any(_is_felt(change) for change in work.plan.changes)
    # A hand may have written all of it, and a session has what it was given. Whoever leaves and had nothing of ours any
    # more is nobody of ours either: an import that was taken back drops nobody.
    known = claimed.before is not None and not claimed.leaves
    if work.problem or not (felt or known or claimed.attempt > 1 or claimed.in_doubt):
        return ()
    ended = _ended(work)
    # What drops somebody is in doubt from before it is sent: where it is not, no attempt before this one sent it.
    return ended if felt or known or claimed.in_doubt or not any(cut.drops for cut in ended) else ()


def _ended(work: _Work) -> tuple[Cut, ...]:
    claimed = work.claimed
    if claimed.leaves:
        return removal_cuts(claimed.line)
    before = None if any(gives_otherwise(change) for change in work.plan.changes) else claimed.before
    return cuts(claimed.line, before, claimed.access, claimed.style)


def _is_felt(change: Change) -> bool:
    command = change.command
    return command.verb != Verb.SET or any(name != "comment" for name, _ in command.fields)


def _is_good(applied: Applied) -> bool:
    return applied.outcome in (Answer.APPLIED, Answer.ALREADY_SO)


def _outcome(work: _Work, applied: Applied, cut: Applied, observed: Reading) -> Outcome[ClaimedPlacement]:
    """What came of one placement: proved only when it was read back."""
    if work.problem:
        return judge(work.claimed, _not_sent(Answer.REFUSED, "conflict", work.problem))
    failed = next((step for step in (*applied.steps, *cut.steps) if not _went_well(step.result)), None)
    wrong = proved(work.items, observed)
    result = _result(applied, cut, failed.result if failed is not None else None, wrong)
    judged = judge(work.claimed, result)
    return judged if failed is not None or wrong else replace(judged, state=Enforcement.VERIFIED)


def _went_well(result: Result) -> bool:
    return result.outcome in (Answer.APPLIED, Answer.ALREADY_SO)


def _result(applied: Applied, cut: Applied, failed: Result | None, wrong: list[str]) -> Result:
    """One result of many commands; `failed` is the first that did not go well."""
    steps = [step.result for step in (*applied.steps, *cut.steps)]
    now = datetime.now(UTC)
    if failed is not None:
        outcome, cause, may_retry, said = failed.outcome, failed.cause, failed.may_retry, failed.explanation
    elif wrong:
        outcome, cause, may_retry = Answer.UNKNOWN, "not_as_wanted", True
        said = f"The router took every command, but reading back shows: {'; '.join(wrong)}."
    else:
        outcome, cause, may_retry = Answer.APPLIED, "observed", False
        said = PROVED if steps else NOTHING_TO_DO
    return Result(
        outcome=outcome,
        cause=cause,
        explanation=said,
        attempts=sum(step.attempts for step in steps),
        round_trip_ms=max((step.round_trip_ms for step in steps if step.round_trip_ms is not None), default=None),
        sent=tuple([pair for step in steps if step.attempts for pair in step.sent]),
        reply=tuple([pair for step in steps for pair in step.reply]),
        started_at=min((step.started_at for step in steps), default=now),
        ended_at=now,
        may_retry=may_retry or outcome == Answer.UNKNOWN,
    )


def _not_sent(outcome: Answer, cause: str, explanation: str, *, may_retry: bool = False) -> Result:
    return nothing_sent(outcome, cause=cause, explanation=explanation, now=datetime.now(UTC), may_retry=may_retry)
