"""Routers: adding, changing, removing, and the settings of their API. Secrets are sealed before they are stored."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.errors import PolicyError
from policy.routeros.garden import garden_document, read_garden
from policy.routeros.style import read_style, style_document
from sql import audit
from sql.checks import NAME_MAXIMUM_BYTES, checked_text
from sql.errors import NotFound, Refused
from sql.models import Node, Router, Service
from sql.secrets import SecretBox, router_api_place, router_secret_place
from sql.sessions import database_time

SECRET_MAXIMUM_BYTES = 255
SECRET_MINIMUM_BYTES = 8
VERIFIED, PINNED, PLAIN = "verified", "pinned", "plain"
# As /ip service has them unless somebody changed that.
API_PORT = 8728
API_SSL_PORT = 8729


def add_router(
    session: Session,
    operator_id: int,
    *,
    name: str,
    address: str,
    secret: str | None,
    box: SecretBox,
    actor: str,
    api: dict[str, Any] | None = None,
    **options: Any,
) -> Router:
    """A new router. `address` is where its RADIUS packets come from, and the CoA target unless said otherwise.

    Without `secret` it is no RADIUS client, and needs `api`: what `set_api` takes.
    """
    if not checked_text("router's name", name, NAME_MAXIMUM_BYTES).strip():
        raise Refused("A router's name has 1 to 253 bytes and is not blank.")
    if secret is None and api is None:
        raise Refused("A router needs a RADIUS secret or a user of its API; without both nothing reaches it.")
    values = _addresses({"address": address, **options})
    values.setdefault("coa_address", values["address"])
    sealed = None if secret is None else sealed_secret(box, operator_id, name, secret)
    router = Router(operator_id=operator_id, name=name, secret=sealed, api_security=VERIFIED, **values)
    said = {} if api is None else _api(router, box, api)
    session.add(router)
    session.flush()
    audit.record(session, operator_id, actor, "router:device:add", name=name, address=address)
    if api is not None:
        audit.record(session, operator_id, actor, "router:api:set", name=name, **said)
    return router


def change_router(session: Session, router: Router, *, box: SecretBox, actor: str, **options: Any) -> Router:
    """Change a router's addresses, abilities or secret."""
    values = dict(options)
    if (secret := values.pop("secret", None)) is not None:
        router.secret = sealed_secret(box, router.operator_id, router.name, secret)
    if values.get("address") is not None and router.coa_address == router.address:
        values.setdefault("coa_address", values["address"])  # it follows, as long as nobody said otherwise
    for key, value in _addresses(values).items():
        setattr(router, key, value)
    session.flush()
    said: dict[str, Any] = {key: str(value) for key, value in options.items() if key != "secret"}
    audit.record(session, router.operator_id, actor, "router:device:change", name=router.name, **said)
    return router


def set_api(session: Session, router: Router, *, box: SecretBox, actor: str, **options: Any) -> None:
    """Set what is named of a router's API; the rest stays. Raises Refused.

    `username`, `password`, `address` ("": the router's own), `port` (0: the usual one), `security`, `server_name`,
    `fingerprint` (SHA-256, which means pinned), `old_login`, `style` (a document; key `garden`: the walled garden).
    """
    said = _api(router, box, options)
    session.flush()
    audit.record(session, router.operator_id, actor, "router:api:set", name=router.name, **said)


def clear_api(session: Session, router: Router, *, actor: str) -> None:
    """Forget how to reach a router's API; the style stays. Raises Refused where something rests on it."""
    if router.secret is None:
        raise Refused(
            f"The router {router.name!r} has no RADIUS secret, so without its API nothing reaches it; remove it."
        )
    _refuse_controlling(session, router)
    router.api_username, router.api_password, router.api_address, router.api_port = None, None, None, None
    router.api_security, router.api_server_name, router.api_fingerprint = VERIFIED, "", None
    router.api_old_login = False
    session.flush()
    audit.record(session, router.operator_id, actor, "router:api:clear", name=router.name)


def api_port(router: Router) -> int:
    """The port of the router's API."""
    return router.api_port or (API_PORT if router.api_security == PLAIN else API_SSL_PORT)


def remove_router(session: Session, router: Router, *, actor: str) -> None:
    """Stop knowing a router; its sessions and evidence stay. Raises Refused where services are controlled by it."""
    _refuse_controlling(session, router)
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


def _refuse_controlling(session: Session, router: Router) -> None:
    count = session.scalar(
        select(func.count())
        .select_from(Service)
        .where(Service.operator_id == router.operator_id, Service.control_router_id == router.id)
    )
    if count:
        raise Refused(
            f"{count} services are controlled by the configuration of {router.name!r}; "
            "move them to RADIUS or to another router first."
        )


def _api(router: Router, box: SecretBox, options: dict[str, Any]) -> dict[str, Any]:
    """Set the fields, and return what the audit may know of it."""
    said = {key: value for key, value in options.items() if key != "password"}
    if "username" in options:
        router.api_username = _username(options["username"])
    if "password" in options:
        router.api_password = _sealed_password(box, router.operator_id, router.name, options["password"])
        said["password_changed"] = True
    if router.api_username is None or router.api_password is None:
        raise Refused("The API of a router needs a user name and a password; give both the first time.")
    if "address" in options:
        router.api_address = _api_address(options["address"])
    if "port" in options:
        if not 0 <= options["port"] <= 65535:
            raise Refused(f"A port lies between 1 and 65535; RouterOS has {API_SSL_PORT} with TLS, {API_PORT} without.")
        router.api_port = options["port"] or None
    if "old_login" in options:
        router.api_old_login = bool(options["old_login"])
    if "style" in options:
        router.style = said["style"] = checked_style(options["style"])
    _set_security(router, options)
    return said


def _set_security(router: Router, options: dict[str, Any]) -> None:
    fingerprint = _fingerprint(options["fingerprint"]) if options.get("fingerprint") else None
    server_name = checked_text("server name", options.get("server_name") or "", NAME_MAXIMUM_BYTES)
    # Each of the two says by itself how the certificate is known; with another word beside it, one is a mistake.
    usual = PINNED if fingerprint else VERIFIED if server_name else router.api_security
    security = options.get("security") or usual
    if fingerprint and security != PINNED:
        raise Refused(f"A fingerprint pins the certificate, which {security} does not; leave one of the two out.")
    if server_name and security != VERIFIED:
        raise Refused(f"A server name is what a certificate is verified for, which {security} does not; leave one out.")
    if security == PINNED and fingerprint is None and router.api_fingerprint is None:
        raise Refused("Pinning needs --fingerprint: the SHA-256 of the router's certificate.")
    router.api_security = security
    router.api_fingerprint = (fingerprint or router.api_fingerprint) if security == PINNED else None
    if security != VERIFIED:
        router.api_server_name = ""
    elif "server_name" in options or router.api_server_name is None:
        router.api_server_name = server_name


def checked_style(document: Any) -> dict[str, Any]:
    """A router's style document with its garden, without what is as usual. Raises Refused with what is wrong."""
    if not isinstance(document, dict):
        raise Refused('A style is a JSON object, such as {"ppp": "queue"}.')
    try:
        return {**style_document(read_style(document)), **garden_document(read_garden(document))}
    except PolicyError as error:
        raise Refused(f"The style cannot be used: {error}.") from error


def _username(text: str) -> str:
    if not checked_text("user name", text, NAME_MAXIMUM_BYTES):
        raise Refused("The user name of the API is empty; give that of the router's /user entry.")
    return text


def _sealed_password(box: SecretBox, operator_id: int, name: str, password: str) -> bytes:
    if not checked_text("password", password, SECRET_MAXIMUM_BYTES):
        raise Refused("The password of the API is empty; give the user one on the router.")
    return box.seal(password, router_api_place(operator_id, name))


def _api_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return _host(text) if text else None
    except ValueError as error:
        raise Refused(f"{text!r} is not an IP address; a router is known by an address, not a name.") from error


def _fingerprint(text: str) -> str:
    plain = re.sub(r"[:\s]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise Refused(
            "The fingerprint is no SHA-256; give its 64 hexadecimal digits, with or without colons, as the router "
            "prints it in /certificate."
        )
    return plain


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


def sealed_secret(box: SecretBox, operator_id: int, name: str, secret: str) -> bytes:
    """A RADIUS secret as it is stored. Raises Refused."""
    if len(checked_text("RADIUS secret", secret, SECRET_MAXIMUM_BYTES).encode()) < SECRET_MINIMUM_BYTES:
        raise Refused(f"A RADIUS secret has {SECRET_MINIMUM_BYTES} to {SECRET_MAXIMUM_BYTES} bytes.")
    if any(letter in secret for letter in "\0\r\n"):
        raise Refused("A RADIUS secret holds no line breaks or zero bytes.")
    return box.seal(secret, router_secret_place(operator_id, name))
