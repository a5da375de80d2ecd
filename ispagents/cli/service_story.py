"""What `service show` tells: what a service should have, what it has, why, and what to do next."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.output import print_lines
from policy.access import Access, Kind
from policy.documents import access_document
from policy.facts import Login, Method
from policy.reasons import Reason, sentence
from policy.stamp import stamp
from sql.listing import active_holds, awaiting
from sql.models import Operator, Plan, PlanVersion, Router, Service, Subscriber
from sql.models import Session as Online
from sql.wanted import Decider, authorised_facts

NOT_YET = "Nothing is authorised yet, so logins are refused; the worker authorises it as soon as `ispagents up` runs."
SESSIONS_SHOWN = 50


def tell(session: Session, service: Service, now: datetime) -> dict[str, Any]:
    """Everything that is known of a service, for programs."""
    operator = session.get_one(Operator, service.operator_id)
    subscriber = session.get_one(Subscriber, service.subscriber_id)
    plan = session.get_one(Plan, service.plan_id)
    wanted = session.get_one(PlanVersion, plan.current_version_id)
    facts = authorised_facts(service)
    decider = Decider(session, operator)
    access = decider.access(facts, now) if facts is not None else None
    given = session.get_one(PlanVersion, facts.plan_version_id) if facts is not None else None
    story = {
        "username": service.username,
        "subscriber": subscriber.reference,
        "name": subscriber.name,
        "method": service.method,
        "standing": service.standing,
        "wanted_plan": f"{plan.name}, version {wanted.number}",
        "authorised_plan": f"{given.name}, version {given.number}" if given is not None else None,
        "authorised_at": service.authorised_at,
        "access": access.kind.value if access is not None else None,
        "why": sentence(access.reason) if access is not None else NOT_YET,
        "attributes": access_document(access) if access is not None else None,
        "valid_until": access.valid_until if access is not None else None,
        "held_by": _held_by(session, service),
        "address": str(service.address) if service.address else "",
        "prepaid_until": service.prepaid_until,
        "bound_to": _bindings(session, service),
        "holds": [
            {"id": one.id, "kind": one.kind, "until": one.until, "reason": one.reason, "granted_by": one.granted_by}
            for one in active_holds(session, service, now)
        ],
        "sessions": _sessions(session, service, decider, now),
        "waiting_changes": [
            {"id": one.id, "kind": one.kind, "cause": one.cause, "consequence": one.preview["consequence"]}
            for one in awaiting(session, service.operator_id, service.id)
        ],
    }
    return {**story, "next": _next(story, access)}


def show(story: dict[str, Any], *, as_json: bool) -> None:
    """Print it: first the answer, then sessions and waiting changes, at the end what to do next."""
    if as_json:
        common.print_json(story)
        return
    listed = ("sessions", "waiting_changes", "holds", "next", "attributes")
    common.show_one({key: value for key, value in story.items() if key not in listed}, as_json=False)
    common.show(
        story["sessions"],
        as_json=False,
        title="Online now",
        empty="Nobody is online.",
        columns=("router", "session", "address", "mac", "since", "last_seen", "in_line"),
    )
    if story["holds"]:
        common.show(story["holds"], as_json=False, title="Holds", empty="")
    for one in story["waiting_changes"]:
        print_lines(f"Change {one['id']} ({one['kind']}) waits for approval: {one['cause']}")
    for line in story["next"]:
        print_lines(f"Next: {line}")


def _sessions(session: Session, service: Service, decider: Decider, now: datetime) -> list[dict[str, Any]]:
    facts = authorised_facts(service)
    found = session.execute(
        select(Online, Router)
        .join(Router, Router.id == Online.router_id)
        .where(Online.operator_id == service.operator_id, Online.service_id == service.id, Online.ended_at.is_(None))
        .order_by(Online.id)
        .limit(SESSIONS_SHOWN)
    )
    rows = []
    for one, router in found:
        login = Login(Method(one.method) if one.method else None, one.mac, one.router_id, one.port)
        due = stamp(decider.access_of_session(service, facts, login, now)) if facts is not None else None
        rows.append(
            {
                "router": router.name,
                "session": one.acct_session_id,
                "address": str(one.framed_address) if one.framed_address else "",
                "mac": one.mac,
                "since": one.started_at,
                "last_seen": one.last_seen_at,
                "applied_stamp": one.applied_stamp,
                "authorised_stamp": due,
                "in_line": one.applied_stamp == due,
            }
        )
    return rows


def _held_by(session: Session, service: Service) -> str:
    """The router whose own configuration holds it, "" where RADIUS controls it."""
    router = session.get(Router, service.control_router_id) if service.control_router_id is not None else None
    return router.name if router is not None else ""


def _bindings(session: Session, service: Service) -> list[str]:
    router = session.get(Router, service.router_id) if service.router_id is not None else None
    bound = (
        ("device", service.bind_mac, service.mac),
        ("router", service.bind_router, router.name if router is not None else ""),
        ("port", service.bind_port, service.port),
    )
    return [f"{what} {value or 'of the next login'}" for what, flag, value in bound if flag]


def _next(story: dict[str, Any], access: Access | None) -> list[str]:
    """What a person can do, most pressing first."""
    username, number = shlex.quote(story["username"]), shlex.quote(story["subscriber"])
    steps = [f"look at the change with `ispagents change show {one['id']}`" for one in story["waiting_changes"]]
    if access is None:
        return [*steps, "start the worker with `ispagents up` if it does not run (`ispagents status`)"]
    if access.reason == Reason.SUSPENDED:
        steps.append(f"book a payment with `ispagents payment add {number} --amount ...`")
    if access.reason == Reason.PREPAID_ENDED:
        steps.append(f"top up with `ispagents service set {username} --prepaid-until ...`")
    if any(not one["in_line"] for one in story["sessions"]):
        steps.append(f"see how far its sessions are with `ispagents timeline {username}`")
    if story["held_by"]:
        # No login of it is asked here, so none can have been refused.
        return [*steps, f"see what {story['held_by']} holds for it with `ispagents explain {username}`"]
    if not story["sessions"] and access.kind == Kind.GRANT and story["standing"] != "closed":
        steps.append(f"if the customer should be online, see refused logins in `ispagents timeline {username}`")
    return steps
