"""The change engine: batches, approvals by several people, brakes, overrides, router health, the sealed audit chain."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute("SET LOCAL lock_timeout = '10s'")
    connection.execute((Path(__file__).parent / "0002_engine.sql").read_text())
