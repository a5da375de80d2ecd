"""Our own scheme: HMAC-SHA-256 over `timestamp.body`, and the JSON document of `policy.money.told`.

    X-Ispagents-Signature: t=1795360000,v1=5257a869e7...

`t` is the moment of signing in seconds since 1970, `v1` the hexadecimal HMAC of the bytes `t`, a full stop and the
body, with the secret as its key. Several `v1` may stand there while a secret is replaced; one that fits is enough.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from policy.errors import PolicyError
from policy.money.incoming import Incoming
from policy.money.told import read_document, read_payments
from web.hooks.contract import WebhookError, check_age

HEADER: Final = "x-ispagents-signature"
_SIGNATURES_MOST: Final = 4
_UNSIGNED: Final = "It is not signed with this provider's secret."


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Sequence[Incoming]:
    """The payments of a signed document. Raises WebhookError."""
    parts = [part.strip().partition("=") for part in headers.get(HEADER, "").split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"][:_SIGNATURES_MOST]
    if (
        len(moments) != 1
        or not (moments[0].isascii() and moments[0].isdigit() and len(moments[0]) < 12)
        or not signatures
    ):
        raise WebhookError(f"The header {HEADER} is missing, or is not written as t=SECONDS,v1=SIGNATURE.")
    expected = signature(moments[0], body, secret)
    if not any(hmac.compare_digest(expected.encode(), one.encode("utf-8", "replace")) for one in signatures):
        raise WebhookError(_UNSIGNED)
    check_age(int(moments[0]), now)
    try:
        return read_payments(read_document(body), now)
    except PolicyError as error:
        raise WebhookError(f"{str(error)[:1].upper()}{str(error)[1:]}.", is_signed=True) from error


def header(body: bytes, secret: str, now: datetime) -> str:
    """The header's value for a body that is signed now; for those who send."""
    moment = str(int(now.timestamp()))
    return f"t={moment},v1={signature(moment, body, secret)}"


def signature(moment: str, body: bytes, secret: str) -> str:
    """The hexadecimal HMAC."""
    return hmac.new(secret.encode(), moment.encode() + b"." + body, sha256).hexdigest()
