"""What a router answers when it does not do as it was told: `!trap` with a message and perhaps a category."""

from __future__ import annotations

# Categories of the API page; RouterOS leaves them out for most failures
MISSING = 0
ARGUMENT = 1
INTERRUPTED = 2


class TrapError(Exception):
    """A command that failed. `message` is RouterOS's text, `category` its number where RouterOS sends one."""

    def __init__(self, message: str, category: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.category = category


def no_match(argument: str) -> TrapError:
    """A word that is none of those allowed, or the name of something that does not exist."""
    return TrapError(f"input does not match any value of {argument}", ARGUMENT)


def invalid(argument: str) -> TrapError:
    """A value that cannot be read."""
    return TrapError(f"invalid value for argument {argument}", ARGUMENT)


def out_of_range(argument: str, low: int, high: int) -> TrapError:
    """A number beyond what the field holds."""
    return TrapError(f"value of {argument} out of range ({low}..{high})", ARGUMENT)


def missing(argument: str) -> TrapError:
    """An argument without which the command means nothing."""
    return TrapError(f"missing ={argument}=", MISSING)


def unknown(argument: str, release: tuple[int, ...]) -> TrapError:
    """An argument that the command does not know; version 7 says which (measured by others on 7.23)."""
    return TrapError("unknown parameter" + (f" {argument}" if release >= (7,) else ""), ARGUMENT)


def not_permitted() -> TrapError:
    """The user's group lacks the policy for it."""
    return TrapError("not enough permissions (9)")
