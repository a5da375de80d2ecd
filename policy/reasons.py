"""Why a service has the access it has: one code for programs, one sentence for a support agent to read aloud."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The outcomes of `policy.access.decide`, in the order of its rules."""

    UNKNOWN_USER = "unknown_user"
    CLOSED = "closed"
    WRONG_METHOD = "wrong_method"
    WRONG_DEVICE = "wrong_device"
    WRONG_ROUTER = "wrong_router"
    WRONG_PORT = "wrong_port"
    SUSPENDED = "suspended"
    PREPAID_ENDED = "prepaid_ended"
    TOO_MANY_SESSIONS = "too_many_sessions"
    QUOTA_USED = "quota_used"
    FAIR_USE = "fair_use"
    OUTSIDE_HOURS = "outside_hours"
    WINDOW = "window"
    PLAN = "plan"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason code, not a password


SENTENCES: dict[Reason, str] = {
    Reason.UNKNOWN_USER: "This user name is not known at this ISP; check how it is written on the router.",
    Reason.CLOSED: "This service was closed, so it gets no access.",
    Reason.WRONG_METHOD: "This login came by another method than the service was sold for.",
    Reason.WRONG_DEVICE: "The login came from another device than the one the service is bound to; "
    "if the customer replaced it, release the binding.",
    Reason.WRONG_ROUTER: "The login came through another router than the one the service is bound to.",
    Reason.WRONG_PORT: "The login came through another port than the one the service is bound to.",
    Reason.SUSPENDED: "The service is suspended because an invoice is overdue; a payment restores it.",
    Reason.PREPAID_ENDED: "The prepaid time has run out; a top-up restores it.",
    Reason.TOO_MANY_SESSIONS: "The service is already in use on as many devices as its plan allows.",
    Reason.QUOTA_USED: "The quota of this period is used up.",
    Reason.FAIR_USE: "The fair-use limit of this period is passed, so the speed is lower until it starts anew.",
    Reason.OUTSIDE_HOURS: "The plan gives no access at this hour.",
    Reason.WINDOW: "The plan has another speed at this hour, and it applies now.",
    Reason.PLAN: "The service has what its plan gives.",
    Reason.WRONG_PASSWORD: "The password was wrong; compare it with the one on the customer's router.",
}


def sentence(reason: Reason) -> str:
    """The sentence for a reason; every reason has one."""
    return SENTENCES[reason]
