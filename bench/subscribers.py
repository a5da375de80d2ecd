"""The made-up subscribers of every bench: one integer gives name, password, plan, MAC and line.

Every server under test is filled from here and every load generator asks from here, so that an answer can be checked
without a table in memory.
"""

from typing import Final

# Eight speeds, in the words of Mikrotik-Rate-Limit: upload/download seen from the router (mikrotik-facts 1.2).
PLAN_RATES: Final = ("1M/5M", "2M/10M", "5M/20M", "5M/50M", "10M/50M", "10M/100M", "20M/200M", "50M/500M")

# The standard tables let a subscriber carry an answer of his own beside his group's; one in ten does.
OWN_REPLY_EVERY: Final = 10

MAX_SUBSCRIBERS: Final = 10_000_000  # seven digits in every name


def user_name(number: int) -> str:
    return f"sub{number:07d}"


def number_of(name: str) -> int:
    """The inverse of `user_name`; ValueError for any other name."""
    return int(name.removeprefix("sub"))


def password(number: int) -> str:
    """At most 16 bytes, so that User-Password is one block (RFC 2865 section 5.2)."""
    return f"pw-{number * 7919 % 10_000_019:08d}"


def plan_number(number: int) -> int:
    return number % len(PLAN_RATES)


def plan_name(number: int) -> str:
    return f"plan{plan_number(number)}"


def rate_limit(number: int) -> str:
    """The Mikrotik-Rate-Limit that a correct server answers for this subscriber."""
    return PLAN_RATES[plan_number(number)]


def has_own_reply(number: int) -> bool:
    return number % OWN_REPLY_EVERY == 0


def mac(number: int) -> str:
    """Calling-Station-Id as RouterOS writes it for PPPoE: upper case, colons."""
    return f"02:1A:{number >> 24 & 255:02X}:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
