"""An operator that charges for its services, and what its nights do."""

from datetime import date
from typing import Any

from fixtures_database import ACTOR, BOX, Database, Isp

from sql import customers
from sql.models import InvoiceLine, Plan, Service, Subscriber
from sql.money import runs
from sql.money.cycle import Done, bill_day
from sql.roles import Role

FIRST_DAY = date(2026, 1, 31)


class Shop:
    """An operator that charges, and short words for what is sold there and what the nights do."""

    def __init__(self, database: Database, **options: Any) -> None:
        """Nothing is sold yet."""
        self.isp: Isp = database.isp(charges_from=date(2026, 1, 1), **options)

    def plan(self, name: str = "Home 50", price_minor: int = 1500, **terms: Any) -> Plan:
        """A plan charged so."""
        with self.isp.web() as session:
            return customers.add_plan(
                session,
                self.isp.operator_id,
                name=name,
                facts={},
                price_minor=price_minor,
                actor=ACTOR,
                terms=terms,
            )

    def sell(
        self, name: str, plan: Plan, starts_on: date = FIRST_DAY, owner: Subscriber | None = None, **more: Any
    ) -> Service:
        """A service charged from a day on."""
        with self.isp.web() as session:
            return customers.add_service(
                session,
                self.isp.operator_id,
                subscriber=owner or self.isp.subscriber(),
                plan=plan,
                username=name,
                password="made up",
                method="pppoe",
                box=BOX,
                actor=ACTOR,
                starts_on=starts_on,
                **more,
            )

    def night(self, day: date) -> Done:
        """The cycle of a day."""
        with self.isp.worker() as session:
            runs.begin_run(session, self.isp.operator_id, day)
        return bill_day(self.isp.database.engine(Role.WORKER), self.isp.operator_id, day)

    def invoices(self) -> list[list[tuple[Any, ...]]]:
        """What each invoice is made of: whose line, its kind, days and amount. Without the order of their numbers."""
        with self.isp.web() as session:
            rows = (
                session.query(InvoiceLine, Service.username)
                .outerjoin(Service, Service.id == InvoiceLine.service_id)
                .filter(InvoiceLine.operator_id == self.isp.operator_id)
                .order_by(InvoiceLine.invoice_id, InvoiceLine.line)
                .all()
            )
        found: dict[int, list[tuple[Any, ...]]] = {}
        for line, username in rows:
            said = (username, line.kind, str(line.period_start or ""), line.net_minor + line.tax_minor)
            found.setdefault(line.invoice_id, []).append(said)
        return sorted(found.values())
