"""One ordered story of a customer: money, decisions, approvals, packets and replies, sessions, refused logins."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from sql.models import Service

MOST = 1000


class Entry(NamedTuple):
    """One thing that happened. `details` are for programs; `sentence` is for people."""

    at: datetime
    kind: str
    sentence: str
    details: dict[str, Any]


_QUERIES: dict[str, str] = {
    "invoice": """
        SELECT issued_at AS at, format('Invoice %s over %s %s, due %s.', number,
            to_char(amount_minor / 100.0, 'FM999999999990.00'), currency, to_char(due_at AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI')) AS sentence, jsonb_build_object('number', number, 'amount_minor', amount_minor) AS d
        FROM invoices WHERE operator_id = :operator AND subscriber_id = :subscriber""",
    "void": """
        SELECT voided_at AS at, format('Invoice %s was taken back.', number) AS sentence,
            jsonb_build_object('number', number) AS d
        FROM invoices WHERE operator_id = :operator AND subscriber_id = :subscriber AND voided_at IS NOT NULL""",
    "payment": """
        SELECT created_at AS at, format('Payment of %s %s by %s.', to_char(amount_minor / 100.0, 'FM999999999990.00'),
            currency, method) AS sentence, jsonb_build_object('payment', id, 'amount_minor', amount_minor) AS d
        FROM payments WHERE operator_id = :operator AND subscriber_id = :subscriber""",
    "hold": """
        SELECT created_at AS at, format('%s promised not to suspend before %s: %s', granted_by,
            to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), reason) AS sentence,
            jsonb_build_object('hold', id) AS d
        FROM holds WHERE operator_id = :operator AND service_id = :service""",
    "hold end": """
        SELECT ended_at AS at, format('The promise of %s was taken back.', granted_by) AS sentence,
            jsonb_build_object('hold', id) AS d
        FROM holds WHERE operator_id = :operator AND service_id = :service AND ended_at IS NOT NULL""",
    "change": """
        SELECT created_at AS at, format('Change %s (%s) planned: %s %s', id, kind, cause, preview->>'consequence')
            AS sentence, jsonb_build_object('change', id, 'state', state) AS d
        FROM changes WHERE operator_id = :operator AND service_id = :service""",
    "decision": """
        -- A rule decides in the transaction that planned, whose now() is earlier than what was planned in it.
        SELECT greatest(decided_at, created_at) AS at, format('Change %s %s by %s.%s', id, replace(state, '_', ' '),
            coalesce(decided_by, 'the rule "' || rule || '"', 'the worker'),
            CASE WHEN note = '' THEN '' ELSE ' ' || note END) AS sentence,
            jsonb_build_object('change', id, 'state', state) AS d
        FROM changes WHERE operator_id = :operator AND service_id = :service AND decided_at IS NOT NULL""",
    "packet": """
        SELECT coalesce(proof.ended_at, proof.started_at) AS at, format('%s to %s: %s%s', CASE step.route WHEN 'coa'
            THEN 'CoA' ELSE 'Disconnect' END, router.name, coalesce(nullif(proof.explanation, ''), 'on its way.'),
            CASE WHEN proof.round_trip_ms IS NULL THEN ''
                ELSE format(' (%s ms)', round(proof.round_trip_ms::numeric, 1)) END) AS sentence,
            jsonb_build_object('step', step.id, 'attempt', proof.attempt, 'sent', proof.sent, 'reply', proof.reply,
                'outcome', proof.outcome, 'round_trip_ms', proof.round_trip_ms, 'why', step.why,
                'started_at', proof.started_at, 'ended_at', proof.ended_at) AS d
        FROM steps AS step JOIN evidence AS proof ON proof.step_id = step.id
        JOIN routers AS router ON router.id = step.router_id
        WHERE step.operator_id = :operator AND step.service_id = :service""",
    "proof": """
        SELECT step.ended_at AS at, format('%s: %s', CASE step.state WHEN 'verified' THEN 'Proved'
            ELSE initcap(step.state) END, step.explanation) AS sentence,
            jsonb_build_object('step', step.id, 'state', step.state, 'proof', step.proof) AS d
        FROM steps AS step WHERE step.operator_id = :operator AND step.service_id = :service
            AND step.state IN ('verified', 'stuck', 'superseded') AND step.ended_at IS NOT NULL""",
    "online": """
        SELECT session.started_at AS at, format('Online on %s, session %s, address %s.', router.name,
            session.acct_session_id, coalesce(host(session.framed_address), 'unknown')) AS sentence,
            jsonb_build_object('session', session.id, 'stamp', session.class_stamp) AS d
        FROM sessions AS session JOIN routers AS router ON router.id = session.router_id
        WHERE session.operator_id = :operator AND session.service_id = :service""",
    "offline": """
        SELECT session.ended_at AS at, format('Offline: session %s ended (%s), %s MB down, %s MB up.',
            session.acct_session_id, coalesce(nullif(session.terminate_cause, ''), replace(session.ended_by, '_', ' ')),
            session.download_bytes / 1000000, session.upload_bytes / 1000000) AS sentence,
            jsonb_build_object('session', session.id, 'ended_by', session.ended_by) AS d
        FROM sessions AS session
        WHERE session.operator_id = :operator AND session.service_id = :service AND session.ended_at IS NOT NULL""",
    "refused": """
        SELECT last_at AS at, format('Login refused on %s, %s in this hour: %s%s.', router.name, CASE times WHEN 1
            THEN 'once' ELSE times || ' times' END, replace(reason, '_', ' '), CASE mac WHEN '' THEN ''
            ELSE ', device ' || mac END) AS sentence, jsonb_build_object('reason', reason, 'mac', mac) AS d
        FROM refused_logins JOIN routers AS router ON router.id = refused_logins.router_id
        WHERE refused_logins.operator_id = :operator AND service_id = :service""",
    "audit": """
        SELECT at, format('%s: %s', actor, replace(replace(event, ':', ' '), '_', ' ')) AS sentence, data AS d
        FROM audit_events WHERE operator_id = :operator AND service_id = :service
            AND event NOT LIKE 'change:%' AND event NOT LIKE 'service:hold:%'""",
}


def timeline(session: Session, service: Service, most: int = MOST) -> list[Entry]:
    """The newest `most` entries of a customer's story, oldest first."""
    values = {
        "operator": service.operator_id,
        "service": service.id,
        "subscriber": service.subscriber_id,
        "most": most,
    }
    parts = [
        f"(SELECT {place} AS place, '{kind}' AS kind, at, sentence, d FROM ({query}) AS part)"  # noqa: S608 - constants
        for place, (kind, query) in enumerate(_QUERIES.items())
    ]
    # What happened at one and the same moment is told in the order of the queries: cause first.
    rows = session.execute(text(" UNION ALL ".join(parts) + " ORDER BY at DESC, place DESC LIMIT :most"), values)
    return [Entry(row.at, row.kind, row.sentence, row.d) for row in reversed(rows.all())]
