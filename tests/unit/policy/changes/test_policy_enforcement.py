"""The order of steps, the proof each route is followed by, and what people read when it does not come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.changes.enforcement import (
    BY_ITSELF_PRIORITY,
    HEALING_PRIORITY,
    PRIORITIES,
    PROOFS,
    VERIFY_SHORTEST_S,
    unproved,
    verify_within_s,
)
from policy.changes.intent import ChangeKind
from policy.changes.route import RouteKind


def test_who_paid_goes_first_and_drift_last():
    """Restorations and openings, then plans and addresses, then suspensions and closures, then what nobody asked."""
    first = {ChangeKind.RESTORE, ChangeKind.OPEN}
    last = {ChangeKind.SUSPEND, ChangeKind.CLOSE}
    between = set(ChangeKind) - first - last
    assert max(PRIORITIES[kind] for kind in first) < min(PRIORITIES[kind] for kind in between)
    assert max(PRIORITIES[kind] for kind in between) < min(PRIORITIES[kind] for kind in last)
    assert max(PRIORITIES.values()) < HEALING_PRIORITY
    assert PRIORITIES[ChangeKind.RESTORE] < BY_ITSELF_PRIORITY < HEALING_PRIORITY


def test_every_route_says_what_proof_it_expects_and_why():
    """Only a Disconnect is followed by something that accounting can tell."""
    assert PROOFS.keys() == set(RouteKind)
    assert [route for route, proof in PROOFS.items() if proof.awaited] == [RouteKind.DISCONNECT]
    assert all(proof.why for proof in PROOFS.values())


@given(st.integers(0, 86_400))
def test_the_proof_has_time_for_two_interims(interval_s):
    """One may be lost, and there is a minute at least."""
    assert verify_within_s(interval_s) >= VERIFY_SHORTEST_S
    assert verify_within_s(interval_s) == max(60.0, 2 * interval_s + 30)


@pytest.mark.parametrize("still_reports", [True, False])
def test_the_alarm_says_what_is_so_and_what_to_try(still_reports):
    """A restriction that was not proved leaves a customer unrestricted; anything else leaves the earlier access."""
    assert unproved(restricting=True, still_reports=still_reports).startswith("Still unrestricted: ")
    assert unproved(restricting=False, still_reports=still_reports).startswith("Still with the earlier access: ")
    assert "by hand" in unproved(restricting=True, still_reports=still_reports)


def test_the_alarm_is_told_whole():
    """Each word of it is an instruction to somebody at night."""
    assert unproved(restricting=True, still_reports=True) == (
        "Still unrestricted: the router acknowledged the disconnect, but the session goes on reporting. It is "
        "disconnected again by itself; if that does not help, remove the session on the router by hand, and look "
        "whether the router knows it under another session id or user name."
    )
    assert unproved(restricting=False, still_reports=False) == (
        "Still with the earlier access: the router acknowledged the disconnect, but no Stop and no new login came. "
        "Look on the router whether the session is still there and remove it by hand; if it is gone, the router's "
        "accounting does not reach this server."
    )
