"""What a change means on a router that holds the service: its commands and their reverse, as they would be typed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from policy.access import Access, Kind
from policy.errors import PolicyError
from policy.routeros import menus
from policy.routeros.cuts import Cut, cuts
from policy.routeros.difference import difference, undo_commands
from policy.routeros.images import Image, after_image
from policy.routeros.objects import Wanted
from policy.routeros.style import Style
from policy.routeros.terminal import command_text
from policy.routeros.wanted import Line, wanted_items

Document = dict[str, Any]
ADOPTED = "What stands on the router under these names becomes ours by a mark; what is otherwise there is changed."
HELD = "The router's own configuration holds this service, so it is changed there, and read back."


class HeldService(NamedTuple):
    """A service as a router holds it. `known`: what stands there was proved, at `observed_at`; else nobody knows.

    `adopt`: a person agreed that what stands there becomes ours. `garden_list`: whom the walled garden's rules on this
    router are for, "" where it has none of ours.
    """

    router_name: str
    line: Line
    style: Style
    observed_at: datetime | None
    known: bool
    adopt: bool = False
    garden_list: str = ""


def configured(held: HeldService, before: Access | None, after: Access, now: datetime) -> Document:
    """The preview of one router: from what it should have now to what it should have then; no router is asked.

    `problem` says why this router cannot hold the service so, or "".
    """
    # A customer whom an import found there: he goes on as he is.
    adopted = held.adopt and not held.known and before is None
    document: Document = {
        "router": held.router_name,
        "route": "configure",
        "why": ADOPTED if adopted else HELD,
        "age_s": max(0, int((now - held.observed_at).total_seconds())) if held.observed_at is not None else None,
        "known": held.known,
        "commands": [],
        "undo": [],
        "cuts": [],
        "drops": False,
        "problem": "",
        "odd": [],
    }
    try:
        image = _found(held, after) if adopted else _image(held, before) if held.known else {}
        items = wanted_items(held.line, after, held.style)
        plan = difference(items, image, adopt=adopted)
        ended = () if adopted else _cuts(held, before, after)
    except PolicyError as error:
        return document | {"problem": str(error)}
    return document | {
        "commands": [command_text(change.command) for change in plan.changes],
        "undo": [command_text(command) for command in undo_commands(plan)],
        "cuts": list(dict.fromkeys(cut.why for cut in ended)),
        "drops": any(cut.drops for cut in ended),
        "odd": [] if adopted else [*_without_address(held, items), *_without_garden(held, after)],
    }


def _without_address(held: HeldService, items: tuple[Wanted, ...]) -> Iterator[str]:
    """A PPP login without an address is none; a profile of the ISP's own may bring one, ours only what it is told."""
    ours = [
        one
        for one in items
        if one.menu in (menus.PPP_SECRET, menus.PPP_PROFILE) and ("disabled", "yes") not in one.fields
    ]
    if len(ours) > 1 and not any(dict(one.fields).get("remote-address") for one in ours):
        yield (
            f"{held.router_name} would give this customer no address: set local_address and address_pool in the "
            "router's style, or give the plan a pool or the service a fixed address."
        )


def _without_garden(held: HeldService, after: Access) -> Iterator[str]:
    if after.kind == Kind.RESTRICT and held.garden_list not in after.address_lists:
        yield (
            f"{held.router_name} has no walled garden of ours for {' and '.join(after.address_lists) or 'this'}: the "
            "customer is slowed and listed there, and what that means is up to the rules on the router."
        )


def _image(held: HeldService, access: Access | None) -> Image:
    """The router as it should be with this access, and nothing else in it."""
    if access is None:
        return {}
    return after_image(difference(wanted_items(held.line, access, held.style), {}), {})


def _found(held: HeldService, access: Access) -> Image:
    """The router with all of it already, and nothing marked."""
    image = _image(held, access)
    for items in image.values():
        for item in items:
            item.fields.pop("comment", None)
    return image


def _cuts(held: HeldService, before: Access | None, after: Access) -> tuple[Cut, ...]:
    return cuts(held.line, before, after, held.style)
