"""How far each spool file was taken in, and the records that could not be."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection


class Asked(NamedTuple):
    """A record that was set aside and that somebody wants to be tried again."""

    reject_id: int
    file: str
    record: str


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


def asked_again(connection: Connection[Any], most: int) -> list[Asked]:
    """Records that are to be tried again, the oldest first; another node's hands are kept off meanwhile."""
    rows = connection.execute(
        "SELECT id, file, record FROM spool_rejects WHERE state = 'asked' ORDER BY node, id LIMIT %s "
        "FOR UPDATE SKIP LOCKED",
        (most,),
    ).fetchall()
    return [Asked(*row) for row in rows]


def end_replay(connection: Connection[Any], reject_id: int, reason: str) -> None:
    """It was taken in, or was refused again for this reason."""
    connection.execute(
        "UPDATE spool_rejects SET state = CASE WHEN %(reason)s = '' THEN 'replayed' ELSE 'aside' END, "
        "reason = coalesce(nullif(%(reason)s, ''), reason), "
        "replayed_at = CASE WHEN %(reason)s = '' THEN clock_timestamp() END WHERE id = %(id)s",
        {"reason": reason, "id": reject_id},
    )


def tell_room(connection: Connection[Any], node: str, *, free_bytes: int, oldest_s: float, refuses: bool) -> None:
    """How much room a node's spool has, for how long its oldest file waits, and whether records are refused."""
    connection.execute(
        "UPDATE nodes SET spool_free_bytes = %s, spool_oldest_s = %s, spool_refuses = %s WHERE name = %s",
        (free_bytes, oldest_s, refuses, node),
    )
