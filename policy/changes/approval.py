"""Who may approve a change: a named rule by itself, one person, or two different people; and what holds rules back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from policy.changes.brakes import BrakeTerms, allowed
from policy.changes.intent import ChangeKind
from policy.errors import PolicyError

PEOPLE_MAXIMUM = 2
RULES_MAXIMUM = 50
NAME_MAXIMUM = 200
HOURS = 24
AUTOMATIC = frozenset({ChangeKind.OPEN, ChangeKind.RESTORE, ChangeKind.PLAN, ChangeKind.ADDRESS})
# What takes something away from a customer: never while nobody can know whether it is right.
TAKES_AWAY = frozenset({ChangeKind.SUSPEND, ChangeKind.CLOSE})
# A customer who paid never waits for a brake, and new ones have nothing to lose.
UNBRAKED = frozenset({ChangeKind.OPEN, ChangeKind.RESTORE})

DEFAULT_RULES: dict[ChangeKind, str] = {
    ChangeKind.OPEN: "new services start by themselves",
    ChangeKind.SUSPEND: "suspensions run by themselves",
    ChangeKind.RESTORE: "payments restore by themselves",
    ChangeKind.PLAN: "plan changes run by themselves",
    ChangeKind.ADDRESS: "address changes run by themselves",
    ChangeKind.CLOSE: "closures run by themselves",
}


class ApprovalRule(NamedTuple):
    """One rule of an operator. Empty `kinds` or `plans` mean all; `hours` is local, from the first to before the
    second, over midnight too; `more_than` matches only once so many of the kind were asked for today.
    """

    name: str
    people: int
    kinds: frozenset[ChangeKind] = frozenset()
    plans: frozenset[str] = frozenset()
    hours: tuple[int, int] | None = None
    more_than: int = 0


class ApprovalTerms(NamedTuple):
    """An operator's choices: its own rules first, then the kinds that run by themselves; all else needs a person."""

    automatic: frozenset[ChangeKind] = AUTOMATIC
    rules: tuple[ApprovalRule, ...] = ()
    brakes: BrakeTerms = BrakeTerms()


class Asked(NamedTuple):
    """A change as rules see it. `today`: how many of its kind were asked for today, this one included; `ran`: how many
    of its kind rules have approved today; `active`: services in use; `waits`: for which day or hour, as a sentence.
    """

    kind: ChangeKind
    plan: str = ""
    hour: int = 0
    today: int = 1
    ran: int = 0
    active: int = 0
    feed_silent: bool = False
    standings_silent: bool = False
    router_down: str = ""
    waits: str = ""


class Verdict(NamedTuple):
    """How many people must approve (0: the rule alone), by which rule, and what holds a rule back ("" nothing)."""

    people: int
    rule: str
    held_back: str = ""


def verdict(asked: Asked, terms: ApprovalTerms) -> Verdict:
    """Who approves this change. The first rule that matches decides; brakes turn a rule's yes into a person's."""
    said = _by_rules(asked, terms)
    if said.people:
        return said
    why = hindrance(asked) or _braked(asked, terms.brakes)
    return Verdict(1, said.rule, why) if why else said


def hindrance(asked: Asked) -> str:
    """Why this may not happen now, whoever approves it; "" where nothing stands against it."""
    if asked.kind not in TAKES_AWAY:
        return ""
    if asked.feed_silent:
        return "No payment has come in for longer than is usual here, so nobody is cut off until one does."
    if asked.standings_silent:
        return "The other billing system has been silent for longer than is set, so nobody is cut off until it speaks."
    if asked.router_down:
        return f"The router {asked.router_down} is down, so nobody on it is cut off until it answers again."
    return asked.waits


def read_rules(document: Sequence[Any]) -> tuple[ApprovalRule, ...]:
    """Rules from their JSON. Raises PolicyError with the rule and the key that is wrong."""
    if len(document) > RULES_MAXIMUM:
        raise PolicyError(f"there can be at most {RULES_MAXIMUM} approval rules")
    return tuple(_rule(number, one) for number, one in enumerate(document, 1))


def _by_rules(asked: Asked, terms: ApprovalTerms) -> Verdict:
    for rule in terms.rules:
        if _matches(rule, asked):
            return Verdict(rule.people, rule.name)
    if asked.kind in terms.automatic:
        return Verdict(0, DEFAULT_RULES[asked.kind])
    return Verdict(1, "a person approves")


def _matches(rule: ApprovalRule, asked: Asked) -> bool:
    if rule.kinds and asked.kind not in rule.kinds:
        return False
    if rule.plans and asked.plan not in rule.plans:
        return False
    if asked.today <= rule.more_than:
        return False
    if rule.hours is None:
        return True
    start, end = rule.hours
    return start <= asked.hour < end if start < end else asked.hour >= start or asked.hour < end


def _braked(asked: Asked, terms: BrakeTerms) -> str:
    if asked.kind in UNBRAKED:
        return ""
    most = allowed(asked.active, terms)
    if asked.ran < most:
        return ""
    return f"Rules have approved {asked.ran} of these today, and the brake lets {most} run by themselves."


def _rule(number: int, one: Any) -> ApprovalRule:
    place = f"approval rule {number}"
    if not isinstance(one, Mapping):
        raise PolicyError(f"{place} must be an object with name and people")
    unknown = sorted(set(one) - {"name", "people", "kinds", "plans", "hours", "more_than"})
    if unknown:
        raise PolicyError(f"{place} has {unknown[0]!r}, which is not known here")
    name, people = one.get("name"), one.get("people")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAXIMUM:
        raise PolicyError(f"{place} needs a name of 1 to {NAME_MAXIMUM} letters")
    if not _whole(people, PEOPLE_MAXIMUM):
        raise PolicyError(f"{place} needs people: 0 (it runs by itself), 1 or 2")
    if not _whole(one.get("more_than", 0), 10**9):
        raise PolicyError(f"{place} has a more_than that is no whole number")
    kinds, plans = one.get("kinds", []), one.get("plans", [])
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= set(ChangeKind):
        raise PolicyError(f"{place} has kinds that are none of {', '.join(ChangeKind)}")
    if not isinstance(plans, list) or not all(isinstance(plan, str) for plan in plans):
        raise PolicyError(f"{place} has plans that are no names")
    assert isinstance(people, int)  # noqa: S101 - just looked at
    return ApprovalRule(
        name, people, frozenset(map(ChangeKind, kinds)), frozenset(plans), _hours(place, one), one.get("more_than", 0)
    )


def _hours(place: str, one: Mapping[str, Any]) -> tuple[int, int] | None:
    hours = one.get("hours")
    if hours is None:
        return None
    if not isinstance(hours, list) or len(hours) != 2 or not all(_whole(hour, HOURS) for hour in hours):
        raise PolicyError(f"{place} has hours that are not two whole numbers from 0 to 24, such as [8, 18]")
    if hours[0] % HOURS == hours[1] % HOURS:
        raise PolicyError(f"{place} has hours that begin and end at the same hour")
    return hours[0] % HOURS, hours[1]


def _whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
