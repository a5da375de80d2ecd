"""Who is online at a router, against what billing says and what accounting knows; and who could be, past RADIUS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from policy.access import Access
from policy.access import Kind as AccessKind
from policy.drift.finding import Finding, Kind, Mender, key_of, only
from policy.mac import canonical_mac
from policy.routeros import menus
from policy.routeros.matching import named_by
from policy.routeros.menus import menu_of
from policy.routeros.objects import Change, Command, Item, Plan, Verb
from policy.routeros.reading import Reading
from policy.routeros.values import duration
from policy.wording import short

# Accounting of a login takes a moment, and an interim comes every five minutes; two of them may be lost.
JUST_NOW_S = 600.0
SESSIONS = (menus.PPP_ACTIVE, menus.HOTSPOT_ACTIVE)
USERS = (menus.PPP_SECRET, menus.HOTSPOT_USER)
_NAME = {menus.PPP_ACTIVE: "name", menus.HOTSPOT_ACTIVE: "user"}
_MAC = {menus.PPP_ACTIVE: "caller-id", menus.HOTSPOT_ACTIVE: "mac-address"}
_TRUE = ("true", "yes")
_BY_ENGINE = "Let the change engine bring the session into line, by CoA or Disconnect: `ispagents drift fix`."
_END_IT = "End the session: the customer logs in again and gets what is authorised, or nothing."


class Customer(NamedTuple):
    """A service as a router meets it. `access` is what is authorised now, None before anything was.

    `held_here`: this router's own configuration holds it; else RADIUS does, or another router (`radius`).
    `settling`: a change is on its way, so what is seen may be of before.
    """

    service_id: int
    username: str
    access: Access | None
    closed: bool = False
    held_here: bool = False
    radius: bool = True
    settling: bool = False


class Accounted(NamedTuple):
    """An open session of the accounting at this router, last heard of `silent_s` ago.

    `access` is what it should have, its device and place considered; None where it is of no service.
    """

    session_id: int
    username: str
    service_id: int | None
    address: str
    mac: str
    method: str
    silent_s: float
    access: Access | None = None


class Known(NamedTuple):
    """What billing and accounting say. `customers` by name and by id; `walled`: the lists of those who are restricted.

    `is_radius`: this router asks us when somebody logs in.
    """

    by_name: Mapping[str, Customer]
    by_id: Mapping[int, Customer]
    accounted: Sequence[Accounted]
    walled: frozenset[str]
    is_radius: bool


class _Session(NamedTuple):
    item: Item
    name: str
    address: str
    mac: str
    customer: Customer | None
    accounted: Accounted | None


def online_findings(reading: Reading, known: Known) -> list[Finding]:
    """Who is online and should not be, or has more or less than billing says, or is not accounted for; and who is
    accounted for and not online. Menus of sessions that were not read are not judged."""
    sessions = _sessions(reading, known)
    lists = _lists(reading)
    found = [finding for one in sessions if (finding := _judged(one, reading, lists, known)) is not None]
    return found + _ghosts(sessions, reading, known)


def local_user_findings(reading: Reading, known: Known) -> list[Finding]:
    """Users of the router itself with the name of a service that it does not hold: it asks nobody about them."""
    found = []
    for path in USERS:
        for item in reading.get(path, ()):
            customer = known.by_name.get(item.fields.get("name", ""))
            if customer is None or customer.held_here or item.tag or item.dynamic:
                continue
            if item.fields.get("disabled") in _TRUE or item.fields.get("default") in _TRUE:
                continue
            found.append(_local_user(item, customer))
    return found


def names_online(reading: Reading) -> set[str]:
    """The names that the router knows somebody by: of sessions and of its own users."""
    sessions = {item.fields.get(_NAME[path], "") for path in SESSIONS for item in reading.get(path, ())}
    users = {item.fields.get("name", "") for path in USERS for item in reading.get(path, ())}
    return (sessions | users | {canonical_mac(name) or name for name in sessions}) - {""}


def _sessions(reading: Reading, known: Known) -> list[_Session]:
    by_name = {one.username: one for one in known.accounted}
    by_address = {one.address: one for one in known.accounted if one.address}
    found = []
    for path in SESSIONS:
        for item in reading.get(path, ()):
            name, address = item.fields.get(_NAME[path], ""), item.fields.get("address", "")
            mac = canonical_mac(item.fields.get(_MAC[path], ""))
            accounted = by_address.get(address)
            if accounted is None or (accounted.username != name and accounted.mac != mac):
                accounted = by_name.get(name)
            customer = known.by_name.get(name) or known.by_name.get(canonical_mac(name) or name)
            if customer is None and accounted is not None and accounted.service_id is not None:
                customer = known.by_id.get(accounted.service_id)
            found.append(_Session(item, name, address, mac, customer, accounted))
    return found


def _judged(one: _Session, reading: Reading, lists: Mapping[str, Mapping[str, Item]], known: Known) -> Finding | None:
    customer = one.customer
    has = lists.get(one.address, {})
    if customer is None:
        # Who is refused may get a restricted login instead, and then is online as nobody's customer.
        return None if one.accounted is not None and known.walled & has.keys() else _unknown(one, reading)
    if customer.settling:
        return None
    access = customer.access
    if one.accounted is not None and one.accounted.service_id == customer.service_id and access is not None:
        access = one.accounted.access or access
    if customer.closed or access is None or access.kind == AccessKind.DENY:
        return _denied(one, customer)
    walled_in = not access.address_lists or any(name in has for name in access.address_lists)
    if access.kind == AccessKind.RESTRICT and one.address and not walled_in:
        return _unrestricted(one, customer, access)
    walls = sorted(known.walled & has.keys() - set(access.address_lists))
    if access.kind == AccessKind.GRANT and walls and not has[walls[0]].tag:
        return _walled(one, customer, has[walls[0]])
    if one.accounted is None and known.is_radius and customer.radius and _uptime_s(one.item) > JUST_NOW_S:
        return _not_accounted(one, customer)
    return None


def _unknown(one: _Session, reading: Reading) -> Finding | None:
    if one.item.fields.get("login-by") == "trial":
        return None  # the hotspot's own trial users are nobody's customers
    path = menus.PPP_SECRET if one.item.menu == menus.PPP_ACTIVE else menus.HOTSPOT_USER
    users = reading.keyed(path, (("name", one.name),))
    if users:
        why = f"the router has a {menu_of(path).noun} of that name"
    elif one.item.fields.get("radius") in _TRUE:
        why = "a RADIUS server let it in that is not ours, or the service was removed since"
    else:
        why = "the router let it in by itself"
    changes = [_end(one)]
    changes += [change for user in users if not user.tag and (change := _disable(user)) is not None]
    return Finding(
        Kind.ONLINE_UNKNOWN,
        key_of(one.name, one.item.menu, why),
        f"{short(one.name)!r} is online ({one.address or 'no address'}) and no service has that name: {why}.",
        Mender.PERSON,
        "Sell it a service of that name, or end the session and take away what lets it in.",
        Plan(tuple(changes)),
    )


def _denied(one: _Session, customer: Customer) -> Finding:
    why = "is closed" if customer.closed else "has nothing authorised yet" if customer.access is None else "gets none"
    cause = f"{short(customer.username)} is online ({one.address or 'no address'}), but the service {why}."
    return _of_session(Kind.ONLINE_DENIED, one, customer, cause, why)


def _unrestricted(one: _Session, customer: Customer, access: Access) -> Finding:
    wanted = ", ".join(short(name) for name in access.address_lists)
    cause = (
        f"{short(customer.username)} is online with full access: its address {one.address} is not in {wanted}, "
        f"although the service is restricted ({access.reason.value.replace('_', ' ')})."
    )
    return _of_session(Kind.ONLINE_UNRESTRICTED, one, customer, cause, wanted)


def _walled(one: _Session, customer: Customer, entry: Item) -> Finding:
    name = entry.fields.get("list", "")
    cause = (
        f"{short(customer.username)} has paid and is restricted all the same: its address {one.address} is in "
        f"{short(name)!r}"
    )
    if entry.dynamic:
        said = cause + ", from what its login or a CoA gave it."
        return _of_session(Kind.RESTRICTED_THOUGH_PAID, one, customer, said, name)
    command = Command(Verb.REMOVE, entry.menu, named_by(entry), (), entry.id)
    back = Command(
        Verb.ADD, entry.menu, named_by(entry), (("list", name), ("address", entry.fields.get("address", "")))
    )
    change = Change(command, back, "the customer has paid")
    return Finding(
        Kind.RESTRICTED_THOUGH_PAID,
        key_of(customer.username, name, "by hand"),
        cause + ", by an entry that is not ours.",
        Mender.PERSON,
        "Remove the entry on the router.",
        only(change),
        customer.service_id,
    )


def _not_accounted(one: _Session, customer: Customer) -> Finding:
    by_radius = one.item.fields.get("radius")
    why = "its accounting does not arrive here"
    if by_radius is not None and by_radius not in _TRUE:
        why = "the router let it in without asking RADIUS"
    cause = (
        f"{short(customer.username)} is online ({one.address or 'no address'}), and accounting knows of no session: "
        f"{why}. No CoA reaches it, and its traffic is not counted."
    )
    return _of_session(Kind.NOT_ACCOUNTED, one, customer, cause, why)


def _of_session(kind: Kind, one: _Session, customer: Customer, cause: str, *observed: object) -> Finding:
    """The engine knows sessions of the accounting; one that it does not know is ended on the router."""
    known = one.accounted is not None and one.accounted.service_id == customer.service_id and customer.radius
    return Finding(
        kind,
        key_of(customer.username, one.item.menu, *observed),
        cause,
        Mender.SESSION if known else Mender.ROUTER,
        _BY_ENGINE if known else _END_IT,
        Plan() if known else only(_end(one)),
        customer.service_id,
        one.accounted.session_id if known and one.accounted is not None else 0,
    )


def _ghosts(sessions: Iterable[_Session], reading: Reading, known: Known) -> list[Finding]:
    menu = {"pppoe": menus.PPP_ACTIVE, "hotspot": menus.HOTSPOT_ACTIVE}
    there = {one.accounted.session_id for one in sessions if one.accounted is not None}
    names = {one.name for one in sessions}
    return [
        Finding(
            Kind.NOT_ON_ROUTER,
            key_of(one.username, one.session_id),
            f"Accounting has an open session of {short(one.username)} ({one.address or 'no address'}) that the router "
            "does not show: its end was never reported.",
            Mender.ACCOUNTING,
            "Close the session in the accounting.",
            service_id=one.service_id,
            session_id=one.session_id,
        )
        for one in known.accounted
        if menu.get(one.method) in reading
        and one.session_id not in there
        and one.username not in names
        and one.silent_s > JUST_NOW_S
    ]


def _local_user(item: Item, customer: Customer) -> Finding:
    noun = menu_of(item.menu).noun
    who = "RADIUS" if customer.radius else "another router"
    change = _disable(item)
    return Finding(
        Kind.LOCAL_USER,
        key_of(customer.username, item.menu, item.fields.get("profile", ""), item.fields.get("comment", "")),
        f"The router has a {noun} {short(customer.username)!r} of its own, so it lets the customer in without asking: "
        f"{who} is to control this service, and suspending it does nothing here.",
        Mender.PERSON,
        "Disable it once RADIUS answers for this router; or let the router hold the service with "
        "`ispagents service place --adopt`.",
        only(change) if change is not None else Plan(),
        customer.service_id,
    )


def _end(one: _Session) -> Change:
    path = one.item.menu
    key = ((_NAME[path], one.name),)
    return Change(Command(Verb.REMOVE, path, key, (), one.item.id), None, "the session should not go on as it is")


def _disable(user: Item) -> Change | None:
    if user.fields.get("disabled") in _TRUE:
        return None
    key = named_by(user)
    command = Command(Verb.SET, user.menu, key, (("disabled", "yes"),), user.id)
    back = Command(Verb.SET, user.menu, key, (("disabled", "no"),), user.id)
    return Change(command, back, "the router lets it in without asking")


def _lists(reading: Reading) -> dict[str, dict[str, Item]]:
    """The lists that each address is in, with the entry."""
    found: dict[str, dict[str, Item]] = {}
    for item in reading.get(menus.ADDRESS_LIST, ()):
        if item.fields.get("disabled") not in _TRUE:
            address = item.fields.get("address", "").removesuffix("/32")
            found.setdefault(address, {})[item.fields.get("list", "")] = item
    return found


def _uptime_s(item: Item) -> float:
    try:
        return duration(item.fields.get("uptime", "")).total_seconds()
    except ValueError:
        return 0.0
