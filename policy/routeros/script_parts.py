"""Parts of scripts for a router's terminal: what finds our items, rules that stand on top, notes of how something was.

A note is a script of the router (`/system script`) that sets it as it was; only the first one is kept, so that a second
run does not note what the first has set. Values that the console shows as true and false are written as yes and no, and
lists with commas, as `set` takes them (page Scripting of help.mikrotik.com).
"""

from __future__ import annotations

from policy.routeros.terminal import quoted

BEFORE = "ispagents-before-"


def marked(tag: str) -> str:
    """What finds items by our tag (a pattern), whatever words a person put behind it."""
    return f"comment~{quoted(f'^ispagents:{tag}( |$)')}"


def removed(menu: str, condition: str) -> list[str]:
    """The line that removes what a condition finds; nothing found does no harm."""
    return [f"{menu} remove [{menu} find where {condition}]"]


def rules(menu: str, chain: str, mark: str, adds: list[str]) -> list[str]:
    """Rules of ours made anew at the top of a chain. What the router itself put there cannot be stood before."""
    lines = ["{", f":local first [{menu} find where chain={chain} and dynamic=no and !({mark})]", *removed(menu, mark)]
    if adds:
        ours = f"[{menu} find where chain={chain} and {mark}]"
        move = f"{menu} move $one destination=[:pick $first 0]"
        lines += [*adds, f":if ([:len $first] > 0) do={{:foreach one in={ours} do={{{move}}}}}"]
    return [*lines, "}"]


def noted(
    piece: str,
    menu: str,
    flags: tuple[str, ...],
    texts: tuple[str, ...],
    *,
    names: tuple[str, ...] = (),
    lists: tuple[str, ...] = (),
    row: str = "",
) -> list[str]:
    """Lines that note, unless they were noted before, what a menu of settings has: as a script that sets it again."""
    start = " ".join(word for word in (menu, "set", row) if word)
    get = " ".join(word for word in (menu, "get", row) if word)
    return _note(piece, [f":local note {quoted(start)}", *_values(get, flags, texts, names, lists)])


def noted_rows(piece: str, menu: str, flags: tuple[str, ...], texts: tuple[str, ...]) -> list[str]:
    """The same for every row of a menu, by `.id`, since a name may hold any letters. A row that is gone is skipped."""
    rows = [
        ':local note ""',
        f":foreach row in=[{menu} find] do={{",
        f"  :set note ($note . {quoted(':do {' + menu + ' set ')} . $row)",
        *(f"  {line}" for line in _values(f"{menu} get $row", flags, texts, (), ())),
        f"  :set note ($note . {quoted('} on-error={}' + chr(10))})",
        "}",
    ]
    return _note(piece, rows)


def _note(piece: str, lines: list[str]) -> list[str]:
    name = quoted(BEFORE + piece)
    return [
        f":if ([:len [/system script find where name={name}]] = 0) do={{",
        *(f"  {line}" for line in lines),
        f"  /system script add name={name} source=$note",
        "}",
    ]


def _values(
    get: str, flags: tuple[str, ...], texts: tuple[str, ...], names: tuple[str, ...], lists: tuple[str, ...]
) -> list[str]:
    lines = []
    # What print leaves out has no value here either, and then there is nothing to set back.
    for name in flags:
        for value, word in (("true", "yes"), ("false", "no")):
            lines.append(f":if ([{get} {name}] = {value}) do={{:set note ($note . {quoted(f' {name}={word}')})}}")
    for name in texts:
        start, value = quoted(f' {name}="'), f"[{get} {name}]"
        lines.append(f':if ([:len [:tostr {value}]] > 0) do={{:set note ($note . {start} . {value} . "\\"")}}')
    for name in names:
        lines += [
            f":local named [:tostr [{get} {name}]]",
            ':if ([:len $named] = 0) do={:set named "none"}',
            f':set note ($note . {quoted(f" {name}=" + chr(34))} . $named . "\\"")',
        ]
    for name in lists:
        lines += [
            ':local several ""',
            f":foreach one in=[{get} {name}] do={{",
            '  :if ([:len [:tostr $one]] > 0) do={:set several ($several . "," . $one)}',
            "}",
            ":if ([:len $several] > 0) do={:set several [:pick $several 1 [:len $several]]}",
            f':set note ($note . {quoted(f" {name}=" + chr(34))} . $several . "\\"")',
        ]
    return lines
