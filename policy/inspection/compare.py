"""What was found on a router against what is stored: each customer new, same, conflicting, or for a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from policy.access import Access, decide
from policy.documents import Document, plan_document, read_plan
from policy.errors import PolicyError
from policy.facts import Facts, Login, Method, OperatorFacts, ServiceFacts
from policy.inspection.found import FoundPlan, FoundService, Observed, Picture
from policy.routeros.matching import Match, called, match
from policy.routeros.menus import field_of, same, value
from policy.routeros.objects import Wanted
from policy.routeros.reading import reading_of
from policy.routeros.style import Style
from policy.routeros.values import HIDDEN, Kind
from policy.routeros.wanted import Line, service_tag, wanted_items
from policy.standing import Standing
from policy.wording import short

# Stands for the ids that services will have; no real one is as large.
_FIRST_ID = 10**15
# Of a comment that becomes a customer's name; 1,024 bytes are the most that a name has.
NAME_LETTERS = 250


class Verdict(StrEnum):
    """What a row is."""

    NEW = "new"
    SAME = "same"
    CONFLICTING = "conflicting"
    PERSON = "needs a person"


class KnownService(NamedTuple):
    """A stored service of that user name. `router`: whose configuration holds it, "" for RADIUS.

    `undone`: an import made it, which was taken back since; it may come in again.
    """

    service_id: int
    username: str
    router: str
    closed: bool
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored already: services by user name, who has which address, customers and plans by number and name."""

    services: Mapping[str, KnownService]
    addresses: Mapping[str, str]
    subscribers: Collection[str]
    plans: Mapping[str, Document]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chose. `plans`: of found plans, the plan here; `default_plan` for those that cannot be read.

    `subscriber`: the customer number of all, "" for one of each service. With `adopt` the router's configuration goes
    on holding the services, in this `style`; else RADIUS does. `accept_changes`: items may be changed by that.
    """

    router: str
    methods: frozenset[Method]
    style: Style
    plans: Mapping[str, str]
    default_plan: str = ""
    subscriber: str = ""
    adopt: bool = True
    accept_changes: bool = False


class Row(NamedTuple):
    """A customer of the router, and what an import would do about it. `reason` is a sentence, or ""."""

    service: FoundService
    verdict: Verdict
    reason: str = ""
    plan: str = ""
    subscriber: str = ""
    name: str = ""


class Comparison(NamedTuple):
    """All rows, and the plans that are not there yet, with their facts."""

    rows: tuple[Row, ...]
    new_plans: dict[str, Document]


def compare(found: Picture, observed: Observed, known: Known, choices: Choices) -> Comparison:
    """Judge every customer of the chosen methods. Nothing is changed by it."""
    plans = {one.name: _plan(one, known, choices) for one in found.plans}
    seen_names: dict[str, str] = {}
    seen_addresses: dict[str, str] = {}
    rows = []
    for one in found.services:
        if one.method not in choices.methods:
            continue
        row = _judged(one, plans[one.found_plan], known, choices, seen_names, seen_addresses)
        if row.verdict == Verdict.NEW:
            seen_names[one.username] = one.menu
            if one.address:
                seen_addresses[one.address] = one.username
        rows.append(row)
    if choices.adopt and not choices.accept_changes:
        rows = _unchanged(rows, plans, observed, choices.style)
    needed = {row.plan for row in rows if row.verdict == Verdict.NEW}
    new = {one.name: one.facts for one in plans.values() if one.name in needed and one.name not in known.plans}
    return Comparison(tuple(rows), new)


class _Sold(NamedTuple):
    """The plan here that stands for a found one; with a problem there is none."""

    name: str
    facts: Document
    problem: str = ""


def _plan(found: FoundPlan, known: Known, choices: Choices) -> _Sold:
    chosen = choices.plans.get(found.name) or (choices.default_plan if found.problem else "")
    if chosen:
        facts = known.plans.get(chosen)
        return _Sold(chosen, facts or {}, "" if facts is not None else f"There is no plan {short(chosen)!r}.")
    if found.problem:
        return _Sold("", {}, found.problem)
    try:
        facts = plan_document(read_plan(found.facts(), 0, found.name))
    except PolicyError as error:
        return _Sold("", {}, f"Its plan cannot be stored: {error}.")
    for name in (found.name, f"{found.name} ({choices.router})"):
        if known.plans.get(name, facts) == facts:
            return _Sold(name, facts)
    said = f"There is another plan {short(found.name)!r}; choose one with --plan {short(found.name)!r}=NAME."
    return _Sold("", {}, said)


def _judged(
    one: FoundService,
    plan: _Sold,
    known: Known,
    choices: Choices,
    names: Mapping[str, str],
    addresses: Mapping[str, str],
) -> Row:
    there = known.services.get(one.username)
    if one.tag:
        return _tagged(one, there, choices)
    if there is not None and not there.undone:
        return Row(one, Verdict.CONFLICTING, _stored(one, there, choices))
    if one.username in names:
        return Row(one, Verdict.CONFLICTING, f"The same name is in {names[one.username]} too, and comes first.")
    owner = known.addresses.get(one.address) or addresses.get(one.address)
    if one.address and owner:
        return Row(one, Verdict.CONFLICTING, f"Its address {one.address} belongs to {short(owner)!r}.")
    problems = [*one.problems, *([plan.problem] if plan.problem else [])]
    if problems:
        return Row(one, Verdict.PERSON, " ".join(problems))
    number = choices.subscriber or one.username
    reason = f"It goes to customer {short(number)!r}, who is there." if number in known.subscribers else ""
    name = " ".join(one.comment.split()) or one.username
    return Row(one, Verdict.NEW, reason, plan.name, number, short(name, NAME_LETTERS))


def _tagged(one: FoundService, there: KnownService | None, choices: Choices) -> Row:
    if there is not None and one.tag == service_tag(there.service_id) and there.router == choices.router:
        return Row(one, Verdict.SAME, "It is held by this system already.")
    return Row(one, Verdict.PERSON, f"It carries the mark {one.tag!r} of a service that is not held here.")


def _stored(one: FoundService, there: KnownService, choices: Choices) -> str:
    name = short(one.username)
    if there.closed:
        return f"A closed service has the name {name!r}; names are given once."
    if there.router == choices.router:
        return f"The service {name!r} is held by this router, but the item is not marked: somebody made it anew."
    whose = f"held by router {short(there.router)!r}" if there.router else "controlled by RADIUS"
    return f"The service {name!r} is there already, {whose}; `ispagents service place` lets this router hold it."


def _unchanged(rows: list[Row], plans: Mapping[str, _Sold], observed: Observed, style: Style) -> list[Row]:
    """Rows whose items would be changed beyond our mark are for a person."""
    wanted: list[Wanted] = []
    said: dict[str, list[str]] = defaultdict(list)
    sold = {one.name: one for one in plans.values() if not one.problem}
    for place, row in enumerate(rows):
        if row.verdict != Verdict.NEW:
            continue
        line = _line(row.service, _FIRST_ID + place)
        try:
            items = wanted_items(line, access_of(row.service, sold[row.plan].facts), style)
        except PolicyError as error:
            said[line.tag].append(str(error))
            continue
        wanted += items
        if not items:
            said[line.tag].append("nothing there is its own")
    reading = reading_of(observed)
    for absent in wanted:
        if not absent.present and reading.keyed(absent.menu, absent.key):
            said[absent.tag].append(f"the {called(absent.menu, absent.key)} would be removed")
    for one in match(wanted, reading, adopt=True).matches:
        if one.wanted.tag:
            said[one.wanted.tag] += _changes(one)
    return [_with_changes(row, said.get(_line(row.service, _FIRST_ID + place).tag)) for place, row in enumerate(rows)]


def _with_changes(row: Row, said: Sequence[str] | None) -> Row:
    if row.verdict != Verdict.NEW or not said:
        return row
    return row._replace(verdict=Verdict.PERSON, reason=f"Adopting it would change it: {'; '.join(said)}.")


def _changes(one: Match) -> list[str]:
    """What would be written beside our mark."""
    menu = one.wanted.menu
    if one.item is None:
        return [f"there would be a new {called(menu, one.wanted.key)}"]
    shown = one.item.fields
    differing = [
        (name, value(menu, shown, name), text)
        for name, text in (*one.wanted.key, *one.wanted.fields)
        if not same(menu, name, value(menu, shown, name), text)
    ]
    return [
        f"{name} of the {called(menu, one.wanted.key)}"
        + ("" if field_of(menu, name).kind == Kind.SECRET else f" from {short(before)!r} to {short(after)!r}")
        for name, before, after in differing
    ]


def _line(one: FoundService, service_id: int) -> Line:
    """The line that the service will be."""
    password = "" if one.method == Method.DHCP else HIDDEN
    return Line(
        service_id,
        one.username,
        one.method,
        password,
        address=one.address,
        mac=one.mac,
        routes=one.routes,
        server=one.server,
        queue=one.queue,
    )


def access_of(one: FoundService, facts: dict[str, Any]) -> Access:
    """What the service will get with a plan, in good standing."""
    plan = read_plan(facts, 1, "")
    service = ServiceFacts(1, one.method, Standing.CURRENT, 1, address=one.address, routes=one.routes)
    return decide(Facts(OperatorFacts(0), service, plan), Login(), datetime(2000, 1, 1, tzinfo=UTC))
