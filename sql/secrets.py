"""Secrets in PostgreSQL: sealed with AES-256-GCM under a key that never enters the database.

A sealed value is `version byte | key id (4) | nonce (12) | ciphertext and tag`. Its place (table, column, operator,
name) is authenticated with it, so a sealed value copied elsewhere does not open.
"""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 4
PLAINTEXT_MAXIMUM_BYTES = 1024


class SecretsError(Exception):
    """A secret cannot be sealed or opened; the text says why. Trying again does not help."""


class SecretBox:
    """Seals and opens secrets. The first key seals; the others only open what was sealed before a rotation."""

    def __init__(self, keys: list[bytes]) -> None:
        """Each key is 32 bytes. Raises SecretsError for any other length."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise SecretsError(f"a secrets key is {KEY_BYTES} bytes long; the key file is damaged")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing = _key_id(keys[0])

    def __repr__(self) -> str:
        """Never shows a key."""
        return f"SecretBox({len(self._ciphers)} keys)"

    def seal(self, plaintext: str, place: str) -> bytes:
        """The sealed form of `plaintext` for `place`. Raises SecretsError when it is too long."""
        data = plaintext.encode("utf-8", "surrogateescape")
        if len(data) > PLAINTEXT_MAXIMUM_BYTES:
            raise SecretsError(f"a secret is at most {PLAINTEXT_MAXIMUM_BYTES} bytes long")
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._sealing].encrypt(nonce, data, place.encode())
        return bytes([VERSION]) + self._sealing + nonce + sealed

    def open(self, sealed: bytes, place: str) -> str:
        """The plaintext. Raises SecretsError when the key is another one or the value was altered or moved."""
        key_id, rest = sealed[1 : 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES :]
        cipher = self._ciphers.get(key_id)
        if not sealed or sealed[0] != VERSION or cipher is None:
            raise SecretsError("this secret was sealed with another key; restore the key file that was in use then")
        try:
            data = cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise SecretsError("this secret was altered in the database, or moved there from another row") from error
        return data.decode("utf-8", "surrogateescape")


def service_password_place(operator_id: int, username: str) -> str:
    """The place of a service's password."""
    return f"services.password/{operator_id}/{username}"


def router_secret_place(operator_id: int, name: str) -> str:
    """The place of a router's RADIUS secret."""
    return f"routers.secret/{operator_id}/{name}"


def router_api_place(operator_id: int, name: str) -> str:
    """The place of the password for a router's API."""
    return f"routers.api_password/{operator_id}/{name}"


def load_or_create(path: Path) -> SecretBox:
    """The box of the key file, one hexadecimal key a line, newest first; a new file (mode 0600) where there is none.

    Raises SecretsError when the file cannot be read or is damaged.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise SecretsError(f"the key file {path} cannot be made: {error.strerror}") from error
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    try:
        return SecretBox([bytes.fromhex(line) for line in path.read_text().split()])
    except (OSError, ValueError) as error:
        raise SecretsError(f"the key file {path} cannot be read: {error}") from error


def _key_id(key: bytes) -> bytes:
    return sha256(b"ispagents key id" + key).digest()[:KEY_ID_BYTES]
