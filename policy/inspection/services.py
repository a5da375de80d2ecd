"""The customers of a router: secrets, hotspot users, leases, and addresses in queues and lists that nobody else has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from policy.errors import PolicyError
from policy.facts import Method
from policy.inspection.found import FoundPlan, FoundService, Observed
from policy.inspection.speeds import speed_of
from policy.mac import canonical_mac
from policy.routeros import menus
from policy.routeros.menus import value
from policy.routeros.objects import Item, untagged
from policy.routeros.values import HIDDEN, boolean, host, words
from policy.wording import short

USERNAME_MAXIMUM_BYTES = 253
NO_LIMIT = "no limit"
PLAN_NAME_LETTERS = 60
# The services of a secret that this system's PPPoE stands for.
_PPP_SERVICES = ("any", "pppoe")


class Speed(NamedTuple):
    """How fast a customer is: by a profile's name alone (`by_group`), or by a rate limit of the customer's own."""

    group: str = ""
    rate_limit: str = ""
    lists: tuple[str, ...] = ()
    shown: str = ""
    problem: str = ""
    by_group: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What tells one found plan from another."""
        own = self.problem and self.shown
        return self.group, self.by_group, "" if self.by_group else self.rate_limit, self.lists, own


def found(observed: Observed, plan_lists: Collection[str]) -> tuple[tuple[FoundPlan, ...], tuple[FoundService, ...]]:
    """The plans and services of a router. `plan_lists`: the address lists that belong to what a customer buys."""
    reader = _Reader(observed, frozenset(plan_lists))
    services = tuple(_checked(one) for one in reader.services())
    return reader.plans(services), services


def is_off(item: Item) -> bool:
    """Whether an item is disabled."""
    try:
        return boolean(value(item.menu, item.fields, "disabled"))
    except PolicyError:
        return False


def one_host(text: str) -> str:
    """The one address that a text names, or ""."""
    try:
        return host(text)
    except PolicyError:
        return ""


class _Reader:
    def __init__(self, observed: Observed, plan_lists: frozenset[str]) -> None:
        self._observed = observed
        self._queues: dict[str, list[Item]] = defaultdict(list)
        for item in self._kept(menus.QUEUE):
            targets = words(value(item.menu, item.fields, "target"))
            if len(targets) == 1 and (address := one_host(targets[0])):
                self._queues[address].append(item)
        self._lists: dict[str, list[str]] = defaultdict(list)
        self._entries: dict[str, Item] = {}
        for item in self._kept(menus.ADDRESS_LIST):
            name = item.fields.get("list", "")
            if name in plan_lists and not is_off(item) and (address := one_host(item.fields.get("address", ""))):
                self._lists[address].append(name)
                self._entries.setdefault(address, item)
        self._profiles = {
            menu: {item.fields.get("name", ""): item for item in observed.get(menu, ())}
            for menu in (menus.PPP_PROFILE, menus.HOTSPOT_PROFILE)
        }
        self._names: dict[tuple[object, ...], str] = {}
        self._speeds: dict[str, Speed] = {}

    def services(self) -> Iterator[FoundService]:
        """Everybody; last those who are known by a queue or an entry of a list alone."""
        taken: set[str] = set()
        for menu, read in (
            (menus.PPP_SECRET, self._secret),
            (menus.HOTSPOT_USER, self._hotspot_user),
            (menus.LEASE, self._lease),
        ):
            for item in self._kept(menu):
                one = read(item)
                taken.update((one.address,) if one.address else ())
                yield one
        for address, queues in self._queues.items():
            if address not in taken:
                yield from (self._static(item, address) for item in queues)
        for address, item in self._entries.items():
            if address not in taken and address not in self._queues:
                yield self._listed(item, address)

    def plans(self, services: Iterable[FoundService]) -> tuple[FoundPlan, ...]:
        """The plans that somebody has, and the profiles that nobody has."""
        count = Counter(one.found_plan for one in services)
        for menu, profiles in self._profiles.items():
            for name in profiles:
                if not name.startswith(menus.OWN_NAME):
                    self._named(self._of_profile(menu, name))
        return tuple(
            FoundPlan(
                name,
                speed.group,
                speed.rate_limit,
                speed.lists,
                speed.shown,
                speed.by_group,
                count[name],
                speed.problem,
            )
            for name, speed in self._speeds.items()
        )

    def _kept(self, menu: str) -> Iterator[Item]:
        """What stays there by itself: not what the router made for a session, nor what it came with."""
        for item in self._observed.get(menu, ()):
            if not item.dynamic and item.fields.get("default") not in ("true", "yes"):
                yield item

    def _secret(self, item: Item) -> FoundService:
        problems = []
        service = value(item.menu, item.fields, "service")
        if service not in _PPP_SERVICES:
            problems.append(f"It is for {service}, not for PPPoE.")
        if item.fields.get("password", "") == "":
            problems.append("It has no password.")
        mac = item.fields.get("caller-id", "")
        if mac and not canonical_mac(mac):
            problems.append(f"Its caller-id {short(mac)!r} is no MAC address.")
        address = self._address(item, "remote-address", problems)
        profile = value(item.menu, item.fields, "profile")
        return self._line(item, Method.PPPOE, self._speed(menus.PPP_PROFILE, profile, address), problems)._replace(
            address=address, mac=canonical_mac(mac), routes=words(item.fields.get("routes", ""))
        )

    def _hotspot_user(self, item: Item) -> FoundService:
        problems = []
        name = item.fields.get("name", "")
        if item.fields.get("password", "") == "" and not canonical_mac(name):
            problems.append("It has no password, and its name is no MAC address.")
        mac = item.fields.get("mac-address", "")
        address = self._address(item, "address", problems)
        profile = value(item.menu, item.fields, "profile")
        server = value(item.menu, item.fields, "server")
        return self._line(
            item, Method.HOTSPOT, self._speed(menus.HOTSPOT_PROFILE, profile, address), problems
        )._replace(address=address, mac=canonical_mac(mac), server="" if server == "all" else server)

    def _lease(self, item: Item) -> FoundService:
        problems = []
        mac = canonical_mac(item.fields.get("mac-address", ""))
        if not mac:
            problems.append("It has no MAC address; a lease by client-id alone is not known here.")
        if value(item.menu, item.fields, "block-access") in ("true", "yes"):
            problems.append("Its access is blocked on the router.")
        address = self._address(item, "address", problems)
        rate, shown, wrong = speed_of(item)
        speed = Speed("", rate, words(item.fields.get("address-lists", "")), shown, wrong)
        if not rate and not wrong:
            speed = self._with_queue(speed, address)
        server = value(item.menu, item.fields, "server")
        return self._line(item, Method.DHCP, speed, problems, mac)._replace(
            address=address, mac=mac, server="" if server == "all" else server
        )

    def _static(self, item: Item, address: str) -> FoundService:
        rate, shown, wrong = speed_of(item)
        speed = Speed("", rate, tuple(sorted(self._lists[address])), shown, wrong)
        problems = [] if rate or wrong or speed.lists else ["It limits nothing, so there is nothing to hold."]
        if len(self._queues[address]) > 1:
            problems.append(f"Several queues are for {address}.")
        return self._line(item, Method.STATIC, speed, problems)._replace(
            address=address, queue=item.fields.get("name", ""), lists=speed.lists
        )

    def _listed(self, item: Item, address: str) -> FoundService:
        """A customer of whom only the address is known; it is his name too."""
        lists = tuple(sorted(self._lists[address]))
        return self._line(item, Method.STATIC, Speed(lists=lists), [], address)._replace(address=address, lists=lists)

    def _line(
        self, item: Item, method: Method, speed: Speed, problems: list[str], username: str | None = None
    ) -> FoundService:
        name = username if username is not None else item.fields.get("name", "")
        off = is_off(item)
        own = _about_name(name) + ([_OFF] if off else [])
        if item.fields.get("password") == HIDDEN:
            own.append("The router does not show its password; let our user's group have the policy `sensitive`.")
        address = one_host(item.fields.get("remote-address", item.fields.get("address", "")))
        queues = self._queues.get(address, []) if address else []
        if len(queues) > 1:
            own.append(f"Several queues are for {address}.")
        return FoundService(
            menu=item.menu,
            id=item.id,
            username=name,
            method=method,
            found_plan=self._named(speed),
            queue=queues[0].fields.get("name", "") if queues else "",
            lists=speed.lists,
            comment=untagged(item.fields.get("comment", "")),
            tag=item.tag,
            disabled=off,
            problems=(*problems, *own),
        )

    def _speed(self, menu: str, profile: str, address: str) -> Speed:
        """A profile's speed, or that of the queue on the customer's own address, with the lists that are sold."""
        speed = self._of_profile(menu, profile)
        lists = tuple(sorted(self._lists.get(address, ()))) if address else ()
        return self._with_queue(speed._replace(lists=lists), address)

    def _of_profile(self, menu: str, name: str) -> Speed:
        item = self._profiles[menu].get(name)
        if item is None:
            return Speed(name, problem=f"Its profile {short(name)!r} is not there.", by_group=True)
        rate, shown, _ = speed_of(item)
        # A profile is used by its name, so its speed need not be understood.
        return Speed(name, rate, shown=shown, by_group=True)

    def _with_queue(self, speed: Speed, address: str) -> Speed:
        queues = self._queues.get(address, []) if address else []
        if not queues:
            return speed
        rate, shown, wrong = speed_of(queues[0])
        return speed._replace(rate_limit=rate, shown=shown, problem=wrong or speed.problem, by_group=False)

    def _named(self, speed: Speed) -> str:
        """The name of a found plan: the profile's, or its speed; another one of the same name is told apart."""
        if (known := self._names.get(speed.key)) is not None:
            return known
        parts = [speed.group if speed.by_group or speed.group != "default" else "", *speed.lists]
        if not speed.by_group:
            parts.insert(1, speed.rate_limit or short(speed.shown, 40) or NO_LIMIT)
        base = short(" ".join(part for part in parts if part), PLAN_NAME_LETTERS)
        name, number = base, 2
        while name in self._speeds:
            name, number = f"{base} ({number})", number + 1
        self._names[speed.key], self._speeds[name] = name, speed
        return name

    @staticmethod
    def _address(item: Item, field: str, problems: list[str]) -> str:
        text = item.fields.get(field, "")
        address = one_host(text) if text else ""
        if text and not address and text not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            problems.append(f"Its {field} {short(text)!r} is no single address; a pool belongs to a plan or a profile.")
        if ":" in address:
            problems.append(f"Its {field} is no IPv4 address.")
        return address


_OFF = "It is disabled on the router; adopting it would enable it."


def is_storable(text: str) -> bool:
    """Whether a text is valid UTF-8 without a zero byte."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _checked(one: FoundService) -> FoundService:
    """With a problem for each other text that no database holds."""
    told = (("server", one.server), ("queue", one.queue), ("routes", "".join(one.routes)))
    bad = tuple(f"Its {name} has a name that is not valid UTF-8." for name, text in told if not is_storable(text))
    return one._replace(problems=one.problems + bad)


def _about_name(name: str) -> list[str]:
    """What keeps a name from being a user name here."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return ["Its name is not valid UTF-8."]
    if not name.strip():
        return ["It has no name."]
    if len(name.encode()) > USERNAME_MAXIMUM_BYTES:
        return [f"Its name is longer than {USERNAME_MAXIMUM_BYTES} bytes."]
    return ["Its name holds a zero byte."] if "\0" in name else []
