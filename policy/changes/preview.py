"""The preview of a change: a stored value that a person reads, approves by its hash, and finds again in the audit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from policy.access import Access, Kind
from policy.attributes import reply_attributes
from policy.changes.configured import HeldService, configured
from policy.changes.intent import ChangeKind
from policy.changes.route import Abilities, RouteKind, choose
from policy.documents import access_document, service_document, time_text
from policy.facts import ServiceFacts
from policy.reasons import sentence
from policy.stamp import stamp

Document = dict[str, Any]

# Three interims of five minutes: longer without a word is unusual.
SILENT = timedelta(minutes=15)
REDIAL = "a PPPoE client redials by itself, usually within a minute."


class LiveSession(NamedTuple):
    """A session as it was last seen. `applied` is None where nobody knows what it was given."""

    session_id: int
    router_name: str
    acct_session_id: str
    last_seen_at: datetime
    applied: Access | None
    abilities: Abilities


class Draft(NamedTuple):
    """What a preview is made of. Without `from_facts` the service is new.

    `overshoot`: how far the limits of the plan can be passed, in words; "" where it has none.
    """

    kind: ChangeKind
    username: str
    from_facts: ServiceFacts | None
    from_access: Access | None
    to_facts: ServiceFacts
    to_access: Access
    overshoot: str = ""


def preview(
    draft: Draft, sessions: tuple[LiveSession, ...], now: datetime, held: tuple[HeldService, ...] = ()
) -> Document:
    """Access before and after, the route of each live session with its commands, and what the customer will notice.

    `held`: the service as routers' own configurations hold it.
    """
    routes = [_session_document(session, draft.to_access, now) for session in sessions]
    on_routers = [configured(one, draft.from_access, draft.to_access, now) for one in held]
    ways = Counter(route["route"] for route in routes)
    return {
        "kind": draft.kind.value,
        "username": draft.username,
        "from": _side(draft.from_facts, draft.from_access),
        "to": _side(draft.to_facts, draft.to_access),
        "sessions": routes,
        "configured": on_routers,
        "drops": ways[RouteKind.DISCONNECT.value] + sum(one["drops"] for one in on_routers),
        "unreachable": ways[RouteKind.NEXT_LOGIN.value],
        "odd": _oddities(sessions, draft.to_access, now) + _odd_on_routers(on_routers),
        "consequence": consequence(draft.to_access, [route["route"] for route in routes], on_routers),
        **({"overshoot": draft.overshoot} if draft.overshoot else {}),
    }


def preview_hash(document: Document) -> str:
    """The hash that an approval binds: from, to, route and consequence.

    Session ids and ages are left out on purpose: customers redial overnight, and live sessions are resolved when the
    change runs.
    """
    bound = {
        "kind": document["kind"],
        "from": document["from"],
        "to": document["to"],
        "routes": sorted({session["route"] for session in document["sessions"]}),
        **_bound_on_routers(document),
        "consequence": document["consequence"],
    }
    return sha256(json.dumps(bound, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def consequence(target: Access, routes: list[str], on_routers: Sequence[Document] = ()) -> str:
    """What the customer will notice, in one sentence."""
    outcome = {
        Kind.GRANT: "has the plan",
        Kind.RESTRICT: "is online in the walled garden only",
        Kind.DENY: "is offline",
    }[target.kind]
    if any(one["problem"] for one in on_routers):
        return "Nothing changes, since the router cannot hold the service as it should be."
    if on_routers:
        drops = RouteKind.DISCONNECT in routes or any(one["drops"] for one in on_routers)
        first = "A connection that is up drops once, and then the" if drops else "A connection stays up, and the"
        return f"{first} customer {outcome}."
    if not routes:
        return f"Nobody is online; from the next login on the customer {outcome}."
    if RouteKind.DISCONNECT in routes:
        return f"The connection drops once, and then the customer {outcome}."
    if RouteKind.NEXT_LOGIN in routes:
        return f"Nothing changes until the next login; then the customer {outcome}."
    return f"The connection stays up, and the customer {outcome} at once."


def text(document: Document) -> str:
    """The preview as lines to read in a terminal."""
    lines = [
        f"{document['kind']} {document['username']!r}: {document['consequence']}",
        f"  before: {_side_text(document['from'])}",
        f"  after:  {_side_text(document['to'])}",
    ]
    if document.get("overshoot"):
        lines.append(f"  limits: {document['overshoot']}")
    for session in document["sessions"]:
        lines.append(
            f"  session {session['acct_session_id']} on {session['router']}, last seen {session['age_s']} s ago: "
            f"{session['route']}. {session['why']}"
        )
        lines += [f"      {name} = {value}" for name, value in session["attributes"]]
    for one in document.get("configured", []):
        lines.append(f"  {one['router']}, {_age_text(one)}: {one['route']}. {one['problem'] or one['why']}")
        lines += [f"      {command}" for command in one["commands"]]
        lines += [f"      then: {cut}" for cut in one["cuts"]]
        lines += [f"      to take it back: {command}" for command in one["undo"]]
    if document.get("drops"):
        lines.append(f"  drops {document['drops']} connection(s); {REDIAL}")
    lines += [f"  unusual: {sentence}" for sentence in document.get("odd", [])]
    return "\n".join(lines)


def _oddities(sessions: tuple[LiveSession, ...], target: Access, now: datetime) -> list[str]:
    """What a person should look at twice, each as one sentence; the hash leaves it out, since it changes overnight."""
    found = []
    if len(sessions) > 1:
        found.append(f"There are {len(sessions)} live sessions.")
    for one in sessions:
        age = now - one.last_seen_at
        if age > SILENT:
            hours = age.total_seconds() / 3600
            found.append(f"The session on {one.router_name} was last heard of {hours:.1f} hours ago.")
        if one.applied is None:
            found.append(f"What the session on {one.router_name} was given is not known.")
        elif _would_be_gentler(one, target):
            found.append(
                f"Whether {one.router_name} changes address lists by CoA is not known, so the connection drops; "
                "`ispagents router test` can find out."
            )
        if not one.abilities.dynamic_authorization:
            found.append(f"{one.router_name} takes no CoA, so nothing changes before the next login.")
    return found


def _bound_on_routers(document: Document) -> Document:
    """Part of the hash only where there is something: previews made before there were routers keep theirs."""
    commands = [[one["router"], one["commands"], one["cuts"]] for one in document.get("configured", [])]
    return {"configured": commands} if commands else {}


def _odd_on_routers(on_routers: list[Document]) -> list[str]:
    found = [f"{one['router']} cannot hold this service: {one['problem']}." for one in on_routers if one["problem"]]
    return (
        found
        + [
            f"What {one['router']} holds for this service has not been read back yet."
            for one in on_routers
            if not one["known"] and not one["problem"]
        ]
        + [sentence for one in on_routers for sentence in one["odd"]]
    )


def _age_text(one: Document) -> str:
    return f"read back {one['age_s']} s ago" if one["age_s"] is not None else "not read back yet"


def _would_be_gentler(one: LiveSession, target: Access) -> bool:
    able = one.abilities._replace(coa_address_list=True)
    return (
        choose(one.applied, target, one.abilities).kind == RouteKind.DISCONNECT
        and choose(one.applied, target, able).kind == RouteKind.COA
    )


def _side(facts: ServiceFacts | None, access: Access | None) -> Document | None:
    if facts is None or access is None:
        return None
    # What runs down by itself would change the hash between preview and approval.
    lasting = access._replace(session_timeout_s=0, total_limit_bytes=0, valid_until=None)
    return {
        "facts": service_document(facts),
        "access": access_document(lasting),
        "stamp": stamp(access),
        "attributes": [list(pair) for pair in reply_attributes(lasting)],
        "why": sentence(access.reason),
    }


def _side_text(side: Document | None) -> str:
    if side is None:
        return "nothing, the service is new"
    attributes = ", ".join(f"{name} = {value}" for name, value in side["attributes"])
    return f"{side['access']['kind']} ({attributes or 'no attributes'}). {side['why']}"


def _session_document(session: LiveSession, target: Access, now: datetime) -> Document:
    route = choose(session.applied, target, session.abilities)
    return {
        "session_id": session.session_id,
        "router": session.router_name,
        "acct_session_id": session.acct_session_id,
        "last_seen_at": time_text(session.last_seen_at),
        "age_s": max(0, int((now - session.last_seen_at).total_seconds())),
        "route": route.kind.value,
        "why": route.why,
        "attributes": [list(pair) for pair in route.attributes],
    }
