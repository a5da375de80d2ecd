"""`ispagents simulate`: lives through seeds, prints the moves that were taken and the seeds that went wrong."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import typer

from ispagents.errors import Problem
from policy.changes import enforcement, intent
from simulation.database import Place, open_database, own_databases
from simulation.many import run_seeds
from simulation.run import Story, run_seed
from simulation.world import Move

WRONG_ARGUMENTS = 2
FAILED = 1
INTERRUPTED = 130
SEED_MAXIMUM = 2**32
PROGRESS_S = 10.0

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1_000_000, help="How many seeds to live through.")] = 100,
    from_seed: Annotated[int, typer.Option("--from-seed", min=0, max=SEED_MAXIMUM, help="The first of them.")] = 1,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=SEED_MAXIMUM, help="Only this one.", show_default=False)
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Tell the story of the one seed, step by step.")] = False,
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="How many seeds to live at once.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Live through the whole life of changes, seed by seed, with virtual time and every fault there is."""
    if trace and seed is None:
        _end("--trace tells the story of one seed; name it with --seed.", WRONG_ARGUMENTS)
    if trace and as_json:
        _end("A story is no JSON; leave --trace or --json out.", WRONG_ARGUMENTS)
    chosen = range(from_seed, from_seed + seeds) if seed is None else range(seed, seed + 1)
    try:
        with own_databases(1 if trace else min(processes, len(chosen))) as places:
            stories = _told(places[0], chosen) if trace else run_seeds(places, chosen)
            result = _live_through(stories, len(chosen), quiet=as_json)
    except Problem as problem:
        _end(str(problem), FAILED)
    except KeyboardInterrupt:
        _end("Stopped; the database of the simulation is gone.", INTERRUPTED)
    typer.echo(json.dumps(result, indent=2) if as_json else _table(result))
    if result["failed"]:
        raise typer.Exit(FAILED)


def every_move() -> list[Move]:
    """All moves that the two tables allow."""
    tables = (("changes", intent.MOVES), ("steps", enforcement.MOVES))
    return [
        Move(what, before.value, after.value)
        for what, table in tables
        for before, allowed in table.items()
        for after in sorted(allowed)
    ]


def _told(place: Place, chosen: range) -> Iterator[Story]:
    database = open_database(place)
    try:
        for seed in chosen:
            yield run_seed(database, seed, typer.echo)
    finally:
        database.close()


def _live_through(stories: Iterator[Story], count: int, *, quiet: bool) -> dict[str, Any]:
    began_s = said_s = time.monotonic()
    moves: Counter[Move] = Counter()
    in_seeds: Counter[Move] = Counter()
    counts: Counter[str] = Counter()
    failed: list[Story] = []
    for number, story in enumerate(stories, 1):
        moves.update(story.moves)
        in_seeds.update(story.moves.keys())
        counts.update(story.counts)
        if story.violations:
            failed.append(story)
            if not quiet:
                typer.echo(_failure(story))
        if not quiet and time.monotonic() - said_s > PROGRESS_S:
            said_s = time.monotonic()
            typer.echo(f"{number} of {count} seeds, {len(failed)} failed", err=True)
    return {
        "seeds": count,
        "seconds": round(time.monotonic() - began_s, 1),
        "failed": [{"seed": one.seed, "wrong": one.violations, "again": _again(one.seed)} for one in failed],
        "moves": [{**move._asdict(), "times": moves[move], "seeds": in_seeds[move]} for move in every_move()],
        "happened": dict(sorted(counts.items())),
    }


def _failure(story: Story) -> str:
    lines = [f"seed {story.seed}: {sentence}" for sentence in story.violations]
    return "\n".join([*lines, f"  again: {_again(story.seed)}"])


def _again(seed: int) -> str:
    return f"ispagents simulate --seed {seed} --trace"


def _table(result: dict[str, Any]) -> str:
    rows = [("what", "from", "to", "times", "in seeds")]
    rows += [
        (one["what"], one["before"], one["after"], str(one["times"]), str(one["seeds"])) for one in result["moves"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(f"{cell:>{width}}" if column > 2 else f"{cell:<{width}}" for column, (cell, width) in cells).rstrip()
        for cells in (list(enumerate(zip(row, widths, strict=True))) for row in rows)
    ]
    happened = ", ".join(f"{count} {name}" for name, count in result["happened"].items())
    lines += ["", f"What happened besides: {happened or 'nothing'}."]
    said = f"{len(result['failed'])} of {result['seeds']} seeds failed" if result["failed"] else "all seeds are right"
    return "\n".join([*lines, f"{result['seeds']} seeds in {result['seconds']} s: {said}."])


def _end(sentence: str, code: int) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)
