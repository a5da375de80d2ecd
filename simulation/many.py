"""Many seeds in several processes, each with a database of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import Queue

from simulation.database import Place, SimulationDatabase, open_database
from simulation.run import Story, run_seed

_here: list[SimulationDatabase] = []


def run_seeds(places: Sequence[Place], seeds: range) -> Iterator[Story]:
    """The stories of all seeds, in order; a process for each place. A seed is the same wherever it runs."""
    context = multiprocessing.get_context("spawn")
    free: Queue[Place] = context.Queue()
    for place in places:
        free.put(place)
    with ProcessPoolExecutor(len(places), context, _open, (free,)) as pool:
        yield from pool.map(_run, seeds)


def _open(free: Queue[Place]) -> None:
    _here.append(open_database(free.get()))


def _run(seed: int) -> Story:
    return run_seed(_here[0], seed)
