"""The pages of changes. Deciding calls `sql.intent`, exactly as the command line does."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from policy.changes.intent import ChangeKind, Intent
from sql import intent, pages
from sql.errors import NotFound, Refused
from sql.listing import NUMBER_MAXIMUM, change_key, changes, steps_of
from sql.sessions import database_time
from web.acting import acting, person
from web.changes import reading
from web.changes.forms import ApproveForm, RejectForm
from web.pages import note_text

ROWS = 50
DIGITS = 19  # of a number that the database holds, and one more
# They travel in the cookie, which holds 4 kB; the new preview is below them anyway.
DIFFERENCES_SHOWN = 6
SENTENCE_MAXIMUM_LETTERS = 250

blueprint = Blueprint("changes", __name__, url_prefix="/changes", template_folder="templates")


@blueprint.get("")
def list_all() -> str:
    """A list of changes: those that wait, unless another state is asked for."""
    state = request.args.get("state", Intent.AWAITING_APPROVAL.value)
    kind = request.args.get("kind", "")
    batch = request.args.get("batch", "")
    if (state and state not in set(Intent)) or (kind and kind not in set(ChangeKind)):
        abort(404)
    if batch and not (batch.isascii() and batch.isdigit() and len(batch) < DIGITS):
        abort(404)
    with acting() as (session, operator_id):
        found = changes(
            session,
            operator_id,
            state=state,
            kind=kind,
            batch_id=int(batch) if batch else None,
            after=request.args.get("after", ""),
            limit=ROWS + 1,
        )
    shown = found[:ROWS]
    after = _key(shown[-1][0], state) if len(found) > ROWS else None
    return render_template(
        "changes/list.html",
        changes=shown,
        state=state,
        kind=kind,
        batch=batch,
        states=["", *Intent],
        kinds=["", *ChangeKind],
        after=after,
        goes_on="after" in request.args,
    )


@blueprint.get("/<int:change_id>")
def show(change_id: int) -> str:
    """A change: what it would do, who decided, what was done and the proof."""
    with acting() as (session, operator_id):
        change, username = pages.change_by_number(session, operator_id, _number(change_id))
        steps = steps_of(session, change)
        approvals = pages.approvals_of(session, change)
    mine = any(one.person == person().login and one.preview_hash == change.preview_hash for one in approvals)
    return render_template(
        "changes/show.html",
        change=change,
        username=username,
        preview=change.preview,
        rows=reading.rows(change.preview),
        drops=reading.drops(change.preview),
        route_words=reading.route_words,
        steps=steps,
        approvals=approvals,
        mine=mine,
        waits=change.state == Intent.AWAITING_APPROVAL,
        approve=ApproveForm(seen_hash=change.preview_hash),
        reject=RejectForm(),
    )


@blueprint.post("/<int:change_id>/approve")
def approve(change_id: int) -> Response:
    """Approve exactly the preview that was on the page."""
    form = ApproveForm()
    if not form.validate():
        abort(400)
    try:
        said, category, differences = _approve(_number(change_id), form.seen_hash.data)
    except NotFound:
        raise
    except Refused as error:
        said, category, differences = str(error), "refused", []
    flash(said, category)
    for sentence in differences[:DIFFERENCES_SHOWN]:
        flash(sentence[:SENTENCE_MAXIMUM_LETTERS], "difference")
    return redirect(url_for("changes.show", change_id=change_id), 303)


@blueprint.post("/<int:change_id>/reject")
def reject(change_id: int) -> Response:
    """Say no; that stands until something else is wanted."""
    form = RejectForm()
    if not form.validate():
        abort(400)
    try:
        with acting() as (session, operator_id):
            change = intent.change_by_id(session, operator_id, _number(change_id))
            intent.reject(session, change, by=person().login, note=note_text(form.note.data))
    except NotFound:
        raise
    except Refused as error:
        flash(str(error), "refused")
    else:
        flash(f"Change {change_id} is rejected; that stands until something else is wanted.", "done")
    return redirect(url_for("changes.show", change_id=change_id), 303)


def _approve(change_id: int, seen_hash: str) -> tuple[str, str, list[str]]:
    """Approve in a transaction: what to say, of which category, and what differs. A renewed preview is committed."""
    with acting() as (session, operator_id):
        change = intent.change_by_id(session, operator_id, change_id)
        seen: dict[str, Any] = dict(change.preview)
        try:
            intent.approve(session, change, by=person().login, seen_hash=seen_hash, now=database_time(session))
        except intent.StalePreview as error:
            return str(error), "refused", reading.differences(seen, change.preview)
        return _approved(change_id, change.state), "done", []


def _approved(change_id: int, state: str) -> str:
    if state == Intent.APPROVED:
        return f"Change {change_id} is approved; what is done for it appears below."
    return f"Your approval of change {change_id} is noted; another person must approve it too."


def _key(change: Any, state: str) -> str:
    return str(change.id) if state else change_key(change)


def _number(change_id: int) -> int:
    if change_id > NUMBER_MAXIMUM:
        abort(404)
    return change_id
