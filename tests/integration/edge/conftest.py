"""A node of its own for every test."""

from pathlib import Path

import pytest
from edge_node import Edge
from fixtures_database import Database, Isp

from sql.models import Router


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator."""
    return database.isp()


@pytest.fixture
def edge(database: Database, tmp_path: Path) -> Edge:
    """A node."""
    return Edge(database, tmp_path)


@pytest.fixture
def tower(isp: Isp) -> Router:
    """A router."""
    return isp.router()
