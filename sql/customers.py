"""Operators, plans, subscribers and services: storing what people say, and finding it again."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from policy.changes.approval import read_rules
from policy.changes.intent import ChangeKind
from policy.documents import address, ipv6_prefix, on_the_clock, plan_document, read_operator, read_plan
from policy.errors import PolicyError
from policy.facts import Method
from policy.mac import canonical_mac
from policy.money.currency import is_known
from policy.windows import zone
from sql import audit
from sql.checks import (
    LETTERHEAD_MAXIMUM_BYTES,
    NAME_MAXIMUM_BYTES,
    check_contact,
    check_language,
    check_letterhead,
    checked_moment,
    checked_routes,
    checked_text,
)
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Operator, Plan, PlanVersion, Router, Service, Subscriber
from sql.money.dunning import OUTSIDE
from sql.money.starting import begin_service
from sql.money.terms import change_terms, check_terms
from sql.secrets import SecretBox, service_password_place
from sql.sessions import database_time

WISHES = frozenset(
    {
        *("address", "ipv6_prefix", "delegated_ipv6_prefix", "routes", "prepaid_until", "mac"),
        *("bind_mac", "bind_router", "bind_port"),
    }
)
CURRENCIES = "three capital letters such as EUR"
FEED_HOURS_MAXIMUM = 24 * 366  # a year: a feed that is silent for longer is none


def add_operator(session: Session, *, name: str, currency: str, actor: str, **options: Any) -> Operator:
    """A new operator. `options` are columns such as time_zone, grace_days. The session acts for nobody before."""
    operator_id = session.execute(text("SELECT nextval(pg_get_serial_sequence('operators', 'id'))")).scalar_one()
    session.execute(text("SELECT set_config('app.operator', :id, true)"), {"id": str(operator_id)})
    if not is_known(currency):
        raise Refused(f"The currency {currency[:60]!r} is not a code of ISO 4217; write {CURRENCIES}.")
    operator = Operator(id=operator_id, name=_name("operator", name), currency=currency, **options)
    _check_operator(operator)
    session.add(operator)
    session.flush()
    audit.record(session, operator_id, actor, "operator:account:add", name=name)
    return operator


def set_operator(session: Session, operator_id: int, *, actor: str, **options: Any) -> Operator:
    """Change an operator's choices."""
    operator = session.get_one(Operator, operator_id)
    for key, value in options.items():
        setattr(operator, key, value)
    _check_operator(operator)
    session.flush()
    said: dict[str, Any] = {key: str(value) for key, value in options.items()}
    audit.record(session, operator_id, actor, "operator:settings:change", **said)
    return operator


def add_plan(
    session: Session,
    operator_id: int,
    *,
    name: str,
    facts: dict[str, Any],
    price_minor: int,
    actor: str,
    terms: dict[str, Any] | None = None,
) -> Plan:
    """A new plan with its first version. `facts` is a document of `policy.documents.read_plan`.

    `terms` are columns such as billing, period_unit, tax_basis_points: how it is charged.
    """
    _name("plan", name)
    _check_price(price_minor)
    clock = session.get_one(Operator, operator_id).time_zone
    document = _plan_document(on_the_clock(facts, {}, clock), name)
    plan = Plan(operator_id=operator_id, name=name, price_minor=price_minor, **(terms or {}))
    check_terms(plan)
    session.add(plan)
    session.flush()
    _add_version(session, plan, document, 1)
    audit.record(session, operator_id, actor, "plan:version:add", plan=name, number=1)
    return plan


def change_plan(
    session: Session,
    operator_id: int,
    *,
    name: str,
    facts: dict[str, Any],
    actor: str,
    price_minor: int | None = None,
    terms: dict[str, Any] | None = None,
) -> Plan:
    """A new version of a plan: the given facts replace those of the same names. Every service of it is reviewed.

    A price, or how it is charged (`terms`), makes no version: the network is told nothing of it, and services pay so
    from their next period on.
    """
    plan = plan_by_name(session, operator_id, name)
    # Two people at once: the second waits here and then builds on the version of the first.
    session.refresh(plan, with_for_update={"key_share": True})
    if price_minor is not None and price_minor != plan.price_minor:
        _check_price(price_minor)
        plan.price_minor = price_minor
        audit.record(session, operator_id, actor, "plan:price:change", plan=name, price_minor=price_minor)
    if terms:
        change_terms(session, plan, terms, actor=actor)
    current = session.get_one(PlanVersion, plan.current_version_id)
    facts = on_the_clock(facts, current.facts, session.get_one(Operator, operator_id).time_zone)
    document = _plan_document({**current.facts, **facts}, name)
    if document == current.facts:
        return plan
    _add_version(session, plan, document, current.number + 1)
    audit.record(session, operator_id, actor, "plan:version:add", plan=name, number=current.number + 1)
    defer_review(session, operator_id)
    return plan


def plan_by_name(session: Session, operator_id: int, name: str) -> Plan:
    """The plan of this name. Raises NotFound."""
    plan = session.scalar(select(Plan).where(Plan.operator_id == operator_id, Plan.name == name))
    if plan is None:
        raise NotFound(f"There is no plan {name!r}; `ispagents plan list` shows those there are.")
    return plan


def add_subscriber(
    session: Session, operator_id: int, *, reference: str, name: str, actor: str, **contact: str
) -> Subscriber:
    """A new subscriber; `reference` is the customer number. What is not said is the operator's: language, time zone."""
    own = own_contact(session.get_one(Operator, operator_id), contact)
    subscriber = new_subscriber(operator_id, reference=reference, name=name, **own)
    session.add(subscriber)
    session.flush()
    audit.record(session, operator_id, actor, "subscriber:account:add", subscriber_id=subscriber.id, name=name)
    return subscriber


def own_contact(operator: Operator, contact: dict[str, str]) -> dict[str, str]:
    """A contact with the operator's language and time zone where it says none."""
    return {"language": operator.language, "time_zone": operator.time_zone, **contact}


def new_subscriber(operator_id: int, *, reference: str, name: str, **contact: str) -> Subscriber:
    """A subscriber that is not stored yet. Raises Refused."""
    check_contact(contact)
    number = _name("customer number", reference)
    return Subscriber(operator_id=operator_id, reference=number, name=_name("name", name, 1024), **contact)


def set_subscriber(session: Session, subscriber: Subscriber, *, actor: str, **contact: str) -> None:
    """Change how a customer is reached and written to: name, and the contact of `add_subscriber`.

    Invoices that were issued keep what stood on them.
    """
    if "name" in contact:
        _name("name", contact["name"], 1024)
    check_contact({key: value for key, value in contact.items() if key != "name"})
    for key, value in contact.items():
        setattr(subscriber, key, value)
    session.flush()
    said: dict[str, Any] = {"changed": sorted(contact)}
    audit.record(
        session, subscriber.operator_id, actor, "subscriber:account:change", subscriber_id=subscriber.id, **said
    )


def subscriber_by_reference(session: Session, operator_id: int, reference: str) -> Subscriber:
    """The subscriber of this customer number. Raises NotFound."""
    found = session.scalar(
        select(Subscriber).where(Subscriber.operator_id == operator_id, Subscriber.reference == reference)
    )
    if found is None:
        raise NotFound(
            f"There is no subscriber with the number {reference!r}; `ispagents subscriber list` shows those there are."
        )
    return found


def add_service(
    session: Session,
    operator_id: int,
    *,
    subscriber: Subscriber,
    plan: Plan,
    username: str,
    password: str | None,
    method: str,
    box: SecretBox,
    actor: str,
    starts_on: date | None = None,
    price_minor: int | None = None,
    **options: Any,
) -> Service:
    """A new service; the worker authorises and replicates it. Without a password it logs in by its MAC alone.

    `starts_on` is the first day that is charged, `price_minor` a price agreed with this customer.
    """
    service = new_service(operator_id, username=username, password=password, method=method, box=box, **options)
    service.subscriber_id, service.plan_id = subscriber.id, plan.id
    session.add(service)
    session.flush()
    audit.record(
        session,
        operator_id,
        actor,
        "service:line:add",
        service_id=service.id,
        subscriber_id=subscriber.id,
        username=username,
        plan=plan.name,
    )
    begin_service(session, service, plan, starts_on=starts_on, price_minor=price_minor)
    session.flush()
    defer_review(session, operator_id)
    return service


def new_service(
    operator_id: int, *, username: str, password: str | None, method: str, box: SecretBox, **options: Any
) -> Service:
    """A service that is not stored yet, and nobody's. Raises Refused."""
    if method not in set(Method):
        raise Refused(f"The method {method[:60]!r} is not known; use one of {', '.join(Method)}.")
    name = _name("user name", username)
    if password is None and method == Method.PPPOE:
        raise Refused("A pppoe service needs a password; only hotspot and dhcp services log in by their MAC.")
    # A static customer never logs in: the address alone is known.
    if password is None and method != Method.STATIC and not canonical_mac(name):
        raise Refused("A service without a password logs in by its MAC, so its user name must be one.")
    values = _service_options(options) | {"password": _sealed(box, operator_id, name, password)}
    return Service(operator_id=operator_id, method=method, username=name, **values)


def change_service(session: Session, service: Service, *, actor: str, **options: Any) -> Service:
    """Change what is wanted of a service: `WISHES`. Another plan moves money: `sql.money.plan_changes`.

    Raises Refused, and TypeError for what is no wish.
    """
    unknown = sorted(set(options) - WISHES)
    if unknown:
        raise TypeError(f"a service has no wish {', '.join(unknown)}")
    if service.closed_at is not None:
        raise Refused(f"The service {service.username!r} is closed; add a new one instead.")
    values = _service_options(options)
    _review_first(session, service)
    for key, value in values.items():
        setattr(service, key, value)
    session.flush()
    said: dict[str, Any] = {key: str(value) for key, value in options.items()}
    audit.record(session, service.operator_id, actor, "service:wish:change", service_id=service.id, **said)
    defer_review(session, service.operator_id)
    return service


def set_password(session: Session, service: Service, password: str, *, box: SecretBox, actor: str) -> None:
    """A new password; the next login needs it."""
    service.password = _sealed(box, service.operator_id, service.username, password)
    session.flush()
    audit.record(session, service.operator_id, actor, "service:password:change", service_id=service.id)


def close_service(session: Session, service: Service, *, actor: str) -> None:
    """Close a service for good; the change goes through approval like any other."""
    if service.closed_at is None:
        _review_first(session, service)
        service.closed_at = database_time(session)
        service.standing = "closed"
        session.flush()
        audit.record(session, service.operator_id, actor, "service:line:close", service_id=service.id)
        defer_review(session, service.operator_id)


def unbind(session: Session, service: Service, *, actor: str) -> dict[str, Any]:
    """Release what was learnt at the first login; the next one is learnt anew. Returns what was released."""
    released: dict[str, Any] = {"mac": service.mac, "port": service.port, "router_id": str(service.router_id or "")}
    service.mac, service.port, service.router_id = "", "", None
    session.flush()
    audit.record(session, service.operator_id, actor, "service:binding:release", service_id=service.id, **released)
    return released


def service_by_username(session: Session, operator_id: int, username: str) -> Service:
    """The service of this user name. Raises NotFound."""
    found = session.scalar(select(Service).where(Service.operator_id == operator_id, Service.username == username))
    if found is None:
        raise NotFound(
            f"There is no service with the user name {username!r}; `ispagents service list` shows those there are."
        )
    return found


def _check_operator(operator: Operator) -> None:
    check_letterhead({key: getattr(operator, key) or "" for key in LETTERHEAD_MAXIMUM_BYTES})
    check_language(operator.language or "en")
    try:
        if operator.time_zone is not None:
            zone(operator.time_zone)
        read_operator({"refusals": operator.refusals or {}}, operator.id)
        for kind in operator.automatic_changes or ():
            ChangeKind(kind)
        read_rules(operator.approval_rules or ())
    except (PolicyError, ValueError) as error:
        raise Refused(f"This cannot be an operator's setting: {error}.") from error
    if operator.standings_from not in (None, "invoices", OUTSIDE):
        raise Refused("Standings come from invoices or from outside.")
    if operator.standing_feed_hours is not None and not 1 <= operator.standing_feed_hours <= FEED_HOURS_MAXIMUM:
        raise Refused(f"A feed is watched for 1 to {FEED_HOURS_MAXIMUM} hours.")
    for days in (operator.grace_days, operator.overdue_days):
        if days is not None and not 0 <= days <= 365:
            raise Refused("Grace and overdue days lie between 0 and 365.")


def _add_version(session: Session, plan: Plan, document: dict[str, Any], number: int) -> None:
    version = PlanVersion(operator_id=plan.operator_id, plan_id=plan.id, number=number, name=plan.name, facts=document)
    session.add(version)
    session.flush()
    plan.current_version_id = version.id
    session.flush()


def _plan_document(facts: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        return plan_document(read_plan(facts, 0, name))
    except PolicyError as error:
        raise Refused(f"The plan {name!r} cannot be stored: {error}.") from error


def _service_options(options: dict[str, Any]) -> dict[str, Any]:
    values = dict(options)
    try:
        if "address" in values:
            values["address"] = address(values["address"] or "") or None
        for name in ("ipv6_prefix", "delegated_ipv6_prefix"):
            if name in values:
                values[name] = ipv6_prefix(values[name] or "") or None
        if "routes" in values:
            values["routes"] = checked_routes(values["routes"])
    except PolicyError as error:
        raise Refused(f"The service cannot be stored: {error}.") from error
    if values.get("prepaid_until") is not None:
        checked_moment("end of the prepaid time", values["prepaid_until"])
    if values.get("mac"):
        values["mac"] = canonical_mac(values["mac"])
        if not values["mac"]:
            raise Refused(f"{options['mac']!r} is not a MAC address such as 00:11:22:AA:BB:CC.")
    return values


def _sealed(box: SecretBox, operator_id: int, username: str, password: str | None) -> bytes | None:
    if password is None:
        return None
    # RFC 2865 section 5.2: User-Password holds at most 128 bytes.
    if not checked_text("password", password, 128):
        raise Refused("A password has 1 to 128 bytes and no zero byte.")
    return box.seal(password, service_password_place(operator_id, username))


def _review_first(session: Session, service: Service) -> None:
    """Mark the review before the service is touched, the order in which the worker locks the two."""
    session.execute(
        text("SELECT review_service(:operator, :service)"), {"operator": service.operator_id, "service": service.id}
    )


def _check_price(price_minor: int) -> None:
    if not 0 <= price_minor <= 10**15:
        raise Refused("A price is zero or more, and below ten trillion.")


def _name(what: str, value: str, maximum_bytes: int = NAME_MAXIMUM_BYTES) -> str:
    if not value.strip():
        raise Refused(f"The {what} must not be empty.")
    return checked_text(what, value, maximum_bytes)


def router_by_name(session: Session, operator_id: int, name: str) -> Router:
    """The router of this name. Raises NotFound."""
    found = session.scalar(
        select(Router).where(Router.operator_id == operator_id, Router.name == name, Router.removed_at.is_(None))
    )
    if found is None:
        raise NotFound(f"There is no router {name!r}; `ispagents router list` shows those there are.")
    return found
