"""The lives of changes and steps, as tables of allowed moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.changes import enforcement, intent
from policy.changes.enforcement import OPEN_STATES, RETRY_LONGEST_S, Enforcement, retry_after_s
from policy.changes.intent import Intent
from policy.changes.moves import MoveNotAllowed, move

LIVES = [(intent.MOVES, Intent), (enforcement.MOVES, Enforcement)]
pairs_of_states = st.sampled_from(LIVES).flatmap(
    lambda life: st.tuples(st.just(life[0]), st.sampled_from(life[1]), st.sampled_from(life[1]))
)


@given(pairs_of_states)
def test_only_the_table_moves(life):
    """A move is allowed or raises, and the error says from where to where and what is allowed instead."""
    table, now, to = life
    if to in table[now]:
        assert move(table, now, to) == to
    else:
        with pytest.raises(MoveNotAllowed, match=rf"{now.value} .*{to.value}"):
            move(table, now, to)


def test_the_error_says_what_is_allowed_instead():
    """In words that do not change from run to run; an end says that it is one."""
    with pytest.raises(MoveNotAllowed) as from_here:
        move(enforcement.MOVES, Enforcement.RETRYING, Enforcement.STUCK)
    assert str(from_here.value) == (
        "it is retrying and cannot become stuck; from here it may become: started, superseded, verified"
    )
    with pytest.raises(MoveNotAllowed, match=r"from here it may become: nothing, it has ended$"):
        move(enforcement.MOVES, Enforcement.VERIFIED, Enforcement.STARTED)


@pytest.mark.parametrize(("table", "states"), LIVES)
def test_every_state_stands_in_its_table(table, states):
    """No state is forgotten, and every move leads to one."""
    assert table.keys() == set(states)
    assert set().union(*table.values()) <= set(states)


@pytest.mark.parametrize(("table", "states"), LIVES)
def test_every_state_can_come_to_an_end(table, states):
    """From anywhere some moves lead to a state that nothing leaves."""
    ended = {state for state in states if not table[state]}
    assert ended
    while (more := {state for state in states if table[state] & ended} | ended) != ended:
        ended = more
    assert ended == set(states)


def test_what_was_never_started_is_never_acknowledged():
    """ "Started" is stored before a device is touched, so no answer can come without it."""
    for state, moves in enforcement.MOVES.items():
        if Enforcement.ACKNOWLEDGED in moves:
            assert state == Enforcement.STARTED


def test_a_step_found_started_may_be_sent_again():
    """After a crash it is unknown, and an idempotent step is simply sent anew."""
    assert move(enforcement.MOVES, Enforcement.STARTED, Enforcement.STARTED) == Enforcement.STARTED
    assert set(OPEN_STATES) == {Enforcement.WAITING, Enforcement.STARTED, Enforcement.RETRYING}


@given(st.integers(1, 1000))
def test_waits_grow_up_to_a_limit(attempt):
    """Each failure waits at least as long as the one before, and none longer than the longest."""
    assert 0 < retry_after_s(attempt) <= retry_after_s(attempt + 1) <= RETRY_LONGEST_S


def test_waits_double_from_two_seconds():
    """2 s, 4 s, 8 s, and five minutes at last."""
    assert [retry_after_s(attempt) for attempt in (1, 2, 3, 8, 9)] == [2.0, 4.0, 8.0, 256.0, 300.0]
