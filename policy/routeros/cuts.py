"""What has to be ended on a router for a change to hold: sessions that keep what they were given, open connections.

A router applies a secret or a profile at the login, and goes on with a tracked connection whatever lists say by then.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from policy.access import Access, Kind
from policy.errors import PolicyError
from policy.facts import Method
from policy.routeros import menus
from policy.routeros.objects import Change, Command, Fields, Item, Verb
from policy.routeros.reading import Observed
from policy.routeros.style import Style
from policy.routeros.wanted import Line, known_addresses, wanted_items

# What of a secret or user does not touch a session that is up already.
_AT_LOGIN_ONLY = frozenset({"password", "disabled", "service", "server"})
_WORDS = {
    "profile": "the profile",
    "caller-id": "the device",
    "mac-address": "the device",
    "remote-address": "the address",
    "address": "the address",
    "remote-ipv6-prefix": "the IPv6 prefix",
    "routes": "the routes",
}


class Cut(NamedTuple):
    """Live rows to end: those of `menu` whose fields are these; of a connection the address, whatever its port.

    `drops`: the customer is offline for a moment, or for good.
    """

    menu: str
    fields: Fields
    why: str
    drops: bool

    def meets(self, item: Item) -> bool:
        """Whether a row of this menu is meant."""
        if self.menu in (menus.CONNECTION, menus.CONNECTION_V6):
            return all(_is_of(item.fields.get(name, ""), text) for name, text in self.fields)
        return menus.agrees(item, self.fields)


def cuts(line: Line, before: Access | None, after: Access, style: Style) -> tuple[Cut, ...]:
    """What to end when a service's access changes; `before` is None where nobody knows what it has.

    An access that this router cannot do counts as not known. Never raises.
    """
    try:
        sessions = _sessions(line, before, after, style)
    except PolicyError:
        sessions = _sessions(line, None, after, style)
    return (*sessions, *_connections(line, before, after, style))


def removal_cuts(line: Line) -> tuple[Cut, ...]:
    """What to end when a service leaves a router."""
    return _ended(line, "The router no longer holds this service, so its session ends.")


def gives_otherwise(change: Change) -> bool:
    """Whether a command changes what the next login is given, so that a session which is up has something else.

    Comparing accesses does not tell: the style of the router or the address of the service may have changed, or
    somebody's hand.
    """
    command = change.command
    if command.menu not in (menus.PPP_SECRET, menus.HOTSPOT_USER):
        return False
    if command.verb == Verb.ADD:
        return True  # somebody took the one away under which a session that is up had logged in
    return command.verb == Verb.SET and any(
        name != "comment" and name not in _AT_LOGIN_ONLY for name, _ in command.fields
    )


def cut_changes(wanted: Iterable[Cut], observed: Observed) -> tuple[Change, ...]:
    """The commands that end what was found, each row once. A session that was ended comes back by itself, or not."""
    seen: set[tuple[str, str]] = set()
    changes = []
    for cut in wanted:
        for item in observed.get(cut.menu, ()):
            if (item.menu, item.id) in seen or not cut.meets(item):
                continue
            seen.add((item.menu, item.id))
            key = tuple((name, item.fields.get(name, "")) for name, _ in cut.fields)
            changes.append(Change(Command(Verb.REMOVE, item.menu, key, (), item.id), None, cut.why))
    return tuple(changes)


def _sessions(line: Line, before: Access | None, after: Access, style: Style) -> tuple[Cut, ...]:
    if line.method not in (Method.PPPOE, Method.HOTSPOT) or (before is not None and before.kind == Kind.DENY):
        return ()
    if after.kind == Kind.DENY:
        return _ended(line, "The service gets no access any more, so its session ends.")
    if before is None:
        return _session(
            line,
            "What this session was given is not known, so it is ended; the client comes back with the new access.",
        )
    had, gets = _given_at_login(line, before, style), _given_at_login(line, after, style)
    differing = [name for name in gets if had.get(name, "") != gets[name]]
    if not differing:
        return ()
    what = " and ".join(dict.fromkeys(_WORDS.get(name, name) for name in differing))
    return _session(
        line, f"A router gives {what} at the login, so the session is ended; the client comes back with the new access."
    )


def _given_at_login(line: Line, access: Access, style: Style) -> dict[str, str]:
    menu = menus.PPP_SECRET if line.method == Method.PPPOE else menus.HOTSPOT_USER
    user = next(one for one in wanted_items(line, access, style) if one.menu == menu)
    return {name: text for name, text in user.fields if name not in _AT_LOGIN_ONLY}


def _session(line: Line, why: str) -> tuple[Cut, ...]:
    if line.method == Method.PPPOE:
        return (Cut(menus.PPP_ACTIVE, (("name", line.username),), why, drops=True),)
    by_user = Cut(menus.HOTSPOT_ACTIVE, (("user", line.username),), why, drops=True)
    # A login by MAC has the device for its user's name.
    by_mac = Cut(menus.HOTSPOT_ACTIVE, (("mac-address", line.mac),), why, drops=True)
    return (by_user, by_mac) if line.mac else (by_user,)


def _ended(line: Line, why: str) -> tuple[Cut, ...]:
    """The session and what would bring it back without a question."""
    if line.method not in (Method.PPPOE, Method.HOTSPOT):
        return ()
    found = _session(line, why)
    if line.method == Method.HOTSPOT:
        said = "A cookie lets a device in again without asking for the password, so it is removed."
        found += (Cut(menus.HOTSPOT_COOKIE, (("user", line.username),), said, drops=False),)
        if line.mac:
            found += (Cut(menus.HOTSPOT_COOKIE, (("mac-address", line.mac),), said, drops=False),)
    return found


def _connections(line: Line, before: Access | None, after: Access, style: Style) -> tuple[Cut, ...]:
    if after.kind == Kind.GRANT or not style.cut_connections:
        return ()
    if before is not None and before.kind == after.kind and before.address_lists == after.address_lists:
        return ()
    why = "A connection that is open goes on whatever the address lists say, so downloads would too; it is ended."
    found = []
    for address in known_addresses(line, after):
        menu = menus.CONNECTION_V6 if ":" in address else menus.CONNECTION
        found += [Cut(menu, ((side, address),), why, drops=False) for side in ("src-address", "dst-address")]
    return tuple(found)


def _is_of(shown: str, wanted: str) -> bool:
    """Whether an address with or without a port, such as `10.0.0.1:443` or `[2001:db8::1]:443`, is or lies in this."""
    try:
        network = ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False
    bare, _, _ = shown.rpartition(":")
    for text in (shown, bare, shown.strip("[]"), bare.strip("[]")):
        try:
            return ipaddress.ip_address(text) in network
        except ValueError:
            continue
    return False
