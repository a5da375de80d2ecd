"""The language of a router's terminal, as far as our scripts are written in it, read as strictly as it can be.

Everything else is a `Mistake`. Where RouterOS does something odd with a type (a list joined to a text, a length of a
number), that is a mistake as well.
"""

import re
from typing import Any, NamedTuple

from simulators.routeros.traps import TrapError

VERBS = ("find", "get", "add", "set", "remove", "move", "sign", "run")
_WORD = re.compile(r"[^\s\[\]{}();=~!\"$]+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


class Mistake(AssertionError):  # noqa: N818 - the test has failed, nothing is to be handled
    """The script is not what a terminal takes."""


class Code(NamedTuple):
    """What `:parse` makes of a text."""

    text: str


class Reader:
    """Reads a script and does what it says, statement by statement."""

    def __init__(self, terminal: Any, text: str, scopes: list[dict[str, Any]]) -> None:
        self._terminal, self._text, self._scopes, self._at = terminal, text, scopes, 0
        self.returned: Any = None

    # -- statements ----------------------------------------------------------------------------------------------------

    def block(self) -> None:
        """Every statement of the text."""
        self._scopes.append({})
        while True:
            self._skip(" \t\r\n;")
            if self._text.startswith("#", self._at):
                if len(self._scopes) > 2:
                    raise Mistake("a remark within braces, which not every terminal takes")
                self._at = (self._text + "\n").index("\n", self._at)
                continue
            if self._at >= len(self._text):
                break
            self._statement()
            self._skip(" \t")
            if self._at < len(self._text) and self._text[self._at] not in "\r\n;":
                raise Mistake(f"what comes behind a command: {self._text[self._at : self._at + 40]!r}")
        self._scopes.pop()

    def _statement(self) -> None:
        if self._text[self._at] == "{":
            self._run(self._braces())
        elif self._text[self._at] == "$":
            self._called(self._atom())
        elif self._text[self._at] == "/":
            self._command()
        else:
            self._colon(self._word())

    def _colon(self, word: str) -> None:
        if word in (":local", ":set"):
            name = self._word()
            scope = self._scopes[-1] if word == ":local" else self._scope_of(name)
            scope[name] = self._atom()
        elif word == ":put":
            self._terminal.said.append(text_of(self._atom()))
        elif word == ":delay":
            self._word()
        elif word == ":return":
            self.returned = self._atom()
        elif word == ":if":
            is_so = _truth(self._atom())
            then = self._named("do")
            other = self._named("else") if self._comes("else=") else ""
            self._run(then if is_so else other)
        elif word == ":while":
            start = self._at
            for _ in range(1000):
                self._at = start
                is_so, body = _truth(self._atom()), self._named("do")
                if not is_so:
                    return
                self._run(body)
            raise Mistake("a loop without an end")
        elif word == ":foreach":
            self._foreach()
        elif word == ":do":
            self._try()
        else:
            raise Mistake(f"{word!r} is no command")

    def _foreach(self) -> None:
        name = self._word()
        self._expect("in=")
        items, body = self._atom(), self._named("do")
        if not isinstance(items, list):
            raise Mistake(f"{items!r} is no list")
        for item in items:
            self._run(body, {name: item})

    def _try(self) -> None:
        body = self._braces()
        other = self._named("on-error")
        try:
            self._run(body)
        except TrapError:
            self._run(other)

    def _run(self, code: str, variables: dict[str, Any] | None = None) -> None:
        Reader(self._terminal, code, [*self._scopes, variables or {}]).block()

    def _called(self, code: Any) -> Any:
        """Run what was parsed; it knows no variable of who calls it."""
        if not isinstance(code, Code):
            raise Mistake(f"{code!r} is no code")
        reader = Reader(self._terminal, code.text, [{}])
        reader.block()
        return reader.returned

    # -- commands ------------------------------------------------------------------------------------------------------

    def _command(self) -> Any:
        menu = ""
        word = self._word().removeprefix("/")
        while word not in VERBS:
            menu += f"/{word}"
            word = self._word()
        if word == "find":
            return self._found(menu)
        positions, arguments = self._arguments()
        if word == "get":
            *item, name = positions
            return self._terminal.get(menu, item[0] if item else None, name)
        if len(positions) > 1:
            raise Mistake(f"{menu} {word}: {positions!r} are too many")
        return self._terminal.command(menu, word, positions[0] if positions else None, arguments)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        positions: list[Any] = []
        arguments: dict[str, Any] = {}
        while self._more():
            match = re.compile(r"(!?[a-z0-9.-]+)=").match(self._text, self._at)
            if match is None:
                positions.append(self._atom())
                continue
            self._at = match.end()
            if match[1] in arguments:
                raise Mistake(f"{match[1]} is said twice")
            arguments[match[1]] = self._atom()
        return positions, arguments

    def _found(self, menu: str) -> list[Any]:
        self._skip(" ")
        rows = self._terminal.find(menu)
        if not self._comes("where"):
            return [row for row, _ in rows]
        self._expect("where")
        start, found = self._at, []
        end = start
        for row, fields in rows or [("", {})]:
            self._at = start
            if self._conditions(fields) and rows:
                found.append(row)
            end = self._at
        self._at = end
        return found

    def _conditions(self, fields: dict[str, str]) -> bool:
        are_so = self._condition(fields)
        while self._comes("and "):
            self._expect("and ")
            are_so = self._condition(fields) and are_so
        return are_so

    def _condition(self, fields: dict[str, str]) -> bool:
        self._skip(" ")
        if self._comes("!("):
            self._expect("!(")
            is_so = self._condition(fields)
            self._expect(")")
            return not is_so
        name = self._word()
        operator = self._text[self._at]
        self._at += 1
        wanted = text_of(self._atom())
        value = fields.get(name, "")
        if operator == "~":
            return re.search(wanted, value) is not None
        if operator != "=":
            raise Mistake(operator)
        return {"true": "yes", "false": "no"}.get(value, value) == wanted

    # -- values --------------------------------------------------------------------------------------------------------

    def _atom(self) -> Any:
        self._skip(" ")
        letter = self._text[self._at]
        if letter == '"':
            return self._string()
        if letter == "[":
            self._at += 1
            value = self._bracket()
            self._expect("]")
            return value
        if letter == "(":
            return self._expression()
        if letter == "$":
            self._at += 1
            name = self._word()
            return self._scope_of(name)[name]
        word = self._word()
        return {"true": True, "false": False}.get(word, int(word) if word.isdecimal() else word)

    def _bracket(self) -> Any:
        self._skip(" ")
        if self._text[self._at] == "/":
            return self._command()
        if self._text[self._at] == "$":
            return self._called(self._atom())
        word = self._word()
        value = self._atom()
        if word == ":len":
            if not isinstance(value, str | list):
                raise Mistake(f"the length of {value!r}")
            return len(value)
        if word == ":tostr":
            return "" if value is None else ";".join(value) if isinstance(value, list) else text_of(value)
        if word == ":parse":
            return Code(text_of(value))
        if word == ":pick":
            first = self._atom()
            return value[first] if isinstance(value, list) else value[first : self._atom()]
        raise Mistake(f"{word!r} gives nothing")

    def _expression(self) -> Any:
        self._expect("(")
        value = self._atom()
        while not self._comes(")"):
            self._skip(" ")
            operator = re.compile(r"\.|!=|=|>|<|\+|and\b|or\b").match(self._text, self._at)
            if operator is None:
                raise Mistake(self._text[self._at : self._at + 40])
            self._at = operator.end()
            value = _joined(operator[0], value, self._atom())
        self._expect(")")
        return value

    def _string(self) -> str:
        found = bytearray()
        self._at += 1
        while (letter := self._text[self._at]) != '"':
            self._at += 1
            if letter in "$?\n" or ord(letter) > 126:
                raise Mistake(f"{letter!r} stands in a text as it is")
            if letter != "\\":
                found += letter.encode()
            elif self._text[self._at] in _ESCAPES:
                found += _ESCAPES[self._text[self._at]].encode()
                self._at += 1
            else:
                found.append(int(self._text[self._at : self._at + 2], 16))
                self._at += 2
        self._at += 1
        return found.decode()

    # -- letters -------------------------------------------------------------------------------------------------------

    def _scope_of(self, name: str) -> dict[str, Any]:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope
        raise Mistake(f"${name} is not known")

    def _named(self, name: str) -> str:
        self._skip(" ")
        self._expect(f"{name}=")
        return self._braces()

    def _braces(self) -> str:
        """The text between braces; quotes and braces within them are passed over."""
        self._skip(" ")
        if self._text[self._at] != "{":
            raise Mistake(f"no brace before {self._text[self._at : self._at + 40]!r}")
        start, depth = self._at + 1, 0
        while True:
            letter = self._text[self._at]
            if letter == '"':
                self._string()
                continue
            depth += {"{": 1, "}": -1}.get(letter, 0)
            self._at += 1
            if depth == 0:
                return self._text[start : self._at - 1]

    def _more(self) -> bool:
        self._skip(" ")
        return self._at < len(self._text) and self._text[self._at] not in "\r\n;])}"

    def _word(self) -> str:
        self._skip(" ")
        match = _WORD.match(self._text, self._at)
        if match is None:
            raise Mistake(f"no word at {self._text[self._at : self._at + 40]!r}")
        self._at = match.end()
        return match[0]

    def _comes(self, text: str) -> bool:
        self._skip(" ")
        return self._text.startswith(text, self._at)

    def _expect(self, text: str) -> None:
        if not self._comes(text):
            raise Mistake(f"no {text!r} at {self._text[self._at : self._at + 40]!r}")
        self._at += len(text)

    def _skip(self, letters: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in letters:
            self._at += 1


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Mistake(f"{value!r} is neither true nor false")
    return value


def text_of(value: Any) -> str:
    """A value as it is written into a command."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Mistake(f"{value!r} is no text")
    return value


def _joined(operator: str, one: Any, other: Any) -> Any:
    if operator == ".":
        if isinstance(one, bool | list | None) or isinstance(other, bool | list | None):
            raise Mistake(f"{one!r} joined to {other!r}")
        return text_of(one) + text_of(other)
    if operator in ("and", "or"):
        return (_truth(one) and _truth(other)) if operator == "and" else (_truth(one) or _truth(other))
    return {"=": one == other, "!=": one != other, ">": _compared(one, other) > 0, "<": _compared(one, other) < 0}.get(
        operator, one + other if operator == "+" else None
    )


def _compared(one: Any, other: Any) -> int:
    return one - other if isinstance(one, int) and isinstance(other, int) else 0
