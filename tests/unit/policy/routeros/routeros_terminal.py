"""A router's terminal, as strict as it can be: what our scripts are written in, run on the simulator's menus.

It knows only what the scripts use, and raises `Mistake` for everything else. Where RouterOS does something odd with a
type (a list joined to a text, a length of a number), that is a mistake as well.
"""

import re
from typing import Any, NamedTuple

from simulators.clock import HandClock
from simulators.routeros import RouterOsSettings
from simulators.routeros.commands import Commands, Request
from simulators.routeros.device import Device
from simulators.routeros.menus_system import POLICIES
from simulators.routeros.traps import TrapError

VERBS = ("find", "get", "add", "set", "remove", "move", "sign", "run")
SERVICE = "/ip/service"
RENAMED_IN = (7, 24)  # of a service: `address` is `available-from`
LISTS = {(SERVICE, "address"), ("/system/ntp/client", "servers")}
FINGERPRINT = "5f" * 32
_WORD = re.compile(r"[^\s\[\]{}();=~!\"$]+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


class Mistake(AssertionError):  # noqa: N818 - the test has failed, nothing is to be handled
    """The script is not what a terminal takes."""


class Code(NamedTuple):
    """What `:parse` makes of a text."""

    text: str


class Terminal:
    """One router and the person at it. `said` is what `:put` printed."""

    def __init__(self, version: str, **settings: Any) -> None:
        self.device = Device(RouterOsSettings(version=version, **settings), HandClock())
        self.scripts: dict[str, str] = {}
        self.said: list[str] = []
        self._commands = Commands(self.device)

    def run(self, script: str) -> None:
        """Run a script as an import does."""
        Reader(self, script, [{}]).block(end="")

    def state(self) -> dict[str, Any]:
        """Everything that is configured, in order, without ids and what counts by itself."""
        found: dict[str, Any] = {"scripts": dict(self.scripts)}
        for path, table in self.device.store.tables.items():
            if path not in ("/system/resource", "/system/clock"):
                found[path] = [
                    {name: value for name, value in row.fields.items() if name != "creation-time"} for row in table
                ]
        clock = self.device.store.single("/system/clock").fields
        found["zone"] = (clock["time-zone-name"], clock["time-zone-autodetect"])
        return found

    def command(self, menu: str, verb: str, items: Any, arguments: dict[str, Any]) -> Any:
        """Carry out one command; raises TrapError."""
        if menu == "/system/script":
            return self._script(verb, items, arguments)
        if menu == "/certificate" and verb in ("add", "sign"):
            return self._certificate(verb, items, arguments)
        if menu not in self.device.store.tables:
            raise TrapError("bad command name")
        table = self.device[menu]
        named = {self._field(menu, name): _text(value) for name, value in arguments.items()}
        if verb in ("set", "remove", "move") and not table.menu.single:
            if items is None:
                raise Mistake(f"{menu} {verb} names nothing")
            key = "numbers" if verb == "move" else ".id"
            for one in items if isinstance(items, list) else [items]:
                self._do(f"{menu}/{verb}", {key: self._id(table, one), **named})
            return None
        return self._do(f"{menu}/{verb}", named)

    def find(self, menu: str) -> list[tuple[Any, dict[str, str]]]:
        """The rows of a menu with what finds them."""
        if menu == "/system/script":
            return [(name, {"name": name}) for name in sorted(self.scripts)]
        if menu not in self.device.store.tables:
            raise TrapError("bad command name")
        return [(row.id, row.printed()) for row in self.device[menu]]

    def get(self, menu: str, item: Any, name: str) -> Any:
        """A value with its type; None where print leaves it out."""
        table, name = self.device[menu], self._field(menu, name)
        row = self.device.store.single(menu) if table.menu.single else table.get(self._id(table, item))
        if row is None or name not in table.known:
            raise TrapError("no such item")
        value = row.printed().get(name)
        if (menu, name) in LISTS:
            return [part for part in (value or "").split(",") if part]
        return {"true": True, "false": False}.get(value or "", value)

    def _field(self, menu: str, name: str) -> str:
        """The simulator's name of a field, where a release has another."""
        if menu != SERVICE or self.device.settings.release < RENAMED_IN:
            return name
        return {"available-from": "address", "address": "no such name"}.get(name, name)

    def _id(self, table: Any, item: Any) -> str:
        one = item[0] if isinstance(item, list) and len(item) == 1 else item
        if not isinstance(one, str):
            raise Mistake(f"{table.menu.path}: {item!r} is not one item")
        row = table.get(one) or (table.named(one) if table.menu.name_field else None)
        if row is None:
            raise TrapError("no such item")
        return str(row.id)

    def _do(self, command: str, arguments: dict[str, str]) -> None:
        self._commands.run(Request(command, arguments), frozenset(POLICIES))

    def _script(self, verb: str, items: Any, arguments: dict[str, Any]) -> None:
        if verb == "add":
            if arguments["name"] in self.scripts:
                raise TrapError("failure: item with such name already exists")
            self.scripts[arguments["name"]] = arguments["source"]
        elif verb == "run":
            self.run(self.scripts[items])
        elif verb == "remove":
            del self.scripts[items]
        else:
            raise Mistake(verb)

    def _certificate(self, verb: str, items: Any, arguments: dict[str, Any]) -> None:
        table = self.device["/certificate"]
        if verb == "add":
            assert {"name", "common-name", "key-usage", "days-valid", "key-size"} == set(arguments)
            table.add({"name": arguments["name"], "common-name": arguments["common-name"]})
            return
        row = table.get(self._id(table, items))
        assert row is not None
        table.change(row, {"private-key": "true", "fingerprint": FINGERPRINT})


class Reader:
    """Reads a script and does what it says, statement by statement."""

    def __init__(self, terminal: Terminal, text: str, scopes: list[dict[str, Any]]) -> None:
        self._terminal, self._text, self._scopes, self._at = terminal, text, scopes, 0
        self.returned: Any = None

    # -- statements ----------------------------------------------------------------------------------------------------

    def block(self, end: str) -> None:
        """Statements up to a closing brace, or to the end of the text."""
        self._scopes.append({})
        while True:
            self._skip(" \t\r\n;")
            if self._text.startswith("#", self._at):
                self._at = (self._text + "\n").index("\n", self._at)
                continue
            if self._at >= len(self._text) or self._text[self._at] == end:
                break
            self._statement()
            self._skip(" \t")
            if self._at < len(self._text) and self._text[self._at] not in f"\r\n;{end}":
                raise Mistake(f"what comes behind a command: {self._text[self._at : self._at + 40]!r}")
        if bool(end) != (self._at < len(self._text)):
            raise Mistake("a brace is missing or too many")
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
            self._terminal.said.append(_text(self._atom()))
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
        Reader(self._terminal, code, [*self._scopes, variables or {}]).block(end="")

    def _called(self, code: Any) -> Any:
        """Run what was parsed; it knows no variable of who calls it."""
        if not isinstance(code, Code):
            raise Mistake(f"{code!r} is no code")
        reader = Reader(self._terminal, code.text, [{}])
        reader.block(end="")
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
        wanted = _text(self._atom())
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
            return "" if value is None else ";".join(value) if isinstance(value, list) else _text(value)
        if word == ":parse":
            return Code(_text(value))
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
            if letter == "#" and self._text[: self._at].rpartition("\n")[2].strip() == "":
                self._at = self._text.index("\n", self._at)
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


def _text(value: Any) -> str:
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
        return _text(one) + _text(other)
    if operator in ("and", "or"):
        return (_truth(one) and _truth(other)) if operator == "and" else (_truth(one) or _truth(other))
    return {"=": one == other, "!=": one != other, ">": _compared(one, other) > 0, "<": _compared(one, other) < 0}.get(
        operator, one + other if operator == "+" else None
    )


def _compared(one: Any, other: Any) -> int:
    return one - other if isinstance(one, int) and isinstance(other, int) else 0
