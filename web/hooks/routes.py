"""Where payment providers send their webhooks: one address each, told apart by a token that nobody guesses."""

from __future__ import annotations

import re
from typing import Any

import structlog
from flask import jsonify, request

from sql.models import PaymentProvider
from sql.money.incoming import Outcome, take_in
from sql.money.providers import acting_for_provider, secret_place
from sql.secrets import SecretsError
from sql.sessions import database_time
from web.acting import engine
from web.hooks.contract import Verify, WebhookError
from web.hooks.registry import scheme
from web.programs import Refusal, blueprint_for, provider_box

BODY_MAXIMUM_BYTES = 256 * 1024
_TOKEN = re.compile("[A-Za-z0-9_-]{16,128}")  # what is none need not be looked for
NOWHERE = "There is no provider with this address; `ispagents provider list` shows those there are."

blueprint = blueprint_for("hooks", __name__, "/hooks")
log = structlog.get_logger()


@blueprint.post("/<token>")
def receive(token: str) -> tuple[Any, int]:
    """Take in what a provider tells; told again, it is answered alike and changes nothing."""
    request.max_content_length = BODY_MAXIMUM_BYTES
    body = request.get_data(cache=False)
    if not _TOKEN.fullmatch(token):
        raise Refusal(NOWHERE, 404)
    with acting_for_provider(engine(), token) as (session, addressed):
        if addressed is None:
            raise Refusal(NOWHERE, 404)
        provider, operator = addressed
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            told = _scheme(provider)(headers, body, _secret(provider), database_time(session))
        except WebhookError as error:
            log.warning("a webhook was not taken", provider=provider.name, why=str(error))
            raise Refusal(str(error), 400 if error.is_signed else 401) from error
        taken = take_in(session, operator, told, provider.name, actor=f"provider:{provider.name}")
    # A provider is told no more than whether it must send again.
    answers = [
        {"id": one.external_id, "outcome": one.outcome}
        | ({"problem": one.explanation} if one.outcome is Outcome.REFUSED else {})
        for one in taken
    ]
    refused = bool(taken) and all(one.outcome is Outcome.REFUSED for one in taken)
    return jsonify({"payments": answers}), 422 if refused else 200


def _scheme(provider: PaymentProvider) -> Verify:
    verify = scheme(provider.kind)
    if verify is None:
        raise Refusal(f"The scheme {provider.kind!r} is not installed here any more.", 503)
    return verify


def _secret(provider: PaymentProvider) -> str:
    try:
        return provider_box().open(provider.secret, secret_place(provider.operator_id, provider.name))
    except SecretsError as error:
        log.error("a payment provider's secret does not open", provider=provider.name)
        raise Refusal("The secret of this provider cannot be read here; add the provider again.", 503) from error
