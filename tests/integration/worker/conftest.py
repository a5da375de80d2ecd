"""A town of its own for every test."""

import sys
from pathlib import Path

import pytest
from fixtures_database import Database
from town import SUSPENDED, Town

sys.path.insert(0, str(Path(__file__).parents[1] / "edge"))  # edge_node: the full circle needs a spool
sys.path.append(str(Path(__file__).parents[1] / "sql"))  # metered: a service with limits


@pytest.fixture
def town(database: Database) -> Town:
    """An operator whose one plan has an address list, so that a CoA can restore."""
    isp = database.isp()
    return Town(database, isp, isp.plan("Home 50", address_lists=["paid"], suspended=SUSPENDED))
