"""Payments and standings by REST: `Authorization: Bearer TOKEN`, made by `ispagents token add`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import jsonify, request
from sqlalchemy.orm import Session

from policy.money.told import read_document, read_payments
from sql.api_tokens import Scope, acting_for_token
from sql.models import ApiToken, Operator
from sql.money.incoming import Outcome, Taken, take_in
from sql.money.standings import assert_standings
from sql.sessions import database_time
from web.acting import engine
from web.api.reading import read_standings
from web.programs import Refusal, blueprint_for

BODY_MAXIMUM_BYTES = 2 * 2**20

blueprint = blueprint_for("api", __name__, "/api")


@blueprint.post("/payments")
def payments() -> tuple[Any, int]:
    """Tell of payments, refunds and chargebacks (`policy.money.told`); the source is the token."""
    with _allowed(Scope.PAYMENTS) as (session, token):
        told = read_payments(read_document(_body()), database_time(session))
        operator = session.get_one(Operator, token.operator_id)
        taken = take_in(session, operator, told, f"api:{token.id}", actor=f"token:{token.name}")
    refused = bool(taken) and all(one.outcome is Outcome.REFUSED for one in taken)
    return jsonify({"payments": [_answer(one) for one in taken]}), 422 if refused else 200


@blueprint.post("/standings")
def standings() -> tuple[Any, int]:
    """Say what another billing system knows of services (`web.api.reading`); the source is the token."""
    with _allowed(Scope.STANDINGS) as (session, token):
        rows = read_standings(read_document(_body()))
        now = database_time(session)
        answers = assert_standings(session, token.operator_id, rows, source=f"api:{token.id}", now=now)
    said = [{"outcome": one.outcome, "explanation": one.explanation} for one in answers]
    return jsonify({"standings": said}), 200


def _body() -> bytes:
    request.max_content_length = BODY_MAXIMUM_BYTES
    return request.get_data(cache=False)


@contextmanager
def _allowed(scope: Scope) -> Iterator[tuple[Session, ApiToken]]:
    """A transaction for the operator of a program's token, which must allow this."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    with acting_for_token(engine(), shown.strip() if scheme.lower() == "bearer" else "") as (session, token):
        if token is None:
            raise Refusal("Name a valid token: Authorization: Bearer isp_...; `ispagents token add` makes one.", 401)
        if scope not in token.scopes:
            other = f"`ispagents token add NAME --scope {scope}` makes one that is."
            raise Refusal(f"This token is not for {scope}; {other}", 403)
        yield session, token


def _answer(one: Taken) -> dict[str, Any]:
    return {
        "id": one.external_id,
        "outcome": one.outcome,
        "explanation": one.explanation,
        "incoming": one.id,
        "payment": one.payment_id,
        "reversal": one.reversal_id,
    }
