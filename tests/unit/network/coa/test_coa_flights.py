"""Deadlines of flights: each comes when its time has come, ended ones never, and the heap stays small."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from network.coa.flights import ENDED_KEPT, Deadlines


def test_earliest_first():
    """Deadlines come in the order of their times, equal ones in the order they were set."""
    deadlines = Deadlines()
    flights = [SimpleNamespace(over=False) for _ in range(4)]
    for flight, at_s in zip(flights, (3.0, 1.0, 3.0, 2.0), strict=True):
        deadlines.set(at_s, flight)
    assert deadlines.next_at_s() == 1.0
    assert deadlines.take(0.9) is None
    taken = [deadlines.take(3.0) for _ in range(5)]
    assert taken == [flights[1], flights[3], flights[0], flights[2], None]
    assert deadlines.next_at_s() is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.floats(0, 10)),
        st.tuples(st.just("end"), st.integers(0, 1000)),
        st.tuples(st.just("pass"), st.floats(0, 5)),
    ),
    max_size=200,
)


@given(STEPS)
def test_like_a_plain_list(steps):
    """Whatever the order of setting, ending and waiting: exactly the flights that are due and not over are taken."""
    deadlines, plain, now = Deadlines(), [], 0.0
    deadlines._clean_above = 2  # so that the ended ones are cleared away often
    for what, value in steps:
        if what == "set":
            flight = SimpleNamespace(over=False)
            deadlines.set(now + value, flight)
            plain.append((now + value, flight))
        elif what == "end" and plain:
            plain.pop(value % len(plain))[1].over = True
        elif what == "pass":
            now += value
            taken = []
            while (flight := deadlines.take(now)) is not None:
                taken.append(flight)
            due = sorted((one for one in plain if one[0] <= now), key=lambda one: one[0])
            assert taken == [flight for _, flight in due]
            plain = [one for one in plain if one[0] > now]
        assert deadlines.next_at_s() == min((at_s for at_s, _ in plain), default=None)


@given(st.integers(1, 100))
def test_bounded(flying):
    """However many flights there were, no more than a few deadlines of ended ones are kept."""
    deadlines, flights = Deadlines(), []
    for number in range(2 * flying + 2 * ENDED_KEPT):
        if len(flights) == flying:
            flights.pop(0).over = True
        flights.append(SimpleNamespace(over=False))
        deadlines.set(float(number), flights[-1])
        assert len(deadlines) <= 2 * flying + ENDED_KEPT
