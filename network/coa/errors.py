"""The errors of this connector, all below `network.contract.NetworkError`."""

from __future__ import annotations

from typing import ClassVar

from network.contract import NetworkError


class CoaError(NetworkError):
    """Base of everything that `network.coa` raises."""


class InvalidAttributeError(CoaError):
    """A name or value cannot be sent: unknown name, too long, bad address, number out of range. Nothing was sent."""


class InvalidTargetError(CoaError):
    """A router's settings cannot work: no IP literal, port or window out of range, other IP family than ours."""


class TooManyWaitingError(CoaError):
    """The queue of one router is full; wait for earlier calls before adding more. Nothing was sent."""

    may_retry: ClassVar[bool] = True


class TransportClosedError(CoaError):
    """The transport is not open; use it inside `async with`. Nothing was sent."""


class SourceAddressError(CoaError):
    """This machine cannot send from the wanted source address (not ours, or no file descriptor left)."""

    may_retry: ClassVar[bool] = True


class ReplyError(CoaError):
    """A datagram is not an acceptable reply to the request; it is counted and otherwise ignored."""

    cause: ClassVar[str] = "bad_reply"


class MalformedReplyError(ReplyError):
    """Length, code or attribute framing is wrong (RFC 2865 section 3, RFC 5176 section 2.3)."""

    cause: ClassVar[str] = "malformed"


class WrongIdentifierError(ReplyError):
    """The identifier is not the request's: a late or foreign reply."""

    cause: ClassVar[str] = "wrong_identifier"


class BadAuthenticatorError(ReplyError):
    """The Response Authenticator does not fit (RFC 5176 section 2.3): another secret, or a forged packet."""

    cause: ClassVar[str] = "bad_authenticator"


class BadMessageAuthenticatorError(ReplyError):
    """A Message-Authenticator is present and wrong (RFC 3579 section 3.2): another secret, or a forged packet."""

    cause: ClassVar[str] = "bad_message_authenticator"


class MissingMessageAuthenticatorError(ReplyError):
    """The router is set to sign its replies with a Message-Authenticator, and this one has none."""

    cause: ClassVar[str] = "missing_message_authenticator"
