"""Words and sentences of the RouterOS API on the wire (help.mikrotik.com API page, "API words", "API sentence").

Bytes throughout: the protocol names no character encoding.
"""

from __future__ import annotations

from collections.abc import Iterable

SENTENCE_BYTES_MAX = 1 << 20  # ten thousand ids in one word need a tenth of it; the protocol itself goes to 2^35
SENTENCE_WORDS_MAX = 4096
BEFORE_LOGIN_BYTES_MAX = 1024  # "the number of sentences and their length is limited" before a login

Sentence = list[bytes]


class FramingError(ValueError):
    """The stream is no RouterOS API, or it goes beyond a limit. The connection cannot go on."""


def length_prefix(length: int) -> bytes:
    """Return how a word of this many bytes begins."""
    if length < 0x80:
        return bytes((length,))
    if length < 0x4000:
        return (length | 0x8000).to_bytes(2, "big")
    if length < 0x200000:
        return (length | 0xC00000).to_bytes(3, "big")
    if length < 0x10000000:
        return (length | 0xE0000000).to_bytes(4, "big")
    return b"\xf0" + length.to_bytes(4, "big")


def encode(words: Iterable[bytes]) -> bytes:
    """Return a sentence as it is sent."""
    parts: list[bytes] = []
    for word in words:
        parts.append(length_prefix(len(word)))
        parts.append(word)
    parts.append(b"\x00")
    return b"".join(parts)


class Decoder:
    """Takes bytes as they come and gives back whole sentences. Empty sentences are left out."""

    def __init__(self) -> None:
        self.limit_bytes = BEFORE_LOGIN_BYTES_MAX  # of a sentence; raised after the login
        self._buffer = bytearray()
        self._words: Sentence = []
        self._words_bytes = 0

    def feed(self, data: bytes) -> list[Sentence]:
        """Return the sentences that are complete now; raises FramingError, also for one that grows without an end."""
        self._buffer += data
        buffer, place, sentences = self._buffer, 0, []
        while place < len(buffer):
            length, width = self._length(place)
            if width == 0 or len(buffer) < place + width + length:
                break
            place += width
            if length:
                self._words.append(bytes(buffer[place : place + length]))
                place += length
                self._words_bytes += length
                if len(self._words) > SENTENCE_WORDS_MAX:
                    raise FramingError(f"a sentence has more than {SENTENCE_WORDS_MAX} words")
            elif self._words:
                sentences.append(self._words)
                self._words, self._words_bytes = [], 0
        del buffer[:place]
        return sentences

    def _length(self, place: int) -> tuple[int, int]:
        """Return (bytes of the word, bytes of its prefix); a prefix of 0 bytes has not arrived completely."""
        first = self._buffer[place]
        if first < 0x80:
            return self._within_limit(first), 1
        if first >= 0xF8:
            raise FramingError(f"a word begins with the reserved control byte 0x{first:02x}")
        width, mask = (2, 0x3FFF) if first < 0xC0 else (3, 0x1FFFFF) if first < 0xE0 else (4, 0xFFFFFFF)
        if first >= 0xF0:
            width, mask = 5, 0xFFFFFFFF
        if len(self._buffer) < place + width:
            return 0, 0
        length = int.from_bytes(self._buffer[place : place + width], "big") & mask
        return self._within_limit(length), width

    def _within_limit(self, length: int) -> int:
        if self._words_bytes + length > self.limit_bytes:
            raise FramingError(f"a sentence goes beyond the limit of {self.limit_bytes} bytes")
        return length
