"""Plans' periods and taxes, dunning, holds, and the billing cycle."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute("SET LOCAL lock_timeout = '10s'")
    connection.execute((Path(__file__).parent / "0006_billing.sql").read_text())
