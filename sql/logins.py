"""Logins that were refused, and bindings learnt at a first login."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from sql.reports import LoginNote

_REFUSED = """
INSERT INTO refused_logins AS known (operator_id, router_id, service_id, username, mac, reason, hour, last_at, times)
SELECT router.operator_id, router.id, max(service.id), row.username, row.mac, row.reason,
    date_trunc('hour', row.at, 'UTC'), max(row.at), count(*)
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS row (router_id, service_id, username, mac, reason, at)
JOIN routers AS router ON router.id = row.router_id
LEFT JOIN services AS service ON service.id = row.service_id AND service.operator_id = router.operator_id
-- one row a key, or ON CONFLICT fails: a name may have become another service's within the batch
GROUP BY router.operator_id, router.id, row.username, row.mac, row.reason, 7
ORDER BY router.id, row.username, row.mac, row.reason, 7
ON CONFLICT (operator_id, router_id, username, mac, reason, hour)
DO UPDATE SET times = known.times + excluded.times, last_at = greatest(known.last_at, excluded.last_at)
"""
# What is bound already stays: two first logins at once teach one binding.
_LEARN = {
    "mac": "UPDATE services SET mac = %(mac)s WHERE id = %(service)s AND operator_id = %(operator)s "
    "AND bind_mac AND mac = '' AND %(mac)s <> ''",
    "router": "UPDATE services SET router_id = %(router)s WHERE id = %(service)s AND operator_id = %(operator)s "
    "AND bind_router AND router_id IS NULL",
    "port": "UPDATE services SET port = %(port)s WHERE id = %(service)s AND operator_id = %(operator)s "
    "AND bind_port AND port = '' AND %(port)s <> ''",
}


def store_login_notes(connection: Connection[Any], notes: list[LoginNote]) -> None:
    """Count refused logins and learn bindings, in the caller's transaction."""
    refused = [
        (one.note.router_id, one.note.service_id, one.username, one.mac, one.note.reason, one.at)
        for one in notes
        if not one.note.learn
    ]
    if refused:
        connection.execute(_REFUSED, tuple(list(column) for column in zip(*refused, strict=True)))
    for one in notes:
        for name in one.note.learn:
            _learn(connection, one, name)


def _learn(connection: Connection[Any], one: LoginNote, name: str) -> None:
    values = {
        "service": one.note.service_id,
        "operator": one.note.operator_id,
        "router": one.note.router_id,
        "mac": one.mac,
        "port": one.port,
    }
    if name not in _LEARN or connection.execute(_LEARN[name], values).rowcount == 0:
        return
    connection.execute(
        "INSERT INTO audit_events (operator_id, actor, event, service_id, data) "
        "VALUES (%s, 'edge', 'service:binding:learn', %s, %s)",
        (
            one.note.operator_id,
            one.note.service_id,
            Jsonb({"kind": name, "mac": one.mac, "router_id": one.note.router_id, "port": one.port}),
        ),
    )
