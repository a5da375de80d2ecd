"""The errors of this connector, all below `network.contract.NetworkError`. No message holds a secret."""

from __future__ import annotations

from typing import ClassVar

from network.contract import NetworkError


class RouterosError(NetworkError):
    """Base of everything that `network.routeros` raises. `cause` is a short machine word."""

    cause: ClassVar[str] = "error"


class InvalidTargetError(RouterosError):
    """A router's settings cannot work; nothing was sent."""

    cause = "invalid_target"


class InvalidCommandError(RouterosError):
    """A menu, name or value cannot be sent: a name with `=` in it, a word too long. Nothing was sent."""

    cause = "invalid_command"


class MalformedReplyError(RouterosError):
    """What came is not the protocol: a length that cannot be, a word that no reply has. The link is dropped."""

    cause = "malformed"


class NotConnectedError(RouterosError):
    """There is no connection to work with; no command was sent."""

    cause = "not_connected"
    may_retry: ClassVar[bool] = True


class UnreachableError(NotConnectedError):
    """Nobody answers at the address and port, or too late."""

    cause = "unreachable"


class NotTrustedError(NotConnectedError):
    """TLS came to nothing: another certificate than it should be, an expired one, or none. No password was sent."""

    cause = "not_trusted"
    may_retry: ClassVar[bool] = False


class LoginRefusedError(NotConnectedError):
    """The router does not let us in: another user name or password, or from another address than it allows."""

    cause = "login_refused"
    may_retry: ClassVar[bool] = False


class OldLoginError(NotConnectedError):
    """The router asks for the login of releases before 6.43, which is answered only if the target says so."""

    cause = "old_login"
    may_retry: ClassVar[bool] = False


class TooManyError(RouterosError):
    """Too much waits for one router, or too many routers are connected; nothing of it was sent."""

    cause = "too_many"
    may_retry: ClassVar[bool] = True


class NotSentError(RouterosError):
    """The connection ended before this command was sent. `why` says how it ended, in one word."""

    cause = "not_sent"
    may_retry: ClassVar[bool] = True

    def __init__(self, why: str, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


MAYBE_DONE = "Whether the command was carried out is unknown."


class UnknownOutcomeError(RouterosError):
    """The connection ended after this command was sent and before its answer: the router may have obeyed or not.

    `why` says how it ended: `timeout`, `closed`, `fatal`, `malformed`, `too_large`, `dropped`.
    """

    cause = "unknown"
    may_retry: ClassVar[bool] = True

    def __init__(self, why: str, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


def while_reading(error: RouterosError) -> str:
    """The error's sentence where nothing but reading was asked: nobody has to wonder what was carried out."""
    return str(error).removesuffix(f" {MAYBE_DONE}")


class RefusedError(RouterosError):
    """The router answered `!trap`: it understood, and did not do it.

    `said` is its own text; `category` its number, "" if it sent none (before 6.x, and for some errors still).
    """

    cause = "refused"

    def __init__(self, said: str, category: str, sentence: str) -> None:
        super().__init__(sentence)
        self.said = said
        self.category = category


class AlreadyExistsError(RefusedError):
    """An item with this name, address or other key is there already."""

    cause = "already_exists"


class NoSuchItemError(RefusedError):
    """The item is not there (any more), or one that it names is not."""

    cause = "no_such_item"


class NoSuchMenuError(RefusedError):
    """This router has no such menu or command: another version, or a package that is not installed."""

    cause = "no_such_menu"


class NotPermittedError(RefusedError):
    """Our user's group lacks a policy for it."""

    cause = "not_permitted"


class WrongPasswordError(RefusedError):
    """User name or password is wrong."""

    cause = "wrong_password"


class InvalidValueError(RefusedError):
    """A field does not exist in this version, or does not take this value."""

    cause = "invalid_value"


class FullError(RefusedError):
    """Something is full: memory, disk, a licence's limit, a field's length."""

    cause = "full"


class BusyError(RefusedError):
    """The router was interrupted, timed out inside or has to finish something first."""

    cause = "busy"
    may_retry: ClassVar[bool] = True
