"""Drift as it is stored: runs, findings, what people decide about them, and what mends them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session as DatabaseSession

from policy.drift.finding import OF_SESSIONS, Finding, cause_text, proposal_document
from policy.drift.kept import DONE
from sql import audit
from sql.among import among
from sql.checks import checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_enforce, driver_connection
from sql.models import DriftFinding, DriftRun, Placement, Router, Service, Session
from sql.sessions import database_time

HISTORY = timedelta(days=90)
# A router that could not be read is tried again after this long.
AGAIN_S = 300.0
PRUNED_AT_ONCE = 5000
# A person who went offline for longer is news when they are back.
LEFT_KEPT = timedelta(days=30)
REASON_MAXIMUM_BYTES = 1024


class Listed(NamedTuple):
    """A finding with the names of its router and service ("" for none)."""

    finding: DriftFinding
    router: str
    username: str


# One at a time begins a run of a router; who comes second finds it begun.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('drift'), CAST(:router % 2147483647 AS integer))")
_DUE = text("""
SELECT router.id, coalesce(node.name, '') AS node FROM routers AS router
LEFT JOIN nodes AS node ON node.id = router.node_id
LEFT JOIN LATERAL (SELECT started_at, error FROM drift_runs AS run
    WHERE run.operator_id = router.operator_id AND run.router_id = router.id ORDER BY run.id DESC LIMIT 1)
    AS last ON true
WHERE router.operator_id = :operator AND router.removed_at IS NULL AND router.api_username IS NOT NULL
    AND (last.started_at IS NULL OR last.started_at < now()
         - make_interval(secs => CASE WHEN last.error = '' THEN :older_than_s ELSE least(:older_than_s, :again_s) END))
ORDER BY last.started_at NULLS FIRST, router.id LIMIT :most
""")
_STORE = text("""
WITH stored AS (
    INSERT INTO drift_findings AS known (operator_id, router_id, service_id, kind, key, cause, proposal)
    SELECT :operator, :router, service_id, kind, key, cause, proposal
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS row (service_id bigint, kind text, key text, cause text, proposal jsonb)
    ON CONFLICT (router_id, kind, key) WHERE gone_at IS NULL
    DO UPDATE SET seen_at = clock_timestamp(), cause = excluded.cause,
        proposal = excluded.proposal || jsonb_strip_nulls(jsonb_build_object('done', known.proposal -> 'done')),
        service_id = excluded.service_id
    RETURNING found_at)
SELECT count(*) AS found, count(*) FILTER (WHERE found_at >= :began) AS new FROM stored
""")
_CLOSE = text("""
UPDATE drift_findings SET gone_at = clock_timestamp()
WHERE operator_id = :operator AND router_id = :router AND gone_at IS NULL AND seen_at < :began
    AND NOT (left_at IS NOT NULL AND kind = ANY(CAST(:of_sessions AS text[])) AND seen_at > :kept)
""")
# Nobody looks any more whether these are still so.
_FORGET = text("""
UPDATE drift_findings SET gone_at = clock_timestamp() FROM routers
WHERE drift_findings.operator_id = :operator AND drift_findings.gone_at IS NULL
    AND routers.operator_id = :operator AND routers.id = drift_findings.router_id
    AND (routers.removed_at IS NOT NULL OR routers.api_username IS NULL)
""")
_PRUNE = (
    text("""
    DELETE FROM drift_findings WHERE ctid = ANY(ARRAY(SELECT ctid FROM drift_findings
        WHERE operator_id = :operator AND gone_at < :until LIMIT :most)) RETURNING id
    """),
    text("""
    DELETE FROM drift_runs WHERE ctid = ANY(ARRAY(SELECT ctid FROM drift_runs
        WHERE operator_id = :operator AND started_at < :until LIMIT :most)) RETURNING id
    """),
)


def routers_due(session: DatabaseSession, operator_id: int, older_than_s: float, most: int) -> list[tuple[int, str]]:
    """Routers with an API that were not compared for so long, with their node, the longest ago first."""
    values = {"operator": operator_id, "older_than_s": older_than_s, "again_s": AGAIN_S}
    rows = session.execute(_DUE, {**values, "most": most})
    return [(row.id, row.node) for row in rows]


def begin_run(session: DatabaseSession, operator_id: int, router_id: int, older_than_s: float) -> DriftRun | None:
    """Begin to compare a router; None where that was done, or begun by another worker, less than so long ago."""
    session.execute(_LOCK, {"router": router_id})
    latest = session.scalar(
        select(DriftRun)
        .where(DriftRun.operator_id == operator_id, DriftRun.router_id == router_id)
        .order_by(DriftRun.id.desc())
        .limit(1)
    )
    now = database_time(session)
    if latest is not None:
        waits_s = min(older_than_s, AGAIN_S) if latest.error else older_than_s
        if latest.started_at > now - timedelta(seconds=waits_s):
            return None
    run = DriftRun(operator_id=operator_id, router_id=router_id, started_at=now)
    session.add(run)
    session.flush()
    return run


def end_run(session: DatabaseSession, run: DriftRun, findings: Sequence[Finding], looked_at: int) -> tuple[int, int]:
    """Store what a run found, and close what is gone. Returns how many findings there are, and how many are new."""
    rows = {
        (one.kind, one.key): {
            "service_id": one.service_id,
            "kind": one.kind.value,
            "key": one.key,
            "cause": cause_text(one),
            "proposal": proposal_document(one),
        }
        for one in findings
    }
    values = {"operator": run.operator_id, "router": run.router_id, "began": run.started_at}
    written = json.dumps([rows[key] for key in sorted(rows)])
    counted = session.execute(_STORE, {**values, "rows": written}).one()
    kept = run.started_at - LEFT_KEPT
    session.execute(_CLOSE, {**values, "of_sessions": [kind.value for kind in OF_SESSIONS], "kept": kept})
    _ended(session, run, looked_at=looked_at, found=counted.found)
    return counted.found, counted.new


def fail_run(session: DatabaseSession, run: DriftRun, error: str) -> None:
    """The router could not be read: what was found before stays as it was."""
    _ended(session, run, error=error[:1000])


def service_names(session: DatabaseSession, operator_id: int, service_ids: Collection[int]) -> dict[int, str]:
    """The names of services by id, those that there are."""
    rows = session.execute(
        select(Service.id, Service.username).where(Service.operator_id == operator_id, among(Service.id, service_ids))
    )
    return {row.id: row.username for row in rows}


def findings(
    session: DatabaseSession,
    operator_id: int,
    *,
    router: Router | None = None,
    left: bool = False,
    after: int = 0,
    limit: int = 100,
) -> list[Listed]:
    """Open findings by number; with `left` those that somebody chose to leave."""
    query = _listed(operator_id).where(
        DriftFinding.gone_at.is_(None),
        DriftFinding.left_at.is_not(None) if left else DriftFinding.left_at.is_(None),
        DriftFinding.id > after,
    )
    if router is not None:
        query = query.where(DriftFinding.router_id == router.id)
    return [Listed(*row) for row in session.execute(query.order_by(DriftFinding.id).limit(limit))]


def finding_by_number(session: DatabaseSession, operator_id: int, number: int) -> Listed:
    """One finding, gone or not. Raises NotFound."""
    row = session.execute(_listed(operator_id).where(DriftFinding.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"There is no finding {number}; `ispagents drift list` shows those there are.")
    return Listed(*row)


def leave(session: DatabaseSession, finding: DriftFinding, *, reason: str, actor: str) -> None:
    """Leave it as it is: it is not shown until something else is observed there. Raises Refused."""
    if not checked_text("reason", reason, REASON_MAXIMUM_BYTES).strip():
        raise Refused("Say why it is left as it is, for whoever finds it later.")
    if finding.gone_at is not None:
        raise Refused(f"Finding {finding.id} is gone already, so there is nothing to leave.")
    finding.left_at, finding.left_by, finding.left_reason = database_time(session), actor, reason
    session.flush()
    _record(session, finding, "drift:finding:leave", actor, reason=reason)


def show_again(session: DatabaseSession, finding: DriftFinding, *, actor: str) -> None:
    """Take back that it was left. Raises Refused."""
    if finding.left_at is None:
        raise Refused(f"Finding {finding.id} was not left; it is shown.")
    finding.left_at = finding.left_by = finding.left_reason = None
    session.flush()
    _record(session, finding, "drift:finding:show", actor)


def heal_placement(session: DatabaseSession, finding: DriftFinding, *, actor: str) -> None:
    """Let the engine write what this router holds for the finding's service anew, at once: a person asked."""
    session.execute(
        update(Placement)
        .where(
            Placement.operator_id == finding.operator_id,
            Placement.service_id == finding.service_id,
            Placement.router_id == finding.router_id,
            Placement.ended_at.is_(None),
        )
        .values(applied_stamp=None)
    )
    _enforce(session, finding, actor)


def heal_session(session: DatabaseSession, finding: DriftFinding, *, actor: str) -> None:
    """Let the engine bring the live session into line: what it has counts as not known. Raises Refused."""
    changed = session.execute(
        update(Session)
        .where(
            Session.operator_id == finding.operator_id,
            Session.id == finding.proposal.get("session_id", 0),
            Session.ended_at.is_(None),
        )
        .values(applied_stamp=None)
        .returning(Session.id)
    ).all()
    if not changed:
        raise Refused("That session has ended meanwhile, so there is nothing to bring into line.")
    _enforce(session, finding, actor)


def close_session(session: DatabaseSession, finding: DriftFinding, *, actor: str) -> None:
    """Close a session that the router does not show any more. Raises Refused where it was heard of since."""
    now = database_time(session)
    closed = session.execute(
        update(Session)
        .where(
            Session.operator_id == finding.operator_id,
            Session.id == finding.proposal.get("session_id", 0),
            Session.ended_at.is_(None),
            Session.last_seen_at < finding.seen_at,
        )
        .values(ended_at=now, ended_by="unknown_to_router")
        .returning(Session.id)
    ).all()
    if not closed:
        raise Refused(
            "That session has ended, or was heard of, since it was compared; run `ispagents drift run` again."
        )
    close_finding(session, finding)
    _record(session, finding, "drift:finding:fix", actor)


def close_finding(session: DatabaseSession, finding: DriftFinding) -> None:
    """It was mended, and seen to be."""
    finding.gone_at = database_time(session)
    session.flush()


def keep_done(session: DatabaseSession, finding: DriftFinding, document: list[dict[str, Any]]) -> None:
    """Keep what was carried out for a finding, as `policy.drift.kept` made it; [] when it was taken back."""
    stored = session.get_one(DriftFinding, finding.id, with_for_update=True)
    rest = {name: value for name, value in stored.proposal.items() if name != DONE}
    stored.proposal = {**rest, DONE: document} if document else rest
    session.flush()


def note_commands(
    session: DatabaseSession, finding: DriftFinding, commands: list[list[str]], *, actor: str, event: str, **said: Any
) -> None:
    """Write down what is about to be sent to a router, or what came of it; pairs of a command and its reverse."""
    _record(session, finding, event, actor, commands=commands, **said)


def prune(session: DatabaseSession, operator_id: int) -> int:
    """Close what routers without an API were found with, and forget a portion of what is gone or done for long.

    Returns the most of a kind; `PRUNED_AT_ONCE` is a whole portion.
    """
    values = {"operator": operator_id, "until": database_time(session) - HISTORY, "most": PRUNED_AT_ONCE}
    session.execute(_FORGET, {"operator": operator_id})
    return max(len(session.execute(statement, values).all()) for statement in _PRUNE)


def _listed(operator_id: int) -> Any:
    return (
        select(DriftFinding, Router.name, func.coalesce(Service.username, ""))
        .join(Router, Router.id == DriftFinding.router_id)
        .outerjoin(Service, Service.id == DriftFinding.service_id)
        .where(DriftFinding.operator_id == operator_id)
    )


def _ended(session: DatabaseSession, run: DriftRun, **values: Any) -> None:
    session.execute(update(DriftRun).where(DriftRun.id == run.id).values(ended_at=func.clock_timestamp(), **values))


def _enforce(session: DatabaseSession, finding: DriftFinding, actor: str) -> None:
    defer_enforce(driver_connection(session), finding.operator_id, [finding.service_id or 0], asked=True)
    _record(session, finding, "drift:finding:fix", actor)


def _record(session: DatabaseSession, finding: DriftFinding, event: str, actor: str, **data: Any) -> None:
    audit.record(
        session,
        finding.operator_id,
        actor,
        event,
        service_id=finding.service_id,
        finding=finding.id,
        kind=finding.kind,
        router_id=finding.router_id,
        cause=finding.cause,
        **data,
    )
