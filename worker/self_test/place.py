"""What a self-test needs to know of a router before it sends anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DatabaseSession

from network.coa.target import Target
from network.contract import Secret
from sql.errors import Refused
from sql.models import Node, Router, Session
from sql.secrets import SecretBox, SecretsError, router_secret_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A router, and where its packets leave from here.

    `radius_address` is where its own RADIUS packets come from, `nas_address` what it says of itself ("" if the same).
    `other_sources` are further addresses of this machine that the router may know as its RADIUS server.
    `heard_at` is when a live session of it last reported; None without one.
    """

    name: str
    target: Target
    source: str
    radius_address: str
    nas_address: str = ""
    takes_coa: bool = True
    other_sources: tuple[str, ...] = ()
    heard_at: datetime | None = None

    @property
    def addresses_elsewhere(self) -> tuple[str, ...]:
        """Where the router may be as well: its other addresses, those that can be asked from here."""
        same_family = ":" in self.target.address
        found = dict.fromkeys(one for one in (self.radius_address, self.nas_address) if one)
        return tuple(one for one in found if one != self.target.address and (":" in one) == same_family)


def place_of(
    session: DatabaseSession, router: Router, box: SecretBox, *, node: str, source: str, other_sources: tuple[str, ...]
) -> Place:
    """The place of a stored router, asked from the node `node` at `source`.

    Raises Refused where the router takes CoA from another node only, or its secret cannot be opened.
    """
    _check_node(session, router, node, source)
    if router.secret is None:
        raise Refused(
            f"{router.name} has no RADIUS secret, so it takes no CoA from here; `ispagents router set` gives it one."
        )
    try:
        secret = box.open(router.secret, router_secret_place(router.operator_id, router.name))
    except SecretsError as error:
        raise Refused(
            f"The RADIUS secret of {router.name} cannot be used: {error}. Set it again with `ispagents router set`."
        ) from error
    heard = select(func.max(Session.last_seen_at)).where(Session.router_id == router.id, Session.ended_at.is_(None))
    return Place(
        name=router.name,
        target=Target(
            address=str(router.coa_address),
            port=router.coa_port,
            secret=Secret(secret),
            window=router.coa_window,
            message_authenticator=router.coa_message_authenticator,
        ),
        source=source,
        radius_address=str(router.address),
        nas_address=str(router.nas_address) if router.nas_address else "",
        takes_coa=router.dynamic_authorization,
        other_sources=tuple(one for one in dict.fromkeys(other_sources) if one != source),
        heard_at=session.scalar(heard),
    )


def _check_node(session: DatabaseSession, router: Router, node: str, source: str) -> None:
    if router.node_id is None:
        return
    home = session.get_one(Node, router.node_id)
    if node != home.name and source != str(home.address):
        raise Refused(
            f"{router.name} takes CoA from the node {home.name!r} only, and this is {node!r}; run the test there, or "
            f"name another node with `ispagents router set {router.name} --node NODE`."
        )
