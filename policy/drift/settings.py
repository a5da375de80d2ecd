"""What a router needs besides its customers: the walled garden's rules, and the settings by which it asks RADIUS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from policy.drift.finding import Finding, Kind, Mender, key_of, listed, plan_state
from policy.errors import PolicyError
from policy.routeros.difference import difference
from policy.routeros.garden import KEY, garden_items, misplaced, placed, read_garden
from policy.routeros.menus import FILTER, NAT
from policy.routeros.objects import Change, Command, Fields, Plan, Verb
from policy.routeros.reading import Reading

RADIUS = "/radius"
RADIUS_INCOMING = "/radius/incoming"
PPP_AAA = "/ppp/aaa"
HOTSPOT_SERVER_PROFILE = "/ip/hotspot/profile"
_TRUE = ("true", "yes")
_SCRIPT = "Run the script of `ispagents router script` on the router; it looks before it adds."


class Asked(NamedTuple):
    """How a router is to ask RADIUS: some of our addresses, and the port on which it takes CoA (0: it takes none)."""

    servers: Collection[str]
    coa_port: int


def garden_findings(style: Mapping[str, Any], reading: Reading) -> list[Finding]:
    """Rules of the walled garden that are missing, changed, or stand where they do not help.

    A router whose style names no garden, and that has no rule of ours, is not judged.
    """
    if FILTER not in reading:
        return []
    ours = any(item.tag.startswith(f"{KEY}-") for path in (FILTER, NAT) for item in reading.get(path, ()))
    if KEY not in style and not ours:
        return []
    try:
        items = placed(garden_items(read_garden(style)), reading)
    except PolicyError as error:
        cause = f"The router's walled garden cannot be read: {error}."
        action = "Correct the style with `ispagents router api set --style`."
        return [Finding(Kind.GARDEN_MISSING, key_of(KEY, str(error)), cause, Mender.PERSON, action)]
    plan = difference(items, reading)
    wrong = misplaced({path: reading[path] for path in (FILTER, NAT) if path in reading})
    if plan.conflicts:
        cause = f"The walled garden cannot be set up: {listed(conflict.why for conflict in plan.conflicts)}"
        action = "Rename or remove it on the router."
        return [Finding(Kind.GARDEN_MISSING, key_of(KEY, plan_state(plan)), cause, Mender.PERSON, action, plan)]
    action = "Put the rules back, in their order; each carries our mark, and what takes it back stands beside it."
    if any(change.command.verb != Verb.MOVE for change in plan.changes):
        cause = f"The walled garden is not as it should be: {listed(change.why for change in plan.changes)}."
        return [Finding(Kind.GARDEN_MISSING, key_of(KEY, plan_state(plan)), cause, Mender.ROUTER, action, plan)]
    if plan.changes or wrong:
        whys = wrong or [f"{change.why}." for change in plan.changes]
        mender = Mender.ROUTER if plan.changes else Mender.PERSON
        action = action if plan.changes else "Move that rule below ours on the router."
        cause = f"The walled garden does not hold: {' '.join(dict.fromkeys(whys))}"
        return [Finding(Kind.GARDEN_MISPLACED, key_of(KEY, plan_state(plan), wrong), cause, mender, action, plan)]
    return []


def radius_findings(asked: Asked, reading: Reading) -> list[Finding]:
    """Settings without which the router does not ask us, does not tell us, or takes no CoA."""
    if RADIUS not in reading:
        return []
    entries = [item for item in reading[RADIUS] if item.fields.get("disabled") not in _TRUE]
    mine = [item for item in entries if item.tag == "radius" or item.fields.get("address", "") in asked.servers]
    if not mine:
        others = listed(item.fields.get("address", "?") for item in entries) or "none"
        cause = (
            f"The router does not ask us when somebody logs in: none of its RADIUS servers is ours (it has {others}). "
            "Customers who log in anew are refused, or let in by somebody else."
        )
        return [Finding(Kind.RADIUS_GONE, key_of("radius", others), cause, Mender.PERSON, _SCRIPT)]
    services = {word for item in mine for word in item.fields.get("service", "").split(",")}
    return [*_aaa(reading, services), *_hotspot(reading, services), *_incoming(asked, reading)]


def _aaa(reading: Reading, services: set[str]) -> list[Finding]:
    if "ppp" not in services or not reading.get(PPP_AAA):
        return []
    fields = reading[PPP_AAA][0].fields
    found = []
    if fields.get("use-radius") not in _TRUE:
        cause = "PPP on this router asks no RADIUS, so only its own secrets count and billing controls nobody there."
        found.append(_setting("ppp", cause, PPP_AAA, ("use-radius", "yes"), fields))
    if fields.get("accounting", "yes") not in _TRUE:
        cause = "PPP on this router reports no accounting: no traffic is counted, and no session can be changed."
        found.append(_setting("ppp-accounting", cause, PPP_AAA, ("accounting", "yes"), fields))
    return found


def _hotspot(reading: Reading, services: set[str]) -> list[Finding]:
    profiles = reading.get(HOTSPOT_SERVER_PROFILE, ())
    if "hotspot" not in services or len(profiles) < 2 or any(_asks(item.fields) for item in profiles):
        return []  # the default profile alone means that there is no hotspot
    cause = "No hotspot profile of this router uses RADIUS, so billing controls nobody who logs in there."
    return [Finding(Kind.RADIUS_GONE, key_of("hotspot"), cause, Mender.PERSON, _SCRIPT)]


def _asks(fields: Mapping[str, str]) -> bool:
    return fields.get("use-radius") in _TRUE


def _incoming(asked: Asked, reading: Reading) -> list[Finding]:
    if not asked.coa_port or not reading.get(RADIUS_INCOMING):
        return []
    fields = reading[RADIUS_INCOMING][0].fields
    if fields.get("accept") not in _TRUE:
        cause = "The router takes no CoA or Disconnect, so suspending and restoring reaches nobody who is online."
        return [_setting("incoming", cause, RADIUS_INCOMING, ("accept", "yes"), fields)]
    if fields.get("port", str(asked.coa_port)) != str(asked.coa_port):
        cause = f"The router takes CoA on port {fields.get('port')}, and it is sent to {asked.coa_port}."
        return [_setting("incoming", cause, RADIUS_INCOMING, ("port", str(asked.coa_port)), fields)]
    return []


def _setting(name: str, cause: str, path: str, wanted: tuple[str, str], fields: Mapping[str, str]) -> Finding:
    before: Fields = ((wanted[0], fields.get(wanted[0], "")),)
    change = Change(Command(Verb.SET, path, (), (wanted,)), Command(Verb.SET, path, (), before), cause)
    action = "Type the command on the router, if that is what you want."
    return Finding(Kind.RADIUS_GONE, key_of(name, before), cause, Mender.PERSON, action, Plan((change,)))
