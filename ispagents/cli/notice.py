"""`ispagents notice`: what customers were told, and what did not reach them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption, SubscriberOption
from ispagents.errors import Problem
from sql.customers import subscriber_by_reference
from sql.notice_settings import Told, channel_by_name, notice_by_id, notices, try_again

app = typer.Typer(no_args_is_help=True, help="What customers were told, and what did not reach them.")

EMPTY = "There is no notice yet; customers are told through channels, see `ispagents channel add --help`."
COLUMNS = ("id", "event", "subscriber", "channel", "state", "attempts", "at", "said")


@app.command("list")
def list_all(
    subscriber: SubscriberOption = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed, or may not have been sent.")] = False,
    before: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Go on before this id, the last one shown.")
    ] = None,
    limit: LimitOption = common.ROWS,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List notices with what became of them, the newest first."""
    with common.acting(operator) as (session, operator_id):
        found = subscriber_by_reference(session, operator_id, subscriber) if subscriber else None
        page = notices(session, operator_id, subscriber=found, failed=failed, before=before, limit=limit)
        rows = [_row(one) for one in page]
    empty = "Nothing failed." if failed else common.NO_MORE if before else EMPTY
    full = len({row["id"] for row in rows}) == limit
    more = f"There may be more: go on with --before {rows[-1]['id']}" if full else ""
    common.show(rows, as_json=as_json, title="Notices", empty=empty, columns=COLUMNS, more=more)


@app.command("show")
def show(notice: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show what became of a notice in each channel."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in notice_by_id(session, operator_id, notice)]
    common.show(rows, as_json=as_json, title=f"Notice {notice}", empty="", columns=COLUMNS)


@app.command("retry")
def retry(
    notice: Annotated[int | None, typer.Argument(min=1, max=common.ID_MAXIMUM, show_default=False)] = None,
    channel: Annotated[str, typer.Option(help="All of this channel, instead of one notice.")] = "",
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Also what may have been sent: the customer may be told twice.")
    ] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send again what failed: one notice, or all of a channel."""
    if (notice is None) == (not channel):
        raise Problem("Say which notice to send again, or all of which channel (--channel NAME).")
    states = ["failed", "skipped"] if notice is not None else ["failed"]
    with common.acting(operator) as (session, operator_id):
        if notice is not None:
            notice_by_id(session, operator_id, notice)
        count = try_again(
            session,
            operator_id,
            states=[*states, "unknown"] if unknown else states,
            actor=common.actor(),
            notice_id=notice,
            channel=channel_by_name(session, operator_id, channel) if channel else None,
        )
    hint = "" if count else "Nothing failed there; with --unknown, what may have been sent is sent again."
    common.show_one({"again": count, "said": hint or "They are sent within a few seconds."}, as_json=as_json)


def _row(one: Told) -> dict[str, Any]:
    notice, delivery = one.notice, one.delivery
    row: dict[str, Any] = {
        "id": notice.id,
        "event": notice.event,
        "subscriber": one.reference,
        "channel": one.channel,
        "state": "waiting" if notice.taken_at is None else "no channel",
        "attempts": 0,
        "at": notice.created_at,
        "said": "",
        "key": notice.key,
    }
    if delivery is not None:
        row |= {
            "state": delivery.state,
            "attempts": delivery.attempts,
            "at": delivery.sent_at or delivery.due_at,
            "said": delivery.explanation,
        }
    return row
