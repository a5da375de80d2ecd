"""The small ISP of the demo: three plans, 200 subscribers on PPPoE and Hotspot, two routers."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ispagents.demo.field import API_USER, FieldRouter
from ispagents.errors import Problem
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.models import Operator, Plan, Router, Service
from sql.router_store import add_router, change_router, set_api
from sql.secrets import SecretBox, service_password_place
from sql.sessions import acting_for, operator_names

OPERATOR = "Demo ISP"
ACTOR = "demo"
SUBSCRIBERS = 200
HOTSPOT_EVERY = 5
MAC_LOGIN_EVERY = 25

# Every plan has a list of its own, so that restoring by CoA replaces "overdue": a list is never removed by leaving it
# out.
PLANS: dict[str, tuple[int, dict[str, Any]]] = {
    "Basic 10": (1500, {"rate_limit": "2M/10M", "address_lists": ["paid"], "suspended": {}}),
    "Family 50": (2500, {"rate_limit": "10M/50M 20M/80M 8M/40M 10/10", "address_lists": ["paid"], "suspended": {}}),
    "Business 100": (9000, {"rate_limit": "100M/100M", "address_lists": ["paid"], "suspended": {}}),
}
SUSPENDED = {"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"}
FIRST = ("Anna", "Bogdan", "Chloé", "Dmytro", "Élise", "Farid", "Grażyna", "Hassan", "Iñaki", "Jürgen", "Łucja", "Zoë")
LAST = ("Kowalska", "O'Brien", "Müller", "Nuñez", "Öztürk", "Silva", "Wójcik", "Young", "Ångström", "Dvořák")


class Customer(NamedTuple):
    """A service of the demo as its simulated client needs it. The password is the made-up one of the demo."""

    username: str
    password: str
    method: str
    mac: str
    plan: str
    router: int

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Customer({self.username!r})"


def load(engine: Engine, box: SecretBox) -> int:
    """The demo operator's id; the ISP is made on the first run. Raises Problem in a state folder of a real ISP."""
    names = operator_names(engine)
    if OPERATOR in names:
        return names[OPERATOR]
    if names:
        raise Problem(
            f"This state folder holds a real ISP ({', '.join(sorted(names))}); run the demo with another --state."
        )
    with Session(engine) as session, session.begin():
        operator = add_operator(session, name=OPERATOR, currency="EUR", actor=ACTOR, time_zone="Europe/Warsaw")
        operator_id = operator.id
        plans = [
            add_plan(
                session,
                operator_id,
                name=name,
                facts={**facts, "suspended": SUSPENDED},
                price_minor=price,
                actor=ACTOR,
            )
            for name, (price, facts) in PLANS.items()
        ]
        _subscribers(session, operator_id, plans, box)
    return operator_id


def register(engine: Engine, operator_id: int, box: SecretBox, routers: list[FieldRouter]) -> None:
    """Tell the truth where the simulated routers are this time."""
    with acting_for(engine, operator_id) as session:
        known = {router.name: router for router in session.scalars(select(Router))}
        for one in routers:
            options: dict[str, Any] = {
                "coa_port": one.coa_port,
                "coa_address_list": one.coa_address_list,
                "require_message_authenticator": True,
            }
            if one.name in known:
                router = change_router(
                    session,
                    known[one.name],
                    box=box,
                    actor=ACTOR,
                    address=one.address,
                    coa_address=one.address,
                    secret=one.secret,
                    **options,
                )
            else:
                router = add_router(
                    session,
                    operator_id,
                    name=one.name,
                    address=one.address,
                    secret=one.secret,
                    box=box,
                    actor=ACTOR,
                    **options,
                )
            if one.api is not None:
                _tell_api(session, router, one, box)


def _tell_api(session: Session, router: Router, one: FieldRouter, box: SecretBox) -> None:
    """Where the router's API is this time; loopback needs no TLS."""
    set_api(
        session,
        router,
        box=box,
        actor=ACTOR,
        username=API_USER,
        password=one.api_password,
        port=one.running_api.port,
        security="plain",
        style={"garden": {"address_list": "overdue", "dns_servers": [one.address]}},
    )


def customers(engine: Engine, operator_id: int, box: SecretBox) -> list[Customer]:
    """All customers of the demo that nothing was decided on yet but their opening, in order."""
    with acting_for(engine, operator_id) as session:
        rows = session.execute(
            select(Service, Plan.name, Operator.id)
            .join(Plan, Plan.id == Service.plan_id)
            .join(Operator, Operator.id == Service.operator_id)
            .where(Service.closed_at.is_(None), Service.standing == "current")
            .order_by(Service.id)
        ).all()
        return [
            Customer(
                service.username,
                _password(service, box),
                _method(service),
                service.mac or mac_of(service.id),
                plan,
                service.id % 2,
            )
            for service, plan, _ in rows
        ]


def mac_of(number: int) -> str:
    """A made-up, locally administered MAC."""
    return ":".join(f"{part:02X}" for part in (0x02, 0, 0, *number.to_bytes(3, "big")))


def _subscribers(session: Session, operator_id: int, plans: list[Plan], box: SecretBox) -> None:
    chance = random.Random(7)  # noqa: S311 - made-up people, the same in every demo
    for number in range(1, SUBSCRIBERS + 1):
        subscriber = add_subscriber(
            session,
            operator_id,
            reference=f"C{number:04d}",
            name=f"{chance.choice(FIRST)} {chance.choice(LAST)}",
            email=f"customer{number}@example.net",
            phone=f"+48 500 {number:06d}",
            language=chance.choice(("en", "es")),
            actor=ACTOR,
        )
        hotspot = number % HOTSPOT_EVERY == 0
        by_mac = number % MAC_LOGIN_EVERY == 0
        add_service(
            session,
            operator_id,
            subscriber=subscriber,
            plan=plans[number % len(plans)],
            username=mac_of(0x500000 + number) if by_mac else f"{'hotspot' if hotspot else 'pppoe'}{number:04d}",
            password=None if by_mac else f"demo-{chance.randrange(10**9):09d}",
            method="hotspot" if hotspot else "pppoe",
            box=box,
            actor=ACTOR,
            bind_mac=not hotspot and number % 2 == 0,
        )


def _password(service: Service, box: SecretBox) -> str:
    if service.password is None:
        return ""
    return box.open(service.password, service_password_place(service.operator_id, service.username))


def _method(service: Service) -> str:
    return "hotspot_mac" if service.password is None else service.method
