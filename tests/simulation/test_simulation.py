"""The whole life of a change, seed by seed: what must hold does, every move is taken, and a broken rule is noticed."""

from collections import Counter
from collections.abc import Iterator

import pytest
from fixtures_database import DatabaseServer

from simulation.command import every_move
from simulation.database import SimulationDatabase, open_database
from simulation.run import Story, run_seed
from simulation.world import Move
from sql import attempts, following, undo

SEEDS = range(1, 301)
NAME = "simulation"

# In how many of the seeds each move is taken at least; these need several troubles at once, each at its moment.
AT_LEAST_SEEDS = 5
RARE = {
    Move("steps", "acknowledged", "superseded"): 1,
    Move("steps", "unverified", "superseded"): 1,
    Move("steps", "unverified", "verified"): 1,
    Move("steps", "stuck", "verified"): 1,
}
# Moves that no statement makes today, each with the reason why.
NEVER = {
    Move("steps", "retrying", "stuck"): "a step becomes stuck by the outcome of an attempt, and that makes it started",
    Move("steps", "refused", "superseded"): "a refused step stays as it is when another one is planned for its session",
    Move("steps", "stuck", "waiting"): "what is stuck is superseded by a new step when the session speaks again",
}


@pytest.fixture(scope="module")
def database(database_server: DatabaseServer) -> Iterator[SimulationDatabase]:
    """One database with virtual time for all seeds."""
    databases = database_server.copy(NAME)
    found = open_database(databases, NAME, database_server.server.conninfo(NAME, "postgres"))
    yield found
    found.close()
    database_server.drop(NAME)


@pytest.fixture(scope="module")
def stories(database: SimulationDatabase) -> list[Story]:
    """What became of all seeds."""
    return [run_seed(database, seed) for seed in SEEDS]


@pytest.mark.timeout(900)
def test_nothing_goes_wrong_in_any_seed(stories):
    """Loss, repetition, delay, death, restarts, lies: once the world is calm everything is as it must be."""
    wrong = [(f"ispagents simulate --seed {one.seed} --trace", one.violations) for one in stories if one.violations]
    assert wrong == []


@pytest.mark.timeout(900)
def test_every_move_is_taken_often_enough(stories):
    """The seeds reach every corner of both tables but those that no statement reaches, and these say why."""
    seeds = Counter(move for story in stories for move in story.moves)
    assert [move for move in every_move() if move not in NEVER and seeds[move] < RARE.get(move, AT_LEAST_SEEDS)] == []
    assert [move for move in NEVER if seeds[move]] == []


def test_a_seed_is_the_same_every_time(database):
    """The story of a seed is the same to the letter, whatever ran before it."""

    def told(seed: int) -> list[str]:
        lines: list[str] = []
        run_seed(database, seed, lines.append)
        return lines

    first = [told(seed) for seed in (11, 12)]
    assert [told(seed) for seed in (12, 11)] == first[::-1]


def noticed(database: SimulationDatabase, seeds: range) -> list[str]:
    """What is found wrong in the first of these seeds in which something is."""
    for seed in seeds:
        story = run_seed(database, seed)
        if story.violations:
            return story.violations
    return []


def test_it_notices_disconnects_that_do_not_wait_for_the_edges(database, monkeypatch):
    """A customer who redials into an old replica has what nobody authorises any more."""
    monkeypatch.setattr(attempts, "edges_have", lambda *_: True)
    assert noticed(database, range(30, 60))


def test_it_notices_an_undo_of_foreign_work(database, monkeypatch):
    """An undo that gives everything back, and not only what its change altered, takes a later wish with it."""
    monkeypatch.setattr(undo, "_altered", lambda before, _: {k: v for k, v in before.items() if k != "service_id"})
    assert noticed(database, range(30, 60))


def test_it_notices_a_follower_that_counts_transactions(database, monkeypatch):
    """A row whose transaction was open while later ones committed is skipped by whoever only counts."""
    monkeypatch.setattr(following, "_UNSEEN", "revision >= pg_snapshot_xmax({seen}::pg_snapshot)")
    assert noticed(database, range(1, 30))


def test_it_notices_acknowledgements_that_are_forgotten(database, monkeypatch):
    """A session that was changed, and is not known to be, is changed again and again."""
    monkeypatch.setattr(attempts, "_move_sessions", lambda *_: None)
    assert noticed(database, range(1, 30))
