"""Tries on a lent live session whether a CoA changes address lists: one harmless list more, later taken away again."""

from __future__ import annotations

from typing import Any, Final

from network.coa.target import Retransmission
from network.coa.transport import Transport
from network.coa.verbs import Session, change_authorization
from network.contract import Outcome, Result
from policy.attributes import Attributes
from policy.changes.route import ADDRESS_LIST
from sql.abilities import LentSession, Level
from worker.self_test.place import Place
from worker.self_test.probes import PATIENCE, variant

# No firewall rule of anybody names it, so that being in it changes nothing for the customer.
TEST_LIST: Final = "ispagents-test"
UNSUPPORTED: Final = "error_cause:401"


def with_test_list(present: Attributes) -> Attributes:
    """What the session has now, and the test's list."""
    return (*present, (ADDRESS_LIST, TEST_LIST))


def put_back(present: Attributes) -> Attributes:
    """What takes the test's list away again: the lists as they were; nothing where a CoA cannot remove the last one."""
    return present if any(name == ADDRESS_LIST for name, _ in present) else ()


async def send(
    place: Place, lent: LentSession, attributes: Attributes, *, patience: Retransmission = PATIENCE
) -> Result:
    """Send a CoA to the lent session. Raises CoaError where it cannot be sent."""
    session = Session(
        user_name=lent.username, acct_session_id=lent.acct_session_id, framed_ip_address=lent.framed_address
    )
    async with Transport(place.source, max_sockets=1) as transport:
        return await change_authorization(transport, variant(place.target, patience=patience), session, attributes)


def level_of(result: Result) -> Level | None:
    """What an answer teaches; None where it teaches nothing about address lists."""
    if result.outcome is Outcome.APPLIED:
        return Level.ACKNOWLEDGED
    return Level.REFUSED if result.cause == UNSUPPORTED else None


def evidence_of(lent: LentSession, result: Result) -> dict[str, Any]:
    """What was done and came back, for keeping."""
    return {
        "username": lent.service_username,
        "session": lent.acct_session_id,
        "address": lent.framed_address,
        "list": TEST_LIST,
        "sent": [list(pair) for pair in result.sent],
        "outcome": result.outcome.value,
        "cause": result.cause,
        "round_trip_ms": result.round_trip_ms,
        "tried_at": result.started_at.isoformat(),
    }
