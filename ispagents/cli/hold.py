"""`ispagents hold`: promises not to suspend a service, of several kinds, with an end and a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import money_minor, optional_moment
from ispagents.cli.output import money_text
from policy.standing import HoldKind
from sql.customers import service_by_username
from sql.holds import add_hold, end_hold
from sql.listing import Held, holds
from sql.models import Operator
from sql.money.invoices import invoice_by_number

app = typer.Typer(no_args_is_help=True, help="Promises not to suspend a service, with an end and a reason.")

EMPTY = "There is no hold; grant one with `ispagents hold add USERNAME --until 2026-12-05 --reason 'pays on Friday'`."


@app.command("add")
def add(
    username: str,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")],
    until: Annotated[str, typer.Option(help="2026-12-05, or ISO 8601 with an offset; none: for good.")] = "none",
    kind: Annotated[
        HoldKind,
        typer.Option(
            help="grace: we wait. promise: the customer pays by then. dispute: one invoice does not count. "
            "reminders_only: reminded, never suspended. vip: neither. The last two may be for good."
        ),
    ] = HoldKind.GRACE,
    amount: Annotated[str | None, typer.Option(help="How much is promised, such as 15.00.")] = None,
    invoice: Annotated[str, typer.Option(help="The number of the disputed invoice, such as 2026-17.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Do not suspend a service before a moment, or not at all."""
    end = optional_moment(until, common.time_zone(operator))
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        disputed = invoice_by_number(session, operator_id, invoice) if invoice else None
        hold = add_hold(
            session,
            service,
            until=end,
            reason=reason,
            actor=common.actor(),
            kind=kind,
            amount_minor=money_minor(amount, currency) if amount is not None else None,
            invoice=disputed,
        )
        session.refresh(hold)
        row = _row(Held(hold, service.username, disputed.number if disputed is not None else ""), currency)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List holds, the newest first."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        rows = [_row(one, currency) for one in holds(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Holds",
        empty=common.nothing(EMPTY, search="", after=after),
        columns=("id", "username", "kind", "state", "until", "amount", "invoice", "reason", "granted_by"),
        more=common.more(rows, limit, "id"),
    )


@app.command("end")
def end(hold_id: common.Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End a hold now."""
    with common.acting(operator) as (session, operator_id):
        hold = end_hold(session, operator_id, hold_id, actor=common.actor())
        session.refresh(hold)
        row = {"id": hold.id, "state": "ended", "ended_at": hold.ended_at}
    common.show_one(row, as_json=as_json)


def _row(held: Held, currency: str) -> dict[str, Any]:
    hold = held.hold
    return {
        "id": hold.id,
        "username": held.username,
        "kind": hold.kind,
        "state": _state(held),
        "until": hold.until,
        "amount": money_text(hold.amount_minor, currency) if hold.amount_minor is not None else None,
        "amount_minor": hold.amount_minor,
        "invoice": held.invoice,
        "reason": hold.reason,
        "granted_by": hold.granted_by,
        "created_at": hold.created_at,
        "ended_at": hold.ended_at,
        "settled_at": hold.settled_at,
    }


def _state(held: Held) -> str:
    """How a promise ended comes first; a kept one may still hold."""
    hold = held.hold
    if hold.ended_at is not None:
        return "ended"
    if hold.settled is not None:
        return hold.settled
    return "over" if hold.until is not None and hold.until <= datetime.now(UTC) else "holds"
