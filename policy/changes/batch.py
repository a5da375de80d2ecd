"""The preview of many changes together: counts, the money behind them, and the most unusual ones first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from policy.changes.route import RouteKind

UNUSUAL_SHOWN = 10
NAMES_SHOWN = 20
# A router that holds a service is written to; where its customer drops, and where it cannot hold it.
CONFIGURE_DROPS, CANNOT_HOLD = "configure_drops", "cannot_hold"


class BatchRow(NamedTuple):
    """One change of a batch. `routes` are (router, route) of its live sessions; `open_minor` is what is owed."""

    change_id: int
    kind: str
    username: str
    plan: str
    consequence: str
    routes: tuple[tuple[str, str], ...]
    odd: tuple[str, ...]
    open_minor: int
    preview_hash: str


def routes_of(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """How a preview's change reaches each router: by its live sessions, and by the routers that hold the service."""
    sessions = [(one["router"], one["route"]) for one in document.get("sessions", [])]
    held = [(one["router"], _held_route(one)) for one in document.get("configured", [])]
    return (*sessions, *held)


def _held_route(one: dict[str, Any]) -> str:
    if one["problem"]:
        return CANNOT_HOLD
    return CONFIGURE_DROPS if one["drops"] else RouteKind.CONFIGURE.value


def batch_hash(rows: Iterable[BatchRow]) -> str:
    """What an approval of a batch binds: which changes wait, and the hash of each preview."""
    bound = sorted((row.change_id, row.preview_hash) for row in rows)
    return sha256(json.dumps(bound).encode()).hexdigest()


def batch_preview(rows: list[BatchRow]) -> dict[str, Any]:
    """Counts by action, router and plan; what will drop and what cannot be reached; money; the ten oddest."""
    actions = Counter(route for row in rows for _, route in row.routes)
    offline = sum(1 for row in rows if not row.routes)
    odd = sorted((row for row in rows if row.odd), key=lambda row: (-len(row.odd), -row.open_minor, row.change_id))
    return {
        "changes": len(rows),
        "hash": batch_hash(rows),
        "by_kind": _counted(Counter(row.kind for row in rows)),
        "by_action": _counted(actions),
        "nobody_online": offline,
        "by_router": _counted(Counter(router for row in rows for router, _ in row.routes)),
        "by_plan": _counted(Counter(row.plan for row in rows)),
        "owed_minor": sum(row.open_minor for row in rows),
        "drops": actions["disconnect"] + actions[CONFIGURE_DROPS],
        "stays_up": actions[RouteKind.COA.value] + actions[RouteKind.CONFIGURE.value],
        "unreachable": actions["next_login"],
        "unusual": [
            {
                "change": row.change_id,
                "username": row.username,
                "why": list(row.odd),
                "consequence": row.consequence,
                "owed_minor": row.open_minor,
            }
            for row in odd[:UNUSUAL_SHOWN]
        ],
        "unusual_more": max(0, len(odd) - UNUSUAL_SHOWN),
    }


def batch_text(document: dict[str, Any], owed: str) -> str:
    """The preview as lines to read in a terminal; `owed` is the money in words."""
    fate = (
        f"{document['drops']} connections drop once, {document['stays_up']} change and stay up, "
        f"{document['unreachable']} wait for the next login, {document['nobody_online']} have nobody online."
    )
    lines = [
        f"{document['changes']} changes: {_listed(document['by_kind'])}. Owed by these customers: {owed}.",
        f"  {fate}",
        f"  by router: {_listed(document['by_router'])}",
        f"  by plan:   {_listed(document['by_plan'])}",
    ]
    if document["unusual"]:
        lines.append("  look at these first:")
    lines += [
        f"    change {one['change']} of {one['username']!r}: {' '.join(one['why'])}" for one in document["unusual"]
    ]
    if document["unusual_more"]:
        lines.append(f"    and {document['unusual_more']} more that are unusual")
    return "\n".join(lines)


def _counted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda pair: (-pair[1], pair[0])))


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{count} {name}" for name, count in list(counts.items())[:NAMES_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"
