"""`ispagents credit`: what is owed to a subscriber without money having come in."""

from __future__ import annotations

from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.inputs import money_minor
from ispagents.cli.output import money_text
from sql.customers import subscriber_by_reference
from sql.models import Operator
from sql.money.payments import give_credit

app = typer.Typer(no_args_is_help=True, help="What is owed to a subscriber without money having come in.")


@app.command("add")
def add(
    subscriber: Annotated[str, typer.Argument(help="The customer number.")],
    amount: Annotated[str, typer.Option(help="Such as 15.00.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a credit; it pays the oldest open invoice, or the next one. `payment correct` takes it back."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = subscriber_by_reference(session, operator_id, subscriber)
        credit = give_credit(
            session, found, amount_minor=money_minor(amount, currency), reason=reason, actor=common.actor()
        )
        row = {
            "id": credit.id,
            "subscriber": found.reference,
            "amount": money_text(credit.amount_minor, currency),
            "amount_minor": credit.amount_minor,
            "left": money_text(credit.unspent_minor, currency),
            "left_minor": credit.unspent_minor,
            "reason": reason,
        }
    common.show_one(row, as_json=as_json)
