"""The first schema, its rights, and Procrastinate's tables. There is no way back below the first revision."""

from pathlib import Path
from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOB_GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers,
    procrastinate_workers TO ispagents_worker;
GRANT SELECT, INSERT ON procrastinate_jobs, procrastinate_events TO ispagents_web, ispagents_edge;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ispagents_web, ispagents_worker, ispagents_edge;
"""


def upgrade() -> None:
    """Run the SQL files beside this one."""
    connection: Any = op.get_bind().connection.driver_connection
    folder = Path(__file__).parent
    connection.execute("SET LOCAL lock_timeout = '10s'")
    connection.execute((folder / "0001_first.sql").read_text())
    connection.execute((folder / "0001_rights.sql").read_text())
    connection.execute(SchemaManager.get_schema())
    connection.execute(JOB_GRANTS)
