"""One seed, from the first login to the rest at the end; and many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.calm import calm
from simulation.database import SimulationDatabase, roll_back
from simulation.invariants import moves_of, violations
from simulation.town import Town
from simulation.world import Move, Violation, World


@dataclass
class Story:
    """What became of a seed; `violations` are sentences, none in a right world."""

    seed: int
    violations: list[str] = field(default_factory=list)
    moves: Counter[Move] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)


def run_seed(database: SimulationDatabase, seed: int, tell: Callable[[str], None] | None = None) -> Story:
    """Live through one seed. Whatever the code raises is a violation like any other, and ends the seed."""
    database.empty()
    world = World(database, seed, tell)
    story = Story(seed, counts=world.counts)
    town = None
    try:
        town = Town(world)
        world.run(town.live())
        calm(town)
        story.violations = violations(town)
        story.moves = moves_of(town)
    except Violation as found:
        story.violations = [str(found)]
    except Exception as error:
        story.violations = [f"{type(error).__name__}: {' '.join(str(error).split())}"]
        if tell is not None:
            raise
    finally:
        if town is not None:
            town.close()
        roll_back(database.edge_reads)
        roll_back(database.edge_stores)
    for violation in story.violations:
        world.say(f"WRONG: {violation}")
    return story
