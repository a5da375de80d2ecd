"""How far each spool file was taken in, and the records that could not be."""

from __future__ import annotations

from typing import Any

from psycopg import Connection


def taken_bytes(connection: Connection[Any], node: str, file: str) -> int:
    """How far a spool file was taken in."""
    row = connection.execute(
        "SELECT taken_bytes FROM spool_files WHERE node = %s AND file = %s", (node, file)
    ).fetchone()
    return int(row[0]) if row else 0


def mark_taken(connection: Connection[Any], node: str, file: str, at_bytes: int) -> None:
    """Remember how far a spool file was taken in, in the transaction that did it."""
    connection.execute(
        "INSERT INTO spool_files (node, file, taken_bytes) VALUES (%s, %s, %s) "
        "ON CONFLICT (node, file) DO UPDATE SET taken_bytes = excluded.taken_bytes, updated_at = now()",
        (node, file, at_bytes),
    )


def forget_file(connection: Connection[Any], node: str, file: str) -> None:
    """Drop the marker of a file that is gone."""
    connection.execute("DELETE FROM spool_files WHERE node = %s AND file = %s", (node, file))


def set_aside(connection: Connection[Any], *, node: str, file: str, at_bytes: int, reason: str, text: str) -> None:
    """Keep a record that could not be taken in, with the reason."""
    connection.execute(
        "INSERT INTO spool_rejects (node, file, at_bytes, reason, record) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (node, file, at_bytes) DO NOTHING",
        (node, file, at_bytes, reason, text),
    )
