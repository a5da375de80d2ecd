"""Query words of print: a small stack machine over each row (help.mikrotik.com API page, section "Queries")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from simulators.routeros.traps import TrapError

Fields = Mapping[str, str]
_Step = Callable[[list[bool], Fields], None]
_OPERATION = re.compile(r"(\d+)|([!&|.])")


def compile_query(words: Iterable[str]) -> Callable[[Fields], bool]:
    """Return what tells whether a row is meant; several words without an operation mean all of them.

    Raises TrapError for words that are no query.
    """
    steps = [_step(word[1:]) for word in words]

    def matches(fields: Fields) -> bool:
        stack: list[bool] = []
        for step in steps:
            step(stack, fields)
        return all(stack)

    return matches


def _step(text: str) -> _Step:
    if text.startswith("#"):
        return _operations(text[1:])
    if text.startswith("-"):
        return lambda stack, fields: stack.append(text[1:] not in fields)
    if text[:1] in {"<", ">", "="}:
        sign, (name, equals, value) = text[0], text[1:].partition("=")
    else:
        sign, (name, equals, value) = "=", text.partition("=")
    if not name:
        raise TrapError("invalid query", 1)
    if not equals:
        return lambda stack, fields: stack.append(name in fields)
    if sign == "=":
        wanted = _plain(value)
        return lambda stack, fields: stack.append(_plain(fields.get(name)) == wanted)
    return lambda stack, fields: stack.append(name in fields and _compares(sign, fields[name], value))


def _plain(value: str | None) -> str | None:
    """Read yes and no as the words that print writes for them."""
    return {"yes": "true", "no": "false"}.get(value, value) if value is not None else None


def _compares(sign: str, have: str, wanted: str) -> bool:
    if have.isdecimal() and wanted.isdecimal():
        return int(have) < int(wanted) if sign == "<" else int(have) > int(wanted)
    return have < wanted if sign == "<" else have > wanted


def _operations(text: str) -> _Step:
    found = list(_OPERATION.finditer(text))
    if "".join(match[0] for match in found) != text:
        raise TrapError("invalid query", 1)

    def run(stack: list[bool], _: Fields) -> None:
        before_index = False
        for place, match in enumerate(found):
            try:
                _operate(stack, match, last=place == len(found) - 1, after_index=before_index)
            except IndexError as error:
                raise TrapError("invalid query: the stack is too short", 1) from error
            before_index = match[1] is not None

    return run


def _operate(stack: list[bool], match: re.Match[str], *, last: bool, after_index: bool) -> None:
    if match[1] is not None:
        value = stack[-1 - int(match[1])]
        if last:
            stack[:] = [value]
        else:
            stack.append(value)
    elif match[2] == "!":
        stack.append(not stack.pop())
    elif match[2] == "&":
        one, other = stack.pop(), stack.pop()
        stack.append(one and other)
    elif match[2] == "|":
        one, other = stack.pop(), stack.pop()
        stack.append(one or other)
    elif not after_index:
        stack.append(stack[-1])
