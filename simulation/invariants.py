"""What must be true once the world is at rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from policy.access import Access, Kind
from policy.attributes import reply_attributes
from policy.changes import enforcement, intent
from policy.changes.intent import Intent
from policy.changes.route import LEFT_ALONE
from policy.documents import read_access, read_service, service_document
from simulation.database import EPOCH
from simulation.held_checks import held_violations
from simulation.routers import Online, RouterModel
from simulation.town import Town
from simulation.world import Move
from sql.audit_check import verify
from sql.sessions import acting_for

# These run down by themselves, or are the address that a session came with.
NOT_COMPARED = LEFT_ALONE | {"Session-Timeout"}
# Rest does not wait for routers that end no session: what was tried last may have met a fault that is over by now.
NOT_DONE = ("waiting", "started", "retrying", "stuck")
DECISIONS = {
    Intent.APPROVED: "change:approval:grant",
    Intent.REJECTED: "change:approval:reject",
    Intent.EXPIRED: "change:intent:expire",
    Intent.SUPERSEDED: "change:intent:supersede",
}


# CoAs that were sent to a session and not answered, since the last step of it whose end is known.
_UNANSWERED = """
SELECT target_stamp FROM steps WHERE session_id = %s AND route = 'coa' AND attempts > 0
    AND state IN ('started', 'retrying', 'stuck', 'superseded') AND id > coalesce((SELECT max(id) FROM steps
        WHERE session_id = %s AND state IN ('acknowledged', 'verified', 'unverified') AND route = 'coa'), 0)
"""


def violations(town: Town) -> list[str]:
    """Everything that is wrong, in sentences; empty in a right world."""
    checks = (
        _authorised,
        _truth,
        _open_steps,
        _proofs,
        _ghosts,
        _times,
        _online,
        _offline,
        _replicas,
        _evidence,
        _effects,
        _moves,
        _decisions,
        _chain,
    )
    found = [sentence for check in checks for sentence in check(town)]
    return found if town.held is None else [*found, *held_violations(town.held, town.world)]


def moves_of(town: Town) -> Counter[Move]:
    """How often each move was taken."""
    rows = town.world.look("SELECT what, before, after, count(*) FROM virtual_time.moves GROUP BY 1, 2, 3")
    return Counter({Move(*row[:3]): row[3] for row in rows})


def _authorised(town: Town) -> Iterator[str]:
    """What is authorised is what the latest approved change says, to the letter."""
    rows = town.world.look(
        "SELECT service.username, service.authorised, change.id, change.state, change.to_facts, (SELECT max(id) "
        "FROM changes WHERE service_id = service.id AND state = 'approved') FROM services AS service "
        "LEFT JOIN changes AS change ON change.id = service.authorised_change_id"
    )
    for username, authorised, change_id, state, to_facts, latest in rows:
        if change_id != latest:
            yield f"{username}: change {latest} was approved, but change {change_id} is authorised"
        if authorised is not None and (state != Intent.APPROVED or authorised != to_facts):
            yield f"{username}: authorised is {authorised}, but change {change_id} is {state} for {to_facts}"


def _truth(town: Town) -> Iterator[str]:
    """No service is wider or narrower than its truth, but where a person said no to just that."""
    for line, has, wanted in town.truths():
        if has != wanted and line.rejected != (has, wanted):
            yield f"{line.username}: the truth is {wanted}, authorised is {has}, rejected was {line.rejected}"


def _open_steps(town: Town) -> Iterator[str]:
    """No step is left open, but those that wait for a login, or that a router which refuses every end is asked for."""
    obeys = {router.router_id: router.obeys for router in town.routers}
    rows = town.world.look(
        "SELECT step.id, step.state, step.route, step.router_id, session.ended_at FROM steps AS step "
        "JOIN sessions AS session ON session.id = step.session_id "
        "WHERE step.state IN ('waiting', 'started', 'retrying')"
    )
    for step_id, state, route, router_id, ended_at in rows:
        if ended_at is not None:
            yield f"step {step_id} ({route}) is still {state}, and its session has ended"
        elif route != "next_login" and (obeys[router_id] or route != "disconnect"):
            yield f"step {step_id} ({route}) is still {state}"


def _proofs(town: Town) -> Iterator[str]:
    """Where a step is proved by the end of its session, the session has ended, or has spoken since."""
    rows = town.world.look(
        "SELECT step.id FROM steps AS step JOIN sessions AS session ON session.id = step.session_id "
        "WHERE step.state = 'verified' AND session.ended_at IS NULL AND session.last_seen_at <= step.ended_at"
    )
    for (step_id,) in rows:
        yield f"step {step_id} is proved by the end of a session that is stored as open"


def _ghosts(town: Town) -> Iterator[str]:
    """A session whose Stop was lost is closed as soon as its device is known to be back at the same router."""
    rows = town.world.look(
        "SELECT older.acct_session_id, older.username, newer.acct_session_id FROM sessions AS older "
        "JOIN sessions AS newer USING (service_id, router_id, mac) WHERE older.ended_at IS NULL "
        "AND newer.started_at > older.started_at AND older.last_seen_at <= newer.started_at"
    )
    for older, username, newer in rows:
        yield f"session {older} of {username} is stored as open, though {newer} came after it"


def _times(town: Town) -> Iterator[str]:
    """Every moment that is stored is one that was, by the one clock that counts."""
    rows = town.world.look(
        "SELECT step_id, attempt, started_at, ended_at FROM evidence "
        "WHERE started_at < %s OR ended_at < started_at OR greatest(started_at, ended_at) > %s",
        EPOCH,
        town.world.now,
    )
    for step_id, attempt, started_at, ended_at in rows:
        yield f"attempt {attempt} of step {step_id} was made from {started_at} to {ended_at}"


def _online(town: Town) -> Iterator[str]:
    """Every live session has what is authorised, and the database says what the router has."""
    for router in town.routers:
        for session in router.sessions.values():
            yield from _live(town, router, session)


def _is_mixed(has: dict[str, tuple[str, ...]], accesses: list[dict[str, tuple[str, ...]]]) -> bool:
    """Whether late CoAs may have made it: each sets what it names, and leaves the rest of the one before."""
    return all(any(one.get(name) == values for one in accesses) for name, values in has.items())


def _live(town: Town, router: RouterModel, session: Online) -> Iterator[str]:
    place = f"{session.username} at {router.name} ({session.acct_session_id})"
    rows = town.world.look(
        "SELECT session.id, session.applied_stamp, session.ended_at, service.authorised, "
        "(SELECT array[step.route, step.state] FROM steps AS step WHERE step.session_id = session.id "
        "ORDER BY step.id DESC LIMIT 1) "
        "FROM sessions AS session JOIN services AS service ON service.id = session.service_id "
        "WHERE session.router_id = %s AND session.session_key = %s",
        router.router_id,
        f"{session.login_id}:{session.acct_session_id}",
    )
    if not rows:
        yield f"{place}: nobody knows of this session"
        return
    session_id, applied, ended_at, authorised, step = rows[0]
    if ended_at is not None:
        yield f"{place}: the session lives, but is stored as ended"
        return
    has = {name: values for name, values in session.attributes.items() if name not in NOT_COMPARED}
    possible = [session.class_stamp] if router.quirks.lies_about_coa else [applied]
    if not router.obeys:
        # Where a Disconnect does not help, what an unanswered CoA did stays unknown.
        possible += [row[0] for row in town.world.look(_UNANSWERED, session_id, session_id)]
    documents = town.world.look("SELECT document FROM accesses WHERE stamp = ANY(%s)", possible)
    accesses = [_lasting(read_access(row[0])) for row in documents]
    if not (has in accesses or (not router.obeys and _is_mixed(has, accesses))):
        yield f"{place}: it has {has}, but stored is {possible}, which is {documents}"
    target = town.access(read_service(authorised), session.mac, router.router_id)
    if _has(has, target) or _excused(router, step):
        return
    yield f"{place}: it has {has}, but {_lasting(target)} is authorised, and its latest step is {step}"


def _excused(router: RouterModel, step: list[str] | None) -> bool:
    """Routers that lie, refuse or take nothing cannot be right; then the last step must say so."""
    if step is None:
        return False
    route, state = step
    if not router.dynamic_authorization:
        return step == ["next_login", "waiting"]
    if route == "coa":
        return router.quirks.lies_about_coa and state == "acknowledged"
    if router.quirks.refuses_disconnect:
        return state in ("refused", *NOT_DONE)
    return router.quirks.lies_about_disconnect and state in ("acknowledged", "unverified", *NOT_DONE)


def _offline(town: Town) -> Iterator[str]:
    """Whoever may be online is."""
    for device in town.customers.devices.values():
        if device.session is None and town.admits(device):
            yield f"{device.username} may be online, and is not"


def _replicas(town: Town) -> Iterator[str]:
    """Every replica says what is authorised."""
    for username, authorised in town.world.look("SELECT username, authorised FROM services"):
        for edge in town.edges.all:
            facts = edge.services.get(username)
            if (service_document(facts) if facts is not None else None) != authorised:
                yield f"{edge.name} has {facts} for {username}, and {authorised} is authorised"


def _evidence(town: Town) -> Iterator[str]:
    """No packet reached a router without evidence of its attempt."""
    known = {(row[0], row[1]) for row in town.world.look("SELECT step_id, attempt FROM evidence")}
    for router in town.routers:
        for tag in sorted(set(router.seen) - known):
            yield f"{router.name} got a packet of step {tag[0]}, attempt {tag[1]}, of which there is no evidence"


def _effects(town: Town) -> Iterator[str]:
    """A step has its effect once; again only where another packet has undone it in between."""
    for router in town.routers:
        last: dict[str, int] = {}
        for effect in router.effects:
            if last.get(effect.acct_session_id) == effect.tag[0]:
                yield f"step {effect.tag[0]} was applied twice to {effect.acct_session_id} of {router.name}"
            last[effect.acct_session_id] = effect.tag[0]


def _moves(town: Town) -> Iterator[str]:
    """Only allowed moves were taken, whichever statement made them."""
    for what, before, after in moves_of(town):
        table = intent.MOVES if what == "changes" else enforcement.MOVES
        allowed = {state.value: {one.value for one in to} for state, to in table.items()}
        if after not in allowed[before]:
            yield f"one of the {what} went from {before} to {after}, which is not allowed"


def _decisions(town: Town) -> Iterator[str]:
    """Every decision has its event."""
    rows = town.world.look("SELECT id, state FROM changes WHERE state <> 'awaiting_approval' ORDER BY id")
    told = {(row[0], row[1]) for row in town.world.look("SELECT event, (data->>'change')::bigint FROM audit_events")}
    for change_id, state in rows:
        if (DECISIONS[Intent(state)], change_id) not in told:
            yield f"change {change_id} is {state}, and the audit does not say so"


def _chain(town: Town) -> Iterator[str]:
    """The audit's chain is whole, and nothing waits for its seal."""
    world = town.world
    with acting_for(world.database.worker, world.operator_id) as session:
        verdict = verify(session, world.operator_id)
    if verdict.finding is not None:
        yield f"the audit: {verdict.finding}"
    if verdict.waiting:
        yield f"{verdict.waiting} audit events have no seal"


def _lasting(access: Access) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in reply_attributes(access):
        if name not in NOT_COMPARED:
            found[name] = (*found.get(name, ()), value)
    return found


def _has(has: dict[str, tuple[str, ...]], target: Access) -> bool:
    return target.kind != Kind.DENY and has == _lasting(target)
