r"""Commands as an operator would type them in a router's terminal.

Quoting follows the RouterOS scripting manual ("Constant escape sequences"): within quotes `\"`, `\\`, `\$`, `\n`, `\r`,
`\t`, and `\XX` for any other byte, in capital hex digits. A question mark asks v6 for help, and its own escape is gone
since v7.1, so it is written as a byte too; the same text can then be typed on both. `#` begins a comment there.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from policy.routeros.cuts import Cut
from policy.routeros.menus import CONNECTION, CONNECTION_V6, field_of
from policy.routeros.objects import Command, Fields, Plan, Verb
from policy.routeros.values import HIDDEN, Kind

SECRET = "***"  # noqa: S105 # what stands for one

# What needs no quotes: it cannot be taken for a variable, an expression, or two words.
_BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/,-]*|\*[0-9A-F]+", re.ASCII)
_ESCAPES = {'"': r"\"", "\\": r"\\", "$": r"\$", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
# Names could be taken for a number, a boolean or a length of time, so they are always quoted.
_QUOTED = frozenset({Kind.TEXT, Kind.SECRET, Kind.LIST})


class Row(NamedTuple):
    """A command of a plan, what takes it back ("": nothing has to), and why it is there."""

    command: str
    undo: str
    why: str


def command_text(command: Command, *, secrets: bool = False) -> str:
    """One command on one line. Secrets are `***` unless asked for; one that is not known stays `***` even so."""
    words = [_path(command.menu), command.verb.value]
    if command.verb != Verb.ADD:
        words.append(_finder(command.menu, command.key, command.id))
    words += [_assignment(command.menu, name, text, command.verb, secrets=secrets) for name, text in command.fields]
    if command.place_before:
        name = "destination" if command.verb == Verb.MOVE else "place-before"
        words.append(f"{name}={_finder(command.menu, command.before, command.place_before)}")
    return " ".join(word for word in words if word)


def cut_text(cut: Cut) -> str:
    """What ends the rows that a cut means, whichever they are by then."""
    fields = " ".join(_cut_condition(cut.menu, name, text) for name, text in cut.fields)
    return f"{_path(cut.menu)} remove [find {fields}]"


def plan_rows(plan: Plan, *, secrets: bool = False) -> tuple[Row, ...]:
    """The commands of a plan in order, each with its reverse beside it."""
    return tuple(
        Row(
            command_text(change.command, secrets=secrets),
            command_text(change.undo, secrets=secrets) if change.undo is not None else "",
            change.why,
        )
        for change in plan.changes
    )


def plan_text(plan: Plan, *, secrets: bool = False) -> str:
    """A plan as text that can be typed: under each command its reverse, as a comment; conflicts come first."""
    lines = [f"# In the way: {_remark(conflict.why)}" for conflict in plan.conflicts]
    for row in plan_rows(plan, secrets=secrets):
        lines.append(row.command)
        lines.append(f"#   undo: {row.undo}" if row.undo else "#   undo: nothing has to be taken back")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A text in quotes, whatever is in it."""
    return '"' + "".join(_ESCAPES.get(letter) or _letter(letter) for letter in text) + '"'


def _path(menu: str) -> str:
    return menu.replace("/", " ").replace(" ", "/", 1)


def _letter(letter: str) -> str:
    if letter != "?" and " " <= letter <= "~":
        return letter
    # Bytes that are no UTF-8 came as lone surrogates, and go back as the bytes that they were.
    errors = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:02X}" for byte in letter.encode("utf-8", errors))


def _argument(menu: str, name: str, text: str) -> str:
    if field_of(menu, name).kind not in _QUOTED and _BARE.fullmatch(text):
        return text
    return quoted(text)


def _assignment(menu: str, name: str, text: str, verb: Verb, *, secrets: bool) -> str:
    field = field_of(menu, name)
    if field.kind == Kind.SECRET and (text == HIDDEN or not secrets):
        return f"{name}={SECRET}"
    if not text and field.unset:
        # A new item has not got what would have to be taken away.
        return "" if verb == Verb.ADD else f"!{name}"
    return f"{name}={_argument(menu, name, text)}"


def _finder(menu: str, key: Fields, item_id: str) -> str:
    """An item by what it is; by its `.id` where nothing else tells it from the others."""
    if not key:
        return item_id
    return f"[find {' '.join(_condition(menu, name, text) for name, text in key)}]"


def _condition(menu: str, name: str, text: str) -> str:
    if menu in (CONNECTION, CONNECTION_V6):
        return f"{name}={quoted(text)}"
    return f"{name}={_argument(menu, name, _spelled(menu, name, text))}"


def _cut_condition(menu: str, name: str, text: str) -> str:
    if menu not in (CONNECTION, CONNECTION_V6):
        return _condition(menu, name, text)
    if "/" in text:
        return f"{name} in {text}"
    # A connection's address has its port behind it.
    return f"{name}~{quoted(f'^{re.escape(text)}(:|$)')}"


def _spelled(menu: str, name: str, text: str) -> str:
    """As the router writes it itself: a single address has no /32 there."""
    if field_of(menu, name).kind != Kind.ADDRESS:
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return text
    alone = network.version == 4 and network.num_addresses == 1
    return str(network.network_address) if alone else str(network)


def _remark(text: str) -> str:
    return " ".join(text.split())
