"""What a text, a moment or a route must be before it is stored: what PostgreSQL, a replica or the worker can hold."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime

from policy.documents import LIST_MAXIMUM
from policy.errors import PolicyError
from policy.windows import zone
from sql.errors import Refused

NAME_MAXIMUM_BYTES = 253  # one RADIUS string attribute (RFC 2865 section 5)
CONTACT_MAXIMUM_BYTES = {
    "email": 320,
    "phone": 64,
    "language": 2,
    "time_zone": 64,
    "area": 253,
    "address": 2048,
    "tax_number": 64,
}
LETTERHEAD_MAXIMUM_BYTES = {
    "legal_name": 1024,
    "address": 2048,
    "tax_name": 64,
    "tax_number": 64,
    "payment_details": 2048,
}
# Terms are counted in days from a date of ours; outside these years their sums would leave the calendar.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def checked_moment(what: str, moment: datetime) -> datetime:
    """The moment. Raises Refused outside the years that terms can be counted in."""
    if not EARLIEST <= moment < LATEST:
        raise Refused(f"The {what} lies outside the years {EARLIEST.year} to {LATEST.year - 1}.")
    return moment


def checked_text(what: str, value: str, maximum_bytes: int) -> str:
    """The text. Raises Refused where it is too long, no valid UTF-8, or holds a zero byte."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Refused(f"The {what} is not valid UTF-8; type it on a UTF-8 terminal.") from error
    if size > maximum_bytes:
        raise Refused(f"The {what} is {size} bytes long; {maximum_bytes} are the most that it may be.")
    if "\0" in value:
        raise Refused(f"The {what} must not hold a zero byte.")
    return value


def check_contact(contact: dict[str, str]) -> None:
    """How a customer is reached and written to, as far as it is given. Raises Refused."""
    for key, value in contact.items():
        checked_text(key.replace("_", " "), value, CONTACT_MAXIMUM_BYTES[key])
    check_language(contact.get("language", "en"))
    try:
        zone(contact.get("time_zone", "UTC"))
    except PolicyError as error:
        raise Refused(f"The subscriber cannot be stored: {error}.") from error


def check_letterhead(letterhead: dict[str, str]) -> None:
    """What stands on an operator's invoices. Raises Refused."""
    for key, value in letterhead.items():
        checked_text(key.replace("_", " "), value, LETTERHEAD_MAXIMUM_BYTES[key])


def check_language(language: str) -> None:
    """Raises Refused for what is not the code of a language (ISO 639-1)."""
    if not re.fullmatch("[a-z]{2}", language):
        raise Refused(f"The language {language[:60]!r} is not known; write two small letters such as en.")


def checked_routes(routes: list[str]) -> list[str]:
    """Framed-Route as RouterOS reads it: `prefix [gateway [metric]]` (RFC 2865 section 5.22). Raises PolicyError."""
    if len(routes) > LIST_MAXIMUM:
        raise PolicyError(f"a service has at most {LIST_MAXIMUM} routes")
    found = [checked_text("route", route, NAME_MAXIMUM_BYTES).split() for route in routes]
    for words in found:
        if not _is_route(words):
            raise PolicyError(
                f"{' '.join(words)!r} is not a route such as '10.1.2.0/24' or '10.1.2.0/24 10.0.0.1 1' "
                "(prefix, gateway, metric)"
            )
    return [" ".join(words) for words in found]


def _is_route(words: list[str]) -> bool:
    if not 1 <= len(words) <= 3 or not all(word.isascii() and word.isdigit() and len(word) < 4 for word in words[2:]):
        return False
    try:
        ipaddress.IPv4Network(words[0])
        for gateway in words[1:2]:
            ipaddress.IPv4Address(gateway)
    except ValueError:
        return False
    return True
