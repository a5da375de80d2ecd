"""MS-CHAPv2 as the client computes it (RFC 2759), and the proof it demands from the server."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from simulators.md4 import md4

# RFC 2759 section 8.7
_SERVER_TO_CLIENT = b"Magic server to client signing constant"
_PAD_TO_ITERATION = b"Pad to make it do more than one iteration"


def nt_password_hash(password: str) -> bytes:
    """Return the NT hash: MD4 of the password in UTF-16 (RFC 2759 section 8.3)."""
    return md4(password.encode("utf-16-le", "surrogatepass"))


def challenge_hash(peer_challenge: bytes, authenticator_challenge: bytes, username: bytes) -> bytes:
    r"""Return the 8-byte challenge (RFC 2759 section 8.2); a ``domain\`` before the name does not take part."""
    name = username.rpartition(b"\\")[2]
    return hashlib.sha1(peer_challenge + authenticator_challenge + name).digest()[:8]


def des_encrypt(clear: bytes, key: bytes) -> bytes:
    """Encrypt 8 bytes by DES with a 7-byte key (RFC 2759 section 8.6)."""
    bits = int.from_bytes(key, "big")
    # Seven key bits to a byte; the parity bit is not looked at
    spread = bytes(((bits >> (49 - 7 * index)) & 0x7F) << 1 for index in range(8))
    encryptor = Cipher(TripleDES(spread * 3), modes.ECB()).encryptor()  # noqa: S305 - single DES, as the RFC demands
    return encryptor.update(clear) + encryptor.finalize()


def challenge_response(challenge: bytes, password_hash: bytes) -> bytes:
    """Return 24 bytes: the challenge under three DES keys taken from the hash (RFC 2759 section 8.5)."""
    keys = password_hash.ljust(21, b"\x00")
    return b"".join(des_encrypt(challenge, keys[start : start + 7]) for start in (0, 7, 14))


def nt_response(authenticator_challenge: bytes, peer_challenge: bytes, username: bytes, password: str) -> bytes:
    """Return the 24 bytes of NT-Response (RFC 2759 section 8.1)."""
    challenge = challenge_hash(peer_challenge, authenticator_challenge, username)
    return challenge_response(challenge, nt_password_hash(password))


def authenticator_response(
    password: str, response: bytes, peer_challenge: bytes, authenticator_challenge: bytes, username: bytes
) -> str:
    """Return ``S=`` and 40 hex digits: what a server that knows the password answers (RFC 2759 section 8.7)."""
    hash_of_hash = md4(nt_password_hash(password))
    digest = hashlib.sha1(hash_of_hash + response + _SERVER_TO_CLIENT).digest()
    challenge = challenge_hash(peer_challenge, authenticator_challenge, username)
    return "S=" + hashlib.sha1(digest + challenge + _PAD_TO_ITERATION).hexdigest().upper()
