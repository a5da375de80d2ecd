"""Whatever comes back from a router, the self-test ends in one conclusion that a person can read."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from network.coa.error_causes import ErrorCause
from network.coa.target import DEFAULT_IDENTIFY_BY, Target
from network.contract import Secret
from worker.self_test.conclusion import Verdict, conclude
from worker.self_test.place import Place
from worker.self_test.probes import Aim, Probe

SECRET = "a secret that nobody says"
SIGNED = [
    "session_gone",
    "already_offline",
    "acknowledged",
    "no_error_cause",
    *(f"error_cause:{n}" for n in ErrorCause),
]
UNSIGNED = ["timeout", "port_unreachable", "wrong_secret_signs", "malformed_replies", "closed", "network:EHOSTUNREACH"]
ADDRESSES = st.sampled_from(["192.0.2.1", "198.51.100.1", "10.0.0.1"])


@st.composite
def probes(draw, aim):
    """A probe with any ending."""
    answered = draw(st.booleans())
    return Probe(
        aim=aim,
        source="192.0.2.9",
        address=draw(ADDRESSES),
        port=draw(st.sampled_from([3799, 1700])),
        identified_by=DEFAULT_IDENTIFY_BY,
        cause=draw(st.sampled_from(SIGNED if answered else UNSIGNED)),
        answered=answered,
        packets=1,
        round_trip_ms=1.0 if answered else None,
        sent="A request.",
        came_back="something",
        means="Something.",
    )


@st.composite
def places(draw):
    """A router with any addresses."""
    return Place(
        name=draw(st.sampled_from(["tower", "a tower; rm -rf /", "wieża"])),
        target=Target(address=draw(ADDRESSES), port=3799, secret=Secret(SECRET)),
        source="192.0.2.9",
        radius_address=draw(ADDRESSES),
        nas_address=draw(st.sampled_from(["", "192.168.88.1"])),
        takes_coa=draw(st.booleans()),
        heard_at=draw(st.sampled_from([None, datetime(2026, 12, 1, tzinfo=UTC)])),
    )


OTHERS = st.lists(st.sampled_from(list(Aim)[1:]).flatmap(probes), max_size=6)


@given(places(), probes(Aim.CONFIGURED), OTHERS)
def test_every_ending_has_a_conclusion(place, first, others):
    """One paragraph that ends with a stop, names the router or its address, and never the secret."""
    end = conclude(place, (first, *others))
    assert end.sentence.endswith(".")
    assert "  " not in end.sentence
    assert place.name in end.sentence or first.address in end.sentence
    assert SECRET not in repr(end)
    assert end.right == (end.verdict == Verdict.RIGHT)


@given(places(), probes(Aim.CONFIGURED), OTHERS)
def test_right_is_said_only_of_signed_answers(place, first, others):
    """Nothing is called right unless the configured port, secret and source were answered by a signed refusal."""
    if conclude(place, (first, *others)).right:
        assert first.answered
        assert first.cause in ("session_gone", "already_offline")
        assert place.takes_coa
        disconnects = [one for one in others if one.aim is Aim.DISCONNECT]
        assert not disconnects or disconnects[0].cause in ("session_gone", "already_offline")


@given(places(), probes(Aim.CONFIGURED), OTHERS)
def test_what_to_type_is_safe_to_paste(place, first, others):
    """A router's name is quoted, so that a shell takes it as one word."""
    end = conclude(place, (first, *others))
    if place.name in end.here and " " in place.name:
        assert f"'{place.name}'" in end.here
