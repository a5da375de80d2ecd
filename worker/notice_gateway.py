"""Gateways to customers' mailboxes and phones, through Apprise. The only file that knows that library."""

from __future__ import annotations

import logging
import re
import time
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote

import apprise
from apprise.result import AppriseResultStatus

from policy.notices import blanks_in, fill

# A gateway is asked for so long at most (`sql.notice_deliveries.SENDING_S` is longer).
SEND_S = 20.0
# One that fails only after this may have taken the notice, its answer lost: then nobody knows, and nobody repeats it.
CONNECT_S = 8.0
# One mailbox and no more: a list in a customer's e-mail would tell everybody in it.
_EMAIL = re.compile(r"[^\s,;<>\"'()]{1,64}@[^\s,;<>\"'()@]{1,255}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{2,30}")
_PARTS_OF_ADDRESS = re.compile(r"[/?&=:@,;+\s]+")
_SHORTEST_SECRET_LETTERS = 3

# Apprise writes customers' addresses into its log; what we tell of it is in the answer.
logging.getLogger("apprise").propagate = False
logging.getLogger("apprise").addHandler(logging.NullHandler())


class Answer(NamedTuple):
    """What became of a message, and a sentence for people."""

    state: Literal["sent", "failed", "unknown", "skipped"]
    explanation: str


def check(url: str) -> bool:
    """Whether Apprise knows what to do with this address."""
    return _service(fill(url, {"email": "someone@example.net", "phone": "+15550100"})) is not None


def address(url: str, *, email: str, phone: str) -> str | Answer:
    """The address for one customer; skipped where that customer has none."""
    blanks = blanks_in(url)
    if "email" in blanks and _EMAIL.fullmatch(email) is None:
        return Answer("skipped", "The customer has no e-mail address, or more than one." if email else _HAS_NO_EMAIL)
    if "phone" in blanks and _PHONE.fullmatch(phone) is None:
        return Answer("skipped", "The customer's phone number cannot be read." if phone else _HAS_NO_PHONE)
    digits = ("+" if phone.startswith("+") else "") + "".join(one for one in phone if one.isdigit())
    return fill(url, {"email": quote(email, safe=""), "phone": quote(digits, safe="")})


_HAS_NO_EMAIL = "The customer has no e-mail address."
_HAS_NO_PHONE = "The customer has no phone number."


def send(url: str, subject: str, body: str) -> Answer:
    """Ask the gateway at a whole address to take a message of plain text. Returns within some 20 s; never raises."""
    service = _service(url)
    if service is None:
        return Answer("failed", "The channel's address is not one that can be sent to; add the channel anew.")
    began = time.monotonic()
    try:
        result = _sent(service, subject, body)
    except Exception as error:  # noqa: BLE001 - a hundred plugins of others: none of them may stop the rest
        return Answer("unknown", f"The gateway's plugin gave up: {type(error).__name__}.")
    if result.status == AppriseResultStatus.SUCCESS:
        return Answer("sent", "The gateway took it.")
    late = time.monotonic() - began >= CONNECT_S
    if late or result.status == AppriseResultStatus.TIMEOUT:
        return Answer("unknown", "The gateway did not answer in time, so nobody knows whether this was sent.")
    said = "; ".join(dict.fromkeys(_without_secrets(entry.message, url) for entry in result.logs()))
    return Answer("failed", f"The gateway did not take it: {said or 'it gave no reason'}")


def _service(url: str) -> Any:
    asset = apprise.AppriseAsset(
        app_id="ISPAgents",
        app_desc="Notices",
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        pgp_autogen=False,
        pem_autogen=False,
        default_service_retry=0,
    )
    try:
        service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - whatever a plugin trips over in an address, it is none
        return None
    if service is not None:
        service.socket_connect_timeout, service.socket_read_timeout = CONNECT_S, SEND_S
    return service


def _sent(service: Any, subject: str, body: str) -> Any:
    carrier = apprise.Apprise()
    carrier.add(service)
    return carrier.notify(
        body=body,
        title=subject,
        notify_type=apprise.NotifyType.INFO,
        body_format=apprise.NotifyFormat.TEXT,
        interpret_escapes=False,
        timeout=SEND_S,
        log_level=logging.WARNING,
    )


def _without_secrets(said: str, url: str) -> str:
    """What Apprise said, on one line, with nothing of the address in it: tokens and customers are in there."""
    line = " ".join(said.split())
    scheme, _, rest = url.partition("://")
    parts = {part for text in (rest, unquote(rest)) for part in _PARTS_OF_ADDRESS.split(text)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST_SECRET_LETTERS and part != scheme:
            line = line.replace(part, "***")
    return line
