"""One ordered story of a customer: money, decisions, approvals, packets and replies, sessions, refused logins, notes.

One query tells a page, whatever the length of the story: every part of it stops at the page's size. Pages go back in
time by the key of their oldest entry. The words are `policy.story`'s.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from policy.story import Kind, Told, tell
from sql.errors import Refused
from sql.models import Operator, Service

MOST = 1000


class Entry(NamedTuple):
    """One thing that happened. `details` are for programs; `sentence` and `evidence` are for people.

    `key` goes on from here: `timeline(before=key)` tells what was before this entry.
    """

    at: datetime
    kind: Kind
    sentence: str
    details: dict[str, Any]
    evidence: tuple[str, ...]
    key: str


class _Part(NamedTuple):
    """What one kind of row tells. The query gives `at`, `d` (what the words need), and `id` with `sub` to order by."""

    kind: Kind
    query: str


class Position(NamedTuple):
    """A place in a story: everything before it is older, or came first in the same moment."""

    at: datetime
    place: int
    id: int
    sub: int


_EVENT = (
    "SELECT at, id, 0 AS sub, data || jsonb_build_object('actor', actor, 'event', event) AS d "
    "FROM audit_events WHERE operator_id = :operator AND service_id = :service"
)
_TOLD_OTHERWISE = ("change:intent:", "change:approval:", "service:hold:", "service:override:", "service:binding:")

# What happened at one and the same moment is told in this order: cause first. Names are part of keys.
_PARTS: dict[str, _Part] = {
    "invoice": _Part(
        Kind.INVOICE,
        """SELECT issued_at AS at, id, 0 AS sub, jsonb_build_object('number', number, 'amount_minor', amount_minor,
            'currency', currency, 'due_at', due_at, 'description', description) AS d
        FROM invoices WHERE operator_id = :operator AND subscriber_id = :subscriber""",
    ),
    "void": _Part(
        Kind.INVOICE,
        """SELECT voided_at AS at, id, 0 AS sub, jsonb_build_object('number', number, 'voided', true) AS d
        FROM invoices WHERE operator_id = :operator AND subscriber_id = :subscriber AND voided_at IS NOT NULL""",
    ),
    # What another system told; it is the cause of what was booked in the same moment.
    "told": _Part(
        Kind.INCOMING,
        """SELECT least(told.received_at, payment.created_at, back.created_at) AS at, told.id, 0 AS sub,
            jsonb_build_object('incoming', told.id, 'kind', told.kind, 'amount_minor', told.amount_minor,
            'currency', told.currency, 'source', told.source, 'external_id', told.external_id,
            'decided_by', told.decided_by, 'explanation', told.explanation, 'reference', told.reference,
            'payer', told.payer) AS d
        FROM incoming_payments AS told LEFT JOIN payments AS payment ON payment.id = told.payment_id
        LEFT JOIN payment_reversals AS back ON back.id = told.reversal_id
        WHERE told.operator_id = :operator AND told.subscriber_id = :subscriber""",
    ),
    "review": _Part(
        Kind.INCOMING,
        """SELECT least(told.decided_at, payment.created_at, back.created_at) AS at, told.id, 0 AS sub,
            jsonb_build_object('incoming', told.id, 'kind', told.kind, 'decided_by', told.decided_by,
            'decided', true) AS d
        FROM incoming_payments AS told LEFT JOIN payments AS payment ON payment.id = told.payment_id
        LEFT JOIN payment_reversals AS back ON back.id = told.reversal_id
        WHERE told.operator_id = :operator AND told.subscriber_id = :subscriber AND told.decided_at IS NOT NULL""",
    ),
    "payment": _Part(
        Kind.PAYMENT,
        """SELECT created_at AS at, id, 0 AS sub, jsonb_build_object('payment', id, 'amount_minor', amount_minor,
            'currency', currency, 'method', method, 'external_id', external_id, 'note', note,
            'receipt_number', receipt_number, 'by', booked_by) AS d
        FROM payments WHERE operator_id = :operator AND subscriber_id = :subscriber AND kind = 'money'""",
    ),
    "credit": _Part(
        Kind.CREDIT,
        """SELECT paid.created_at AS at, paid.id, 0 AS sub, jsonb_build_object('payment', paid.id,
            'amount_minor', paid.amount_minor, 'currency', paid.currency, 'kind', paid.kind, 'note', paid.note,
            'number', invoice.number, 'by', paid.booked_by) AS d
        FROM payments AS paid LEFT JOIN invoices AS invoice ON invoice.id = paid.invoice_id
        WHERE paid.operator_id = :operator AND paid.subscriber_id = :subscriber AND paid.kind <> 'money'""",
    ),
    "reversal": _Part(
        Kind.REVERSAL,
        """SELECT back.created_at AS at, back.id, 0 AS sub, jsonb_build_object('payment', back.payment_id,
            'amount_minor', back.amount_minor, 'currency', payment.currency, 'kind', back.kind, 'reason', back.reason,
            'of', payment.kind, 'by', back.booked_by) AS d
        FROM payments AS payment JOIN payment_reversals AS back ON back.payment_id = payment.id
        WHERE payment.operator_id = :operator AND payment.subscriber_id = :subscriber""",
    ),
    "allocation": _Part(
        Kind.ALLOCATION,
        """SELECT paid.created_at AS at, paid.id, 0 AS sub, jsonb_build_object(
            'payment', paid.payment_id, 'number', invoice.number, 'amount_minor', paid.amount_minor,
            'currency', invoice.currency) AS d
        FROM invoices AS invoice JOIN allocations AS paid ON paid.invoice_id = invoice.id
        WHERE invoice.operator_id = :operator AND invoice.subscriber_id = :subscriber""",
    ),
    "compensation": _Part(
        Kind.COMPENSATION,
        """SELECT made.decided_at AS at, made.id, 0 AS sub, jsonb_build_object('compensation', made.name,
            'days', made.days, 'amount_minor', made.amount_minor, 'currency', made.preview->>'currency',
            'reason', made.reason, 'by', made.decided_by, 'state', given.state, 'explanation', given.explanation) AS d
        FROM compensation_rows AS given JOIN compensations AS made ON made.id = given.compensation_id
        WHERE given.operator_id = :operator AND given.service_id = :service AND made.state IN ('approved', 'undone')""",
    ),
    "compensation_undone": _Part(
        Kind.COMPENSATION,
        """SELECT made.undone_at AS at, made.id, 0 AS sub, jsonb_build_object('compensation', made.name,
            'by', made.undone_by, 'state', given.state, 'explanation', given.explanation, 'undone', true) AS d
        FROM compensation_rows AS given JOIN compensations AS made ON made.id = given.compensation_id
        WHERE given.operator_id = :operator AND given.service_id = :service AND made.state = 'undone'""",
    ),
    # What the customer was told, of money for all services of theirs.
    "notice": _Part(
        Kind.NOTICE,
        """SELECT coalesce(delivery.sent_at, notice.created_at) AS at, notice.id, delivery.channel_id AS sub,
            jsonb_build_object('notice', notice.id, 'event', notice.event, 'channel', channel.name,
            'state', delivery.state, 'explanation', delivery.explanation, 'attempts', delivery.attempts,
            'due_at', delivery.due_at) AS d
        FROM notices AS notice JOIN notice_deliveries AS delivery ON delivery.notice_id = notice.id
        JOIN notice_channels AS channel ON channel.id = delivery.channel_id
        WHERE notice.operator_id = :operator AND notice.subscriber_id = :subscriber
            AND (notice.service_id IS NULL OR notice.service_id = :service)""",
    ),
    "hold": _Part(
        Kind.HOLD,
        """SELECT hold.created_at AS at, hold.id, 0 AS sub, jsonb_build_object('hold', hold.id, 'until', until,
            'reason', reason, 'by', granted_by, 'kind', kind, 'amount_minor', hold.amount_minor,
            'currency', operator.currency, 'number', invoice.number) AS d
        FROM holds AS hold JOIN operators AS operator ON operator.id = hold.operator_id
        LEFT JOIN invoices AS invoice ON invoice.id = hold.invoice_id
        WHERE hold.operator_id = :operator AND hold.service_id = :service""",
    ),
    "hold_settled": _Part(
        Kind.HOLD,
        """SELECT settled_at AS at, id, 0 AS sub, jsonb_build_object('hold', id, 'until', until, 'by', granted_by,
            'settled', settled) AS d
        FROM holds WHERE operator_id = :operator AND service_id = :service AND settled_at IS NOT NULL""",
    ),
    "hold_end": _Part(
        Kind.HOLD,
        """SELECT ended_at AS at, id, 0 AS sub, jsonb_build_object('hold', id, 'by', granted_by, 'ended', true) AS d
        FROM holds WHERE operator_id = :operator AND service_id = :service AND ended_at IS NOT NULL""",
    ),
    "override": _Part(
        Kind.OVERRIDE,
        """SELECT created_at AS at, id, 0 AS sub, jsonb_build_object('override', id, 'until', until,
            'reason', reason, 'by', granted_by, 'undoes', undoes_change_id) AS d
        FROM overrides WHERE operator_id = :operator AND service_id = :service""",
    ),
    "override_end": _Part(
        Kind.OVERRIDE,
        """SELECT ended_at AS at, id, 0 AS sub, jsonb_build_object('override', id, 'by', granted_by, 'ended', true,
            'early', ended_at < until) AS d
        FROM overrides WHERE operator_id = :operator AND service_id = :service AND ended_at IS NOT NULL""",
    ),
    "change": _Part(
        Kind.CHANGE,
        """SELECT created_at AS at, id, 0 AS sub, jsonb_build_object('change', id, 'kind', kind, 'state', state,
            'cause', cause, 'consequence', preview->>'consequence', 'requested_by', requested_by,
            'held_back', held_back, 'batch', batch_id, 'undoes', undoes_change_id) AS d
        FROM changes WHERE operator_id = :operator AND service_id = :service""",
    ),
    # Where one person is enough, the decision tells it.
    "approval": _Part(
        Kind.APPROVAL,
        """SELECT approval.at, approval.change_id AS id, hashtextextended(approval.person, 0) AS sub,
            jsonb_build_object('change', approval.change_id, 'by', approval.person,
                'needs', change.needs_approvals) AS d
        FROM changes AS change JOIN approvals AS approval ON approval.change_id = change.id
        WHERE change.operator_id = :operator AND change.service_id = :service AND change.needs_approvals > 1""",
    ),
    # A rule decides in the transaction that planned, whose now() is earlier than what was planned in it.
    "decision": _Part(
        Kind.DECISION,
        """SELECT greatest(decided_at, created_at) AS at, id, 0 AS sub, jsonb_build_object('change', id,
            'state', state, 'by', decided_by, 'rule', rule, 'note', note) AS d
        FROM changes WHERE operator_id = :operator AND service_id = :service AND decided_at IS NOT NULL""",
    ),
    "step": _Part(
        Kind.STEP,
        """SELECT step.created_at AS at, step.id, 0 AS sub, jsonb_build_object('step', step.id, 'route', step.route,
            'router', router.name, 'state', step.state, 'why', step.why, 'change', step.change_id) AS d
        FROM steps AS step JOIN routers AS router ON router.id = step.router_id
        WHERE step.operator_id = :operator AND step.service_id = :service""",
    ),
    "packet": _Part(
        Kind.PACKET,
        """SELECT coalesce(proof.ended_at, proof.started_at) AS at, proof.id, 0 AS sub, jsonb_build_object(
            'step', step.id, 'route', step.route, 'router', router.name, 'attempt', proof.attempt,
            'sent', proof.sent, 'reply', proof.reply, 'outcome', proof.outcome, 'cause', proof.cause,
            'explanation', proof.explanation, 'packets', proof.packets, 'round_trip_ms', proof.round_trip_ms,
            'why', step.why, 'started_at', proof.started_at, 'ended_at', proof.ended_at) AS d
        FROM steps AS step JOIN evidence AS proof ON proof.step_id = step.id
        JOIN routers AS router ON router.id = step.router_id
        WHERE step.operator_id = :operator AND step.service_id = :service""",
    ),
    "offline": _Part(
        Kind.OFFLINE,
        """SELECT session.ended_at AS at, session.id, 0 AS sub, jsonb_build_object('session', session.id,
            'router', router.name, 'acct_session_id', session.acct_session_id, 'ended_by', session.ended_by,
            'terminate_cause', session.terminate_cause, 'download_bytes', session.download_bytes,
            'upload_bytes', session.upload_bytes, 'session_time_s', session.session_time_s) AS d
        FROM sessions AS session JOIN routers AS router ON router.id = session.router_id
        WHERE session.operator_id = :operator AND session.service_id = :service AND session.ended_at IS NOT NULL""",
    ),
    # An acknowledged step that is not proved by `verify_by` is an alarm of that moment.
    "proof": _Part(
        Kind.PROOF,
        """SELECT CASE step.state WHEN 'unverified' THEN greatest(step.ended_at, step.verify_by)
                ELSE step.ended_at END AS at, step.id, 0 AS sub, jsonb_build_object('step', step.id,
            'state', step.state, 'proof', step.proof, 'explanation', step.explanation, 'router', router.name) AS d
        FROM steps AS step JOIN routers AS router ON router.id = step.router_id
        WHERE step.operator_id = :operator AND step.service_id = :service
            AND step.state IN ('verified', 'unverified', 'stuck', 'superseded')""",
    ),
    "online": _Part(
        Kind.ONLINE,
        """SELECT session.started_at AS at, session.id, 0 AS sub, jsonb_build_object('session', session.id,
            'router', router.name, 'acct_session_id', session.acct_session_id, 'mac', session.mac,
            'address', host(session.framed_address), 'stamp', session.class_stamp) AS d
        FROM sessions AS session JOIN routers AS router ON router.id = session.router_id
        WHERE session.operator_id = :operator AND session.service_id = :service""",
    ),
    "refused": _Part(
        Kind.REFUSED,
        """SELECT refused.last_at AS at, refused.id, 0 AS sub, jsonb_build_object('router', router.name,
            'times', refused.times, 'reason', refused.reason, 'mac', refused.mac) AS d
        FROM refused_logins AS refused JOIN routers AS router ON router.id = refused.router_id
        WHERE refused.operator_id = :operator AND refused.service_id = :service""",
    ),
    "binding": _Part(Kind.BINDING, f"{_EVENT} AND starts_with(event, 'service:binding:')"),
    "note": _Part(Kind.NOTE, f"{_EVENT} AND event = 'support:note:add'"),
    "audit": _Part(
        Kind.AUDIT,
        f"{_EVENT} AND event <> 'support:note:add' AND "
        + " AND ".join(f"NOT starts_with(event, '{words}')" for words in _TOLD_OTHERWISE),
    ),
}
_NAMES = tuple(_PARTS)
# Of 64 bits, as the database numbers rows; sub may be a hash.
_KEY = re.compile(r"([0-9]{1,18}),(-?[0-9]{1,19})")


def timeline(
    session: Session,
    service: Service,
    most: int = MOST,
    *,
    since: datetime | None = None,
    before: Position | None = None,
    kinds: Collection[Kind] = (),
) -> list[Entry]:
    """The newest `most` entries of a customer's story, oldest first; of some kinds, since a moment, before a place.

    Times in the sentences are in the operator's time zone.
    """
    chosen = [name for name, part in _PARTS.items() if not kinds or part.kind in kinds]
    bounds = ["at IS NOT NULL"]
    values: dict[str, Any] = {
        "operator": service.operator_id,
        "service": service.id,
        "subscriber": service.subscriber_id,
        "most": most,
    }
    if since is not None:
        bounds.append("at >= :since")
        values["since"] = since
    if before is not None:
        # The first half alone can use an index.
        bounds.append(
            "at <= :before_at AND (at, {place}, id, sub) < (:before_at, :before_place, :before_id, :before_sub)"
        )
        values |= {f"before_{name}": value for name, value in before._asdict().items()}
    where = " AND ".join(bounds)
    parts = [_page(name, where.format(place=_NAMES.index(name))) for name in chosen]
    story = " UNION ALL ".join(parts)
    order = "ORDER BY at DESC, place DESC, id DESC, sub DESC LIMIT :most"
    statement = f"SELECT * FROM ({story}) AS story {order}"  # noqa: S608 - constants; every value is bound
    zone = session.get_one(Operator, service.operator_id).time_zone
    return [_entry(row, zone) for row in reversed(session.execute(text(statement), values).all())]


def position(key: str) -> Position:
    """The place of an entry's key. Raises Refused."""
    at, _, rest = key.partition(",")
    name, _, numbers = rest.partition(",")
    found = _KEY.fullmatch(numbers)
    try:
        moment = datetime.fromisoformat(at).astimezone(UTC)
        if found is not None and name in _PARTS and "+" in at:
            return Position(moment, _NAMES.index(name), int(found[1]), int(found[2]))
    except (ValueError, OverflowError) as error:
        raise _no_key(key) from error
    raise _no_key(key)


def _no_key(key: str) -> Refused:
    return Refused(f"{key[:60]!r} is not the key of an entry; take it from the entry itself (--json).")


def before_moment(moment: datetime) -> Position:
    """The place before everything that happened at this moment."""
    return Position(moment, -1, 0, 0)


def _page(name: str, where: str) -> str:
    place = _NAMES.index(name)
    return (
        f"(SELECT {place} AS place, at, id, sub, d "  # noqa: S608 - constants
        f"FROM ({_PARTS[name].query}) AS part WHERE {where} "
        "ORDER BY at DESC, id DESC, sub DESC LIMIT :most)"
    )


def _entry(row: Any, zone: str) -> Entry:
    name = _NAMES[row.place]
    kind = _PARTS[name].kind
    told: Told = tell(kind, row.d, zone)
    key = f"{row.at.astimezone(UTC).isoformat()},{name},{row.id},{row.sub}"
    return Entry(row.at, kind, told.sentence, row.d, told.evidence, key)
