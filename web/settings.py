"""What the pages need to be told by whoever wires them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sql.secrets import SecretBox

IDLE_MINUTES = 30  # ASVS 3.3.2, level 2
SIGN_INS_A_MINUTE = 20


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`secret_keys` sign the session cookies, the newest first; the others only read what they signed before.

    `behind_tls`: the pages are reached over HTTPS through a proxy, whose X-Forwarded headers are then believed.
    `provider_box` opens the payment providers' secrets and nothing else.
    """

    secret_keys: list[str] = field(repr=False)
    behind_tls: bool = False
    idle_minutes: int = IDLE_MINUTES
    sign_ins_a_minute: int = SIGN_INS_A_MINUTE
    provider_box: SecretBox | None = field(default=None, repr=False)
