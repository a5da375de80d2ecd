"""The other half of a router that is more than a NAS: what it is told about sessions, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.settings import Client

if TYPE_CHECKING:
    from simulators.sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTerms:
    """What a router's own secret or user gives to a client: a refusal, or an address and what is in force."""

    refused: str = ""
    address: str = ""  # "" takes one from the NAS's pool
    reply: tuple[tuple[str, str], ...] = ()  # by the names of RADIUS


class Companion:
    """Nobody: a NAS without a RouterOS API. `simulators.routeros.joined` is somebody."""

    def terms(self, client: Client) -> LocalTerms | None:
        """Return what the router's own secret or user gives; None where RADIUS is to be asked."""

    def came(self, session: Session) -> None:
        """Hear that a session is online."""

    def went(self, session: Session) -> None:
        """Hear that it is over."""

    def changed(self, session: Session) -> None:
        """Hear what CoA changed."""

    def rebooted(self) -> None:
        """Hear that everything is lost."""
