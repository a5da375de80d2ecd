"""Our own words for notices. An operator's own beat them; both are filled in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from documents.words import Words
from policy.fair_use import TierAction
from policy.notices import Event, Facts, Usage, fill


class Template(NamedTuple):
    """A notice with blanks (`policy.notices.BLANKS`)."""

    subject: str
    body: str


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for words that are translated where they are used
    """Marks words for the catalogues."""
    return text


_OURS: Mapping[Event, Template] = {
    Event.INVOICE: Template(
        N_("Invoice {number} from {operator}"),
        N_(
            "Hello {name},\n\nyour invoice {number} of {issued} over {amount} is ready. "
            "To pay: {open}, due on {due}.\n\n{payment_details}\n\nCustomer number: {reference}\n{operator}"
        ),
    ),
    Event.REMINDER: Template(
        N_("Reminder: invoice {number} from {operator}"),
        N_(
            "Hello {name},\n\n{open} of invoice {number} are still to be paid. The invoice is due on {due}. "
            "If you have paid in the meantime, please disregard this message."
            "\n\n{payment_details}\n\nCustomer number: {reference}\n{operator}"
        ),
    ),
    Event.RESTRICTED: Template(
        N_("Your internet access is restricted"),
        N_(
            "Hello {name},\n\nyour internet access {username} is restricted because {owed} are overdue. It is restored "
            "by itself as soon as your payment has arrived."
            "\n\n{payment_details}\n\nCustomer number: {reference}\n{operator}"
        ),
    ),
    Event.RESTORED: Template(
        N_("Your internet access is restored"),
        N_("Hello {name},\n\nyour internet access {username} is restored. Thank you.\n\n{operator}"),
    ),
    Event.RECEIPT: Template(
        N_("We have received your payment"),
        N_(
            "Hello {name},\n\nwe have received {amount} on {received}. Thank you."
            "\n\nReceipt: {receipt}\nCustomer number: {reference}\n{operator}"
        ),
    ),
    Event.USAGE: Template(
        N_("You have used {percent} of your data"),
        N_(
            "Hello {name},\n\nyour internet access {username} has used {used} of {allowed}; {left} are left. "
            "Counting begins anew on {anew}.\n\nCustomer number: {reference}\n{operator}"
        ),
    ),
}


# Where another billing system says who is behind, we do not know how much.
_RESTRICTED_UNSAID = N_(
    "Hello {name},\n\nyour internet access {username} is restricted. It is restored by itself as soon as what is "
    "overdue has been paid.\n\n{payment_details}\n\nCustomer number: {reference}\n{operator}"
)
# Once all of it is used, what follows is told too.
_USED_UP: Mapping[TierAction, str] = {
    TierAction.THROTTLE: N_(
        "Hello {name},\n\nyour internet access {username} has used {used} of {allowed} and is slower from now on. "
        "Full speed is back on {anew}.\n\nCustomer number: {reference}\n{operator}"
    ),
    TierAction.RESTRICT: N_(
        "Hello {name},\n\nyour internet access {username} has used {used} of {allowed} and is restricted from now on. "
        "It is back in full on {anew}.\n\nCustomer number: {reference}\n{operator}"
    ),
    TierAction.STOP: N_(
        "Hello {name},\n\nyour internet access {username} has used {used} of {allowed} and is interrupted from now on. "
        "It is back on {anew}.\n\nCustomer number: {reference}\n{operator}"
    ),
}
_ALL_PERCENT = 100


def our_template(words: Words, event: Event, facts: Facts) -> Template:
    """What we say of an event where the operator has no words of their own."""
    subject, body = _OURS[event]
    if event is Event.USAGE and facts.usage is not None and facts.usage.percent >= _ALL_PERCENT:
        body = _USED_UP[facts.usage.action]
    if event is Event.RESTRICTED and facts.owed_minor <= 0:
        body = _RESTRICTED_UNSAID
    return Template(words.say(subject), words.say(body))


def written(words: Words, template: Template, facts: Facts) -> Template:
    """A template with its blanks filled; the subject is one line, and empty blanks leave no hole in the body."""
    values = _values(words, facts)
    body = fill(template.body, values).replace("\r", "").strip()
    while "\n\n\n" in body:
        body = body.replace("\n\n\n", "\n\n")
    subject = fill(template.subject, values)
    return Template(" ".join("".join(one if one.isprintable() else " " for one in subject).split()), body)


def _values(words: Words, facts: Facts) -> dict[str, str]:
    return {
        **_usage_values(words, facts.usage),
        "name": facts.name,
        "reference": facts.reference,
        "operator": facts.operator,
        "payment_details": facts.payment_details,
        "owed": words.money(facts.owed_minor, facts.currency),
        "number": facts.number,
        "amount": words.money(facts.amount_minor, facts.currency),
        "open": words.money(facts.open_minor, facts.currency),
        "issued": words.day(facts.issued_on) if facts.issued_on else "",
        "due": words.day(facts.due_on) if facts.due_on else "",
        "username": facts.username,
        "method": facts.method,
        "received": words.day(facts.received_on) if facts.received_on else "",
        "receipt": facts.receipt,
    }


def _usage_values(words: Words, usage: Usage | None) -> dict[str, str]:
    if usage is None:
        return {}
    return {
        "percent": words.percent(usage.percent * 100),
        "used": words.size(usage.used_bytes),
        "allowed": words.size(usage.allowed_bytes),
        "left": words.size(max(0, usage.allowed_bytes - usage.used_bytes)),
        "anew": words.day(usage.anew_on),
    }
