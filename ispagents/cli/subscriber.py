"""`ispagents subscriber`: the customers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption, SearchOption
from ispagents.cli.inputs import given, several_lines
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from sql.customers import add_subscriber, set_subscriber, subscriber_by_reference
from sql.listing import services_of, subscribers
from sql.models import Operator, Subscriber
from sql.money.settling import credit_minor, open_invoices

app = typer.Typer(no_args_is_help=True, help="The customers, known by their customer number.")

EMPTY = "There is no subscriber yet; add one with `ispagents subscriber add NUMBER NAME`."


Language = Annotated[str | None, typer.Option(help="Two small letters, such as en.")]
TimeZone = Annotated[str | None, typer.Option(help="IANA name, such as Europe/Warsaw.")]
Area = Annotated[str | None, typer.Option(help="Where they live, as you divide it; outages are made good by it.")]
Address = Annotated[str | None, typer.Option(help="As on invoices; write \\n for a new line.")]
TaxNumber = Annotated[str | None, typer.Option(help="As on invoices.")]


@app.command("add")
def add(
    reference: Annotated[str, typer.Argument(help="The customer number.")],
    name: str,
    email: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    language: Language = None,
    time_zone: TimeZone = None,
    area: Area = None,
    address: Address = None,
    tax_number: TaxNumber = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a subscriber."""
    contact = given(
        email=email,
        phone=phone,
        language=language,
        time_zone=time_zone,
        area=area,
        address=several_lines(address),
        tax_number=tax_number,
    )
    with common.acting(operator) as (session, operator_id):
        subscriber = add_subscriber(
            session, operator_id, reference=reference, name=name, actor=common.actor(), **contact
        )
        session.refresh(subscriber)
        row = _row(subscriber)
    common.show_one(row, as_json=as_json)


@app.command("set")
def change(
    reference: Annotated[str, typer.Argument(help="The customer number.")],
    name: Annotated[str | None, typer.Option()] = None,
    email: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    language: Language = None,
    time_zone: TimeZone = None,
    area: Area = None,
    address: Address = None,
    tax_number: TaxNumber = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change how a customer is reached and written to; invoices that were issued stay as they are."""
    contact = given(
        name=name,
        email=email,
        phone=phone,
        language=language,
        time_zone=time_zone,
        area=area,
        address=several_lines(address),
        tax_number=tax_number,
    )
    if not contact:
        raise Problem("Say what to change, such as --email; `ispagents subscriber set --help` lists it all.")
    with common.acting(operator) as (session, operator_id):
        subscriber = subscriber_by_reference(session, operator_id, reference)
        set_subscriber(session, subscriber, actor=common.actor(), **contact)
        session.refresh(subscriber)
        row = _row(subscriber)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    search: SearchOption = "",
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List subscribers by customer number; --search finds numbers and names that begin with it."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in subscribers(session, operator_id, search=search, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Subscribers",
        empty=common.nothing(EMPTY, search=search, after=after),
        columns=("reference", "name", "email", "phone"),
        more=common.more(rows, limit, "reference"),
    )


@app.command("show")
def show(reference: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a subscriber with services, open invoices and balance."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        subscriber = subscriber_by_reference(session, operator_id, reference)
        unpaid = open_invoices(session, operator_id, [subscriber.id]).get(subscriber.id, [])
        balance = credit_minor(session, subscriber) - sum(one.open_minor for one in unpaid)
        now = datetime.now(UTC)
        services = [
            {"username": one.username, "plan": plan.name, "method": one.method, "standing": one.standing}
            for one, plan in services_of(session, subscriber)
        ]
        invoices = [
            {
                "number": one.invoice.number,
                "open": money_text(one.open_minor, one.invoice.currency),
                "open_minor": one.open_minor,
                "due_at": one.invoice.due_at,
                "overdue": one.invoice.due_at < now,
            }
            for one in unpaid
        ]
        row = {**_row(subscriber), "balance": money_text(balance, currency), "balance_minor": balance}
    if as_json:
        common.print_json({**row, "services": services, "open_invoices": invoices})
        return
    common.show_one(row, as_json=False)
    empty = f"No service yet; add one with `ispagents service add USERNAME --subscriber {reference} --plan NAME`."
    common.show(services, as_json=False, title="Services", empty=empty)
    columns = ("number", "open", "due_at", "overdue")
    common.show(invoices, as_json=False, title="Open invoices", empty="No invoice is open.", columns=columns)


def _row(subscriber: Subscriber) -> dict[str, Any]:
    return {
        "reference": subscriber.reference,
        "name": subscriber.name,
        "email": subscriber.email,
        "phone": subscriber.phone,
        "language": subscriber.language,
        "time_zone": subscriber.time_zone,
        "area": subscriber.area,
        "address": subscriber.address,
        "tax_number": subscriber.tax_number,
    }
