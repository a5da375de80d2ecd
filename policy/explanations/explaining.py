"""From a cause to its explanation."""

from __future__ import annotations

from typing import Final, NamedTuple

from policy.explanations.causes import CAUSES, NOT_CHANGEABLE, UNKNOWN
from policy.explanations.network import NETWORK, OTHER
from policy.explanations.refusals import REFUSALS, UNDEFINED
from policy.explanations.routeros import API, CUT_SHORT
from policy.explanations.words import Words

REFUSAL: Final = "error_cause:"
SYSTEM: Final = "network:"
FIXED: Final = "not_changeable:"
UNKNOWN_OUTCOME: Final = "unknown:"
_DEFAULTS: Final = {"router": "the router", "where": "the router's CoA address"}


class Explanation(NamedTuple):
    """What happened, the likely reason, and what to do next ("" where nothing is left to do); plain sentences."""

    cause: str
    happened: str
    likely: str
    next_step: str

    @property
    def text(self) -> str:
        """All of it as one paragraph."""
        return " ".join(part for part in (self.happened, self.likely, self.next_step) if part)


def explain(cause: str, **context: str) -> Explanation:
    """The explanation of a cause such as `timeout`, `error_cause:401` or `network:EHOSTUNREACH`.

    `context` may say `router` (its name) and `where` (address and port). Never raises: a cause that is not known is
    explained as that.
    """
    words, detail = _find(cause)
    values = {**_DEFAULTS, **context, "detail": detail}
    return Explanation(cause, *(_sentence(template, values) for template in words))


def is_known(cause: str) -> bool:
    """Whether the catalogue has this cause; a number or errno name that has no entry of its own counts as known."""
    return _find(cause)[0] is not UNKNOWN


def _find(cause: str) -> tuple[Words, str]:
    if cause in CAUSES:
        return CAUSES[cause], ""
    if cause in API:
        return API[cause], ""
    if cause.startswith(UNKNOWN_OUTCOME):
        return CUT_SHORT, cause.removeprefix(UNKNOWN_OUTCOME)
    if cause.startswith(REFUSAL):
        number = cause.removeprefix(REFUSAL)
        known = REFUSALS.get(int(number)) if number.isascii() and number.isdecimal() and len(number) < 11 else None
        return known or UNDEFINED, number
    if cause.startswith(SYSTEM):
        name = cause.removeprefix(SYSTEM)
        return NETWORK.get(name, OTHER), name
    if cause.startswith(FIXED):
        return NOT_CHANGEABLE, cause.removeprefix(FIXED)
    return UNKNOWN, cause


def _sentence(template: str, values: dict[str, str]) -> str:
    filled = template.format_map(values)
    # A name stays as it was given; only our own "the router" is raised where it begins a sentence.
    return f"T{filled[1:]}" if template.startswith("{") and filled.startswith("the ") else filled
