"""`ispagents change show` explains why an attempt ended as it did, and what to do next."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fixtures_database import Database, Isp

from policy.explanations import explain


@pytest.fixture
def attempted(database: Database, isp: Any) -> int:
    """A change whose only attempt met silence; its number."""
    ours = Isp(database, 1)
    isp.ok("router", "add", "tower", "--address", "10.1.1.1", "--generate-secret")
    ours.review()
    with database.as_superuser() as connection:
        (service_id, subscriber_id, stamp) = connection.execute(
            "SELECT id, subscriber_id, authorised_stamp FROM services"
        ).fetchone()
        connection.execute(
            "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, "
            "applied_stamp, started_at, last_seen_at) SELECT 1, id, %s, 'key', 'zofia', '81', %s, now(), now() "
            "FROM routers",
            (service_id, stamp),
        )
    ours.invoice(subscriber_id)
    ours.review()
    (change_id,) = [one["id"] for one in isp.ok("change", "list", "--state", "awaiting_approval")]
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO steps (operator_id, service_id, change_id, session_id, router_id, route, why, target_stamp, "
            "state) SELECT 1, service_id, %s, id, router_id, 'coa', 'A test.', 'x', 'retrying' FROM sessions",
            (change_id,),
        )
        connection.execute(
            "INSERT INTO evidence (operator_id, step_id, attempt, sent, started_at, ended_at, outcome, cause, "
            "explanation, packets) SELECT 1, id, 1, '[]', %s, %s, 'no_answer', 'timeout', 'No answer came.', 5 FROM "
            "steps",
            (datetime.now(UTC), datetime.now(UTC)),
        )
    return int(change_id)


def test_an_attempt_is_explained(isp: Any, attempted: int) -> None:
    """Beside the sentence that was stored: the likely reason and the next step, for people and for programs."""
    expected = explain("timeout", router="tower")
    (step,) = isp.ok("change", "show", str(attempted))["steps"]
    (attempt,) = step["attempts"]
    assert attempt["cause"] == "timeout"
    assert attempt["explained"] == expected._asdict()
    said = isp("change", "show", str(attempted)).out
    assert f"likely: {expected.likely}" in said
    assert f"next:   {expected.next_step}" in said
