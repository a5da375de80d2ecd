"""Words and sentences of the RouterOS API as bytes, and the one file that knows librouteros.

Only its lengths are used. What it does above them turns a user named `no` into False, drops bytes that are not ASCII,
knows no tags, and logs the password. Here a value is text and stays it: UTF-8, and bytes that are not (old routers hold
cp1250 and the like) come and go unchanged as lone surrogates.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from sys import intern
from typing import Final, NamedTuple

from librouteros.exceptions import ProtocolError
from librouteros.protocol import decode_length, determine_length, encode_length

from network.routeros.errors import InvalidCommandError, MalformedReplyError

MAX_WORD_BYTES: Final = 1 << 20  # the longest field is a script, of some 64 KiB
MAX_SENTENCE_BYTES: Final = 4 << 20
MAX_SENTENCE_WORDS: Final = 1024  # the widest menu has some 80 fields
LONG_FROM: Final = 0x80  # first bytes from here on begin a length of several
KINDS: Final = frozenset({"!re", "!done", "!trap", "!fatal", "!empty"})
SHORT: Final = [encode_length(length) for length in range(LONG_FROM)]

# Nothing that logs is called; should a later version log where it encodes a length, it shall still tell nobody.
logging.getLogger("librouteros").disabled = True


class Sentence(NamedTuple):
    """A reply: its kind, the tag of its command ("" if none), its fields, and words that are no field."""

    kind: str
    tag: str
    fields: dict[str, str]
    bare: tuple[str, ...] = ()


def encode(words: Iterable[str]) -> bytes:
    """A sentence as bytes. Raises InvalidCommandError for an empty word (it would end the sentence), or a long one."""
    parts = []
    for word in words:
        try:
            raw = word.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidCommandError("A value holds half a character, which no router can be sent.") from None
        length = len(raw)
        if not 0 < length <= MAX_WORD_BYTES:
            raise InvalidCommandError(f"A word of {length} bytes cannot be sent; give 1 to {MAX_WORD_BYTES}.")
        parts.append(SHORT[length] if length < LONG_FROM else encode_length(length))
        parts.append(raw)
    parts.append(b"\x00")
    return b"".join(parts)


class Reader:
    """Takes bytes as they come and gives sentences when they are whole, each as its words.

    `begins`  the byte that every sentence begins with: another protocol is noticed before a word of it is whole.
    """

    def __init__(self, begins: bytes = b"") -> None:
        self._begins = begins
        self._rest = b""
        self._words: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """The sentences that end in `data`. Raises MalformedReplyError; after it the reader is of no use.

        Empty sentences are passed over (API page: they are ignored).
        """
        data = self._rest + data if self._rest else data
        at, end, words = 0, len(data), self._words
        while at < end:
            start = at + 1
            length = data[at]
            if length >= LONG_FROM:
                start, length = self._long(data, at)
                if start > end:
                    break
            stop = start + length
            if stop > end:
                self._check_begin(data[start : start + 1])
                break
            at = stop
            if length:
                words.append(data[start:stop])
                self._size += length
                if self._size > MAX_SENTENCE_BYTES or len(words) > MAX_SENTENCE_WORDS:
                    raise MalformedReplyError("a sentence is longer than any that a router sends")
            elif words:
                yield words
                words = self._words = []
                self._size = 0
        self._rest = data[at:]

    def _check_begin(self, byte: bytes) -> None:
        if self._begins and not self._words and byte not in (b"", self._begins):
            raise MalformedReplyError("it begins as no reply does")

    @staticmethod
    def _long(data: bytes, at: int) -> tuple[int, int]:
        """Where the word begins (beyond the data if its length is not all there yet), and how long it is."""
        try:
            start = at + 1 + determine_length(data[at : at + 1])
            if start > len(data):
                return start, 0
            length = decode_length(data[at:start])
        except ProtocolError:
            raise MalformedReplyError("a length begins with a byte that none has") from None
        if length > MAX_WORD_BYTES:
            raise MalformedReplyError(f"a word of {length} bytes is announced")
        return start, length


def decode(words: list[bytes]) -> Sentence:
    """What a sentence says. Raises MalformedReplyError for a kind that no reply has.

    A field without a value (`=comment`) is "" as one with an empty value is; a field told twice is what it was last.
    """
    kind = words[0].decode("utf-8", "surrogateescape")
    if kind not in KINDS:
        raise MalformedReplyError("a reply begins with a word that none has")
    tag, bare = "", []
    fields: dict[str, str] = {}
    for word in words[1:]:
        text = word.decode("utf-8", "surrogateescape")
        if text[0] == "=":
            name, _, value = text[1:].partition("=")
            fields[intern(name)] = value
        elif text.startswith(".tag="):
            tag = text[5:]
        else:
            bare.append(text)
    return Sentence(kind, tag, fields, tuple(bare))
