"""A replica in a folder of the test's own, written by edge's writer."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that these tests also run by themselves

from fixtures_freeradius import CONTROL, router_row
from hypothesis import HealthCheck, settings

from edge.replica_writer import ReplicaWriter

# A busy machine is no failure, and a failing run prints how to repeat it.
settings.register_profile("ispagents", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("ispagents")

PLAN = '{"rate_limit": "10M/50M"}'


@pytest.fixture
def begin(tmp_path) -> Iterator[Callable[..., ReplicaWriter]]:
    """Build a new generation with plan 1 and one router, not published yet."""
    with contextlib.ExitStack() as opened:

        def build(plan: str = PLAN) -> ReplicaWriter:
            writer = ReplicaWriter.begin_empty(tmp_path)
            opened.callback(close, writer)
            writer.put_plan(1, "Home 50", plan)
            writer.put_operator(1, "{}")
            writer.put_router(*router_row(CONTROL, 1))
            return writer

        yield build


def close(writer: ReplicaWriter) -> None:
    """Close a writer, also one that the test has closed already."""
    with contextlib.suppress(Exception):
        writer.close()


@pytest.fixture
def writer(begin) -> ReplicaWriter:
    """The published generation."""
    one = begin()
    one.publish()
    return one
