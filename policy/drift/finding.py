"""A finding: what is not as it should be, why, and what would mend it, as commands that can be read before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from policy.routeros.menus import field_of
from policy.routeros.objects import Change, Command, Plan
from policy.routeros.terminal import plan_rows
from policy.routeros.values import Kind as ValueKind
from policy.wording import escaped

# A proposal is for people to read; of a router that lost everything they need not see every line.
COMMANDS_MOST = 50
COMMAND_LETTERS_MOST = 2000
CAUSE_LETTERS_MOST = 1200  # at most four bytes each in what is stored
NAME_LETTERS_MOST = 100


class Kind(StrEnum):
    """What is wrong."""

    NOT_PROVISIONED = "not_provisioned"
    CHANGED_BY_HAND = "changed_by_hand"
    IN_THE_WAY = "in_the_way"
    CANNOT_HOLD = "cannot_hold"
    LEFT_BEHIND = "left_behind"
    ORPHAN = "orphan"
    LOCAL_USER = "local_user"
    ONLINE_UNKNOWN = "online_unknown"
    ONLINE_DENIED = "online_denied"
    ONLINE_UNRESTRICTED = "online_unrestricted"
    RESTRICTED_THOUGH_PAID = "restricted_though_paid"
    NOT_ACCOUNTED = "not_accounted"
    NOT_ON_ROUTER = "not_on_router"
    GARDEN_MISSING = "garden_missing"
    GARDEN_MISPLACED = "garden_misplaced"
    RADIUS_GONE = "radius_gone"


# People come and go: what was left alone about them stays so when they are back.
OF_SESSIONS = frozenset(
    {
        Kind.ONLINE_UNKNOWN,
        Kind.ONLINE_DENIED,
        Kind.ONLINE_UNRESTRICTED,
        Kind.RESTRICTED_THOUGH_PAID,
        Kind.NOT_ACCOUNTED,
    }
)


class Mender(StrEnum):
    """Who does what is proposed, once a person takes it."""

    ENGINE = "engine"
    """The change engine writes the service anew, once a person asks."""
    SESSION = "session"
    """The change engine brings the live session into line by CoA or Disconnect."""
    ROUTER = "router"
    """The worker sends just these commands: what they touch is ours."""
    ACCOUNTING = "accounting"
    """The session is closed in the accounting."""
    PERSON = "person"
    """Nothing of ours: a person types it, or decides otherwise."""


class Finding(NamedTuple):
    """Something that is not as it should be.

    `key` names it together with what was observed: another observation is another finding, so that what was left alone
    comes back when it changes. `action` is what would mend it, in a sentence; `plan` the same as commands.
    `session_id` is that of the accounting, 0 where it is about none.
    """

    kind: Kind
    key: str
    cause: str
    mender: Mender
    action: str
    plan: Plan = Plan()
    service_id: int | None = None
    session_id: int = 0


def key_of(name: str, *observed: object) -> str:
    """The key of a finding about something of this name, of which this was observed."""
    said = json.dumps(observed, default=str, ensure_ascii=True, separators=(",", ":"))
    digest = blake2b(f"{name}\n{said}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{escaped(name[:NAME_LETTERS_MOST])[: 2 * NAME_LETTERS_MOST]}:{digest}"


def plan_state(plan: Plan) -> list[object]:
    """What is observable of a plan, to tell two states of a router apart: no `.id`, which changes, and no secret."""
    changes = [[_command_state(change.command), _command_state(change.undo)] for change in plan.changes]
    return [*changes, *([one.wanted.menu, one.wanted.key, one.why] for one in plan.conflicts)]


def proposal_document(finding: Finding) -> dict[str, Any]:
    """The proposal as it is stored: commands with their reverse, without secrets."""
    rows = plan_rows(finding.plan)
    shown = [
        {"command": _cut(row.command), "undo": _cut(row.undo), "why": escaped(row.why)} for row in rows[:COMMANDS_MOST]
    ]
    document: dict[str, Any] = {"mender": finding.mender.value, "action": finding.action, "commands": shown}
    if len(rows) > COMMANDS_MOST:
        document["more"] = len(rows) - COMMANDS_MOST
    if finding.session_id:
        document["session_id"] = finding.session_id
    return document


def cause_text(finding: Finding) -> str:
    """The cause as it is stored: on one line, whatever a router said."""
    return _cut(escaped(finding.cause), CAUSE_LETTERS_MOST)


def listed(sentences: Iterable[str]) -> str:
    """What is said of one thing, as one sentence's part; of much only the beginning."""
    said = list(dict.fromkeys(sentences))
    some = "; ".join(said[:5])
    return some if len(said) <= 5 else f"{some}; and {len(said) - 5} more"


def words(fields: Mapping[str, str], *names: str) -> dict[str, str]:
    """Some fields of an item, to be part of a key."""
    return {name: fields.get(name, "") for name in names}


def only(change: Change) -> Plan:
    """A plan of one change."""
    return Plan((change,))


def _command_state(command: Command | None) -> list[object]:
    if command is None:
        return []
    fields = [pair for pair in command.fields if field_of(command.menu, pair[0]).kind != ValueKind.SECRET]
    return [command.verb.value, command.menu, command.key, fields, command.before]


def _cut(text: str, most: int = COMMAND_LETTERS_MOST) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
