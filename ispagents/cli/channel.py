"""`ispagents channel`: the ways to customers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import read_secret
from ispagents.errors import Problem
from policy.notices import Event
from sql.models import NoticeChannel, Operator
from sql.notice_settings import add_channel, channel_by_name, channel_place, channels, end_channel

app = typer.Typer(no_args_is_help=True, help="The ways to customers: mail, SMS gateways, Telegram and others.")

EMPTY = "There is no channel yet, so customers are told nothing; add one with `ispagents channel add NAME`."
_UNKNOWN = (
    "This is no address that Apprise knows; write one such as "
    "mailto://USER:PASSWORD@example.net?to={email} (https://appriseit.com lists them all)."
)


@app.command("add")
def add(
    name: str,
    events: Annotated[str, typer.Option(help=f"What is told through it, by commas: {','.join(Event)}.")] = ",".join(
        Event
    ),
    address_stdin: Annotated[bool, typer.Option("--address-stdin", help="Read the address from standard input.")] = (
        False
    ),
    address_file: Annotated[Path | None, typer.Option(help="Read the address from a file.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a channel. Its Apprise address holds passwords, so it is read as one; {email} and {phone} are the customer's.

    Such as mailto://USER:PASSWORD@example.net?smtp=mail.example.net&from=billing@example.net&to={email}.
    """
    from worker import notice_gateway  # noqa: PLC0415 - Apprise knows a hundred gateways; only these commands need it

    address, _ = read_secret("address", from_stdin=address_stdin, file=address_file)
    with common.acting(operator) as (session, operator_id):
        chosen = [event.strip() for event in events.split(",") if event.strip()]
        channel = add_channel(
            session, operator_id, name=name, url=address, events=chosen, box=common.box(), actor=common.actor()
        )
        if not notice_gateway.check(address):
            raise Problem(_UNKNOWN)
        session.refresh(channel)
        row = _row(channel)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the channels in use; their addresses are not shown."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in channels(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Channels",
        empty=common.nothing(EMPTY, search="", after=after),
        more=common.more(rows, limit, "name"),
    )


@app.command("end")
def end(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Send nothing through a channel any more; what waits for it is skipped."""
    with common.acting(operator) as (session, operator_id):
        channel = end_channel(session, operator_id, name, actor=common.actor())
        session.refresh(channel)
        row = {**_row(channel), "ended_at": channel.ended_at}
    common.show_one(row, as_json=as_json)


@app.command("test")
def try_out(
    name: str,
    email: Annotated[str, typer.Option(help="Whom to write to, where the address has {email}.")] = "",
    phone: Annotated[str, typer.Option(help="Whom to write to, where the address has {phone}.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send one message through a channel now. Exit code 1 when the gateway did not take it."""
    from worker import notice_gateway  # noqa: PLC0415 - as above

    with common.acting(operator) as (session, operator_id):
        channel = channel_by_name(session, operator_id, name)
        said_by = session.get_one(Operator, operator_id)
        sender = said_by.legal_name or said_by.name
        address = common.box().open(channel.url, channel_place(operator_id, name))
    reached = notice_gateway.address(address, email=email, phone=phone)
    if isinstance(reached, notice_gateway.Answer):
        raise Problem("Say whom to write to, by --email and --phone as the channel's address asks for them.")
    answer = notice_gateway.send(reached, f"Test from {sender}", "This is a test of a channel to customers.")
    common.show_one({"channel": name, "state": answer.state, "said": answer.explanation}, as_json=as_json)
    if answer.state != "sent":
        raise typer.Exit(1)


def _row(channel: NoticeChannel) -> dict[str, Any]:
    return {"name": channel.name, "events": channel.events, "created_at": channel.created_at}
