"""A stored preview as rows to read, and what differs between two of them. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from policy.changes.batch import routes_of

Document = dict[str, Any]

DROPS = {"disconnect"}
ROUTES = {
    "coa": "CoA: the connection stays up",
    "disconnect": "Disconnect: the connection drops once",
    "next_login": "at the next login",
    "configure": "written to the router and read back",
    "configure_drops": "written to the router and read back: the connection drops once",
    "cannot_hold": "the router cannot hold it so",
    "none": "nothing to do",
}
ACCESS = {"grant": "online with the plan", "restrict": "online in the walled garden only", "deny": "offline"}


class Row(NamedTuple):
    """One line of the table: what it was and what it would be."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after


def rows(document: Document) -> list[Row]:
    """Access before and after: the kind, the reason, then every attribute."""
    before, after = document.get("from"), document.get("to")
    names = list(dict.fromkeys([*_attributes(before), *_attributes(after)]))
    return [
        Row("Access", _access(before), _access(after)),
        *(
            Row(name, ", ".join(_attributes(before).get(name, [])), ", ".join(_attributes(after).get(name, [])))
            for name in names
        ),
        Row("Reason", _why(before), _why(after)),
    ]


def route_words(route: str) -> str:
    """How a session gets there."""
    return ROUTES.get(route, route.replace("_", " "))


def drops(document: Document) -> int:
    """How many live sessions would drop."""
    sessions = sum(session.get("route") in DROPS for session in document.get("sessions", []))
    return sessions + sum(bool(one["drops"]) for one in document.get("configured", []))


def differences(seen: Document, now: Document) -> list[str]:
    """What a renewed preview says otherwise than the one that was on the page, a sentence each."""
    found = []
    for side, word in (("from", "Before"), ("to", "After")):
        found += _side_differences(word, seen.get(side), now.get(side))
    before, after = _routes(seen), _routes(now)
    if before != after:
        found.append(f"Way to the network: was {before}, is now {after}.")
    commands = [[one["commands"] for one in document.get("configured", [])] for document in (seen, now)]
    if commands[0] != commands[1]:
        found.append("What is written to the router is other commands now; they are below.")
    if seen.get("consequence") != now.get("consequence"):
        found.append(f"Consequence: was “{seen.get('consequence')}”, is now “{now.get('consequence')}”.")
    return found


def _side_differences(word: str, seen: Document | None, now: Document | None) -> list[str]:
    pairs = [("access", _access(seen), _access(now))]
    old, new = _attributes(seen), _attributes(now)
    pairs += [
        (name, ", ".join(old.get(name, [])), ", ".join(new.get(name, []))) for name in dict.fromkeys([*old, *new])
    ]
    return [
        f"{word}, {name}: was {before or 'not set'}, is now {after or 'not set'}."
        for name, before, after in pairs
        if before != after
    ]


def _routes(document: Document) -> str:
    words = sorted({route_words(route) for _, route in routes_of(document)})
    return ", ".join(words) or "nobody online"


def _access(side: Document | None) -> str:
    if side is None:
        return "nothing, the service is new"
    kind = str(side["access"]["kind"])
    return ACCESS.get(kind, kind)


def _why(side: Document | None) -> str:
    return str(side.get("why", "")) if side is not None else ""


def _attributes(side: Document | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in side["attributes"] if side is not None else []:
        found.setdefault(str(name), []).append(str(value))
    return found
