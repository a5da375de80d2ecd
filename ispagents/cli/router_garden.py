"""`ispagents router garden`: the walled garden's rules on a router, written in their place and read back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines
from ispagents.errors import Problem
from ispagents.wiring.garden import tend_garden
from network.contract import Outcome
from policy.routeros.objects import Plan
from policy.routeros.terminal import command_text
from sql.customers import router_by_name


def garden(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take our rules away again.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what would be written.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the walled garden's rules to a router: before fasttrack, in order, each with our mark; then read back."""
    if not yes and not preview and (as_json or not sys.stdin.isatty()):
        raise Problem("There is no terminal to ask on; say --yes, or --preview to see what would be written.")
    with common.acting(operator) as (session, operator_id):
        router_by_name(session, operator_id, name)
    shown: list[Plan] = []

    def ask(plan: Plan) -> bool:
        shown.append(plan)
        if not as_json:
            _show(plan)
        return not preview and (yes or typer.confirm(f"Write these {len(plan.changes)} commands to {name}?"))

    tended = tend_garden(
        common.databases(), common.box(), operator_id, name, remove=remove, actor=common.actor(), ask=ask
    )
    commands = [command_text(change.command) for plan in shown for change in plan.changes]
    steps = tended.applied.steps if tended is not None else ()
    good = (Outcome.APPLIED, Outcome.ALREADY_SO)
    failed = [step.result.explanation for step in steps if step.result.outcome not in good]
    wrong = [*failed[:1], *(tended.wrong if tended is not None else ())]
    if as_json:
        row = {"router": name, "commands": commands, "written": tended is not None, "wrong": wrong}
        common.print_json(row)
    elif not commands:
        print_lines(f"{name} is as it should be; there is nothing to write.")
    elif tended is not None and not wrong:
        print_lines(f"{name}: written, read back, and as it should be.")
    if wrong:
        raise Problem(f"{name} is not as it should be: {' '.join(wrong)}")


def _show(plan: Plan) -> None:
    for change in plan.changes:
        print_lines(command_text(change.command))
    for change in reversed(plan.changes):
        if change.undo is not None:
            print_lines(f"  to take it back: {command_text(change.undo)}")
