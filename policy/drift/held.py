"""Services that a router's configuration holds, against what stands there; and what of ours belongs to nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from policy.drift.finding import Finding, Kind, Mender, key_of, listed, plan_state
from policy.routeros.difference import difference, removal
from policy.routeros.leftovers import leftovers, service_of
from policy.routeros.matching import called
from policy.routeros.menus import menu_of
from policy.routeros.objects import Item, Plan, Verb, Wanted
from policy.routeros.reading import Reading
from policy.wording import short

_HEALED = "Let the change engine write it anew and read it back: `ispagents drift fix`."


class Held(NamedTuple):
    """A service that a router should hold, or hold no more (`leaves`: then nothing of its tag is wanted).

    `items` are what should be there. `proved`: the engine read back just this once, so what differs was changed since.
    `problem`: why this router cannot hold it; `said`: how the engine's last attempt ended, "" where it ended well.
    """

    service_id: int
    username: str
    tag: str
    items: tuple[Wanted, ...]
    proved: bool = True
    leaves: bool = False
    adopt: bool = False
    problem: str = ""
    said: str = ""


def held_findings(held: Iterable[Held], reading: Reading) -> list[Finding]:
    """What is not as it should be of services that this router holds."""
    found: list[Finding] = []
    shared: dict[Wanted, Held] = {}
    for one in held:
        if one.problem:
            found.append(_cannot(one))
            continue
        for wanted in one.items:
            if not menu_of(wanted.menu).comments:
                shared.setdefault(wanted, one)
        own = [wanted for wanted in one.items if menu_of(wanted.menu).comments]
        plan = difference(own, reading, adopt=one.adopt)
        if plan.changes or plan.conflicts:
            found.append(_different(one, plan, bool(list(reading.of_tags([one.tag])))))
    return found + _shared(shared, reading)


def orphan_findings(reading: Reading, held_ids: Collection[int], names: dict[int, str]) -> list[Finding]:
    """Items of ours for services that this router does not hold; `names` are those of services that there are."""
    of_tag: dict[str, list[Item]] = defaultdict(list)
    for item in leftovers(reading, held_ids):
        if item.tag:  # profiles of ours that nobody uses are no drift: the next customer uses them
            of_tag[item.tag].append(item)
    found = []
    for tag, items in sorted(of_tag.items()):
        service_id = service_of(items[0]) or 0
        name = names.get(service_id)
        whose = f"{short(name)}, whom this router does not hold" if name else "a service that is not known here"
        plan = removal(items, reading)
        what = listed(called(change.command.menu, change.command.key) for change in plan.changes)
        found.append(
            Finding(
                Kind.ORPHAN,
                key_of(tag, plan_state(plan)),
                f"Left over from {whose} ({tag}): {what}.",
                Mender.ROUTER,
                "Remove it; everything there carries our mark. What takes it back stands beside it.",
                plan,
                service_id if name else None,
            )
        )
    return found


def _different(one: Held, plan: Plan, something: bool) -> Finding:
    """`something` of the service stands there."""
    key = key_of(one.tag, plan_state(plan), one.said)
    name = short(one.username)
    if plan.conflicts:
        cause = f"{name} cannot be set up as it should be: {listed(conflict.why for conflict in plan.conflicts)}"
        action = "Rename or remove it on the router, or take it over with `ispagents service place --adopt`."
        return Finding(Kind.IN_THE_WAY, key, cause, Mender.PERSON, action, plan, one.service_id)
    whys = listed(change.why for change in plan.changes)
    tried = f" The last attempt: {one.said}" if one.said else ""
    if one.leaves:
        cause = f"{name} is not held by this router any more, but something of it is still there: {whys}.{tried}"
        return Finding(Kind.LEFT_BEHIND, key, cause, Mender.ENGINE, _HEALED, plan, one.service_id)
    if not something or not one.proved:
        cause = f"{name} should be held by this router and is not set up there: {whys}.{tried}"
        return Finding(Kind.NOT_PROVISIONED, key, cause, Mender.ENGINE, _HEALED, plan, one.service_id)
    cause = f"Somebody changed what this router holds for {name} since it was read back last: {whys}."
    return Finding(Kind.CHANGED_BY_HAND, key, cause, Mender.ENGINE, _HEALED, plan, one.service_id)


def _shared(shared: dict[Wanted, Held], reading: Reading) -> list[Finding]:
    """Profiles that many services use, each told once; the engine writes it with any one of them."""
    found = []
    for wanted, one in shared.items():
        plan = difference([wanted], reading)
        if not plan.changes or not (one.proved or plan.changes[0].command.verb != Verb.ADD):
            continue  # where the service itself is missing, that tells it
        what = called(wanted.menu, wanted.key)
        cause = f"The {what} is not as its customers need it: {listed(change.why for change in plan.changes)}."
        key = key_of(what, plan_state(plan))
        found.append(Finding(Kind.CHANGED_BY_HAND, key, cause, Mender.ENGINE, _HEALED, plan, one.service_id))
    return found


def _cannot(one: Held) -> Finding:
    cause = f"This router cannot hold {short(one.username)}: {one.problem}."
    action = "Change the service, its plan or the router's style as the sentence says."
    return Finding(
        Kind.CANNOT_HOLD, key_of(one.tag, one.problem), cause, Mender.PERSON, action, service_id=one.service_id
    )
