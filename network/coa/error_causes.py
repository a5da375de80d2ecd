"""Error-Cause (RFC 5176 section 3.5): every value, and for each a sentence and whether asking again can help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class ErrorCause(IntEnum):
    """The values of RFC 5176 section 3.5, named as there."""

    RESIDUAL_SESSION_CONTEXT_REMOVED = 201
    INVALID_EAP_PACKET = 202
    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    INVALID_REQUEST = 404
    UNSUPPORTED_SERVICE = 405
    UNSUPPORTED_EXTENSION = 406
    INVALID_ATTRIBUTE_VALUE = 407
    ADMINISTRATIVELY_PROHIBITED = 501
    REQUEST_NOT_ROUTABLE = 502
    SESSION_CONTEXT_NOT_FOUND = 503
    SESSION_CONTEXT_NOT_REMOVABLE = 504
    OTHER_PROXY_PROCESSING_ERROR = 505
    RESOURCES_UNAVAILABLE = 506
    REQUEST_INITIATED = 507
    MULTIPLE_SESSION_SELECTION_UNSUPPORTED = 508


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an Error-Cause says in plain words, and whether the same request may succeed later by itself."""

    sentence: str
    may_retry: bool = False


MEANINGS: Final = MappingProxyType(
    {
        ErrorCause.RESIDUAL_SESSION_CONTEXT_REMOVED: Meaning(
            "The session was gone and the router removed what was left of it (201); nothing more to do."
        ),
        ErrorCause.INVALID_EAP_PACKET: Meaning(
            "The router ignored an invalid EAP packet (202), which we never send; look for a proxy in between."
        ),
        ErrorCause.UNSUPPORTED_ATTRIBUTE: Meaning(
            "The router does not support one of the attributes sent (401); send fewer attributes, "
            "or disconnect the session so that it logs in with the new access."
        ),
        ErrorCause.MISSING_ATTRIBUTE: Meaning(
            "The router misses an attribute (402); let this router be sent more of the session's identification."
        ),
        ErrorCause.NAS_IDENTIFICATION_MISMATCH: Meaning(
            "NAS-IP-Address or NAS-Identifier is not this router's (403); correct it, or stop sending it."
        ),
        ErrorCause.INVALID_REQUEST: Meaning(
            "The router finds the request invalid (404); compare what was sent with the router's documentation."
        ),
        ErrorCause.UNSUPPORTED_SERVICE: Meaning(
            "The router does not support the Service-Type that was sent (405); leave Service-Type out."
        ),
        ErrorCause.UNSUPPORTED_EXTENSION: Meaning(
            "The router does not support this kind of request (406); use its API, or the other of CoA and Disconnect."
        ),
        ErrorCause.INVALID_ATTRIBUTE_VALUE: Meaning(
            "The router rejects a value that was sent (407); check the rate limit, list and group names of the plan."
        ),
        ErrorCause.ADMINISTRATIVELY_PROHIBITED: Meaning(
            "The router is set to prohibit this request (501); allow it on the router (RouterOS: /radius incoming)."
        ),
        ErrorCause.REQUEST_NOT_ROUTABLE: Meaning(
            "A RADIUS proxy has no route to the router (502); send to the router itself, or correct the proxy."
        ),
        ErrorCause.SESSION_CONTEXT_NOT_FOUND: Meaning(
            "The router has no such session (503); it ended or was renewed, so read the sessions again."
        ),
        ErrorCause.SESSION_CONTEXT_NOT_REMOVABLE: Meaning(
            "The router found the session but could not end it (504); try again, then end it by the router's API.",
            may_retry=True,
        ),
        ErrorCause.OTHER_PROXY_PROCESSING_ERROR: Meaning(
            "A RADIUS proxy could not pass the request on (505); try again, then look at the proxy's log.",
            may_retry=True,
        ),
        ErrorCause.RESOURCES_UNAVAILABLE: Meaning(
            "The router has no resources for the request now (506); try again when it is less busy.",
            may_retry=True,
        ),
        ErrorCause.REQUEST_INITIATED: Meaning(
            "The router asks the RADIUS server again instead of applying the change (507); wait for that login."
        ),
        ErrorCause.MULTIPLE_SESSION_SELECTION_UNSUPPORTED: Meaning(
            "The identification fits several sessions and the router changes only one at a time (508); "
            "send Acct-Session-Id and Framed-IP-Address too."
        ),
    }
)


def meaning_of(value: int) -> Meaning:
    """The meaning of any Error-Cause, including ones that RFC 5176 does not have."""
    try:
        return MEANINGS[ErrorCause(value)]
    except ValueError:
        return Meaning(f"The router refused with Error-Cause {value}, which RFC 5176 does not define; see its log.")
