"""What self-tests learnt about routers, with what they saw. Only what a person saw steers the planner."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DatabaseSession

from policy.attributes import Attributes, reply_attributes
from policy.changes.enforcement import OPEN_STATES
from policy.changes.route import ADDRESS_LIST, COA_ATTRIBUTES
from policy.documents import read_access
from sql import audit
from sql.among import among
from sql.customers import service_by_username
from sql.errors import NotFound, Refused
from sql.models import KnownAccess, Operator, Router, RouterAbility, Session, Step

COA_ADDRESS_LIST = "coa_address_list"
# Sending it again could start it anew, which nobody asked for.
RUNS_DOWN = frozenset({"Session-Timeout"})


class Level(StrEnum):
    """How sure an ability is."""

    ACKNOWLEDGED = "acknowledged"
    """The router said yes; not known yet."""
    REFUSED = "refused"
    """The router said no."""
    SEEN = "seen"
    """A person looked at the router."""


class LentSession(NamedTuple):
    """A live session that somebody lends for a test, and what it has now that a CoA could set.

    `username` is what its login said, which may be spelled otherwise than the service's own.
    """

    service_id: int
    service_username: str
    username: str
    acct_session_id: str
    framed_address: str
    present: Attributes


def session_to_test(
    session: DatabaseSession, router: Router, username: str, acct_session_id: str = "", *, held: bool = False
) -> LentSession:
    """The one live session of a service at a router, or the one of that id.

    `held` keeps it from being planned for until the transaction ends: no step can cross the test's packet, which bears
    the access of this moment. Only the worker role may hold it. Raises NotFound without one, and Refused where there
    are several, where a change is on its way to it, or where it is not known what it has.
    """
    service = service_by_username(session, router.operator_id, username)
    mine = select(Session).where(
        Session.router_id == router.id, Session.service_id == service.id, Session.ended_at.is_(None)
    )
    if acct_session_id:
        mine = mine.where(Session.acct_session_id == acct_session_id)
    if held:
        mine = mine.with_for_update()
    found = session.scalars(mine.order_by(Session.id).limit(2)).all()
    if not found:
        raise NotFound(f"{username} is not online at {router.name}; log in there with that user name first.")
    if len(found) > 1:
        raise Refused(f"{username} is online at {router.name} more than once; test with one that is online once.")
    live = found[0]
    if session.scalar(select(Step.id).where(Step.session_id == live.id, Step.state.in_(OPEN_STATES)).limit(1)):
        raise Refused(f"A change is on its way to the session of {username}; test again when it has arrived.")
    document = session.scalar(
        select(KnownAccess.document).where(
            KnownAccess.operator_id == router.operator_id, KnownAccess.stamp == live.applied_stamp
        )
    )
    if document is None:
        raise Refused(
            f"It is not known what the session of {username} was given, so it cannot be put back; let it log in anew."
        )
    present = tuple(
        (name, value)
        for name, value in reply_attributes(read_access(document))
        if name == ADDRESS_LIST or (name in COA_ATTRIBUTES and name not in RUNS_DOWN)
    )
    address = str(live.framed_address) if live.framed_address else ""
    return LentSession(service.id, service.username, live.username, live.acct_session_id, address, present)


def check_may_try(session: DatabaseSession, router: Router) -> None:
    """Raises Refused where nothing may be sent to a live session of this router at all."""
    if session.get_one(Operator, router.operator_id).writes_stopped_at is not None:
        raise Refused("All network writes are stopped, and a test on a live session is one; let them go on first.")
    if not router.dynamic_authorization:
        raise Refused(f"{router.name} is set as taking no CoA; test it without --session first.")


def trying(session: DatabaseSession, router: Router, tested: LentSession, sent: Attributes, *, actor: str) -> None:
    """Store that an ability is about to be tried on a live session, before anything is sent."""
    audit.record(
        session,
        router.operator_id,
        actor,
        "router:ability:try",
        service_id=tested.service_id,
        router=router.name,
        ability=COA_ADDRESS_LIST,
        acct_session_id=tested.acct_session_id,
        sent=[list(pair) for pair in sent],
    )


def learn(
    session: DatabaseSession, router: Router, *, level: Level, able: bool, evidence: dict[str, Any], actor: str
) -> None:
    """Store what a test on a live session said about address lists by CoA, and let the planner go by it.

    An acknowledgement alone decides nothing: what a person saw before stays, and without that it counts as not able.
    """
    before = ability(session, router)
    seen_before = before is not None and before.evidence.get("level") == Level.SEEN
    if level is Level.ACKNOWLEDGED and before is not None and seen_before:
        able, stored = before.able, {**evidence, "level": Level.SEEN.value, "saw_it": before.able}
    else:
        stored = {**evidence, "level": level.value}
    values = {
        "operator_id": router.operator_id,
        "router_id": router.id,
        "ability": COA_ADDRESS_LIST,
        "able": able,
        "learnt_by": actor,
        "evidence": stored,
    }
    row = insert(RouterAbility).values(**values, learnt_at=func.clock_timestamp())
    key = [RouterAbility.router_id, RouterAbility.ability]
    changed = {name: row.excluded[name] for name in ("able", "learnt_by", "evidence", "learnt_at")}
    session.execute(row.on_conflict_do_update(index_elements=key, set_=changed))
    if level is not Level.ACKNOWLEDGED and router.coa_address_list != able:
        router.coa_address_list = able
        session.flush()
    audit.record(
        session,
        router.operator_id,
        actor,
        "router:ability:learn",
        router=router.name,
        ability=COA_ADDRESS_LIST,
        able=able,
        level=level.value,
        coa_address_list=router.coa_address_list,
    )


def ability(session: DatabaseSession, router: Router) -> RouterAbility | None:
    """What is known about address lists by CoA at a router."""
    return session.scalar(
        select(RouterAbility)
        .where(RouterAbility.router_id == router.id, RouterAbility.ability == COA_ADDRESS_LIST)
        .execution_options(populate_existing=True)
    )


def learnt(session: DatabaseSession, router: Router) -> list[dict[str, Any]]:
    """All that was learnt about a router. `able` is None where the router only said yes, which decides nothing."""
    return learnt_by_router(session, [router.id]).get(router.id, [])


def learnt_by_router(session: DatabaseSession, router_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """`learnt` of several routers, those about which something was."""
    rows = session.scalars(
        select(RouterAbility)
        .where(among(RouterAbility.router_id, router_ids))
        .order_by(RouterAbility.router_id, RouterAbility.ability)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        one = {
            "ability": row.ability,
            "able": None if row.evidence.get("level") == Level.ACKNOWLEDGED else row.able,
            "level": row.evidence.get("level", ""),
            "learnt_at": row.learnt_at,
            "learnt_by": row.learnt_by,
            "evidence": row.evidence,
        }
        found.setdefault(row.router_id, []).append(one)
    return found


def sentence(found: dict[str, Any]) -> str:
    """One of `learnt` for people."""
    what = {None: "not known yet", True: "yes", False: "no"}[found["able"]]
    how = {
        Level.ACKNOWLEDGED: "it said yes, and nobody looked; say what you saw with --saw-it",
        Level.REFUSED: "it refused",
        Level.SEEN: "a person looked",
    }.get(found["level"], "by hand")
    names = {COA_ADDRESS_LIST: "changes address lists by CoA"}
    subject = names.get(found["ability"], found["ability"])
    return f"{subject}: {what} ({how}; {found['learnt_by']} at {found['learnt_at']:%Y-%m-%d %H:%M} UTC)"
