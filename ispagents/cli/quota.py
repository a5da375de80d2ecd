"""`ispagents quota`: what a service has used of its plan's limits, and more bytes for it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.inputs import gigabytes, money_minor
from ispagents.cli.output import bytes_text, print_lines
from policy.fair_use import SpanUse
from policy.quota import allowance, interim_s, limits, overshoot_bytes, overshoot_words, reached, spans
from policy.usage import Bounds, SpanKind
from sql.customers import service_by_username
from sql.models import Operator, UsageTopup
from sql.quota import Account
from sql.sessions import database_time
from sql.topups import Sold, account, running, told_s, top_up

app = typer.Typer(no_args_is_help=True, help="What services have used of their plans' limits, and top-ups.")


@app.command("show")
def show(username: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show each limit of a service: used, left, what is reached, when it begins anew, and how far it can be passed."""
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        now = database_time(session)
        found = account(session, service, now)
        reports_s = max(interim_s(found.plan), told_s(session, service))
        rows = [
            _row(found, _use(found, span, running(session, service, span, now), now), reports_s)
            for span in sorted(spans(found.plan))
        ]
    common.show(
        rows,
        as_json=as_json,
        title=f"Limits of {username}",
        empty="",
        columns=("span", "used", "allowed", "left", "extra", "reached", "ends_at"),
    )
    if not as_json:
        print_lines(f"It can be passed by {overshoot_words(found.plan, reports_s)}.")


@app.command("topup")
def topup(
    username: str,
    gb: Annotated[str, typer.Option("--gb", help="Gigabytes (10^9 bytes), such as 10 or 0.5.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")],
    span: Annotated[SpanKind | None, typer.Option(help="Which limit, where the plan has several.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Until it is used; else until the running span ends.")] = False,
    price: Annotated[str | None, typer.Option(help="Sold: an invoice of this amount, due in 14 days.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give or sell more bytes; a session that was slowed down has its speed back within a second or two."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        given = top_up(
            session,
            service,
            span=span,
            more_bytes=gigabytes(gb),
            keeps=keep,
            reason=reason,
            sold=Sold(money_minor(price, currency)) if price is not None else None,
            actor=common.actor(),
        )
        session.refresh(given)
        row = _topup(username, given)
    common.show_one(row, as_json=as_json)


def _topup(username: str, given: UsageTopup) -> dict[str, Any]:
    return {
        "id": given.id,
        "username": username,
        "span": given.span,
        "bytes": given.bytes,
        "until": given.until,
        "reason": given.reason,
        "granted_by": given.granted_by,
        "invoice_id": given.invoice_id,
    }


def _use(found: Account, span: SpanKind, at: Bounds, now: datetime) -> SpanUse:
    """What counts in the span that runs, with what was carried into it even where that does not matter yet."""
    known = next((one for one in found.running if one.use.span == span), None)
    if known is None:
        extra = found.topped_up(span, now) + found.carried_into(span, *at)
        return SpanUse(span, at.ends_at, 0, extra)
    if known.carried_bytes:
        return known.use
    more = found.carried_into(span, known.starts_at, known.use.ends_at)
    return known.use._replace(extra_bytes=known.use.extra_bytes + more)


def _row(found: Account, use: SpanUse, reports_s: int) -> dict[str, Any]:
    plan = found.plan
    allowed = allowance(plan, use.span) + use.extra_bytes
    return {
        "span": use.span.value,
        "used": bytes_text(use.used_bytes),
        "allowed": bytes_text(allowed),
        "left": bytes_text(max(0, allowed - use.used_bytes)),
        "extra": bytes_text(use.extra_bytes),
        "reached": reached(plan, use),
        "limits": sum(limit.span == use.span for limit in limits(plan)),
        "ends_at": use.ends_at,
        "reports_every_s": reports_s,
        "overshoot": overshoot_words(plan, reports_s),
        "used_bytes": use.used_bytes,
        "allowed_bytes": allowed,
        "extra_bytes": use.extra_bytes,
        "overshoot_bytes": overshoot_bytes(plan, reports_s),
    }
