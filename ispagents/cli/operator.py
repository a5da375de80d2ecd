"""`ispagents operator`: the ISPs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption
from ispagents.errors import Problem
from sql.customers import add_operator, set_operator
from sql.models import Operator
from sql.roles import Role
from sql.sessions import acting_for, operator_names

app = typer.Typer(no_args_is_help=True, help="The ISPs; every other thing belongs to one.")

Days = Annotated[int | None, typer.Option(min=0, max=365, show_default=False)]


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
    options = _given(time_zone=time_zone, grace_days=grace_days, overdue_days=overdue_days)
    engine = common.databases().engine(Role.WEB, pool=1)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        operator = add_operator(session, name=name, currency=currency, actor=common.actor(), **options)
        session.refresh(operator)
        common.show_one(_row(operator), as_json=as_json)
    engine.dispose()


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
    as_json: JsonOption = False,
) -> None:
    """Change an operator's choices."""
    options = _given(time_zone=time_zone, grace_days=grace_days, overdue_days=overdue_days)
    if automatic is not None:
        options["automatic_changes"] = [kind.strip() for kind in automatic.split(",") if kind.strip()]
    if refusals is not None:
        options["refusals"] = json_object(refusals, "--refusals")
    with common.acting(name) as (session, operator_id):
        operator = set_operator(session, operator_id, actor=common.actor(), **options)
        session.refresh(operator)
        common.show_one(_row(operator), as_json=as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the operators."""
    engine = common.databases().engine(Role.WEB, pool=1)
    rows = []
    for operator_id in operator_names(engine).values():
        with acting_for(engine, operator_id) as session:
            rows.append(_row(session.get_one(Operator, operator_id)))
    engine.dispose()
    empty = "There is no operator yet; add one with `ispagents operator add NAME --currency EUR`."
    common.show(rows, as_json=as_json, title="Operators", empty=empty)


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object from an option. Raises Problem."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Problem(f"{option} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Problem(f"{option} needs a JSON object, such as {{}}.")
    return value


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _row(operator: Operator) -> dict[str, Any]:
    return {
        "name": operator.name,
        "currency": operator.currency,
        "time_zone": operator.time_zone,
        "grace_days": operator.grace_days,
        "overdue_days": operator.overdue_days,
        "automatic": operator.automatic_changes,
        "refusals": operator.refusals,
    }
