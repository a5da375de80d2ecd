"""Routers: adding, changing, removing. Their secrets are sealed before they are stored."""

from __future__ import annotations

import ipaddress
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sql import audit
from sql.checks import NAME_MAXIMUM_BYTES, checked_text
from sql.errors import NotFound, Refused
from sql.models import Node, Router
from sql.secrets import SecretBox, router_secret_place
from sql.sessions import database_time

SECRET_MAXIMUM_BYTES = 255
SECRET_MINIMUM_BYTES = 8


def add_router(
    session: Session,
    operator_id: int,
    *,
    name: str,
    address: str,
    secret: str,
    box: SecretBox,
    actor: str,
    **options: Any,
) -> Router:
    """A new router. `address` is where its RADIUS packets come from, and the CoA target unless said otherwise."""
    if not checked_text("router's name", name, NAME_MAXIMUM_BYTES).strip():
        raise Refused("A router's name has 1 to 253 bytes and is not blank.")
    values = _addresses({"address": address, **options})
    values.setdefault("coa_address", values["address"])
    router = Router(operator_id=operator_id, name=name, secret=_sealed(box, operator_id, name, secret), **values)
    session.add(router)
    session.flush()
    audit.record(session, operator_id, actor, "router:device:add", name=name, address=address)
    return router


def change_router(session: Session, router: Router, *, box: SecretBox, actor: str, **options: Any) -> Router:
    """Change a router's addresses, abilities or secret."""
    values = dict(options)
    if (secret := values.pop("secret", None)) is not None:
        router.secret = _sealed(box, router.operator_id, router.name, secret)
    if values.get("address") is not None and router.coa_address == router.address:
        values.setdefault("coa_address", values["address"])  # it follows, as long as nobody said otherwise
    for key, value in _addresses(values).items():
        setattr(router, key, value)
    session.flush()
    said: dict[str, Any] = {key: str(value) for key, value in options.items() if key != "secret"}
    audit.record(session, router.operator_id, actor, "router:device:change", name=router.name, **said)
    return router


def remove_router(session: Session, router: Router, *, actor: str) -> None:
    """Stop knowing a router; its sessions and evidence stay."""
    router.removed_at = database_time(session)
    session.flush()
    audit.record(session, router.operator_id, actor, "router:device:remove", name=router.name)


def routers(session: Session, operator_id: int) -> list[Router]:
    """The operator's routers, by name."""
    return list(
        session.scalars(
            select(Router).where(Router.operator_id == operator_id, Router.removed_at.is_(None)).order_by(Router.name)
        )
    )


def _addresses(values: dict[str, Any]) -> dict[str, Any]:
    ready = dict(values)
    for key in ("address", "coa_address", "nas_address"):
        if ready.get(key) is None:
            continue
        try:
            ready[key] = _host(str(ready[key]))
        except ValueError as error:
            raise Refused(
                f"{ready[key]!r} is not an IP address; a router is known by an address, not a name."
            ) from error
    if not 1 <= int(ready.get("coa_port", 3799)) <= 65535:
        raise Refused("A port lies between 1 and 65535; RouterOS listens for CoA on 3799 or 1700.")
    return ready


def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast or "%" in text:
        raise ValueError(text)
    return address


def node_by_name(session: Session, name: str) -> Node:
    """The RADIUS node of this name. Raises NotFound."""
    node = session.scalar(select(Node).where(Node.name == name))
    if node is None:
        raise NotFound(f"There is no RADIUS node {name!r}; `ispagents status` shows those there are.")
    return node


def _sealed(box: SecretBox, operator_id: int, name: str, secret: str) -> bytes:
    if len(checked_text("RADIUS secret", secret, SECRET_MAXIMUM_BYTES).encode()) < SECRET_MINIMUM_BYTES:
        raise Refused(f"A RADIUS secret has {SECRET_MINIMUM_BYTES} to {SECRET_MAXIMUM_BYTES} bytes.")
    if any(letter in secret for letter in "\0\r\n"):
        raise Refused("A RADIUS secret holds no line breaks or zero bytes.")
    return box.seal(secret, router_secret_place(operator_id, name))
