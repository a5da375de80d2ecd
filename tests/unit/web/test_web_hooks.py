"""Webhook schemes: what is signed is read, and whatever is wrong is one kind of error, whoever sent it."""

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.money.incoming import Incoming, IncomingKind
from web.hooks import registry, signed, stripe
from web.hooks.contract import WebhookError

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
SECRET = "whsec_made up"
PAID = {"id": "T-17", "amount": "15.00", "currency": "EUR", "reference": "K-1042"}


def _stripe(event: Any, secret: str = SECRET, at: datetime = NOW) -> tuple[dict[str, str], bytes]:
    """A body and its header, as https://docs.stripe.com/webhooks#verify-manually describes them."""
    body = json.dumps(event).encode()
    moment = str(int(at.timestamp()))
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return {stripe.HEADER: f"t={moment},v1={mac},v0=other"}, body


def _signed(document: Any, secret: str = SECRET, at: datetime = NOW) -> tuple[dict[str, str], bytes]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return {signed.HEADER: signed.header(body, secret, at)}, body


def _event(kind: str, found: Any, **data: Any) -> dict[str, Any]:
    return {"object": "event", "type": kind, "created": int(NOW.timestamp()), "data": {"object": found, **data}}


INTENT = _event(
    "payment_intent.succeeded",
    {
        "id": "pi_1",
        "amount_received": 1500,
        "currency": "eur",
        "description": "Internet",
        "metadata": {"customer": "K-1042"},
        "latest_charge": "ch_1",
    },
)
SESSION = _event(
    "checkout.session.completed",
    {
        "id": "cs_1",
        "payment_status": "paid",
        "payment_intent": "pi_1",
        "amount_total": 1500,
        "currency": "eur",
        "client_reference_id": "K-1042",
        "customer_details": {"name": "Anna Nowak", "phone": "+48600100200"},
        "metadata": None,
    },
)
INVOICE = _event(
    "invoice.paid",
    {
        "id": "in_1",
        "amount_paid": 1500,
        "currency": "eur",
        "payments": {"data": [{"payment": {"payment_intent": "pi_1"}}]},
        "customer_name": "Anna Nowak",
        "metadata": {"invoice": "2026-17"},
    },
)


def test_our_own_scheme_is_read() -> None:
    """A payment alone or in a list; amounts exactly as written, also as JSON numbers."""
    headers, body = _signed({"payments": [PAID, {**PAID, "id": "R", "kind": "refund", "original_id": "T-17"}]})
    paid, back = signed.verify(headers, body, SECRET, NOW)
    assert (paid.external_id, paid.amount_minor, paid.occurred_at, paid.method) == ("T-17", 1500, NOW, "online")
    assert (back.kind, back.original_external_id) == (IncomingKind.REFUND, "T-17")
    headers, body = _signed(b'{"id": "x", "amount": 0.10, "currency": "EUR", "at": "2026-11-22T10:00:00+01:00"}')
    (paid,) = signed.verify(headers, body, SECRET, NOW)
    assert paid.amount_minor == 10


def test_one_payment_of_several_stripe_events() -> None:
    """All under the payment intent's id and with its amount, each with what it knows of the customer."""
    told = [stripe.verify(*_stripe(event), SECRET, NOW)[0] for event in (INTENT, SESSION, INVOICE)]
    assert {(one.external_id, one.amount_minor, one.currency, one.kind) for one in told} == {
        ("pi_1", 1500, "EUR", IncomingKind.PAYMENT)
    }
    assert [one.reference for one in told] == ["Internet K-1042", "K-1042", "2026-17"]
    assert (told[1].payer, told[1].phone) == ("Anna Nowak", "+48600100200")


def test_stripe_refunds_and_disputes_name_their_payment() -> None:
    """The part of this event, not the sum of all refunds so far; the same refund has the same id."""
    charge = {"id": "ch_1", "payment_intent": "pi_1", "currency": "eur", "amount_refunded": 900}
    event = _event("charge.refunded", charge, previous_attributes={"amount_refunded": 400})
    (back,) = stripe.verify(*_stripe(event), SECRET, NOW)
    assert (back.kind, back.amount_minor, back.original_external_id) == (IncomingKind.REFUND, 500, "pi_1")
    assert stripe.verify(*_stripe(event), SECRET, NOW) == [back]
    dispute = {"id": "dp_1", "amount": 1500, "charge": "ch_1", "payment_intent": "pi_1", "currency": "eur"}
    (back,) = stripe.verify(*_stripe(_event("charge.dispute.created", dispute)), SECRET, NOW)
    assert (back.external_id, back.kind, back.original_external_id) == ("dp_1", IncomingKind.CHARGEBACK, "pi_1")
    (same,) = stripe.verify(*_stripe(_event("charge.dispute.funds_withdrawn", dispute)), SECRET, NOW)
    (won,) = stripe.verify(*_stripe(_event("charge.dispute.funds_reinstated", dispute)), SECRET, NOW)
    assert same == back
    assert (won.external_id, won.kind, won.original_external_id) == ("dp_1/reinstated", IncomingKind.PAYMENT, "pi_1")


@pytest.mark.parametrize(
    "event",
    [
        _event("customer.created", {"id": "cus_1"}),
        _event("checkout.session.completed", {**SESSION["data"]["object"], "payment_status": "unpaid"}),
        _event("checkout.session.completed", {**SESSION["data"]["object"], "payment_intent": None}),
        _event("invoice.paid", {**INVOICE["data"]["object"], "payments": None}),
        _event("charge.refunded", {"id": "ch", "currency": "eur", "amount_refunded": 0}),
        _event("charge.dispute.created", {"id": "dp", "status": "warning_needs_response"}),
    ],
)
def test_stripe_events_without_money_tell_nothing(event: Any) -> None:
    """Other events, what is not paid yet, and what another event tells."""
    assert list(stripe.verify(*_stripe(event), SECRET, NOW)) == []


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("jpy", 500, 500), ("isk", 50000, 500), ("ugx", 50000, 500), ("mga", 5, 500), ("kwd", 1230, 1230)],
)
def test_stripes_minor_units_become_iso_4217s(currency: str, amount: int, minor: int) -> None:
    """Yen have none, Icelandic crowns and Ugandan shillings two for history's sake, dinars three."""
    event = _event("payment_intent.succeeded", {"id": "pi", "amount_received": amount, "currency": currency})
    assert stripe.verify(*_stripe(event), SECRET, NOW)[0].amount_minor == minor


SCHEMES = [(signed, _signed, PAID), (stripe, _stripe, INTENT)]


@pytest.mark.parametrize(("module", "sign", "document"), SCHEMES)
def test_what_is_not_signed_so_is_refused(module: Any, sign: Any, document: Any) -> None:
    """No header, half of one, another secret, another body, too old, from the future; no secret is ever quoted."""
    headers, body = sign(document)
    value = headers[module.HEADER]
    moment, signature = value.split(",")[0], next(part for part in value.split(",") if part.startswith("v1="))
    bad: list[tuple[dict[str, str], bytes]] = [
        ({}, body),
        *(({module.HEADER: text}, body) for text in ("", "x", moment, signature, f"{moment},{signature}0", "t=x,v1=y")),
        ({module.HEADER: f"{moment},v1=\udcff"}, body),
        ({module.HEADER: f"t=٣,{signature}"}, body),
        sign(document, secret="another"),
        (headers, body + b" "),
        (headers, body[:-1]),
        (headers, b"\xff"),
        sign(document, at=NOW - timedelta(seconds=301)),
        sign(document, at=NOW + timedelta(seconds=301)),
    ]
    for one in bad:
        with pytest.raises(WebhookError) as refused:
            module.verify(*one, SECRET, NOW)
        assert not refused.value.is_signed, one
        assert SECRET not in str(refused.value)
    assert module.verify(*sign(document, at=NOW - timedelta(seconds=299)), SECRET, NOW)


@pytest.mark.parametrize(
    "document",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"{}",
            b"null",
            b"1",
            b'"x"',
            b'{"payments": 7}',
            b"\xff",
            b"NaN",
            b"[" * 9999,
        ),
        {**PAID, "amount": "-5"},
        {**PAID, "amount": "0"},
        {**PAID, "amount": "1,50"},
        {**PAID, "amount": "9" * 40},
        {**PAID, "amount": "NaN"},
        b'{"id": "x", "amount": NaN, "currency": "EUR"}',
        {**PAID, "amount": None},
        {**PAID, "currency": "XXX"},
        {**PAID, "id": " "},
        {**PAID, "id": ["x"]},
        {**PAID, "at": "yesterday"},
        {**PAID, "at": "2026-11-22T10:00:00"},
        {**PAID, "kind": "gift"},
        {**PAID, "referrence": "K-1042"},
        {"payments": [PAID] * 1001},
        {"payments": [PAID, "x"]},
    ],
)
def test_signed_nonsense_is_told_in_one_sentence(document: Any) -> None:
    """Cut off, empty, negative, nothing, huge, of no currency, misspelt: the sender's mistake, and nothing is taken."""
    with pytest.raises(WebhookError) as refused:
        signed.verify(*_signed(document), SECRET, NOW)
    assert refused.value.is_signed
    assert str(refused.value).endswith((".", "?."))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*PAID, "payments", "at", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
objects = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "amount_received",
            "currency",
            "payment_intent",
            "metadata",
            "amount_paid",
            "payments",
            "amount_refunded",
            "payment_status",
            "latest_charge",
            "customer_details",
            "amount_total",
            "amount",
        ]
    ),
    json_values | st.sampled_from(["eur", "paid", 5]),
)


@given(json_values)
def test_any_signed_document_is_read_or_refused(document: Any) -> None:
    """No other error leaves our scheme."""
    _tries(signed, _signed(document))


@given(st.sampled_from([*stripe._EVENTS, "x"]), objects, json_values)
def test_any_signed_stripe_event_is_read_or_refused(kind: str, found: Any, other: Any) -> None:
    """No other error leaves Stripe's."""
    _tries(stripe, _stripe(_event(kind, found, previous_attributes=other)))
    _tries(stripe, _stripe(other))


def _tries(module: Any, sent: tuple[dict[str, str], bytes]) -> None:
    try:
        told = module.verify(*sent, SECRET, NOW)
    except WebhookError as error:
        told, is_signed = (), error.is_signed
    else:
        is_signed = True
    assert is_signed
    assert all(isinstance(one, Incoming) and type(one.external_id) is str for one in told)
    assert all(type(one.amount_minor) is int for one in told)


def test_schemes_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours are there, another's is loaded by its entry point, and ours cannot be replaced."""

    class Point:
        name = "m-pesa"

        def load(self) -> Any:
            return signed.verify

    monkeypatch.setattr(registry, "entry_points", lambda name="m-pesa", **_: [Point()] if name == "m-pesa" else [])
    registry.scheme.cache_clear()
    assert registry.kinds() == ["m-pesa", "signed", "stripe"]
    assert registry.scheme("m-pesa") is signed.verify
    assert registry.scheme("stripe") is stripe.verify
    assert registry.scheme("nothing") is None
    registry.scheme.cache_clear()
