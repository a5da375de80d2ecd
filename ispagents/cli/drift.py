"""`ispagents drift`: billing, routers and accounting compared; each finding with its cause and what would mend it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption
from ispagents.cli.output import print_lines
from ispagents.errors import Problem
from ispagents.wiring import drift as wiring
from sql.customers import router_by_name
from sql.drift import Listed, finding_by_number, findings, leave, show_again
from sql.errors import Refused
from sql.router_store import routers

app = typer.Typer(
    no_args_is_help=True,
    help="Billing, routers and accounting compared, both ways: who is online and should not be, who has paid and is "
    "not set up, what belongs to nobody. The worker looks once an hour, and changes nothing by itself.",
)

EMPTY = "Nothing is found; `ispagents drift run` compares again, now."

RouterOption = Annotated[str, typer.Option("--router", help="Only those of this router.")]


@app.command("list")
def list_all(
    router: RouterOption = "",
    left: Annotated[bool, typer.Option("--left", help="Those that somebody chose to leave.")] = False,
    limit: LimitOption = common.ROWS,
    after: Annotated[int, typer.Option(min=0, max=common.ID_MAXIMUM, help="Go on after this number.")] = 0,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what is not as billing says, by number."""
    with common.acting(operator) as (session, operator_id):
        chosen = router_by_name(session, operator_id, router) if router else None
        rows = [_row(one) for one in findings(session, operator_id, router=chosen, left=left, after=after, limit=limit)]
    why = ("left_by", "left_reason") if left else ("by",)
    common.show(
        rows,
        as_json=as_json,
        title="Left as it is" if left else "Drift",
        empty=common.nothing("Nothing was left." if left else EMPTY, search="", after=str(after or "")),
        columns=("number", "router", "kind", "cause", *why),
        more=common.more(rows, limit, "number"),
    )


@app.command("show")
def show(number: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a finding with what would mend it: the commands, and what takes each back."""
    with common.acting(operator) as (session, operator_id):
        row = _row(finding_by_number(session, operator_id, number))
    if as_json:
        common.print_json(row)
        return
    common.show_one({name: value for name, value in row.items() if name != "commands"}, as_json=False)
    for one in row["commands"]:
        print_lines(one["command"])
        print_lines(f"#   undo: {one['undo']}" if one["undo"] else "#   undo: nothing has to be taken back")


@app.command("run")
def run(
    router: Annotated[
        str, typer.Argument(show_default=False, help="One router; without it all that have an API.")
    ] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compare now, read only. Ends with exit code 1 where a router could not be read."""
    with common.acting(operator) as (session, operator_id):
        if router:
            found = [router_by_name(session, operator_id, router)]
            if found[0].api_username is None:
                raise Problem(f"{router} has no API access yet; `ispagents router api set` sets it up.")
        else:
            found = [one for one in routers(session, operator_id) if one.api_username is not None]
    ran = wiring.run(common.databases(), common.box(), operator_id, [one.id for one in found])
    common.show(
        [one._asdict() for one in ran],
        as_json=as_json,
        title="Compared",
        empty="No router has an API yet; `ispagents router api set` sets it up.",
    )
    if any(one.error for one in ran):
        raise typer.Exit(1)


@app.command("leave")
def leave_it(
    number: Id,
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it later.")] = "",
    show_it: Annotated[bool, typer.Option("--show-again", help="Take back that it was left.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Leave a finding as it is, with a reason. It comes back when something else is observed there."""
    with common.acting(operator) as (session, operator_id):
        listed = finding_by_number(session, operator_id, number)
        if show_it:
            if reason:
                raise Problem("Showing it again needs no reason; leave one of the two out.")
            show_again(session, listed.finding, actor=common.actor())
        else:
            leave(session, listed.finding, reason=reason, actor=common.actor())
        session.refresh(listed.finding)
        row = _row(listed)
    common.show_one(row, as_json=as_json)


@app.command("fix")
def fix(
    numbers: Annotated[list[int], typer.Argument(min=1, max=common.ID_MAXIMUM, show_default=False)],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Do what findings propose. `show` previews it; what has changed since it was found is refused.

    Services go through the change engine and its brakes; orphans and the walled garden's rules are written at once.
    Several numbers are done one after the other, and each says what came of it. `undo` takes back what was sent.
    """
    with common.acting(operator) as (_, operator_id):
        pass
    said: list[dict[str, Any]] = []
    for number in dict.fromkeys(numbers):
        try:
            done = wiring.fix(common.databases(), common.box(), operator_id, number, actor=common.actor())
        except Refused as error:
            if len(numbers) == 1:
                raise
            said.append({"number": number, "done": False, "said": str(error)})
        else:
            said.append({"number": number, "done": True, "said": done})
    common.show(said, as_json=as_json, title="Fixed", empty="")
    if not all(row["done"] for row in said):
        raise typer.Exit(1)


@app.command("undo")
def undo(number: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Take back what `fix` sent to a router for a finding, where the router still shows it."""
    with common.acting(operator) as (_, operator_id):
        pass
    said = wiring.undo(common.databases(), common.box(), operator_id, number, actor=common.actor())
    common.show_one({"number": number, "said": said}, as_json=as_json)


def _row(listed: Listed) -> dict[str, Any]:
    finding, proposal = listed.finding, listed.finding.proposal
    return {
        "number": finding.id,
        "router": listed.router,
        "kind": finding.kind,
        "username": listed.username,
        "cause": finding.cause,
        "by": proposal.get("mender", ""),
        "proposal": proposal.get("action", ""),
        "found_at": finding.found_at,
        "seen_at": finding.seen_at,
        "gone_at": finding.gone_at,
        "left_at": finding.left_at,
        "left_by": finding.left_by,
        "left_reason": finding.left_reason,
        "commands": proposal.get("commands", []),
        "more_commands": proposal.get("more", 0),
    }
