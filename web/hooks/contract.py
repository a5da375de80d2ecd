"""What a payment provider's plugin must be, and the one error that it raises.

A plugin is a function, found by the entry point group `ispagents.payment_providers` under the name of its scheme:

    def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Sequence[Incoming]

It checks that the body was signed with the secret, no longer than `REPLAY_WINDOW` ago, and reads it. It is pure: no
clock, no network, no database, and it remembers nothing; that the same event counts once is done by whoever calls it,
by the `external_id` of what it returns. Names of headers are in small letters. An event that is about no payment is an
empty list. Amounts are minor units of ISO 4217.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from policy.money.incoming import Incoming

GROUP: Final = "ispagents.payment_providers"
REPLAY_WINDOW: Final = timedelta(seconds=300)


class WebhookError(Exception):
    """A webhook that is not taken in; the text is one sentence for whoever sent it and quotes no secret.

    `is_signed`: the provider sent it, and its content is what is wrong.
    """

    def __init__(self, sentence: str, *, is_signed: bool = False) -> None:
        """One sentence that says what is wrong."""
        super().__init__(sentence)
        self.is_signed = is_signed


class Verify(Protocol):
    """A plugin."""

    def __call__(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Sequence[Incoming]:
        """What a webhook tells. Raises WebhookError."""


def check_age(signed_at_s: int, now: datetime) -> None:
    """Refuse what was signed too long ago, or in the future. Raises WebhookError."""
    if abs(now.timestamp() - signed_at_s) > REPLAY_WINDOW.total_seconds():
        seconds = f"{REPLAY_WINDOW.total_seconds():.0f} seconds"
        raise WebhookError(f"It was signed more than {seconds} from now; send it anew, and look at the clock.")
