"""One row of every table for an operator, so that tests can look behind each wall."""

from typing import Any

import psycopg


def fill(connection: psycopg.Connection[Any], operator: int, service: int, router: int, session: int) -> None:
    """Rows in every table that the fixtures leave empty, as the superuser."""
    values = {"operator": operator, "service": service, "router": router, "session": session}
    connection.execute(
        "INSERT INTO holds (operator_id, service_id, until, reason, granted_by) "
        "VALUES (%(operator)s, %(service)s, now() + interval '1 day', 'a reason', 'a test')",
        values,
    )
    connection.execute(
        "INSERT INTO usage_hours VALUES (%(operator)s, %(service)s, date_trunc('hour', now()), 1, 1)", values
    )
    connection.execute(
        "INSERT INTO refused_logins (operator_id, router_id, username, reason, hour, last_at) "
        "VALUES (%(operator)s, %(router)s, 'who', 'unknown_user', now(), now())",
        values,
    )
    step = connection.execute(
        "INSERT INTO steps (operator_id, service_id, session_id, router_id, route, why, target_stamp) "
        "VALUES (%(operator)s, %(service)s, %(session)s, %(router)s, 'coa', 'why', '1-x') RETURNING id",
        values,
    ).fetchone()
    assert step is not None
    connection.execute(
        "INSERT INTO evidence (operator_id, step_id, attempt, sent, started_at) VALUES (%s, %s, 1, '[]', now())",
        (operator, step[0]),
    )
    connection.execute("INSERT INTO reviews VALUES (%(service)s, %(operator)s, now()) ON CONFLICT DO NOTHING", values)
    for statement in (*_ENGINE, *_MONEY):
        connection.execute(statement, values)


# One row of each table of the change engine.
_ENGINE = (
    "INSERT INTO batches (operator_id, name, requested_by) VALUES (%(operator)s, 'today', 'x')",
    (
        "INSERT INTO overrides (operator_id, service_id, facts, until, reason, granted_by, ended_at) "
        "VALUES (%(operator)s, %(service)s, '{}', now(), 'x', 'x', now())"
    ),
    (
        "INSERT INTO approvals (operator_id, change_id, person, preview_hash) "
        "SELECT %(operator)s, id, 'x', 'x' FROM changes WHERE service_id = %(service)s LIMIT 1"
    ),
    "INSERT INTO router_health (operator_id, router_id) VALUES (%(operator)s, %(router)s)",
    (
        "INSERT INTO router_abilities (operator_id, router_id, ability, able, learnt_by) "
        "VALUES (%(operator)s, %(router)s, 'x', true, 'x')"
    ),
    (
        "INSERT INTO audit_seals (operator_id, number, event_id, hash) "
        "SELECT %(operator)s, 1, min(id), 'x' FROM audit_events WHERE operator_id = %(operator)s"
    ),
    "INSERT INTO audit_heads (operator_id) VALUES (%(operator)s)",
    "INSERT INTO placements (operator_id, service_id, router_id) VALUES (%(operator)s, %(service)s, %(router)s)",
    "INSERT INTO router_checks (operator_id, router_id, path) VALUES (%(operator)s, %(router)s, 'api')",
    (
        "INSERT INTO router_check_hours (operator_id, router_id, path, hour) "
        "VALUES (%(operator)s, %(router)s, 'api', now())"
    ),
    (
        "INSERT INTO router_boots (operator_id, router_id, booted_at, noticed_by) "
        "VALUES (%(operator)s, %(router)s, now(), 'uptime')"
    ),
    (
        "INSERT INTO accounting_records (operator_id, router_id, session_id, at, kind, username, acct_session_id, "
        "session_time_s, upload_bytes, download_bytes) "
        "SELECT %(operator)s, %(router)s, %(session)s, at, 'start', 'x', 'x', 0, 0, 0 "
        "FROM (VALUES (now()), ('1999-01-01'::timestamptz)) AS row (at)"
    ),
    "INSERT INTO usage_days (operator_id, service_id, day) VALUES (%(operator)s, %(service)s, now())",
    (
        "INSERT INTO usage_spans (operator_id, service_id, span, starts_at, ends_at) "
        "VALUES (%(operator)s, %(service)s, 'day', now(), now() + interval '1 day')"
    ),
    (
        "INSERT INTO usage_topups (operator_id, service_id, span, bytes, reason, granted_by) "
        "VALUES (%(operator)s, %(service)s, 'day', 1, 'x', 'x')"
    ),
    "INSERT INTO usage_states (operator_id, service_id) VALUES (%(operator)s, %(service)s)",
    "INSERT INTO drift_runs (operator_id, router_id) VALUES (%(operator)s, %(router)s)",
    (
        "INSERT INTO drift_findings (operator_id, router_id, kind, key, cause) "
        "VALUES (%(operator)s, %(router)s, 'x', '', 'x')"
    ),
    "INSERT INTO healing_runs (operator_id) VALUES (%(operator)s)",
    (
        "INSERT INTO people (operator_id, login, password, roles, fs_uniquifier) "
        "VALUES (%(operator)s, 'anna' || %(operator)s, 'a hash', '{owner}', 'token' || %(operator)s)"
    ),
)


# One row of each table of money, for the service's subscriber.
_MONEY = (
    "INSERT INTO dunning_policies (operator_id, name) VALUES (%(operator)s, 'usual')",
    "INSERT INTO holidays VALUES (%(operator)s, '2026-12-25', 'Christmas')",
    (
        "INSERT INTO service_billing (service_id, operator_id, subscriber_id, starts_on, anchor_day) "
        "SELECT id, operator_id, subscriber_id, now(), 1 FROM services WHERE id = %(service)s"
    ),
    (
        "INSERT INTO discounts (operator_id, service_id, amount_minor, reason, granted_by) "
        "VALUES (%(operator)s, %(service)s, 1, 'x', 'x')"
    ),
    (
        "INSERT INTO fees (operator_id, service_id, amount_minor, description, added_by) "
        "VALUES (%(operator)s, %(service)s, 1, 'x', 'x')"
    ),
    (
        "INSERT INTO credit_lines (operator_id, payment_id, line, kind, description, service_id, net_minor) "
        "SELECT %(operator)s, min(id), 1, 'proration', 'x', %(service)s, -1 FROM payments "
        "WHERE operator_id = %(operator)s"
    ),
    "INSERT INTO billing_runs (operator_id, day) VALUES (%(operator)s, now())",
    (
        "INSERT INTO billing_problems (operator_id, service_id, day, explanation) "
        "VALUES (%(operator)s, %(service)s, now(), 'x')"
    ),
    (
        "INSERT INTO compensations (operator_id, name, area, days, reason, preview, preview_hash, requested_by) "
        "VALUES (%(operator)s, 'x', 'x', 1, 'x', '{}', 'x', 'x')"
    ),
    (
        "INSERT INTO compensation_rows (operator_id, compensation_id, service_id) "
        "SELECT %(operator)s, id, %(service)s FROM compensations WHERE operator_id = %(operator)s"
    ),
    (
        "INSERT INTO payment_reversals (operator_id, subscriber_id, payment_id, kind, amount_minor, reason, booked_by) "
        "SELECT operator_id, subscriber_id, min(id), 'refund', 1, 'x', 'x' FROM payments "
        "WHERE operator_id = %(operator)s AND unspent_minor > 0 GROUP BY 1, 2"
    ),
    (
        "INSERT INTO payment_providers (operator_id, name, kind, secret, token) "
        "VALUES (%(operator)s, 'x', 'x', 'x', lpad(%(operator)s::text, 40, '0'))"
    ),
    (
        "INSERT INTO api_tokens (operator_id, name, hash, scopes, created_by) "
        "VALUES (%(operator)s, 'x', sha256(%(operator)s::text::bytea), '{read}', 'x')"
    ),
    (
        "INSERT INTO imports (operator_id, kind, file_name, content_hash, created_by) "
        "VALUES (%(operator)s, 'payments', 'x', 'x', 'x')"
    ),
    (
        "INSERT INTO import_rows (operator_id, import_id, line, fields, problem) "
        "SELECT operator_id, id, 1, '{}', 'x' FROM imports WHERE operator_id = %(operator)s"
    ),
    (
        "INSERT INTO incoming_payments (operator_id, source, external_id, amount_minor, currency, occurred_at, method, "
        "state, explanation) VALUES (%(operator)s, 'x', 'x', 1, 'EUR', now(), 'x', 'review', 'x')"
    ),
    (
        "INSERT INTO asserted_standings (service_id, operator_id, standing, as_of, source) "
        "VALUES (%(service)s, %(operator)s, 'due', now(), 'x')"
    ),
    "INSERT INTO feeds VALUES (%(operator)s, 'payments', 'x', now())",
    "INSERT INTO notice_channels (operator_id, name, url, events) VALUES (%(operator)s, 'x', 'x', '{invoice}')",
    (
        "INSERT INTO notice_templates (operator_id, event, language, subject, body) "
        "VALUES (%(operator)s, 'invoice', 'en', 'x', 'x')"
    ),
    (
        "INSERT INTO notices (operator_id, event, key, subscriber_id) "
        "SELECT operator_id, 'invoice', 'x', subscriber_id FROM services WHERE id = %(service)s"
    ),
    (
        "INSERT INTO notice_deliveries (operator_id, notice_id, channel_id, due_at) "
        "SELECT notices.operator_id, notices.id, notice_channels.id, now() "
        "FROM notices JOIN notice_channels USING (operator_id) WHERE operator_id = %(operator)s"
    ),
)
