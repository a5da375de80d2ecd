"""Payments as programs tell them: one JSON document, for the API and for webhooks that we sign with them ourselves.

    {"payments": [{"id": "T-17", "amount": "15.00", "currency": "EUR", "at": "2026-11-22T10:00:00+01:00",
                   "method": "card", "reference": "K-1042", "payer": "Anna Nowak", "phone": "+48600100200",
                   "username": "anna"},
                  {"id": "R-3", "kind": "refund", "original_id": "T-17", "amount": "5.00", "currency": "EUR"}]}

`id`, `amount` and `currency` are needed; a refund or chargeback needs `original_id` too. A payment with `original_id`
is money of that payment which came back after all (a dispute that was won), for the same customer. Without `at` it
happened now. One payment may stand alone, without the list; who has none sends an empty list, and is not taken for
silent. Numbers are read as they are written, so no amount is ever rounded.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, NoReturn

from policy.errors import PolicyError
from policy.money.currency import read_amount
from policy.money.incoming import Incoming, IncomingKind

PAYMENTS_MAXIMUM: Final = 1000
_TEXTS: Final = (
    "id",
    "amount",
    "currency",
    "at",
    "method",
    "kind",
    "reference",
    "payer",
    "phone",
    "username",
    "original_id",
)
_MOMENT: Final = "2026-11-22T10:00:00+01:00"
_NEEDED: Final = ("id", "amount", "currency")


def read_document(body: bytes) -> Any:
    """JSON with every number as the text that was written. Raises PolicyError."""
    try:
        return json.loads(body.decode(), parse_float=str, parse_int=str, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise PolicyError("the body is not JSON in UTF-8, or was cut off") from error


def read_payments(document: Any, now: datetime) -> list[Incoming]:
    """The payments of a document. Raises PolicyError, and then none of them is to be taken."""
    found = document.get("payments", [document]) if isinstance(document, dict) else document
    if not isinstance(found, list) or (not found and found is document):
        raise PolicyError('the body must be a payment, or an object with a list of them as "payments"')
    if len(found) > PAYMENTS_MAXIMUM:
        raise PolicyError(f"at most {PAYMENTS_MAXIMUM} payments are taken in at once")
    return [
        _payment(one, f"payment {place}" if len(found) > 1 else "the payment", now)
        for place, one in enumerate(found, 1)
    ]


def _payment(told: Any, what: str, now: datetime) -> Incoming:
    if not isinstance(told, dict):
        raise PolicyError(f"{what} is not an object")
    for name, value in told.items():
        if name not in _TEXTS:
            raise PolicyError(
                f"{what} has a field {name[:40]!r}, which means nothing; the fields are {', '.join(_TEXTS)}"
            )
        if not isinstance(value, str) and not (value is None and name not in _NEEDED):
            raise PolicyError(f"the {name} of {what} is not a text")
    texts = {name: told.get(name) or "" for name in _TEXTS}
    for name in _NEEDED:
        if not texts[name].strip():
            raise PolicyError(f"{what} has no {name}")
    try:
        kind = IncomingKind(texts["kind"] or "payment")
        amount_minor = read_amount(texts["amount"], texts["currency"])
        at = datetime.fromisoformat(texts["at"]) if texts["at"] else now
    except PolicyError as error:
        raise PolicyError(f"{what}: {error}") from error
    except ValueError as error:
        raise PolicyError(
            f"{what}: its kind is one of {', '.join(IncomingKind)}, and its moment like {_MOMENT}"
        ) from error
    if at.tzinfo is None:
        raise PolicyError(f"{what}: its moment needs an offset, such as {_MOMENT}")
    return Incoming(
        texts["id"],
        amount_minor,
        texts["currency"],
        at,
        texts["method"] or "online",
        kind,
        texts["reference"],
        texts["payer"],
        texts["phone"],
        texts["username"],
        texts["original_id"] or None,
    )


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
