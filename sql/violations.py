"""What a broken constraint means, in a person's words."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

SENTENCES = {
    "operators_name_key": "There is an operator of this name already; choose another name.",
    "plans_operator_id_name_key": "There is a plan of this name already; `plan change` gives it a new version.",
    "subscribers_operator_id_reference_key": "There is a subscriber with this number already; choose another number.",
    "services_operator_id_username_key": "There is a service with this user name already; choose another user name.",
    "services_address_key": "Another service has this address already; choose another address.",
    "routers_name_key": "There is a router of this name already; choose another name.",
    "routers_address_key": "A router with this address exists already; its packets' source selects the router, "
    "so no two can share one.",
    "payments_operator_id_external_id_key": "A payment with this external id is booked already.",
    "changes_one_awaiting": "A change of this service is waiting for approval already.",
    "payments_receipt": "A payment with this receipt number is booked already.",
    "payment_providers_name": "There is a payment provider of this name already; choose another name.",
    "api_tokens_name": "There is a token of this name already; choose another name.",
    "dunning_policies_operator_id_name_key": "There is a dunning policy of this name already; `dunning set` "
    "changes it.",
    "notice_channels_name": "There is a channel of this name already; choose another name.",
    "compensations_operator_id_name_key": "There is a compensation of this name already; choose another name.",
    "imports_once": "This very file was applied already; nothing in it is new.",
    "plan_versions_plan_id_number_key": "Somebody else changed this plan at the same moment; look at it and try again.",
    "people_login": "This login name is taken on this installation; choose another.",
    "routers_coa_window_check": "A router takes a window of 1 to 4096 packets.",
}


def sentence(error: DBAPIError) -> str:
    """One sentence for a refused row; the constraint's name where it is none that a person can break."""
    diagnosis = getattr(error.orig, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    if name in SENTENCES:
        return SENTENCES[name]
    first_line = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    return f"The database refuses this: {first_line}."
