"""`ispagents router import` and `import-apply`: customers that a router has already, seen first and then taken in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import write_rows
from ispagents.cli.inputs import money_minor
from ispagents.cli.output import print_lines
from ispagents.cli.router_inspect import SHOWN, Lists, clean
from ispagents.errors import Problem
from ispagents.wiring.inspecting import look_at, release_marks
from policy.facts import Method
from policy.inspection.compare import Row, Verdict
from policy.wording import short
from sql.customers import router_by_name
from sql.errors import NotFound
from sql.models import Operator
from sql.onboarding.openings import Opened
from sql.onboarding.routers import (
    Preview,
    Seen,
    Wish,
    apply_some,
    bad_rows,
    counted,
    import_by_id,
    lists_of,
    preview,
    router_name,
    see,
)
from sql.onboarding.undoing import begin_undo, finish_undo

Only = Annotated[list[Method] | None, typer.Option("--only", help="Only customers of this method; may be repeated.")]
Plans = Annotated[
    list[str] | None,
    typer.Option("--plan", metavar="FOUND=NAME", help="Which plan here a plan found there is; may be repeated."),
]
DefaultPlan = Annotated[str, typer.Option(help="The plan of those whose speed cannot be read.")]
Prices = Annotated[
    list[str] | None, typer.Option("--price", metavar="PLAN=PRICE", help="The price of a new plan; 0 if not given.")
]
Owner = Annotated[
    str, typer.Option("--subscriber", help="One customer for all; if not given, one each, numbered by user name.")
]
NoAdopt = Annotated[
    bool, typer.Option("--no-adopt", help="Leave the router's items alone: RADIUS controls the services.")
]
AcceptChanges = Annotated[
    bool, typer.Option("--accept-changes", help="Also take those whose items would be changed by it.")
]
KeepStyle = Annotated[bool, typer.Option("--keep-style", help="Do not fit the router's style to what stands there.")]
BadRows = Annotated[Path | None, typer.Option("--bad-rows", help="Write the rows that need a person there, as CSV.")]
# What somebody has to read stands first.
_TO_READ = (Verdict.PERSON, Verdict.CONFLICTING, Verdict.NEW, Verdict.SAME)
Number = Annotated[int, typer.Argument(min=1, max=common.ID_MAXIMUM, metavar="IMPORT", help="Of `router import`.")]


def import_router(
    name: str,
    only: Only = None,
    lists: Lists = None,
    plan: Plans = None,
    default_plan: DefaultPlan = "",
    price: Prices = None,
    subscriber: Owner = "",
    no_adopt: NoAdopt = False,
    accept_changes: AcceptChanges = False,
    keep_style: KeepStyle = False,
    bad: BadRows = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what taking in a router's customers would do; nothing changes before `router import-apply`."""
    with common.acting(operator) as (session, operator_id):
        router_by_name(session, operator_id, name)
        currency = session.get_one(Operator, operator_id).currency
    prices = {key: money_minor(text, currency, minimum_minor=0) for key, text in named_pairs(price, "--price").items()}
    wish = Wish(
        lists=tuple(dict.fromkeys(lists or ())),
        methods=frozenset(only or Method),
        plans=named_pairs(plan, "--plan"),
        default_plan=default_plan,
        prices=prices,
        subscriber=subscriber,
        adopt=not no_adopt,
        accept_changes=accept_changes,
        keep_style=keep_style,
    )
    seen = _seen(operator_id, name, wish.lists)
    with common.acting(operator) as (session, operator_id):
        mine, router = session.get_one(Operator, operator_id), router_by_name(session, operator_id, name)
        read = preview(session, mine, router, seen, wish, actor=common.actor())
        unknown = sorted(set(wish.prices or {}) - set(read.new_plans))
        if unknown:
            raise NotFound(f"No plan {unknown[0]!r} would be made; {_listed(read.new_plans)}.")
        document = _document(name, read)
        if bad is not None:
            write_rows(bad, bad_rows(read.rows), otherwise=", so nothing was stored")
    if as_json:
        common.print_json(document)
    else:
        _tell(document)


def apply_import(number: Number, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Take in the new customers of an import; what stands on the router becomes ours by a mark alone."""
    with common.acting(operator) as (session, operator_id):
        stored = import_by_id(session, operator_id, number)
        name, lists = router_name(session, stored), lists_of(stored)
        if stored.state != "previewed":
            raise Problem(f"Import {number} is {stored.state} already.")
    seen = _seen(operator_id, name, lists)
    done: list[Opened] = []
    line: int | None = 0
    while line is not None:
        # A page of rows a transaction; cut off anywhere, the same command goes on where it stood.
        with common.acting(operator) as (session, operator_id):
            mine = session.get_one(Operator, operator_id)
            page, line = apply_some(
                session, mine, number, seen, after_line=line, box=common.box(), actor=common.actor()
            )
        done += page
    refused = [{"name": one.username, "why": one.refused} for one in done if one.service is None]
    row: dict[str, Any] = {
        "import": number,
        "router": name,
        "services": len(done) - len(refused),
        "subscribers": sum(one.made_subscriber for one in done),
        "refused": len(refused),
        "refusals": refused,
        "said": "The worker marks what is theirs on the router; `ispagents change list` shows what waits for a person.",
    }
    if not as_json:
        row["refusals"] = [f"{one['name']}: {one['why']}" for one in refused[:SHOWN]]
    common.show_one(row, as_json=as_json)


def undo_import(
    number: Number,
    rest: Annotated[
        bool, typer.Option("--rest", help="Leave those to whom something has happened since, and undo the others.")
    ] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take an import back: our marks go from the router, and the services close; the router stays as it is."""
    with common.acting(operator) as (session, operator_id):
        stored = import_by_id(session, operator_id, number)
        name = router_name(session, stored)
        going = begin_undo(session, stored, rest=rest)
    # Before anything closes: closing would remove what carries our marks.
    tags = {one.tag for one in going}
    marked = release_marks(common.databases(), common.box(), operator_id, name, tags) if tags else 0
    with common.acting(operator) as (session, operator_id):
        finish_undo(session, import_by_id(session, operator_id, number), going, actor=common.actor())
    row = {
        "import": number,
        "router": name,
        "services": len(going),
        "marks": marked,
        "said": "Its services are closed, and their items on the router are nobody's again; the customers stay.",
    }
    common.show_one(row, as_json=as_json)


def _seen(operator_id: int, name: str, lists: tuple[str, ...]) -> Seen:
    look = look_at(common.databases(), common.box(), operator_id, name)
    return see(look.device, look.observed, lists)


def named_pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """What options of the form NAME=VALUE say. Raises Problem."""
    found = {}
    for text in texts or ():
        key, equals, value = text.rpartition("=")
        if not (key and equals and value):
            raise Problem(f"{option} {short(text)!r} is not understood; write NAME=VALUE.")
        found[key] = value
    return found


def _next(read: Preview) -> str:
    if not counted(read.rows)["new"]:
        return "Nothing has changed, and nobody there is new to be taken in."
    return f"Nothing has changed yet: `ispagents router import-apply {read.stored.id}` takes in the new ones."


def _document(name: str, read: Preview) -> dict[str, Any]:
    return {
        "import": read.stored.id,
        "router": name,
        **counted(read.rows),
        "new_plans": dict(read.new_plans),
        "style": read.style,
        "rows": [_row(one) for one in read.rows],
        "said": _next(read),
    }


def _row(one: Row) -> dict[str, Any]:
    return clean(
        {
            "username": one.service.username,
            "method": one.service.method.value,
            "verdict": one.verdict.value,
            "plan": one.plan or one.service.found_plan,
            "subscriber": one.subscriber,
            "name": one.name or one.service.comment,
            "reason": one.reason,
        }
    )


def _tell(document: dict[str, Any]) -> None:
    rows = document["rows"]
    # Those that need a person first: they are what somebody has to read.
    first = sorted(
        rows, key=lambda row: [Verdict.PERSON, Verdict.CONFLICTING, Verdict.NEW, Verdict.SAME].index(row["verdict"])
    )
    more = f"There are {len(rows)}; --json shows all of them." if len(rows) > SHOWN else ""
    columns = ("username", "method", "verdict", "plan", "name", "reason")
    title = f"Import {document['import']} of {document['router']}"
    common.show(first[:SHOWN], as_json=False, title=title, empty="There are no customers.", columns=columns, more=more)
    counts = ", ".join(f"{document[one.name.lower()]} {one.value}" for one in Verdict)
    print_lines(f"\n{counts}. {_listed(document['new_plans'])}.")
    if document["style"] is not None:
        print_lines(f"The router's style becomes {json.dumps(document['style'])}, as things are done there.")
    print_lines(document["said"])


def _listed(plans: Any) -> str:
    names = ", ".join(repr(short(name)) for name in plans)
    return f"New plans: {names}" if names else "No plan is made"
