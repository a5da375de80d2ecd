"""A router's menus in memory, independent of the code under test: names are unique, values come back in other words.

And Hypothesis strategies for services, styles, accesses and routers that hold all sorts of things.
"""

import re

from hypothesis import strategies as st
from policy_strategies import rate_texts

from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.difference import difference
from policy.routeros.objects import Item, Verb, tagged
from policy.routeros.style import HotspotDenial, Style, Way
from policy.routeros.wanted import Line, menus_of, wanted_items

UNIQUE = {
    menus.PPP_SECRET: ("name",),
    menus.PPP_PROFILE: ("name",),
    menus.HOTSPOT_USER: ("name",),
    menus.HOTSPOT_PROFILE: ("name",),
    menus.QUEUE: ("name",),
    menus.ADDRESS_LIST: ("list", "address"),
    menus.ADDRESS_LIST_V6: ("list", "address"),
}
BUILT_IN = {menus.PPP_PROFILE: "default", menus.HOTSPOT_PROFILE: "default"}
READ = (*UNIQUE, menus.LEASE, menus.HOTSPOT_BINDING)


class Trap(Exception):  # noqa: N818 # the word of the protocol
    """The router refuses."""


class Router:
    """Carries out commands as a router does, one after the other."""

    def __init__(self, items=None):
        self.menus = {path: [] for path in READ}
        self.count = 0
        for path, name in BUILT_IN.items():
            self.insert(path, {"name": name})
        for path, fields in items or []:
            self.insert(path, fields)

    def insert(self, path, fields, place=None):
        self.count += 1
        item = Item(path, f"*{self.count:X}", {})
        items = self.menus.setdefault(path, [])
        items.insert(len(items) if place is None else place, item)
        try:
            self.write(item, fields)
        except Trap:
            items.remove(item)
            raise

    def write(self, item, fields):
        for name, text in fields.items():
            if name.startswith("!") or (name == "remote-address" and not text):
                item.fields.pop(name.removeprefix("!"), None)
            else:
                item.fields[name] = reworded(name, text)
        names = UNIQUE.get(item.menu, ())
        own = [item.fields.get(name) for name in names]
        for other in self.menus[item.menu]:
            if names and other.id != item.id and [other.fields.get(name) for name in names] == own:
                raise Trap("failure: already have such entry")
        used = {menus.PPP_SECRET: menus.PPP_PROFILE, menus.HOTSPOT_USER: menus.HOTSPOT_PROFILE}.get(item.menu)
        profile = item.fields.get("profile")
        if used and profile and profile not in [one.fields["name"] for one in self.menus[used]]:
            raise Trap("input does not match any value of profile")

    def execute(self, command):
        items = self.menus[command.menu]
        if command.verb == Verb.ADD:
            place = self.place(command)
            self.insert(command.menu, dict(menus.as_sent(command.menu, command.fields)), place)
            return
        found = [item for item in items if self.is_named(item, command)]
        assert len(found) == 1, (command, items)
        assert not found[0].dynamic or found[0].fields.get("timeout"), "a session's own item was touched"
        if command.verb == Verb.SET:
            self.write(found[0], dict(menus.as_sent(command.menu, command.fields)))
            return
        items.remove(found[0])
        if command.verb == Verb.MOVE:
            place = self.place(command)
            items.insert(len(items) if place is None else place, found[0])

    def place(self, command):
        if not command.place_before:
            return None
        return [item.id for item in self.menus[command.menu]].index(command.place_before)

    @staticmethod
    def is_named(item, command):
        if command.id:
            return item.id == command.id
        assert command.key
        return all(item.fields.get(name) == reworded(name, text) for name, text in command.key)

    def shown(self):
        """What it prints."""
        return {path: tuple(Item(i.menu, i.id, dict(i.fields)) for i in items) for path, items in self.menus.items()}

    def state(self):
        """Everything but ids, in order where it counts; what the router made itself stands anywhere."""
        found = {}
        for path, items in self.menus.items():
            kept = [tuple(sorted(special(item))) for item in items if not item.dynamic]
            made = [tuple(sorted(special(item))) for item in items if item.dynamic]
            found[path] = (kept if path == menus.QUEUE else sorted(kept)) + sorted(made)
        return found


def special(item):
    """The fields that say something: one that has its default may as well not be printed."""
    for name, text in item.fields.items():
        if name == "password" or not menus.same(item.menu, name, text, menus.field_of(item.menu, name).default):
            yield name, text


def reworded(name, text):
    """As RouterOS writes it back: rates in bit/s, yes as true."""
    if name in ("max-limit", "limit-at", "burst-limit", "burst-threshold"):
        units = {"k": "000", "M": "000000", "": ""}
        return re.sub(r"([0-9]+)([kM]?)", lambda found: str(int(found[1] + units[found[2]])), text)
    if name == "target":
        return ",".join(one if "/" in one else f"{one}/32" for one in text.split(","))
    if name == "disabled":
        return {"yes": "true", "no": "false"}.get(text, text)
    return text


NAMES = st.sampled_from(["anna", "no", "0123", "1e3", "łódź", 'a"b', "a\nb", "a b?$[x]", "true"])
LISTS = st.sampled_from(["paid", "overdue", "łódź zaległe", "no"])
ADDRESSES = st.sampled_from(["10.0.0.5", "10.0.0.6"])
lines = st.builds(
    lambda **fields: Line(**fields),  # noqa: PLW0108 # or `builds` would fill in what has a default
    service_id=st.sampled_from([12, 13]),
    username=NAMES,
    method=st.sampled_from(Method),
    password=st.sampled_from(["secret", "***", "no", ""]),
    address=ADDRESSES,
    mac=st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]),
    ipv6_prefix=st.sampled_from(["", "2001:db8:5::/64"]),
    routes=st.sampled_from([(), ("10.9.0.0/24 10.0.0.5 1",)]),
    server=st.sampled_from(["", "shop"]),
    queue=st.sampled_from(["", "", "Anna at home"]),
)
styles = st.builds(
    lambda **fields: Style(**fields),  # noqa: PLW0108 # or `builds` would fill in what has a default
    ppp=st.sampled_from([Way.PROFILE, Way.QUEUE]),
    hotspot=st.sampled_from([Way.PROFILE, Way.QUEUE]),
    dhcp=st.sampled_from([Way.LEASE, Way.QUEUE]),
    local_address=st.sampled_from(["", "10.0.0.1"]),
    address_pool=st.sampled_from(["", "pool1"]),
    hotspot_denial=st.sampled_from(HotspotDenial),
    parent_queue=st.sampled_from(["", "all"]),
    queue_before=st.sampled_from(["", "rest"]),
    list_timeout_s=st.sampled_from([0, 86400]),
)


@st.composite
def accesses(draw):
    """An access as `decide` would give it to a service with a fixed address, or one from a pool."""
    kind = draw(st.sampled_from(Kind))
    if kind == Kind.DENY:
        return Access(kind, Reason.CLOSED)
    pool = draw(st.sampled_from(["", "walled"]))
    return Access(
        kind,
        Reason.PLAN if kind == Kind.GRANT else Reason.SUSPENDED,
        rate_limit=draw(st.sampled_from(["", "10M/50M", "256k/256k"]) | rate_texts),
        address_lists=draw(st.lists(LISTS, max_size=1, unique=True).map(tuple)),
        pool=pool,
        address="" if pool else draw(ADDRESSES),
        port_limit=draw(st.sampled_from([0, 1])),
        idle_timeout_s=draw(st.sampled_from([0, 600])),
    )


FOREIGN = [
    (menus.PPP_SECRET, {"name": "somebody", "password": "x", "profile": "default"}),
    (menus.PPP_SECRET, {"name": "anna", "password": "x", "comment": "by hand"}),
    (menus.PPP_PROFILE, {"name": "home", "rate-limit": "1M/1M"}),
    (menus.QUEUE, {"name": "rest", "target": "10.0.0.0/8", "max-limit": "0/0"}),
    (menus.QUEUE, {"name": "<pppoe-anna>", "target": "10.0.0.5/32", "dynamic": "true"}),
    (menus.ADDRESS_LIST, {"list": "overdue", "address": "10.0.0.6"}),
    (menus.ADDRESS_LIST, {"list": "paid", "address": "10.0.0.5", "dynamic": "true"}),
    (menus.ADDRESS_LIST, {"list": "staff", "address": "10.0.0.5"}),
    (menus.LEASE, {"mac-address": "02:00:00:00:00:09", "address": "10.0.0.9", "server": "shop", "dynamic": "true"}),
    (menus.LEASE, {"mac-address": "02:00:00:00:00:08", "address": "10.0.0.6", "server": "shop"}),
    (menus.QUEUE, {"name": "Anna at home", "target": "10.0.0.5/32", "max-limit": "5000000/5000000"}),
    (menus.HOTSPOT_USER, {"name": "0123", "password": "x", "profile": "default"}),
    (menus.PPP_SECRET, {"name": "other", "password": "y", "comment": tagged("service-99")}),
]
OWN_DUPLICATES = [
    (menus.LEASE, {"mac-address": "02:00:00:00:00:01", "address": "10.0.0.77", "comment": tagged("service-12")}),
    (menus.QUEUE, {"name": "old", "target": "10.0.0.5/32", "comment": tagged("service-12", "kept words")}),
    (menus.ADDRESS_LIST, {"list": "old list", "address": "10.0.0.5", "comment": tagged("service-12")}),
    (menus.PPP_SECRET, {"name": "old name", "password": "old", "comment": tagged("service-12")}),
]


@st.composite
def routers(draw, line, style):
    """A router with foreign things, left-overs of ours, and perhaps what an earlier access of this service meant."""
    found = st.lists(st.sampled_from(FOREIGN), unique_by=repr).flatmap(st.permutations)
    router = Router(draw(found))
    for path, fields in draw(st.lists(st.sampled_from(OWN_DUPLICATES), unique_by=repr)):
        router.insert(path, fields)
    if draw(st.booleans()):
        plan = difference(wanted_items(line, draw(accesses()), style), router.shown())
        for change in plan.changes:
            router.execute(change.command)
    for path in draw(st.lists(st.sampled_from(menus_of(line)), max_size=1)):
        mine = [item for item in router.menus[path] if item.tag == line.tag]
        for item in mine[:1]:
            item.fields["disabled"] = "true"
    return router
