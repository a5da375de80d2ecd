"""Alembic's entry: runs migrations on the connection that `sql.migrate` hands over."""

from alembic import context

from sql.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
