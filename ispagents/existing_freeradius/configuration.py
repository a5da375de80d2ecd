"""FreeRADIUS's configuration language (raddb, series 3), read without losing where anything stands.

A file is read as latin-1, so that a letter is a byte and a place in the text is a place in the file. Nothing is ever
written from the tree: edits are made in the text, at places that the tree names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENCODING = "latin-1"
DEPTH_MAXIMUM = 64  # sections within sections; people write five

_ITEM = re.compile(r"([^\s=!<>+:^]\S*?)\s*(:=|\+=|-=|\^=|==|!=|=~|!~|!\*|=\*|>=|<=|=|>|<)\s*(.*)", re.DOTALL)
# The beginning of an item, up to its value; conditions have operators too, and are no items.
_ASSIGNED = re.compile(
    r"(?!(?:if|elsif|switch|case|foreach)[ \t(])[^\s=!<>+:^{}#,][^\s{}#,]*?[ \t]*"
    r"(?::=|\+=|-=|\^=|==|!=|=~|!~|!\*|=\*|>=|<=|=|>|<)(?:[ \t]|\\\r?\n)*"
)
_INCLUDE = re.compile(r"\$(-?)INCLUDE\s+(.+)", re.DOTALL)
_CONTINUED = re.compile(r"\\\r?\n")
_REGEX_FOLLOWS = re.compile(r"[=!]~\s*$")
_QUOTES = "\"'`"


class Unreadable(Exception):  # noqa: N818 - reads as what happened
    """A text that is no configuration; the message says where and why."""


@dataclass(frozen=True)
class Item:
    """`name = value`. The value is without its quotes; `${...}` stands as it was written."""

    name: str
    operator: str
    value: str
    line: int


@dataclass(frozen=True)
class Call:
    """A word by itself: a module or policy to be called."""

    word: str
    line: int


@dataclass(frozen=True)
class Include:
    """`$INCLUDE path`. `documents` are the files that it brought in."""

    path: str
    optional: bool
    line: int
    documents: list[Document] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """`keyword name {` ... `}`. `body` begins behind the opening brace, `end` is the place of the closing one."""

    keyword: str
    name: str
    start: int
    body: int
    end: int
    line: int
    children: list[Node]
    document: Document

    def __repr__(self) -> str:
        """Short, and without values, some of which are secret."""
        return f"Section({self.keyword} {self.name}, line {self.line})"

    def nodes(self) -> Iterator[Node]:
        """What stands in it, included files read through."""
        return nodes(self.children)

    def sections(self, keyword: str, name: str | None = None) -> Iterator[Section]:
        """The sections right inside it that are called so."""
        for node in self.nodes():
            if isinstance(node, Section) and node.keyword == keyword and name in (None, node.name):
                yield node

    def items(self) -> dict[str, str]:
        """Its items by name; the last one of a name counts."""
        return {node.name: node.value for node in self.nodes() if isinstance(node, Item)}


@dataclass(frozen=True)
class Document:
    """One file."""

    path: Path
    text: str
    children: list[Node] = field(default_factory=list)

    def __repr__(self) -> str:
        """Its name alone."""
        return f"Document({self.path})"


Node = Item | Call | Include | Section


def nodes(children: list[Node]) -> Iterator[Node]:
    """Nodes in order, with those of included files in the place of the include."""
    for node in children:
        if isinstance(node, Include):
            for document in node.documents:
                yield from nodes(document.children)
        else:
            yield node


def read(path: Path, text: str) -> Document:
    """The tree of a text. Raises Unreadable."""
    document = Document(path, text)
    reader = _Reader(document)
    document.children.extend(reader.block(depth=0))
    return document


class _Reader:
    """Reads one text from its beginning to its end."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._text = document.text
        self._at = 0
        self._counted = (0, 1)  # up to this place, this is the line

    def block(self, *, depth: int) -> list[Node]:
        """Everything up to the closing brace, or to the end of the file at depth 0."""
        found: list[Node] = []
        while True:
            self._skip_blank()
            if self._at >= len(self._text):
                if depth:
                    raise self._unreadable(self._at, "the file ends within a section")
                return found
            if self._text[self._at] == "}":
                if not depth:
                    raise self._unreadable(self._at, "a section is closed that was not opened")
                return found
            found.append(self._statement(depth))

    def _statement(self, depth: int) -> Node:
        start, line = self._at, self._line(self._at)
        self._skip_head()
        head = _CONTINUED.sub(" ", self._text[start : self._at]).strip()
        if self._text[self._at : self._at + 1] == "{":
            if depth >= DEPTH_MAXIMUM:
                raise self._unreadable(start, f"sections are nested deeper than {DEPTH_MAXIMUM}")
            self._at += 1
            body = self._at
            children = self.block(depth=depth + 1)
            end = self._at
            self._at += 1
            keyword, _, name = head.partition(" ") if " " in head else head.partition("\t")
            return Section(keyword, _unquoted(name.strip()), start, body, end, line, children, self._document)
        if found := _INCLUDE.fullmatch(head):
            return Include(_unquoted(found[2].strip()), found[1] == "-", line)
        if (found := _ITEM.fullmatch(head)) is not None:
            return Item(found[1], found[2], _unquoted(found[3].rstrip(",").rstrip()), line)
        return Call(head.rstrip(","), line)

    def _skip_blank(self) -> None:
        """Pass over blanks, separators and comments."""
        text = self._text
        while self._at < len(text):
            letter = text[self._at]
            if letter == "#":
                newline = text.find("\n", self._at)
                self._at = len(text) if newline < 0 else newline
            elif letter.isspace() or letter in ",;":
                self._at += 1
            elif _CONTINUED.match(text, self._at):
                self._at = text.index("\n", self._at)
            else:
                return

    def _skip_head(self) -> None:
        """Pass over a statement, to its end of line, comment or brace."""
        text, start = self._text, self._at
        if (assigned := _ASSIGNED.match(text, start)) is not None:
            self._at = assigned.end()
            self._skip_value()
            return
        while self._at < len(text):
            letter = text[self._at]
            if letter == "\n":
                return
            if letter == "#" and text[self._at - 1].isspace():
                return
            if letter in "{}":
                return
            if letter in "%$" and text[self._at + 1 : self._at + 2] == "{":
                self._at += 1
                self._skip_braces()
            elif letter == "(":
                self._skip_parentheses()
            elif letter in _QUOTES:
                self._skip_quoted(letter)
            elif letter == "/" and _REGEX_FOLLOWS.search(text, start, self._at):
                self._skip_quoted("/")
            else:
                self._at += 2 if letter == "\\" else 1
        self._at = min(self._at, len(text))

    def _skip_value(self) -> None:
        """Pass over a value: quoted, or a bare word up to a blank or a comma, whatever letters it has."""
        text = self._text
        if text[self._at : self._at + 1] in tuple(_QUOTES):
            self._skip_quoted(text[self._at])
            return
        while self._at < len(text):
            if continued := _CONTINUED.match(text, self._at):
                self._at = continued.end()
            elif text[self._at].isspace() or text[self._at] == ",":
                return
            else:
                self._at += 1

    def _skip_parentheses(self) -> None:
        """Pass over a condition, which may go on over several lines."""
        text, start, depth = self._text, self._at, 0
        while self._at < len(text):
            letter = text[self._at]
            if letter in _QUOTES:
                self._skip_quoted(letter)
                continue
            if letter == "/" and _REGEX_FOLLOWS.search(text, start, self._at):
                self._skip_quoted("/")
                continue
            self._at += 2 if letter == "\\" else 1
            depth += (letter == "(") - (letter == ")")
            if not depth:
                return
        raise self._unreadable(start, "a condition is not closed")

    def _skip_braces(self) -> None:
        text, start, depth = self._text, self._at, 0
        while self._at < len(text) and text[self._at] != "\n":
            letter = text[self._at]
            self._at += 2 if letter == "\\" else 1
            depth += (letter == "{") - (letter == "}")
            if not depth:
                return
        raise self._unreadable(start, "an expansion is not closed")

    def _skip_quoted(self, quote: str) -> None:
        text, start = self._text, self._at
        self._at += 1
        while self._at < len(text):
            letter = text[self._at]
            self._at += 2 if letter == "\\" else 1
            if letter == quote:
                return
        raise self._unreadable(start, "a quotation is not closed")

    def _line(self, place: int) -> int:
        before, line = self._counted if self._counted[0] <= place else (0, 1)
        self._counted = (place, line + self._text.count("\n", before, place))
        return self._counted[1]

    def _unreadable(self, place: int, why: str) -> Unreadable:
        return Unreadable(f"{self._document.path}, line {self._line(place)}: {why}")


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0]:
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value
