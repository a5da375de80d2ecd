"""When a router is left alone, for how long, and what ends it."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW

from policy.changes.breaker import (
    LEFT_ALONE_FIRST_S,
    LEFT_ALONE_LONGEST_S,
    MISSES_TO_OPEN,
    Health,
    Heard,
    after,
    left_alone_s,
    probing,
    spoke,
)

# What was heard, how many seconds after the one before, and whether it was a probe.
stories = st.lists(st.tuples(st.sampled_from(Heard), st.floats(0, 1000), st.booleans()), max_size=30)


def told(story):
    """The health after each of a story's attempts, with their moments."""
    health, at, found = Health(), NOW, []
    for heard, later_s, probe in story:
        at += timedelta(seconds=later_s)
        health = after(health, heard, at, probe=probe)
        found.append((health, at))
    return found


def down(misses=MISSES_TO_OPEN):
    """A router that has missed so many answers in a row, each found out by a probe."""
    return told([(Heard.MISS, 0, True)] * misses)[-1][0]


@given(st.integers(0, 10**6))
def test_the_time_left_alone_grows_and_is_bounded(misses):
    """Nothing while the breaker is closed, then ever longer, and never longer than the longest."""
    assert 0 <= left_alone_s(misses) <= left_alone_s(misses + 1) <= LEFT_ALONE_LONGEST_S
    assert (left_alone_s(misses) > 0) == (misses >= MISSES_TO_OPEN)


def test_the_time_left_alone_doubles():
    """10 s after the third silence in a row, then twice as long each time, and two minutes at most."""
    assert [left_alone_s(misses) for misses in (2, 3, 4, 6, 7, 10**9)] == [0.0, 10.0, 20.0, 80.0, 120.0, 120.0]


def test_a_few_silences_open_it_and_not_fewer():
    """Two lost answers are an accident; the third in a row leaves the router alone for the first time."""
    assert not down(MISSES_TO_OPEN - 1).is_open
    opened = down()
    assert opened.is_left_alone(NOW)
    assert not opened.is_left_alone(NOW + timedelta(seconds=LEFT_ALONE_FIRST_S))


@given(stories)
def test_any_answer_closes_it(story):
    """Whatever came before, a router that answers is well at once."""
    before, at = (told(story) or [(Health(), NOW)])[-1]
    health = after(before, Heard.ANSWER, at)
    assert (health.misses, health.down_since, health.left_alone_until) == (0, None, None)
    assert health.answered_at == at


@given(stories)
def test_it_is_down_since_the_first_miss_in_a_row(story):
    """`down_since` never moves on while answers are missed, and is there exactly while some are."""
    found = told(story)
    for (before, _), (health, at) in zip([(Health(), NOW), *found], found, strict=False):
        assert (health.down_since is None) == (health.misses == 0)
        if before.down_since is not None and health.down_since is not None:
            assert health.down_since == before.down_since
        if health.left_alone_until is not None:
            assert health.is_open
            assert health.left_alone_until <= at + timedelta(seconds=LEFT_ALONE_LONGEST_S)


@given(stories, st.integers(1, 64))
def test_a_window_of_packets_is_one_silence(story, more):
    """What was sent before the router was given up is no further news, however much of it there is."""
    opened = told([*story, *[(Heard.MISS, 0, True)] * MISSES_TO_OPEN])[-1]
    for _ in range(more):
        assert after(opened[0], Heard.MISS, opened[1]) == opened[0]


def test_a_probe_that_is_missed_counts_though_the_router_is_left_alone():
    """Nobody else sends while a probe is on its way, and its silence makes the next time longer."""
    health = probing(down(), NOW + timedelta(seconds=45))
    assert health.is_left_alone(NOW + timedelta(seconds=20))
    missed = after(health, Heard.MISS, NOW + timedelta(seconds=17), probe=True)
    assert missed.misses == MISSES_TO_OPEN + 1
    assert missed.left_alone_until == NOW + timedelta(seconds=17 + left_alone_s(MISSES_TO_OPEN + 1))


def test_what_was_never_sent_tells_nothing():
    """Neither good nor bad."""
    assert after(down(), Heard.NOTHING, NOW + timedelta(hours=1)) == down()


def test_accounting_tells_that_it_lives_and_nothing_of_its_coa():
    """It is not down any more, but CoA is tried as carefully as before."""
    health = spoke(down())
    assert health.down_since is None
    assert health.is_open
    assert after(health, Heard.MISS, NOW + timedelta(hours=1), probe=True).down_since == NOW + timedelta(hours=1)


def test_an_answer_is_remembered_through_silences_and_never_moves_back():
    """Attempts end in any order; the latest answer is when the router was last well."""
    answered = after(Health(), Heard.ANSWER, NOW)
    assert after(answered, Heard.ANSWER, NOW - timedelta(hours=1)).answered_at == NOW
    assert after(answered, Heard.ANSWER, NOW + timedelta(hours=1)).answered_at == NOW + timedelta(hours=1)
    assert after(answered, Heard.MISS, NOW + timedelta(hours=2)).answered_at == NOW


def test_a_silence_without_a_probe_counts_once_the_time_is_over():
    """The last moment of being left alone belongs to those that may send again."""
    opened = down()
    assert opened.left_alone_until is not None
    again = after(opened, Heard.MISS, opened.left_alone_until)
    assert again.misses == MISSES_TO_OPEN + 1
    assert after(Health(), Heard.MISS, NOW).left_alone_until is None
