"""`ispagents operator`: the ISPs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session, object_session

from ispagents.cli import common
from ispagents.cli.common import JsonOption
from ispagents.cli.inputs import given, hours, json_array, json_object, several_lines
from sql.customers import add_operator, set_operator
from sql.models import DunningPolicy, Operator
from sql.money.policies import policy_by_name
from sql.roles import Role
from sql.sessions import acting_for, operator_names

app = typer.Typer(no_args_is_help=True, help="The ISPs; every other thing belongs to one.")

Days = Annotated[int | None, typer.Option(min=0, max=365, show_default=False)]
LegalName = Annotated[str | None, typer.Option(help="As on invoices.", show_default=False)]
Lines = Annotated[str | None, typer.Option(help="As on invoices; write \\n for a new line.", show_default=False)]
TaxName = Annotated[str | None, typer.Option(help="What the tax is called, such as VAT.", show_default=False)]
Quiet = Annotated[
    str | None,
    typer.Option(help="Customers are told nothing in these hours, such as 21:00-08:00; none: at any time."),
]


@app.command("add")
def add(
    name: str,
    currency: Annotated[str, typer.Option(help="ISO 4217 code, such as EUR.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Europe/Warsaw.")] = "UTC",
    grace_days: Days = None,
    overdue_days: Days = None,
    as_json: JsonOption = False,
) -> None:
    """Add an operator."""
    options = given(time_zone=time_zone, grace_days=grace_days, overdue_days=overdue_days)
    engine = common.databases().engine(Role.WEB, pool=1)
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            operator = add_operator(session, name=name, currency=currency, actor=common.actor(), **options)
            session.refresh(operator)
            row = _row(operator)
    finally:
        engine.dispose()
    common.show_one(row, as_json=as_json)


@app.command("set")
def change(
    name: str,
    time_zone: Annotated[str | None, typer.Option()] = None,
    grace_days: Days = None,
    overdue_days: Days = None,
    automatic: Annotated[
        str | None,
        typer.Option(help="Kinds of change that need no person, by commas: open,suspend,restore,plan,address,close."),
    ] = None,
    refusals: Annotated[
        str | None,
        typer.Option(help='Refusals turned into restricted logins, as JSON: {"unknown_user": {"address_list": "new"}}'),
    ] = None,
    approval_rules: Annotated[
        str | None,
        typer.Option(
            help="Who approves, as JSON; the first rule that matches counts: "
            '[{"name": "large", "kinds": ["suspend"], "more_than": 50, "people": 2}]'
        ),
    ] = None,
    brake_percent: Annotated[
        float | None, typer.Option(min=0, max=100, help="Share of the services that rules may change a day and kind.")
    ] = None,
    brake_number: Annotated[int | None, typer.Option(min=0, max=10**6, help="The same as a number.")] = None,
    brake_free: Annotated[int | None, typer.Option(min=0, max=10**6, help="So many may always run.")] = None,
    payment_feed_hours: Annotated[
        int | None,
        typer.Option(min=0, max=24 * 365, help="After so long without a payment nobody is suspended; 0: not watched."),
    ] = None,
    dunning: Annotated[
        str | None, typer.Option(help="The dunning policy; none: --grace-days and --overdue-days alone.")
    ] = None,
    standings_from: Annotated[
        str | None, typer.Option(help="What decides a standing: invoices, or outside (another billing system).")
    ] = None,
    standing_feed_hours: Annotated[
        int | None,
        typer.Option(min=0, max=24 * 366, help="Nobody is suspended after so long without a word from outside; 0: off"),
    ] = None,
    change_days: Annotated[
        int | None, typer.Option(min=1, max=365, help="A change that waits longer expires and is planned anew.")
    ] = None,
    billing_hour: Annotated[
        int | None, typer.Option(min=0, max=23, help="The billing cycle runs from this hour of the operator's day on.")
    ] = None,
    due_days: Annotated[int | None, typer.Option(min=0, max=365, help="An invoice is due after so many days.")] = None,
    invoice_days_before: Annotated[
        int | None, typer.Option(min=0, max=60, help="Periods are invoiced so many days before they begin.")
    ] = None,
    legal_name: LegalName = None,
    address: Lines = None,
    tax_name: TaxName = None,
    tax_number: Annotated[str | None, typer.Option(help="As on invoices.", show_default=False)] = None,
    payment_details: Lines = None,
    language: Annotated[str | None, typer.Option(help="Two small letters, such as en.", show_default=False)] = None,
    quiet: Quiet = None,
    as_json: JsonOption = False,
) -> None:
    """Change an operator's choices."""
    options = given(
        time_zone=time_zone,
        grace_days=grace_days,
        overdue_days=overdue_days,
        brake_percent=brake_percent,
        brake_number=brake_number,
        brake_free=brake_free,
        change_days=change_days,
        standings_from=standings_from,
        billing_hour=billing_hour,
        due_days=due_days,
        invoice_days_before=invoice_days_before,
        legal_name=legal_name,
        address=several_lines(address),
        tax_name=tax_name,
        tax_number=tax_number,
        payment_details=several_lines(payment_details),
        language=language,
    )
    if quiet is not None:
        options["quiet_from"], options["quiet_until"] = hours(quiet)
    if standing_feed_hours is not None:
        options["standing_feed_hours"] = standing_feed_hours or None
    if payment_feed_hours is not None:
        options["payment_feed_hours"] = payment_feed_hours or None
    if approval_rules is not None:
        options["approval_rules"] = json_array(approval_rules, "--approval-rules")
    if automatic is not None:
        options["automatic_changes"] = [kind.strip() for kind in automatic.split(",") if kind.strip()]
    if refusals is not None:
        options["refusals"] = json_object(refusals, "--refusals")
    with common.acting(name) as (session, operator_id):
        if dunning is not None:
            policy = policy_by_name(session, operator_id, dunning) if dunning != "none" else None
            options["dunning_policy_id"] = policy.id if policy is not None else None
        operator = set_operator(session, operator_id, actor=common.actor(), **options)
        session.refresh(operator)
        row = _row(operator)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the operators."""
    engine = common.databases().engine(Role.WEB, pool=1)
    rows = []
    try:
        for operator_id in operator_names(engine).values():
            with acting_for(engine, operator_id) as session:
                rows.append(_row(session.get_one(Operator, operator_id)))
    finally:
        engine.dispose()
    empty = "There is no operator yet; add one with `ispagents operator add NAME --currency EUR`."
    columns = ("name", "currency", "time_zone", "grace_days", "overdue_days", "automatic")
    common.show(rows, as_json=as_json, title="Operators", empty=empty, columns=columns)


def _row(operator: Operator) -> dict[str, Any]:
    return {
        "name": operator.name,
        "currency": operator.currency,
        "time_zone": operator.time_zone,
        "grace_days": operator.grace_days,
        "overdue_days": operator.overdue_days,
        "automatic": operator.automatic_changes,
        "refusals": operator.refusals,
        "approval_rules": operator.approval_rules,
        "brake_percent": operator.brake_percent,
        "brake_number": operator.brake_number,
        "brake_free": operator.brake_free,
        "payment_feed_hours": operator.payment_feed_hours,
        "change_days": operator.change_days,
        "dunning": _dunning(operator),
        "standings_from": operator.standings_from,
        "standing_feed_hours": operator.standing_feed_hours,
        "writes_stopped_at": operator.writes_stopped_at,
        "charges_from": operator.charges_from.isoformat() if operator.charges_from else None,
        "billing_hour": operator.billing_hour,
        "due_days": operator.due_days,
        "invoice_days_before": operator.invoice_days_before,
        "legal_name": operator.legal_name,
        "address": operator.address,
        "tax_name": operator.tax_name,
        "tax_number": operator.tax_number,
        "payment_details": operator.payment_details,
        "language": operator.language,
        "quiet": f"{operator.quiet_from:%H:%M}-{operator.quiet_until:%H:%M}" if operator.quiet_from else None,
    }


def _dunning(operator: Operator) -> str | None:
    session = object_session(operator)
    if session is None or operator.dunning_policy_id is None:
        return None
    return session.get_one(DunningPolicy, operator.dunning_policy_id).name
