"""What we add to a server: two files of our own, and one call in each of five places of a virtual server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ispagents.errors import Problem
from ispagents.existing_freeradius.configuration import Call, Section
from ispagents.existing_freeradius.layout import Existing

OURS: Final = "ispagents"
TEMPLATES: Final = Path(__file__).parent / "files"


class Hook(NamedTuple):
    """A call of ours, and the sections from the virtual server down to where it stands, first in it."""

    place: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    word: str
    why: str


_POST_AUTH = ("post-auth", "")
HOOKS: Final = (
    Hook(
        (("authorize", ""),),
        ("ispagents_authorize {", "\tok = return", "}"),
        "ispagents_authorize",
        "decides logins of ours before another module answers them",
    ),
    Hook(
        (("authenticate", ""),),
        ("Auth-Type ispagents {", "\tispagents_authenticate", "}"),
        "ispagents_authenticate",
        "proves the passwords of ours",
    ),
    Hook(
        (("accounting", ""),),
        ("ispagents_accounting",),
        "ispagents_accounting",
        "puts accounting of ours into the spool before it is acknowledged",
    ),
    Hook(
        (_POST_AUTH,),
        ("ispagents_post_auth {", "\tok = return", "}"),
        "ispagents_post_auth",
        "notes what a login of ours teaches, and lets no failing module behind it refuse that login",
    ),
    Hook(
        (_POST_AUTH, ("Post-Auth-Type", "REJECT")),
        ("ispagents_refused",),
        "ispagents_refused",
        "notes why a login of ours was refused",
    ),
)


class Insertion(NamedTuple):
    """A piece of text and its place in a file."""

    path: Path
    at: int
    text: str


def inside(server: Section, place: tuple[tuple[str, str], ...]) -> Section | None:
    """The section at a place below a virtual server, or None."""
    found: Section | None = server
    for keyword, name in place:
        if found is not None:
            found = next(found.sections(keyword, name), None)
    return found


def calls(section: Section) -> Iterator[tuple[str, Section | Call]]:
    """The modules and policies that a section calls, in order, with those within conditions.

    A word comes without the `-` of what may be missing and without the method behind a dot.
    """
    for node in section.nodes():
        if isinstance(node, Call):
            yield node.word.removeprefix("-").partition(".")[0], node
        elif isinstance(node, Section):
            if node.keyword in _CONTROL or (node.keyword, node.name) == ("Auth-Type", OURS):
                yield from calls(node)
            elif node.keyword not in _NO_CALLS:
                yield node.keyword.removeprefix("-").partition(".")[0], node


_CONTROL: Final = ("if", "elsif", "else", "group", "redundant", "load-balance", "redundant-load-balance", "switch")
_NO_CALLS: Final = ("update", "map", "Autz-Type", "Auth-Type", "Post-Auth-Type", "Acct-Type", "foreach", "case")


def missing(server: Section) -> list[Hook]:
    """The hooks that a virtual server does not have."""
    return [
        hook
        for hook in HOOKS
        if (section := inside(server, hook.place)) is None or hook.word not in [word for word, _ in calls(section)]
    ]


def insertions(server: Section) -> list[Insertion]:
    """What a virtual server needs so that every hook is there; sections that are missing are made at its end."""
    found: list[Insertion] = []
    wanted: dict[str, list[Hook]] = {}
    for hook in missing(server):
        section = inside(server, hook.place)
        if section is None:
            wanted.setdefault(hook.place[0][0], []).append(hook)
        else:
            found.append(_first_in(section, hook.lines))
    for keyword, hooks in wanted.items():
        holder = inside(server, hooks[0].place[:1])
        if holder is None:
            found.append(_last_in(server, _made(keyword, hooks)))
        else:
            found += [_last_in(holder, _block(hook.place[-1], hook.lines)) for hook in hooks]
    return found


def _made(keyword: str, hooks: list[Hook]) -> tuple[str, ...]:
    lines: list[str] = []
    for hook in hooks:
        lines += hook.lines if len(hook.place) == 1 else _block(hook.place[-1], hook.lines)
    return _block((keyword, ""), tuple(lines))


def _block(head: tuple[str, str], lines: tuple[str, ...]) -> tuple[str, ...]:
    return (" ".join(filter(None, head)) + " {", *(f"\t{line}" for line in lines), "}")


def _first_in(section: Section, lines: tuple[str, ...]) -> Insertion:
    text, at = section.document.text, section.body
    newline = text.find("\n", at, section.end)
    rest = text[at : newline if newline >= 0 else section.end].strip()
    if newline < 0 or (rest and not rest.startswith("#")):
        # What follows stands on the same line: it goes on behind ours.
        return Insertion(section.document.path, at, "\n" + _indented(section, lines) + _indent(section) + "\t")
    return Insertion(section.document.path, newline + 1, _indented(section, lines))


def _last_in(section: Section, lines: tuple[str, ...]) -> Insertion:
    text = section.document.text
    begin = text.rfind("\n", 0, section.end) + 1
    if text[begin : section.end].strip():
        return Insertion(section.document.path, section.end, "\n" + _indented(section, lines))
    return Insertion(section.document.path, begin, _indented(section, lines))


def _indent(section: Section) -> str:
    text = section.document.text
    line = text[text.rfind("\n", 0, section.start) + 1 : section.start]
    return line if not line.strip() else ""


def _indented(section: Section, lines: tuple[str, ...]) -> str:
    newline = "\r\n" if "\r\n" in section.document.text else "\n"
    return "".join(f"{_indent(section)}\t{line}{newline}" for line in lines)


def module_file(existing: Existing, *, python: Path, replica: Path, spool: Path, refusal: Path) -> tuple[Path, str]:
    """Our modules' file: its place and its text."""
    text = (TEMPLATES / "modules").read_text()
    values = {"python": python, "replica": replica, "spool": spool, "refusal": refusal}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return existing.included_folder("modules") / OURS, text


def policy_file(existing: Existing) -> tuple[Path, str]:
    """Our policies' file: its place and its text."""
    return existing.included_folder("policy") / OURS, (TEMPLATES / "policy").read_text()


def routers_file(existing: Existing) -> tuple[Path, str]:
    """The file that lets routers of ISPAgents be clients without a line in the server's own files."""
    return existing.sites_folder() / OURS, (TEMPLATES / "routers").read_text()


def check_fit(existing: Existing, server: Section) -> None:
    """Raises Problem where this server cannot take us in."""
    pythons = [one for one in existing.instances() if one.keyword in ("python3", "python") and one.name != OURS]
    if pythons:
        one = pythons[0]
        raise Problem(
            f"This server already has a Python module ({one.name or one.keyword}, {one.document.path}, line "
            f"{one.line}), and two of them abort FreeRADIUS 3.2; take that one away first, or use the path "
            "radius-tables, which loads nothing into the server."
        )
    linked = existing.linked_python()
    if linked is not None and linked < (3, 11):
        raise Problem(
            f"The server's Python module was built against Python {linked[0]}.{linked[1]}, and ours needs 3.11 or "
            "newer; install FreeRADIUS from a newer distribution, or use the path radius-tables."
        )
    if not any(True for _ in server.nodes()):
        raise Problem(f"The virtual server {server.name} is empty; choose another with --site.")
