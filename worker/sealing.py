"""The worker's clock for the audit: seal what was committed, and anchor the chains' ends outside the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from policy.audit_chain import anchor
from sql.audit_seal import Batch, ChainBroken, head_of, operators_to_seal, seal_batch
from sql.sessions import acting_for, operator_names
from worker import anchor_file
from worker.anchor_post import AnchorPost

log = structlog.get_logger("worker.sealing")

SEAL_EVERY_S = 2.0
ANCHOR_EVERY_S = 60.0
POST_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Anchors:
    """Where the ends of the chains are kept outside the database: in a file, by an address, in both or nowhere."""

    file: Path | None = None
    address: str | None = None


NO_ANCHORS = Anchors()


async def keep_sealed(engine: Engine, anchors: Anchors) -> None:
    """Seal every few seconds; add to the anchors' file at most once a minute, and tell their address at most once an
    hour. Runs until it is cancelled.

    What goes wrong is logged once and tried again: the audit of one operator never waits for another's.
    """
    # All operators at the start: a database that came back from a dump does not tell which have something to seal.
    operators = await _found(lambda: list(operator_names(engine).values()))
    anchored_at = -ANCHOR_EVERY_S
    post_at, post = 0.0, AnchorPost(anchors.address) if anchors.address else None
    said: dict[int, str] = {}
    while True:
        for operator_id in operators:
            complaint = await _seal(engine, operator_id)
            if complaint and complaint != said.get(operator_id):
                log.error("the audit is not sealed; trying again", operator_id=operator_id, error=complaint)
            said[operator_id] = complaint
        if anchors.file is not None and time.monotonic() - anchored_at >= ANCHOR_EVERY_S:
            anchored_at = time.monotonic()
            await asyncio.to_thread(anchor_heads, engine, anchors.file)
        if post is not None and time.monotonic() >= post_at:
            told = await asyncio.to_thread(post.tell, engine, datetime.now(UTC))
            post_at = time.monotonic() + (POST_EVERY_S if told else ANCHOR_EVERY_S)
        await asyncio.sleep(SEAL_EVERY_S)
        operators = await _found(lambda: operators_to_seal(engine))


def anchor_heads(engine: Engine, path: Path) -> int:
    """Add a line for each operator whose chain has grown since its last line. Returns how many; failures are logged."""
    added = 0
    try:
        with anchor_file.opened(path) as file:
            newest = file.newest()
            for operator_id in operator_names(engine).values():
                with acting_for(engine, operator_id) as session:
                    head = head_of(session, operator_id)
                last = newest.get(operator_id)
                if head is None or (last and (last.number, last.hash) == (head.number, head.hash)):
                    continue
                if last and last.number > head.number:
                    log.error("the audit has lost its end since it was anchored; verify it", operator_id=operator_id)
                file.add(anchor(datetime.now(UTC), operator_id, head.number, head.hash))
                added += 1
    except OSError as error:
        log.error("the audit could not be anchored; trying again", file=str(path), error=error.strerror or str(error))
    except DBAPIError as error:
        log.warning("the audit could not be read for its anchor; trying again", error=_said(error))
    return added


async def _seal(engine: Engine, operator_id: int) -> str:
    """Seal an operator's events; what is wrong, if any. Each batch has its thread: a stop waits for one at most."""
    batch = Batch(0, None)
    try:
        while True:
            batch = await asyncio.to_thread(seal_batch, engine, operator_id, batch.following)
            if batch.following is None:
                return ""
    except ChainBroken as error:
        return str(error)
    except DBAPIError as error:
        return _said(error)


async def _found(find: Callable[[], list[int]]) -> list[int]:
    try:
        return await asyncio.to_thread(find)
    except DBAPIError as error:
        log.warning("the audit's clock could not look for work; trying again", error=_said(error))
        return []


def _said(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())
