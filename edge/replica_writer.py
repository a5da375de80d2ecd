"""Writes the replica: the current generation in place, or a new one beside it that is then pointed at."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from edge.table_writer import TableWriter, retire
from radius_module.records import (
    POINTER,
    RouterRow,
    ServiceRow,
    generation_file,
    named_value,
    operator_key,
    plan_key,
    read_pointer,
    router_key,
    router_value,
    service_key,
    service_value,
)
from radius_module.table import Damaged

POINTER_MODE = 0o640
POINTER_KEEPS = 2  # the current generation and the one before, which a reader may be about to open
SAVE_EVERY_S = 1.0
SERVICE, ROUTER = b"s", b"r"


class ReplicaWriter:
    """One generation, open for writing."""

    def __init__(self, folder: Path, generation: int, table: TableWriter, *, published: bool) -> None:
        """Use `begin_empty` or `take_over`."""
        self.folder = folder
        self.generation = generation
        self._table = table
        self._published = published
        self._saved_at_s = time.monotonic()

    @classmethod
    def begin_empty(cls, folder: Path, services: int = 0) -> ReplicaWriter:
        """A new, empty generation that nobody is pointed at yet, with room for about so many services.

        Raises OSError where the disk has no room.
        """
        generation = max((_generation_of(path) for path in folder.glob("replica-*.table")), default=0) + 1
        table = TableWriter.create(generation_file(folder, generation), services)
        return cls(folder, generation, table, published=False)

    @classmethod
    def take_over(cls, folder: Path) -> ReplicaWriter | None:
        """The current generation, to go on where the last run ended; None where it cannot be used.

        Raises TableBusy while another process writes it.
        """
        generation = read_pointer(folder)
        if generation is None:
            return None
        try:
            table = TableWriter.take_over(generation_file(folder, generation))
        except (Damaged, OSError):
            return None
        return cls(folder, generation, table, published=True)

    def publish(self) -> None:
        """Make the file durable, point readers at it, and remove older generations."""
        self._table.save()
        new = self.folder / f"{POINTER}.new"
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, POINTER_MODE)
        with os.fdopen(handle, "w") as text:
            text.write(str(self.generation))
            text.flush()
            os.fsync(text.fileno())
        new.replace(self.folder / POINTER)
        _sync(self.folder)
        self._published = True
        for path in self.folder.glob("replica-*.table"):
            generation = _generation_of(path)
            if generation < self.generation:
                retire(path)
            if generation <= self.generation - POINTER_KEEPS:
                path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Begin changes. Readers see each as it comes; what was left out by an error comes with the next try."""
        return self

    def __exit__(self, *_: object) -> None:
        """Now and then, bring them to the disk."""
        if self._published and self._table.unsaved and time.monotonic() - self._saved_at_s >= SAVE_EVERY_S:
            self._table.save()
            self._saved_at_s = time.monotonic()

    def put_service(self, row: ServiceRow) -> int:
        """Insert or replace a service. Returns how many more there are: counting a million would cost more than this.

        Raises TableFull or OSError where there is no room, ValueError or struct.error for what no record can hold.
        """
        return self._table.put(service_key(row.operator_id, row.username), service_value(row), row.facts.service_id)

    def put_services(self, rows: Iterable[ServiceRow]) -> int:
        """Insert or replace services. Returns how many more there are; raises as `put_service`."""
        return sum(map(self.put_service, rows))

    def put_router(self, address: str, router: RouterRow) -> None:
        """Insert or replace a router."""
        self._table.put(router_key(address), router_value(router), router.router_id)
        self._table.finished()

    def remove_router(self, router_id: int) -> None:
        """Remove a router, if it is there."""
        self._table.remove(ROUTER, router_id)
        self._table.finished()

    def put_plan(self, plan_version_id: int, name: str, facts: str) -> None:
        """Insert a plan version; versions never change."""
        self._table.put(plan_key(plan_version_id), named_value(name, facts))

    def put_operator(self, operator_id: int, refusals: str) -> None:
        """Insert or replace an operator's choices."""
        self._table.put(operator_key(operator_id), refusals.encode())

    def set_newest_time(self, moment: float) -> None:
        """The newest moment that edge has seen on the database's clock, in seconds of the epoch."""
        self._table.set_time(moment)

    def remember(self, facts: dict[str, str]) -> bool:
        """Replace what the replica says of itself. False: it is too long, and what it said before stays."""
        return self._table.set_note(json.dumps(facts).encode())

    def remembered(self) -> dict[str, str]:
        """What the replica says of itself."""
        text = self._table.note()
        return json.loads(text) if text else {}

    def service_count(self) -> int:
        """How many services it holds; looks at all of them."""
        return self._table.count(SERVICE)

    def close(self) -> None:
        """Save and close the file; a generation that was never published is removed."""
        if self._published:
            self._table.save()
        self._table.close()
        if not self._published:
            generation_file(self.folder, self.generation).unlink(missing_ok=True)


def _generation_of(path: Path) -> int:
    number = path.name.removeprefix("replica-").removesuffix(".table")
    return int(number) if number.isdigit() else 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
