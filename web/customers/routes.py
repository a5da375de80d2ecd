"""The pages of customers."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, abort, render_template, request

from policy.story import Kind
from sql import pages
from sql.listing import NUMBER_MAXIMUM, active_holds, awaiting, services
from sql.money.settling import open_invoices
from sql.timeline import position, timeline
from web.acting import acting
from web.pages import shows_money

ROWS = 50
ENTRIES = 200
SEARCH_MAXIMUM_LETTERS = 253
MONEY_KINDS = {Kind.INVOICE, Kind.INCOMING, Kind.PAYMENT, Kind.CREDIT, Kind.REVERSAL, Kind.ALLOCATION}

blueprint = Blueprint("customers", __name__, url_prefix="/customers", template_folder="templates")


@blueprint.get("")
def list_all() -> str:
    """Lines by user name, those that begin with what was typed."""
    search = request.args.get("search", "")
    after = request.args.get("after", "")
    if max(len(search), len(after)) > SEARCH_MAXIMUM_LETTERS or "\0" in search + after:
        abort(404)
    with acting() as (session, operator_id):
        found = services(session, operator_id, search=search, after=after, limit=ROWS + 1)
    return render_template(
        "customers/list.html",
        lines=found[:ROWS],
        search=search,
        after=found[ROWS - 1][0].username if len(found) > ROWS else None,
        goes_on=bool(after),
    )


@blueprint.get("/<int:service_id>")
def show(service_id: int) -> str:
    """One line: what it has, who is online, what waits, and its story."""
    if service_id > NUMBER_MAXIMUM:
        abort(404)
    before = request.args.get("before", "")
    with acting() as (session, operator_id):
        line = pages.line_by_number(session, operator_id, service_id)
        amounts = shows_money()
        entries = timeline(
            session,
            line.service,
            ENTRIES + 1,
            before=position(before) if before else None,
            kinds=() if amounts else frozenset(Kind) - MONEY_KINDS,
        )
        owed = open_invoices(session, operator_id, [line.subscriber.id]) if amounts else {}
        return render_template(
            "customers/show.html",
            line=line,
            online=pages.online(session, line.service),
            waiting=awaiting(session, operator_id, service_id),
            holds=active_holds(session, line.service, datetime.now(UTC)),
            owed=owed.get(line.subscriber.id, []),
            currency=pages.currency(session, operator_id) if amounts else "",
            entries=list(reversed(entries))[:ENTRIES],
            older=entries[1].key if len(entries) > ENTRIES else None,
            goes_on=bool(before),
        )
