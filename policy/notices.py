"""What customers are told: which events there are, the blanks in an operator's own words, quiet hours, trying again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from policy.errors import PolicyError
from policy.fair_use import TierAction
from policy.windows import zone


class Event(StrEnum):
    """What a notice is about."""

    INVOICE = "invoice"
    REMINDER = "reminder"
    RESTRICTED = "restricted"
    RESTORED = "restored"
    RECEIPT = "receipt"
    USAGE = "usage"


_ALWAYS: Final = {
    "name": "the customer's name",
    "reference": "the customer number",
    "operator": "the operator's name, as on invoices",
    "payment_details": "how to pay, as on invoices",
}
_INVOICE: Final = {
    "number": "the invoice's number",
    "amount": "its amount with the currency",
    "open": "what is left to pay of it",
    "issued": "the day on which it was issued",
    "due": "the day on which it is due",
}
_SERVICE: Final = {"username": "the user name of the service", "owed": "what is overdue in all"}
# The blanks that an operator's own words may have, and what stands there. A template is never a program.
BLANKS: Final[Mapping[Event, Mapping[str, str]]] = {
    Event.INVOICE: _ALWAYS | _INVOICE,
    Event.REMINDER: _ALWAYS | _INVOICE,
    Event.RESTRICTED: _ALWAYS | _SERVICE,
    Event.RESTORED: _ALWAYS | _SERVICE,
    Event.RECEIPT: _ALWAYS
    | {
        "amount": "what was paid",
        "method": "how it was paid",
        "received": "the day on which it was paid",
        "receipt": "the receipt's number",
    },
    Event.USAGE: _ALWAYS
    | {
        "username": "the user name of the service",
        "percent": "the share of the limit that was passed",
        "used": "what was used when it was",
        "allowed": "what may be used in all, with top-ups",
        "left": "what was left of it",
        "anew": "the day on which counting begins anew",
    },
}
# The blanks in the address of a channel: whom it reaches.
ADDRESSES: Final = {"email": "e-mail address", "phone": "phone number"}

# A gateway that is down for a night costs no notice: the last try is about a day after the first.
AGAIN_AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720))

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}|[{}]")


class Usage(NamedTuple):
    """The share of a limit that was passed, the bytes at that moment, and what the limit does once it is reached."""

    percent: int
    used_bytes: int
    allowed_bytes: int
    anew_on: date
    action: TierAction


@dataclass(frozen=True, slots=True)
class Facts:
    """What the blanks of a notice are filled from. Amounts in minor units of `currency`; days are the operator's."""

    name: str
    reference: str
    operator: str
    payment_details: str
    currency: str
    owed_minor: int = 0
    number: str = ""
    amount_minor: int = 0
    open_minor: int = 0
    issued_on: date | None = None
    due_on: date | None = None
    username: str = ""
    method: str = ""
    received_on: date | None = None
    receipt: str = ""
    usage: Usage | None = None


def check_blanks(template: str, known: Mapping[str, str]) -> None:
    """Raises PolicyError for a blank that is none of `known`, or a brace that stands alone."""
    for piece in _PIECE.finditer(template):
        if piece[0] in ("{", "}"):
            raise PolicyError(
                f"a single {piece[0]} opens or closes nothing; write {piece[0] * 2} for the letter itself, "
                "and {name} for a blank"
            )
        if piece[1] is not None and piece[1] not in known:
            listed = ", ".join("{" + name + "}" for name in known)
            raise PolicyError(f"there is no {piece[0]} here; there are {listed}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its blanks filled; `{{` and `}}` are braces. A blank that has no value stays empty."""
    return _PIECE.sub(lambda piece: values.get(piece[1], "") if piece[1] else piece[0][:1], template)


def blanks_in(template: str) -> set[str]:
    """The names of the blanks that a template has."""
    return {piece[1] for piece in _PIECE.finditer(template) if piece[1]}


def after_quiet(moment: datetime, quiet_from: time | None, quiet_until: time | None, time_zone: str) -> datetime:
    """The moment itself, or the end of the quiet hours in which it lies, by the clock of that time zone.

    Quiet hours that begin and end at the same time are none; those that end earlier than they begin last over midnight.
    """
    if quiet_from is None or quiet_until is None or quiet_from == quiet_until:
        return moment
    local = moment.astimezone(zone(time_zone))
    clock = local.time()
    over_midnight = quiet_until < quiet_from
    quiet = (clock >= quiet_from or clock < quiet_until) if over_midnight else quiet_from <= clock < quiet_until
    if not quiet:
        return moment
    day = local.date() + timedelta(days=int(over_midnight and clock >= quiet_from))
    end = datetime.combine(day, quiet_until, zone(time_zone)).astimezone(moment.tzinfo)
    if end <= moment:  # the hour that comes twice in autumn: its second time is meant
        end = datetime.combine(day, quiet_until, zone(time_zone)).replace(fold=1).astimezone(moment.tzinfo)
    return end


def again_at(now: datetime, attempts: int) -> datetime | None:
    """When a notice that failed is tried again, after so many attempts; None: not any more by itself."""
    return now + AGAIN_AFTER[attempts - 1] if attempts <= len(AGAIN_AFTER) else None
