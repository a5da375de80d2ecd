"""Discounts and one-off fees of services: granted, listed, and ended by people; the billing cycle uses them."""

from __future__ import annotations

from datetime import date
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sql import audit
from sql.checks import checked_text
from sql.errors import NotFound, Refused
from sql.models import Discount, Fee, Operator, Plan, Service
from sql.money.invoices import NOTE_MAXIMUM_BYTES, check_amount
from sql.money.ledger import local_day
from sql.money.settling import lock_subscribers

PAGE = 100
Extra = TypeVar("Extra", Discount, Fee)


class OfService(NamedTuple, Generic[Extra]):
    """A discount or a fee, with the user name of its service."""

    row: Extra
    username: str


def add_discount(
    session: Session,
    service: Service,
    *,
    reason: str,
    actor: str,
    percent_basis_points: int | None = None,
    amount_minor: int | None = None,
    periods: int | None = None,
    until_on: date | None = None,
) -> Discount:
    """Ask less of a service: a share or an amount of each period, for so many periods, up to a day, or for ever.

    Raises Refused.
    """
    if (percent_basis_points is None) == (amount_minor is None):
        raise Refused("A discount is either a share or an amount; give one of the two.")
    if amount_minor is not None:
        check_amount(amount_minor)
    operator = session.get_one(Operator, service.operator_id)
    if until_on is not None and until_on < local_day(session, operator):
        raise Refused("The last day of a discount lies in the future.")
    _check_open(service)
    discount = Discount(
        operator_id=service.operator_id,
        service_id=service.id,
        percent_basis_points=percent_basis_points,
        amount_minor=amount_minor,
        periods_left=periods,
        until_on=until_on,
        reason=_words("reason", reason),
        granted_by=actor,
    )
    session.add(discount)
    session.flush()
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:discount:grant",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        discount=discount.id,
        percent_basis_points=percent_basis_points,
        amount_minor=amount_minor,
        reason=reason,
    )
    return discount


def end_discount(session: Session, operator_id: int, discount_id: int, *, actor: str) -> Discount:
    """End a discount with the present period. Raises NotFound."""
    found = session.scalar(
        select(Discount).where(Discount.operator_id == operator_id, Discount.id == discount_id).with_for_update()
    )
    if found is None:
        raise NotFound(f"There is no discount {discount_id}; `ispagents discount list` shows those there are.")
    if found.ended_at is None:
        found.ended_at = func.now()
        session.flush()
        audit.record(
            session, operator_id, actor, "service:discount:end", service_id=found.service_id, discount=found.id
        )
    return found


def add_fee(
    session: Session,
    service: Service,
    *,
    amount_minor: int,
    description: str,
    actor: str,
    tax_basis_points: int | None = None,
    tax_included: bool | None = None,
) -> Fee:
    """A one-off fee on the next invoice of a service, taxed as its plan unless said otherwise. Raises Refused."""
    check_amount(amount_minor)
    _check_open(service)
    plan = session.get_one(Plan, service.plan_id)
    fee = Fee(
        operator_id=service.operator_id,
        service_id=service.id,
        amount_minor=amount_minor,
        tax_basis_points=plan.tax_basis_points if tax_basis_points is None else tax_basis_points,
        tax_included=plan.tax_included if tax_included is None else tax_included,
        description=_words("description", description),
        added_by=actor,
    )
    session.add(fee)
    session.flush()
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:fee:add",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        fee=fee.id,
        amount_minor=amount_minor,
        description=description,
    )
    return fee


def cancel_fee(session: Session, operator_id: int, fee_id: int, *, actor: str) -> Fee:
    """Take a fee back that no invoice holds yet. Raises NotFound, or Refused."""
    known = select(Fee, Service).join(Service, Service.id == Fee.service_id)
    row = session.execute(known.where(Fee.operator_id == operator_id, Fee.id == fee_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no fee {fee_id}; `ispagents fee list` shows those there are.")
    found, service = row
    # The cycle may have read it a moment ago, and is putting it on an invoice.
    lock_subscribers(session, [service.subscriber_id])
    session.refresh(found)
    if found.invoice_id is not None:
        raise Refused(f"The fee {fee_id} is invoiced already; give a credit with `ispagents credit add` instead.")
    if found.cancelled_at is None:
        found.cancelled_at = func.now()
        session.flush()
        audit.record(session, operator_id, actor, "service:fee:cancel", service_id=found.service_id, fee=found.id)
    return found


def discounts(
    session: Session, operator_id: int, *, after: int | None = None, limit: int = PAGE
) -> list[OfService[Discount]]:
    """Discounts, the newest first."""
    return _newest(session, operator_id, Discount, after, limit)


def fees(session: Session, operator_id: int, *, after: int | None = None, limit: int = PAGE) -> list[OfService[Fee]]:
    """One-off fees, the newest first."""
    return _newest(session, operator_id, Fee, after, limit)


def _newest(
    session: Session, operator_id: int, model: type[Extra], after: int | None, limit: int
) -> list[OfService[Extra]]:
    mine = select(model, Service.username).join(Service, Service.id == model.service_id)
    mine = mine.where(model.operator_id == operator_id)
    if after is not None:
        mine = mine.where(model.id < after)
    return [OfService(row, username) for row, username in session.execute(mine.order_by(model.id.desc()).limit(limit))]


def _check_open(service: Service) -> None:
    if service.closed_at is not None:
        raise Refused(f"The service {service.username!r} is closed; nothing more will be asked for it.")


def _words(what: str, value: str) -> str:
    if not checked_text(what, value, NOTE_MAXIMUM_BYTES).strip():
        raise Refused(f"The {what} must not be empty.")
    return value
