"""A client of the RouterOS API over a raw socket: shares no code with the simulator, and shows every word."""

from __future__ import annotations

import hashlib
import socket
import ssl
from typing import Self

Sentence = tuple[str, dict[str, str]]


class Talk:
    """One connection. `say` sends a sentence, `hear` reads one; `ask` does both until `!done`."""

    def __init__(self, address: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((address, port), timeout=10)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="router")
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def say(self, *words: str) -> None:
        data = b""
        for word in words:
            raw = word.encode()
            if len(raw) < 0x80:
                data += bytes([len(raw)])
            elif len(raw) < 0x4000:
                data += bytes([0x80 | len(raw) >> 8, len(raw) & 0xFF])
            else:
                data += bytes([0xC0 | len(raw) >> 16, len(raw) >> 8 & 0xFF, len(raw) & 0xFF])
            data += raw
        self.socket.sendall(data + b"\0")

    def hear(self) -> Sentence:
        """Read one sentence; ConnectionError where the router hung up."""
        words: list[str] = []
        while True:
            first = self._read(1)[0]
            more = 0 if first < 0x80 else 1 if first < 0xC0 else 2 if first < 0xE0 else 3
            length = first & (0xFF, 0x3F, 0x1F, 0x0F)[more]
            for byte in self._read(more):
                length = length << 8 | byte
            if length == 0:
                break
            words.append(self._read(length).decode())
        fields = {}
        for word in words[1:]:
            name, _, value = word.removeprefix("=").partition("=")
            fields[name] = value
        return words[0], fields

    def ask(self, *words: str) -> list[Sentence]:
        """Send a sentence and return everything up to `!done`."""
        self.say(*words)
        heard = [self.hear()]
        while heard[-1][0] != "!done":
            heard.append(self.hear())
        return heard

    def rows(self, *words: str) -> list[dict[str, str]]:
        return [fields for reply, fields in self.ask(*words) if reply == "!re"]

    def refusal(self, *words: str) -> str:
        """Return the message of the first trap, "" without one."""
        return next((fields["message"] for reply, fields in self.ask(*words) if reply == "!trap"), "")

    def log_in(self, name: str, password: str) -> str:
        return self.refusal("/login", f"=name={name}", f"=password={password}")

    def log_in_by_challenge(self, name: str, password: str) -> str:
        ((_, fields),) = self.ask("/login")
        digest = hashlib.md5(b"\0" + password.encode() + bytes.fromhex(fields["ret"])).hexdigest()  # noqa: S324  # theirs
        return self.refusal("/login", f"=name={name}", f"=response=00{digest}")

    def gone(self) -> bool:
        """Wait for the router to hang up."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ConnectionError("the router hung up")
        return data
