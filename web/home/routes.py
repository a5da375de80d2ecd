"""The home page."""

from __future__ import annotations

from flask import Blueprint, render_template

from policy.changes.intent import Intent
from sql import pages
from sql.listing import changes
from web.acting import acting, person

NEWEST_SHOWN = 8

blueprint = Blueprint("home", __name__, template_folder="templates")


@blueprint.get("/")
def show() -> str:
    """What waits for this person, and what needs a look."""
    with acting() as (session, operator_id):
        waiting = pages.waiting_by_kind(session, operator_id, person().login)
        newest = changes(session, operator_id, state=Intent.AWAITING_APPROVAL.value, limit=NEWEST_SHOWN)
        there = pages.beginnings(session, operator_id)
        down = pages.routers_down(session, operator_id)
        stopped = pages.writes_stopped(session, operator_id)
    return render_template(
        "home/home.html",
        waiting=waiting,
        total=sum(waiting.values()),
        counted_maximum=pages.COUNTED_MAXIMUM,
        newest=newest,
        there=there,
        down=down,
        stopped=stopped,
    )
