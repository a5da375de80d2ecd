"""The made-up subscribers of every bench: one integer gives name, password, plan, MAC and line.

Every server under test is filled from here and every load generator asks from here, so that an answer can be checked
without a table in memory.
"""

from typing import Final

# Eight speeds, in the words of Mikrotik-Rate-Limit: upload/download seen from the router (mikrotik-facts 1.2).
PLAN_RATES: Final = ("1M/5M", "2M/10M", "5M/20M", "5M/50M", "10M/50M", "10M/100M", "20M/200M", "50M/500M")

# The standard tables let a subscriber carry an answer of his own beside his group's; one in ten does.
OWN_REPLY_EVERY: Final = 10

# What billing knows beside the plan, so that a decision has something to decide. Only our own server looks at it.
SUSPENDED_EVERY: Final = 33  # 3 %: online in the walled garden, with its rate
PREPAID_EVERY: Final = 33
ADDRESS_EVERY: Final = 20  # a fixed address of their own
BOUND_EVERY: Final = 25  # to one device
RESTRICTED_RATE: Final = "256k/256k"  # policy.facts.RestrictedLook, unless the plan says otherwise
PREPAID_UNTIL_S: Final = 4_000_000_000.0  # the year 2096, seconds of the epoch

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


def decided_rate(number: int) -> str:
    """The same from a server that knows what billing says: a suspended service is restricted."""
    return RESTRICTED_RATE if is_suspended(number) else rate_limit(number)


def is_suspended(number: int) -> bool:
    """Never the first one, whom the probes ask for."""
    return number % SUSPENDED_EVERY == 1


def is_prepaid(number: int) -> bool:
    return number % PREPAID_EVERY == 3


def has_address(number: int) -> bool:
    return number % ADDRESS_EVERY == 2


def is_bound(number: int) -> bool:
    return number % BOUND_EVERY == 4


def address(number: int) -> str:
    """Of 10.0.0.0/8."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def has_own_reply(number: int) -> bool:
    return number % OWN_REPLY_EVERY == 0


def mac(number: int) -> str:
    """Calling-Station-Id as RouterOS writes it for PPPoE: upper case, colons."""
    return f"02:1A:{number >> 24 & 255:02X}:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
