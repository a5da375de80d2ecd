"""The end of a seed: faults off, everything delivered, people and worker at work until nothing is left to do."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from simulation.town import Town
from simulation.world import Violation
from sql.audit_seal import seal
from sql.placing import AGAIN

ROUNDS = 150
QUIET_ROUNDS = 2
ROUND_S = 30.0
LONGEST_S = 400.0
# The brake on healing lets the next share go after an hour.
HEALING_S = 3700.0

_LEFT = """
SELECT (SELECT count(*) FROM changes WHERE state = 'awaiting_approval'),
    (SELECT count(*) FROM procrastinate_jobs),
    (SELECT count(*) FROM reviews WHERE due_at <= now()),
    (SELECT count(*) FROM services WHERE authorised_until <= now()),
    (SELECT count(*) FROM steps WHERE state IN ('waiting', 'started', 'retrying') AND route <> 'next_login'
        AND router_id = ANY(%s)),
    (SELECT count(*) FROM steps WHERE state = 'acknowledged' AND verify_by IS NOT NULL AND router_id = ANY(%s)),
    (SELECT count(*) FROM sessions JOIN services ON services.id = sessions.service_id
        WHERE sessions.ended_at IS NULL AND sessions.router_id = ANY(%s) AND services.authorised_stamp IS NOT NULL
        AND sessions.session_key = ANY(%s)
        AND sessions.applied_stamp IS DISTINCT FROM services.authorised_stamp
        AND NOT EXISTS (SELECT FROM steps WHERE steps.session_id = sessions.id AND route = 'next_login'
            AND state = 'waiting')),
    (SELECT count(*) FROM placements JOIN services ON services.id = service_id WHERE placements.ended_at IS NULL
        AND (applied_stamp IS NULL OR control_router_id IS DISTINCT FROM placements.router_id)),
    (SELECT extract(epoch FROM min(due_at) - now()) FROM steps WHERE state IN ('waiting', 'started', 'retrying')
        AND due_at < '9000-01-01' AND router_id = ANY(%s)),
    (SELECT coalesce(max(held), 0) FROM healing_runs)
"""


class Left(NamedTuple):
    """What is still to be done."""

    waiting_changes: int
    jobs: int
    reviews: int
    renewals: int
    open_steps: int
    unproved_steps: int
    drifting_sessions: int
    doubtful_placements: int
    next_step_s: float | None
    held_by_brake: int

    @property
    def nothing(self) -> bool:
        """Whether the world is at rest."""
        return not any(self[:8])


def calm(town: Town) -> None:
    """Bring the town to rest. Raises Violation where it does not get there."""
    world = town.world
    town.calm()
    town.billing.pay()  # whoever waits for a payment before suspending anyone sees that they come in
    if town.held is not None:
        town.held.tell_of_drift()
    quiet = 0
    wrong: list[str] = []
    left = _left(town)
    for number in range(ROUNDS):
        wait_s = ROUND_S if left.next_step_s is None else min(max(float(left.next_step_s), ROUND_S), LONGEST_S)
        held = left.held_by_brake and left.drifting_sessions
        if number % 10 == 9 and (held or left.waiting_changes):  # a day may have passed since the last payment
            wait_s = HEALING_S if held else wait_s
            town.billing.pay()
        if number % 5 == 0:
            town.customers.interims()
        if number % 10 == 9 and (wrong or left.doubtful_placements):
            world.skip(AGAIN)  # what was refused is tried again then, and the brake lets the next share go
        world.run(world.now + timedelta(seconds=wait_s))
        town.people.approve_all()
        left = _left(town)
        wrong = town.held.all_wrong() if town.held is not None else []
        offline = town.held.offline() if town.held is not None else []
        at_rest = not (town.sagas.pending or wrong or offline) and left.nothing and _delivered(town)
        quiet = quiet + 1 if at_rest else 0
        if quiet >= QUIET_ROUNDS:
            seal(world.database.worker, world.operator_id)
            world.say("the world is at rest")
            return
    raise Violation(f"the world does not come to rest: {left} {' '.join(wrong)}")


def _delivered(town: Town) -> bool:
    """Whether nothing is on its way, and everybody who may be online is."""
    dialling = any(one.dialling and town.admits(one) for one in town.customers.devices.values())
    return town.edges.all_told and not (town.wire.under_way or dialling)


def _left(town: Town) -> Left:
    honest = [router.router_id for router in town.routers if router.obeys]
    honest += [router.router_id for router in town.held.routers] if town.held is not None else []
    # A session of which only the Stop was lost stays open in the database, and nobody can do anything about it.
    live = [f"{one.login_id}:{one.acct_session_id}" for router in town.routers for one in router.sessions.values()]
    watcher = town.world.on(town.world.database.watcher)
    rows = watcher.execute(_LEFT.encode(), (honest, honest, honest, live, honest)).fetchall()
    return Left(*rows[0])
