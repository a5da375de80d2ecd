"""MAC addresses in one spelling: upper case with colons, as RouterOS sends them in Calling-Station-Id."""

from __future__ import annotations

import re

_SPELLINGS = re.compile(
    r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}|[0-9A-Fa-f]{12}"
)
_CANONICAL = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")


def canonical_mac(text: str) -> str:
    """The MAC in canonical form, or "" where the text is none (PPTP puts an IP address in its place)."""
    if _CANONICAL.fullmatch(text):
        return text
    if not _SPELLINGS.fullmatch(text):
        return ""
    digits = text.translate({ord(mark): None for mark in ":-."}).upper()
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
