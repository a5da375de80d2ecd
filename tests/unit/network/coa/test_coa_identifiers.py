"""Identifiers of one router: unique while in use, resting afterwards."""

from hypothesis import given
from hypothesis import strategies as st

from network.coa.identifiers import ANSWERED_REST_S, DOUBTFUL_REST_S, PER_SOCKET, Identifiers


def test_each_slot_once():
    """Every identifier of every socket is given out once, then nothing is left."""
    identifiers = Identifiers(2)
    slots = [identifiers.take(0.0) for _ in range(2 * PER_SOCKET)]
    assert sorted(slots) == list(range(2 * PER_SOCKET))
    assert identifiers.take(0.0) is None
    assert identifiers.next_at_s() is None


def test_slots_rest():
    """A slot comes back when it has rested, later if a reply may still be on its way."""
    identifiers = Identifiers(1)
    slots = [identifiers.take(0.0) for _ in range(PER_SOCKET)]
    identifiers.give_back(slots[0], 0.0, doubtful=True)
    identifiers.give_back(slots[1], 0.0, doubtful=False)
    assert identifiers.take(ANSWERED_REST_S / 2) is None
    assert identifiers.next_at_s() == ANSWERED_REST_S
    assert identifiers.take(ANSWERED_REST_S) == slots[1]
    assert identifiers.take(DOUBTFUL_REST_S / 2) is None
    assert identifiers.take(DOUBTFUL_REST_S) == slots[0]


def test_first_socket_is_used_first():
    """The second socket is needed only while the first has nothing rested."""
    identifiers = Identifiers(2)
    for number in range(PER_SOCKET):
        assert identifiers.take(0.0) == number
        identifiers.give_back(number, 0.0, doubtful=False)
    assert identifiers.take(ANSWERED_REST_S / 2) == PER_SOCKET
    # The started socket is used up first, so that the same identifier comes back as late as possible.
    assert identifiers.take(ANSWERED_REST_S) == PER_SOCKET + 1


def test_repeated_bytes_are_seen():
    """A slot knows whether its last request had the same bytes."""
    identifiers = Identifiers(1)
    slot = identifiers.take(0.0)
    assert not identifiers.repeats(slot, b"A" * 16)
    assert identifiers.repeats(slot, b"A" * 16)
    assert not identifiers.repeats(slot, b"B" * 16)
    assert not identifiers.repeats(slot, b"A" * 16)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.booleans()), max_size=400))
def test_never_shared(steps):
    """Whatever the order of taking and giving back, no slot is in use twice or before its rest is over."""
    identifiers, now, used, free_at = Identifiers(1), 0.0, [], {}
    for pause, take, doubtful in steps:
        now += pause
        if take:
            slot = identifiers.take(now)
            assert slot not in used
            if slot is not None:
                assert free_at.get(slot, 0.0) <= now
                used.append(slot)
        elif used:
            slot = used.pop(0)
            identifiers.give_back(slot, now, doubtful=doubtful)
            free_at[slot] = now + (DOUBTFUL_REST_S if doubtful else ANSWERED_REST_S)
        assert identifiers.in_use == len(used)
    assert not (used and identifiers.idle(now))
