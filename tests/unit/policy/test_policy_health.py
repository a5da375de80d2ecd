"""The state of a way to a router: never by one check, and what a router tells in sentences."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy.health import (
    HEARD_WITHIN,
    Counters,
    Known,
    Seen,
    State,
    Told,
    after,
    answers_coa,
    facts_document,
    heard_lately,
    how_it_is,
    notes,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WORSE = {State.ONLINE: 0, State.DEGRADED: 1, State.OFFLINE: 2}


def _run(*seen, known=Known()):  # noqa: B008 - a value
    states = []
    for number, one in enumerate(seen):
        known = after(known, one, NOW + timedelta(minutes=number))
        states.append(known.state.value)
    return states, known


def test_three_failures_in_a_row_are_offline_and_two_answers_online_again():
    """Two failures degrade, a third one is offline; one lucky answer is not enough to come back."""
    states, known = _run(*[Seen.GOOD] * 2, *[Seen.FAILED] * 3, *[Seen.GOOD] * 2)
    assert states == ["online", "online", "online", "degraded", "offline", "offline", "online"]
    assert known.since == NOW + timedelta(minutes=6)


def test_slow_answers_in_a_row_degrade():
    """Answers that take long are answers, but three in a row are told; good ones in a row end it."""
    states, _ = _run(Seen.GOOD, *[Seen.POOR] * 3, *[Seen.GOOD] * 2)
    assert states == ["online", "online", "online", "degraded", "degraded", "online"]


@given(st.lists(st.sampled_from(list(Seen)), max_size=40))
def test_no_single_check_makes_a_way_worse(seen):
    """Whatever came before: becoming worse takes two checks in a row that were not good."""
    known, last = Known(), Seen.NOTHING
    for one in seen:
        was, known = known, after(known, one, NOW)
        if WORSE.get(known.state, 0) > WORSE.get(was.state, 0):
            assert one in (Seen.FAILED, Seen.POOR)
            assert last in (Seen.FAILED, Seen.POOR)
        if known.state == State.ONLINE and was.state in (State.OFFLINE, State.DEGRADED):
            assert (one, last) == (Seen.GOOD, Seen.GOOD)
        assert min(known.failures, known.successes) == 0
        if one == Seen.NOTHING:
            assert known == was
        else:
            last = one


def test_counters_are_told_as_differences_and_a_reboot_is_noticed():
    """What a router counted before we looked is not ours to tell; after a reboot all that it shows is new."""
    first = Told(uptime_s=1000, radius=(Counters("10.0.0.1", 500, 40, 3),))
    facts = facts_document({}, first, NOW)
    assert facts["radius_new"] == {"requests": 0, "timeouts": 0, "bad_replies": 0}
    assert notes(facts, NOW) == []

    later = NOW + timedelta(minutes=1)
    facts = facts_document(facts, Told(uptime_s=1060, radius=(Counters("10.0.0.1", 510, 42, 3),)), later)
    assert facts["radius_new"] == {"requests": 10, "timeouts": 2, "bad_replies": 0}
    assert not facts["rebooted_at"]
    (said,) = notes(facts, later)
    assert said.startswith("2 RADIUS requests")

    again = NOW + timedelta(minutes=12)
    facts = facts_document(facts, Told(uptime_s=60, radius=(Counters("10.0.0.1", 4, 1, 1),)), again)
    assert facts["radius_new"] == {"requests": 4, "timeouts": 1, "bad_replies": 1}
    assert facts["radius_hour"] == {"hour": "2026-11-23T12", "requests": 14, "timeouts": 3, "bad_replies": 1}
    assert facts["rebooted_at"] == (NOW + timedelta(minutes=11)).isoformat()
    assert [one for one in notes(facts, again) if "started anew" in one]
    assert not [one for one in notes(facts, again + timedelta(days=2)) if "started anew" in one]


def test_what_is_wrong_is_said_with_what_to_do():
    """Clock, certificate, processor and memory, each in a sentence."""
    told = Told(
        cpu_percent=99,
        free_memory_bytes=2**20,
        total_memory_bytes=64 * 2**20,
        skew_s=-400.0,
        certificate_ends_at=NOW + timedelta(days=12),
    )
    said = " ".join(notes(facts_document({}, told, NOW), NOW))
    for words in ("6 minutes behind", "ends in 12 days", "99 %", "1 of 64 MiB"):
        assert words in said
    assert how_it_is(told, 5.0) == Seen.POOR
    assert how_it_is(Told(cpu_percent=10), 2500.0) == Seen.POOR
    assert how_it_is(Told(), None) == Seen.GOOD
    ended = Told(certificate_ends_at=NOW - timedelta(days=1))
    assert "has ended" in notes(facts_document({}, ended, NOW), NOW)[0]


def test_silence_counts_only_where_something_is_expected():
    """A router with open sessions owes interims; one without owes nothing."""
    late = NOW - HEARD_WITHIN - timedelta(minutes=8)
    assert heard_lately(0, None, NOW) == (Seen.NOTHING, "")
    assert heard_lately(0, NOW, NOW) == (Seen.GOOD, "")
    seen, said = heard_lately(7, late, NOW)
    assert seen == Seen.FAILED
    assert said.startswith("7 sessions are open there and no accounting has come for 20 minutes")


def test_coa_is_judged_by_answers_missed_in_a_row():
    """One is no news; a router that takes none is neither well nor ill."""
    assert answers_coa(0, NOW, takes_coa=True) == (State.ONLINE, "")
    assert answers_coa(0, None, takes_coa=True)[0] == State.UNKNOWN
    assert [answers_coa(count, NOW, takes_coa=True)[0].value for count in (1, 2, 3)] == [
        "online",
        "degraded",
        "offline",
    ]
    assert "next login" in answers_coa(3, NOW, takes_coa=False)[1]
