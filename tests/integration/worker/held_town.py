"""A town without RADIUS: services that a router's own configuration holds, and the worker that writes it there."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fixtures_database import ACTOR, BOX, Database, Isp

from network.routeros.keeper import Keeper
from simulators.routeros import ApiUser, RouterOs, RouterOsSettings
from sql.models import Evidence, Placement, Router, Service, Step
from sql.placing import place_service
from sql.roles import Role
from sql.router_store import set_api
from worker import planning
from worker.configure import Configurer

PASSWORD = "made-up password"  # what fixtures_database gives every service
API_PASSWORD = "made-up for the api"
SUSPENDED = {"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"}


@dataclass
class HeldTown:
    """An operator, one simulated router with an API, and short words for what people do."""

    isp: Isp
    device: RouterOs
    router: Router
    style: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        """Where it is stored."""
        return self.isp.database

    def service(self, username: str, *, method: str = "pppoe", **options: Any) -> Service:
        """A service that the router holds."""
        with self.isp.web() as session:
            plan = self.isp.plan(f"Plan of {username}"[:60], suspended=SUSPENDED)
            service = self.isp.service(username, plan=plan, method=method, **options)
            service = session.get_one(Service, service.id)
            place_service(session, service, session.get_one(Router, self.router.id), "", actor=ACTOR)
        self.settle()
        return service

    def settle(self) -> None:
        """Everything that is due: reviews, what rules approve, steps, and the router's answers."""
        engine = self.database.engine(Role.WORKER)
        planning.review_operator(engine, self.isp.operator_id)
        with self.isp.worker() as session:
            ids = [row.id for row in session.query(Service.id).filter_by(operator_id=self.isp.operator_id)]
        planning.enforce_services(engine, self.isp.operator_id, ids)
        self.work()

    def work(self) -> int:
        """The worker's turn at the router."""

        async def turn() -> int:
            async with Keeper() as keeper:
                engine = self.database.engine(Role.WORKER)
                return await Configurer(engine, keeper, BOX, lambda: False).work(self.isp.operator_id, self.router.id)

        return asyncio.run(turn())

    def suspend(self, service: Service) -> None:
        """The customer owes, and a person agrees."""
        self.isp.invoice(service.subscriber_id)
        self.isp.review()
        self.isp.approve(self.isp.changes(service)[-1])
        self.settle()

    def pay(self, service: Service) -> None:
        """The customer pays; nobody is asked."""
        self.isp.pay(service.subscriber_id)
        self.settle()

    def rows(self, menu: str) -> list[dict[str, str]]:
        """What stands in a menu of the router."""
        return self.device.do(lambda device: [dict(row.fields) for row in device[menu]])

    def steps(self, service: Service) -> list[Step]:
        """The steps about the service."""
        return self.isp.steps(service)

    def placement(self, service: Service) -> Placement:
        """What is known of the router's hold on the service."""
        with self.isp.worker() as session:
            return session.query(Placement).filter_by(service_id=service.id).order_by(Placement.id.desc()).first()

    def evidence(self, step: Step) -> list[Evidence]:
        """What was sent and came back."""
        with self.isp.worker() as session:
            return session.query(Evidence).filter_by(step_id=step.id).order_by(Evidence.attempt).all()


@contextmanager
def held_town(database: Database, style: dict[str, Any] | None = None, **settings: Any):
    """A town with its router running."""
    user = ApiUser(name="ispagents", password=API_PASSWORD)
    with RouterOs(RouterOsSettings(users=(user,), **settings)) as device:
        device.add("/ip/pool", name="customers", ranges="10.20.0.2-10.20.0.200")
        isp = database.isp()
        router = isp.router("hill")
        with isp.web() as session:
            stored = session.get_one(Router, router.id)
            set_api(
                session,
                stored,
                box=BOX,
                actor=ACTOR,
                username="ispagents",
                password=API_PASSWORD,
                address=device.address,
                port=device.port,
                security="plain",
                style=style or {},
            )
        yield HeldTown(isp, device, router)
