"""`ispagents router inspect`: what a router holds that is in use already; nothing is changed, there or here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines, printable
from ispagents.wiring.inspecting import look_at
from policy.inspection.found import FoundPlan, FoundService, Picture
from policy.wording import shell_word
from sql.customers import router_by_name
from sql.models import Operator
from sql.onboarding.routers import Seen, Wish, preview, see

SHOWN = 20
SHOWN_NAMES = 5
# What a table has no room for stands in the JSON.
_LISTED_SETTINGS = ("/interface", "/ip/pool", "/ip/dhcp-server", "/ip/hotspot", "/interface/pppoe-server/server")

Lists = Annotated[
    list[str] | None,
    typer.Option("--list", metavar="LIST", help="An address list that belongs to what is sold; may be repeated."),
]


def inspect(
    name: str,
    lists: Lists = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep what was seen as an import with the usual choices.")
    ] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a router has: settings, plans, customers, lists, and what is unusual. It only reads."""
    with common.acting(operator) as (session, operator_id):
        router_by_name(session, operator_id, name)
    read = look_at(common.databases(), common.box(), operator_id, name)
    sold = tuple(dict.fromkeys(lists or ()))
    seen = see(read.device, read.observed, sold)
    number = _stored(operator_id, operator, name, seen, sold) if store else None
    if as_json:
        common.print_json({**document(name, seen.found), **({"import": number} if store else {})})
        return
    _tell(name, seen.found)
    if number is not None:
        print_lines(f"It is kept as import {number}: `ispagents router import-apply {number}` takes in the new ones.")


def _stored(operator_id: int, operator: str, name: str, seen: Seen, lists: tuple[str, ...]) -> int:
    with common.acting(operator) as (session, _):
        mine, router = session.get_one(Operator, operator_id), router_by_name(session, operator_id, name)
        return preview(session, mine, router, seen, Wish(lists=lists), actor=common.actor()).stored.id


def document(name: str, found: Picture) -> dict[str, Any]:
    """All of it, for programs. Passwords are not among it."""
    return {
        "router": printable(name),
        "device": clean(found.device._asdict()),
        "settings": {path: [clean(row) for row in rows] for path, rows in found.settings.items()},
        "counts": found.counts,
        "plans": [_plan(one) for one in found.plans],
        "services": [_service(one) for one in found.services],
        "address_lists": {printable(key): count for key, count in found.lists.items()},
        "unusual": [
            {"kind": one.kind, "said": one.said, "items": [printable(item) for item in one.items]}
            for one in found.oddities
        ],
        "style": found.style,
    }


def _tell(name: str, found: Picture) -> None:
    device = found.device
    print_lines(f"{name}: {device.identity}, RouterOS {device.version}, {device.board} ({device.architecture})\n")
    for line in _settings(found):
        print_lines(line)
    plans = [_plan(one) for one in found.plans[:SHOWN]]
    columns = ("plan", "profile", "rate_limit", "lists", "services", "problem")
    empty = "There are no profiles and no speeds."
    more = _more(len(found.plans))
    common.show(plans, as_json=False, title="\nPlans", empty=empty, columns=columns, more=more)
    services = [_service(one) for one in found.services[:SHOWN]]
    columns = ("username", "method", "plan", "address", "comment", "problems")
    empty = "There are no secrets, hotspot users, leases or queues of customers."
    more = _more(len(found.services))
    common.show(services, as_json=False, title="\nCustomers", empty=empty, columns=columns, more=more)
    odd = [{"unusual": one.said, "which": _some(one.items)} for one in found.oddities]
    common.show(odd, as_json=False, title="\nUnusual", empty="\nNothing is unusual.")
    print_lines(
        f"\nTake it in with `ispagents router import {shell_word(name)}`: that shows first, and changes nothing."
    )


def _settings(found: Picture) -> list[str]:
    """The settings on a few lines."""
    ways = found.settings
    ppp = ways["/ppp/aaa"][0] if ways["/ppp/aaa"] else {}
    incoming = ways["/radius/incoming"][0] if ways["/radius/incoming"] else {}
    servers = [f"{one.get('service', '')} at {one.get('address', '')}" for one in ways["/radius"]]
    hotspots = [f"{one.get('name', '')} {_on(one.get('use-radius', ''))}" for one in ways["/ip/hotspot/profile"] if one]
    lines = [
        f"RADIUS servers: {'; '.join(servers) or 'none'}",
        f"RADIUS for PPP: {_on(ppp.get('use-radius', ''))}, interim {ppp.get('interim-update', '-')}",
        f"RADIUS for hotspots: {', '.join(hotspots) or 'none there'}",
        f"CoA: {_on(incoming.get('accept', ''))} on port {incoming.get('port', '-')}",
    ]
    for path in _LISTED_SETTINGS:
        names = tuple(row.get("name", row.get("service-name", "")) for row in ways[path])
        lines.append(f"{path}: {_some(names) or 'none'}")
    lists = tuple(f"{one or '(no name)'} ({count})" for one, count in found.lists.items())
    lines.append(f"Address lists: {_some(lists) or 'none'}")
    lines.append("Items: " + ", ".join(f"{path} {count}" for path, count in found.counts.items()))
    return lines


def _on(text: str) -> str:
    return "on" if text in ("true", "yes") else "off"


def _some(names: tuple[str, ...]) -> str:
    rest = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _more(count: int) -> str:
    return f"There are {count}; --json shows all of them." if count > SHOWN else ""


def _plan(one: FoundPlan) -> dict[str, Any]:
    return clean(
        {
            "plan": one.name,
            "profile": one.group,
            "rate_limit": one.rate_limit,
            "written": one.shown,
            "lists": list(one.lists),
            "by_profile": one.by_group,
            "services": one.services,
            "problem": one.problem,
        }
    )


def _service(one: FoundService) -> dict[str, Any]:
    return clean(
        {
            "username": one.username,
            "method": one.method.value,
            "plan": one.found_plan,
            "menu": one.menu,
            "address": one.address,
            "mac": one.mac,
            "server": one.server,
            "queue": one.queue,
            "lists": list(one.lists),
            "routes": list(one.routes),
            "comment": one.comment,
            "tag": one.tag,
            "disabled": one.disabled,
            "problems": list(one.problems),
        }
    )


def clean(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which what is no UTF-8 is written as escapes: JSON could not hold it."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return printable(value)
    return value
