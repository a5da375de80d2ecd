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
    lists: tuple[str, ...] = (),
) -> list[str]:
    """Lines that note, unless they were noted before, what a menu of settings has: as a script that sets it again."""
    return note(piece, [f":local note {quoted(menu + ' set')}", *values(f"{menu} get", flags, texts, lists)])


def noted_rows(piece: str, menu: str, flags: tuple[str, ...], texts: tuple[str, ...]) -> list[str]:
    """The same for every row of a menu, by `.id`, since a name may hold any letters. A row that is gone is skipped."""
    rows = [
        ':local note ""',
        f":foreach row in=[{menu} find] do={{",
        f"  :set note ($note . {quoted(':do {' + menu + ' set ')} . $row)",
        *(f"  {line}" for line in values(f"{menu} get $row", flags, texts)),
        f"  :set note ($note . {quoted('} on-error={}' + chr(10))})",
        "}",
    ]
    return note(piece, rows)


def note(piece: str, lines: list[str]) -> list[str]:
    """Lines that keep what other lines put into `$note`, where nothing is kept yet."""
    name = quoted(BEFORE + piece)
    return [
        f":if ([:len [/system script find where name={name}]] = 0) do={{",
        *(f"  {line}" for line in lines),
        f"  /system script add name={name} source=$note",
        "}",
    ]


def values(get: str, flags: tuple[str, ...], texts: tuple[str, ...], lists: tuple[str, ...] = ()) -> list[str]:
    """Lines that put values behind `$note`. What print leaves out has no value, and then there is nothing to note."""
    lines = []
    for name in flags:
        for value, word in (("true", "yes"), ("false", "no")):
            lines.append(f":if ([{get} {name}] = {value}) do={{:set note ($note . {quoted(f' {name}={word}')})}}")
    for name in texts:
        start, value = quoted(f' {name}="'), f"[{get} {name}]"
        lines.append(f':if ([:len [:tostr {value}]] > 0) do={{:set note ($note . {start} . {value} . "\\"")}}')
    for name in lists:
        start = quoted(f' {name}="')
        lines += [*joined("several", f"[{get} {name}]"), f':set note ($note . {start} . $several . "\\"")']
    return lines


def joined(variable: str, items: str) -> list[str]:
    """Lines that make a variable of a list, with commas between; a list is no text to RouterOS."""
    return [
        f':local {variable} ""',
        f":foreach one in={items} do={{",
        f'  :if ([:len [:tostr $one]] > 0) do={{:set {variable} (${variable} . "," . $one)}}',
        "}",
        f":if ([:len ${variable}] > 0) do={{:set {variable} [:pick ${variable} 1 [:len ${variable}]]}}",
    ]
