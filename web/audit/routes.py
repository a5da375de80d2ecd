"""The page of the audit."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask import Blueprint, abort, g, render_template, request

from policy.windows import zone
from sql import pages
from sql.listing import NUMBER_MAXIMUM
from web.acting import acting

FILTER_MAXIMUM_LETTERS = 253

blueprint = Blueprint("audit", __name__, url_prefix="/audit", template_folder="templates")


@blueprint.get("")
def list_all() -> str:
    """Events that match the filters, the newest first."""
    given = {name: request.args.get(name, "").strip() for name in ("event", "actor", "username", "until")}
    after = request.args.get("after", "")
    if any(len(value) > FILTER_MAXIMUM_LETTERS or "\0" in value for value in given.values()) or not _is_key(after):
        abort(404)
    with acting() as (session, operator_id):
        before, problem = _end_of(given["until"])
        wanted = pages.AuditFilter(given["event"], given["actor"], given["username"], before)
        page = pages.audit_page(session, operator_id, wanted, after=int(after or NUMBER_MAXIMUM))
    return render_template(
        "audit/list.html",
        page=page,
        given=given,
        filtered=any(given.values()),
        problem=problem,
        goes_on=bool(after),
    )


def _is_key(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) < 19)


def _end_of(day: str) -> tuple[datetime | None, str]:
    """The end of a day in the operator's time zone, and what is wrong with it."""
    if not day:
        return None, ""
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=zone(g.time_zone)) + timedelta(days=1), ""
    except (ValueError, OverflowError):
        return None, f"{day[:20]!r} is not a day; write it as 2026-12-05. The audit is shown up to now."
