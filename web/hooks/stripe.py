"""Stripe, by its own library's signature check. What its events mean is Stripe's API reference, "Events".

Several events speak of one payment (payment_intent.succeeded, checkout.session.completed, invoice.paid): all of them
are told under the id of the payment intent, so it counts once, and what one knows of the customer helps the others.
Whose payment it is stands in the metadata (`customer`, `invoice`, `username`), in the session's client_reference_id, or
in the description.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from policy.money.currency import digits, is_known
from policy.money.incoming import Incoming, IncomingKind
from web.hooks.contract import WebhookError, check_age

HEADER: Final = "stripe-signature"
METHOD: Final = "stripe"
# Where Stripe's minor units are not ISO 4217's: https://docs.stripe.com/currencies, zero-decimal and special cases.
_DIGITS: Final = {"MGA": 0, "ISK": 2, "UGX": 2}
_MOMENT: Final = re.compile(r"(?:^|,)t=([0-9]{1,11})(?:,|$)")

Object = Mapping[str, Any]


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Sequence[Incoming]:
    """The payments, refunds or disputes of an event. Raises WebhookError."""
    from stripe import SignatureVerificationError, WebhookSignature  # noqa: PLC0415 - 0.7 s that only Stripe's users pay

    said = headers.get(HEADER, "")
    moment = _MOMENT.search(said)
    try:
        # Its own window would use the library's clock, and knows no future.
        WebhookSignature.verify_header(body, said, secret, tolerance=None)
    except (SignatureVerificationError, ValueError, TypeError) as error:  # a body or a header that is no text
        raise WebhookError("It is not signed with this endpoint's secret, which begins with whsec_.") from error
    if moment is None:
        raise WebhookError("Its signature has no moment.")
    check_age(int(moment[1]), now)
    try:
        event = json.loads(body)
        told = _EVENTS.get(event["type"])
        return told(event["data"]["object"], event) if told is not None else ()
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
        raise WebhookError("It is signed, but no event as Stripe describes them.", is_signed=True) from error


def _intent(found: Object, event: Object) -> Sequence[Incoming]:
    charge = found.get("latest_charge")
    billing = charge.get("billing_details") or {} if isinstance(charge, Mapping) else {}
    return [
        _payment(
            _id(found["id"]),
            found["amount_received"],
            found,
            event,
            said=found.get("description"),
            name=billing.get("name"),
            phone=billing.get("phone"),
        )
    ]


def _session(found: Object, event: Object) -> Sequence[Incoming]:
    if found.get("payment_status") != "paid" or not found.get("payment_intent"):
        return ()  # not paid yet, or its invoice and payment intent tell of it
    details = found.get("customer_details") or {}
    return [
        _payment(
            _id(found["payment_intent"]),
            found["amount_total"],
            found,
            event,
            said=found.get("client_reference_id"),
            name=details.get("name"),
            phone=details.get("phone"),
        )
    ]


def _invoice(found: Object, event: Object) -> Sequence[Incoming]:
    intent = _intent_of_invoice(found)
    if not intent or not found.get("amount_paid"):
        return ()  # without a payment intent no money came by Stripe
    return [
        _payment(
            intent,
            found["amount_paid"],
            found,
            event,
            said=found.get("description"),
            name=found.get("customer_name"),
            phone=found.get("customer_phone"),
        )
    ]


def _intent_of_invoice(found: Object) -> str:
    if found.get("payment_intent"):
        return _id(found["payment_intent"])
    # Since the API's version of 2025-03-31 an invoice lists its payments.
    for one in (found.get("payments") or {}).get("data") or ():
        intent = (one.get("payment") or {}).get("payment_intent")
        if intent:
            return _id(intent)
    return ""


def _refunded(found: Object, event: Object) -> Sequence[Incoming]:
    """The charge has the sum of all its refunds; the event says what that was before."""
    total = found["amount_refunded"]
    before = (event["data"].get("previous_attributes") or {}).get("amount_refunded") or 0
    if total <= before:
        return ()
    # By the sum reached: each refund of a charge reaches another, and a second delivery reaches the same.
    return [_back(f"{found['id']}/refunded/{total}", IncomingKind.REFUND, total - before, found, event)]


def _disputed(found: Object, event: Object) -> Sequence[Incoming]:
    """An inquiry, whose status begins so, takes no money yet."""
    if _text(found.get("status")).startswith("warning_"):
        return ()
    return [_back(_id(found["id"]), IncomingKind.CHARGEBACK, found["amount"], found, event)]


def _reinstated(found: Object, event: Object) -> Sequence[Incoming]:
    """A dispute that was won: the money of its payment comes back."""
    return [_back(f"{_id(found['id'])}/reinstated", IncomingKind.PAYMENT, found["amount"], found, event)]


_EVENTS: Final[dict[str, Callable[[Object, Object], Sequence[Incoming]]]] = {
    "payment_intent.succeeded": _intent,
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "invoice.paid": _invoice,
    "charge.refunded": _refunded,
    "charge.dispute.created": _disputed,
    "charge.dispute.funds_withdrawn": _disputed,
    "charge.dispute.funds_reinstated": _reinstated,
}


def _payment(
    external_id: str, amount: int, found: Object, event: Object, *, said: Any, name: Any, phone: Any
) -> Incoming:
    """Money that came. `said` is what the payer or the shop wrote; beside it counts what the metadata names."""
    currency = found["currency"].upper()
    metadata = found.get("metadata") or {}
    return Incoming(
        external_id,
        _minor(amount, currency),
        currency,
        _moment(event),
        METHOD,
        # a long description must not keep a payment out
        reference=_cut(_texts(said, metadata.get("customer"), metadata.get("invoice")), 1000),
        payer=_cut(_text(name), 500),
        phone=_cut(_text(phone), 60),
        username=_text(metadata.get("username")),
    )


def _back(external_id: str, kind: IncomingKind, amount: int, found: Object, event: Object) -> Incoming:
    currency = found["currency"].upper()
    return Incoming(
        external_id,
        _minor(amount, currency),
        currency,
        _moment(event),
        METHOD,
        kind,
        reference=_text(found.get("reason")),
        original_external_id=_id(found.get("payment_intent") or found.get("charge") or found["id"]),
    )


def _minor(amount: int, currency: str) -> int:
    """Stripe's minor units as ISO 4217's."""
    if not is_known(currency) or type(amount) is not int:
        raise ValueError(currency)
    shift = digits(currency) - _DIGITS.get(currency, digits(currency))
    whole, rest = divmod(amount * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    if rest:
        raise ValueError(amount)
    return int(whole)


def _moment(event: Object) -> datetime:
    return datetime.fromtimestamp(int(event["created"]), UTC)


def _id(value: Any) -> str:
    """The id of something that may be expanded."""
    return str(value["id"] if isinstance(value, Mapping) else value)


def _text(value: Any) -> str:
    return value.replace("\0", "") if isinstance(value, str) else ""


def _texts(*values: Any) -> str:
    return " ".join(dict.fromkeys(text for value in values if (text := _text(value).strip())))


def _cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "ignore")[:most_bytes].decode(errors="ignore")
