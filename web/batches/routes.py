"""The pages of batches. Each portion is a transaction of its own, as on the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from policy.changes.batch import batch_preview
from policy.changes.intent import Intent
from sql import pages
from sql.batches import AT_ONCE, Decided, approve_some, batch_by_id, batches, outcomes, reject_some, waiting_rows
from sql.listing import NUMBER_MAXIMUM
from sql.sessions import database_time
from web.acting import acting, person
from web.changes.forms import ApproveForm, RejectForm
from web.changes.reading import route_words
from web.pages import note_text

ROWS = 50
SECONDS_A_REQUEST = 15.0  # then a person is told how far it came, and goes on with what waits still
REFUSALS_SHOWN = 5
SENTENCE_MAXIMUM_LETTERS = 250  # they travel in the cookie, which holds 4 kB

blueprint = Blueprint("batches", __name__, url_prefix="/batches", template_folder="templates")


@blueprint.get("")
def list_all() -> str:
    """Batches, the newest first."""
    after = request.args.get("after", "")
    if after and not (after.isascii() and after.isdigit() and len(after) < 19):
        abort(404)
    with acting() as (session, operator_id):
        found = batches(session, operator_id, before=int(after or NUMBER_MAXIMUM), limit=ROWS + 1)
    return render_template(
        "batches/list.html",
        batches=found[:ROWS],
        waits=Intent.AWAITING_APPROVAL.value,
        after=found[ROWS - 1].batch.id if len(found) > ROWS else None,
        goes_on=bool(after),
    )


@blueprint.get("/<int:batch_id>")
def show(batch_id: int) -> str:
    """What of a batch waits: counts by action, router and plan, the money, the most unusual; and what became of it."""
    with acting() as (session, operator_id):
        batch = batch_by_id(session, operator_id, _number(batch_id))
        document = batch_preview(waiting_rows(session, operator_id, batch_id))
        decided, done = outcomes(session, operator_id, batch_id)
        currency = pages.currency(session, operator_id)
    return render_template(
        "batches/show.html",
        batch=batch,
        preview=document,
        decided=decided,
        done=done,
        waits=Intent.AWAITING_APPROVAL.value,
        currency=currency,
        route_words=route_words,
        approve=ApproveForm(seen_hash=document["hash"]),
        reject=RejectForm(),
    )


@blueprint.post("/<int:batch_id>/approve")
def approve(batch_id: int) -> Response:
    """Approve exactly the previews that were on the page, all of them."""
    form = ApproveForm()
    if not form.validate():
        abort(400)
    with acting() as (session, operator_id):
        batch_by_id(session, operator_id, _number(batch_id))
        rows = waiting_rows(session, operator_id, batch_id)
    if batch_preview(rows)["hash"] != form.seen_hash.data:
        flash(f"Batch {batch_id} has another preview than the one you approved; look at it again.", "refused")
        return _back(batch_id)
    seen = {row.change_id: row.preview_hash for row in rows}

    def portion(session: Session, operator_id: int, ids: Sequence[int]) -> list[Decided]:
        chosen = [(one, seen[one]) for one in ids]
        return approve_some(session, operator_id, chosen, by=person().login, now=database_time(session))

    _report(batch_id, "approved", _in_portions(list(seen), portion), len(seen))
    return _back(batch_id)


@blueprint.post("/<int:batch_id>/reject")
def reject(batch_id: int) -> Response:
    """Reject all that waits in a batch; that stands until something else is wanted."""
    form = RejectForm()
    if not form.validate():
        abort(400)
    with acting() as (session, operator_id):
        batch_by_id(session, operator_id, _number(batch_id))
        ids = [row.change_id for row in waiting_rows(session, operator_id, batch_id)]
    note = note_text(form.note.data)

    def portion(session: Session, operator_id: int, some: Sequence[int]) -> list[Decided]:
        return reject_some(session, operator_id, some, by=person().login, note=note)

    _report(batch_id, "rejected", _in_portions(ids, portion), len(ids))
    return _back(batch_id)


def _in_portions(ids: list[int], portion: Callable[[Session, int, Sequence[int]], list[Decided]]) -> list[Decided]:
    decided: list[Decided] = []
    began = time.monotonic()
    for start in range(0, len(ids), AT_ONCE):
        if time.monotonic() - began > SECONDS_A_REQUEST:
            break
        with acting() as (session, operator_id):
            decided += portion(session, operator_id, ids[start : start + AT_ONCE])
    return decided


def _report(batch_id: int, verb: str, decided: list[Decided], wanted: int) -> None:
    done = sum(one.done for one in decided)
    refused = [one.refused for one in decided if one.refused]
    joined = len(decided) - done - len(refused)
    parts = [f"{done} of {wanted} changes of batch {batch_id} are {verb}."]
    if joined:
        parts.append(f"{joined} have your approval and need another person's too.")
    if len(decided) < wanted:
        parts.append(f"{wanted - len(decided)} wait still: it took long, so go on below.")
    flash(" ".join(parts), "refused" if refused else "done")
    for sentence in refused[:REFUSALS_SHOWN]:
        flash(sentence[:SENTENCE_MAXIMUM_LETTERS], "difference")
    if len(refused) > REFUSALS_SHOWN:
        flash(f"and {len(refused) - REFUSALS_SHOWN} more.", "difference")


def _back(batch_id: int) -> Response:
    return redirect(url_for("batches.show", batch_id=batch_id), 303)


def _number(batch_id: int) -> int:
    if batch_id > NUMBER_MAXIMUM:
        abort(404)
    return batch_id
