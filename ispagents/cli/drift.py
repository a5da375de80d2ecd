"""`ispagents drift`: billing, routers and accounting compared; each finding with its cause and what would mend it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption
from ispagents.cli.output import print_lines
from ispagents.errors import Problem
from ispagents.wiring import drift as wiring
from sql.customers import router_by_name
from sql.drift import Listed, finding_by_number, findings, leave, show_again
from sql.drift_healing import Healable, healable
from sql.errors import Refused
from sql.models import Router
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
    if not as_json:
        row = {name: value for name, value in row.items() if "commands" not in name}
    common.show_one(row, as_json=as_json)


@app.command("fix")
def fix(
    numbers: Annotated[list[int] | None, typer.Argument(min=1, max=common.ID_MAXIMUM, show_default=False)] = None,
    heal: Annotated[
        str, typer.Option("--all", metavar="ROUTER", help="Heal all that this router should hold, after a preview.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do it without asking.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="With --all: only show what would be healed.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Do what findings propose. `show` previews it; what has changed since it was found is refused.

    Services go through the change engine, at once: the brake on healing is for what nobody asked for. Orphans and the
    walled garden's rules are written directly. Several numbers are done one after the other, and each says what came
    of it. `undo` takes back what was sent. --all compares the router first, then heals its services and its walled
    garden; orphans, sessions, what was left and what is not ours stay as they are.
    """
    if bool(numbers) == bool(heal):
        raise Problem("Name findings by number, or a router with --all; one of the two.")
    if heal:
        _heal(heal, operator, yes=yes, preview=preview, as_json=as_json)
        return
    if yes or preview:
        raise Problem("--yes and --preview belong to --all; `ispagents drift show` previews one finding.")
    _fix(numbers or [], operator, as_json=as_json)


def _fix(numbers: list[int], operator: str, *, as_json: bool) -> None:
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


def _heal(name: str, operator: str, *, yes: bool, preview: bool, as_json: bool) -> None:
    if not yes and not preview and (as_json or not sys.stdin.isatty()):
        raise Problem("There is no terminal to ask on; say --yes, or --preview to see what would be healed.")
    router_id, operator_id = _compared(name, operator)
    with common.acting(operator) as (session, _):
        seen = healable(session, session.get_one(Router, router_id))
    row: dict[str, Any] = {
        "router": name,
        "services": len(seen.services),
        "kinds": seen.kinds,
        "walled_garden": bool(seen.garden),
        "others": seen.others,
    }
    something = bool(seen.services or seen.garden)
    if not as_json:
        print_lines(_preview_words(name, seen))
    said: list[str] = []
    if something and not preview and (yes or typer.confirm("Heal these now?", default=False)):
        said = wiring.heal(common.databases(), common.box(), operator_id, router_id, seen, actor=common.actor())
    if as_json:
        common.print_json({**row, "said": said})
    elif something:
        print_lines("\n".join(said) or "Nothing was sent.")


def _compared(name: str, operator: str) -> tuple[int, int]:
    """The router and operator by id, once the router was compared just now. Raises Problem where it cannot be read."""
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        if router.api_username is None:
            raise Problem(f"{name} has no API access yet; `ispagents router api set` sets it up.")
        router_id = router.id
    for ran in wiring.run(common.databases(), common.box(), operator_id, [router_id]):
        if ran.error:
            raise Problem(f"{name} could not be compared, so nothing was sent: {ran.error}")
    return router_id, operator_id


def _preview_words(name: str, seen: Healable) -> str:
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(seen.kinds.items()))
    others = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(seen.others.items()))
    lines = []
    if seen.garden:
        lines.append(
            f"{name}: the walled garden's rules become what the style says (`ispagents drift show {seen.garden[0]}`)."
        )
    if seen.services:
        lines.append(f"{name}: what {len(seen.services)} findings of services are about is written anew ({kinds}).")
    if not lines:
        lines.append(f"{name}: nothing that it should hold is missing or changed.")
    if others:
        lines.append(f"Not healed by this, since a person has to look: {others}; see `ispagents drift list`.")
    return "\n".join(lines)


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
