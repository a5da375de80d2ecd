"""What a CoA without an answer leaves behind is cleared from wherever the session may be."""

from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import accesses

from policy.access import Access, Kind
from policy.changes.route import Abilities, RouteKind, choose
from policy.changes.settle import choose_unsettled, once_more
from policy.reasons import Reason

PAID = Access(Kind.GRANT, Reason.PLAN, "10M/50M", ("paid",))
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",))
LISTS = Abilities(coa_address_list=True)
abilities = st.builds(Abilities, st.booleans(), st.booleans())


def test_a_restored_customer_whose_suspension_was_never_answered_is_told_again():
    """What is applied is what is wanted, but the suspension may have arrived: the paid access is sent."""
    assert choose(PAID, PAID, LISTS).kind == RouteKind.NOTHING
    route = choose_unsettled(PAID, (OVERDUE,), PAID, LISTS)
    assert route.kind == RouteKind.COA
    assert ("Mikrotik-Address-List", "paid") in route.attributes
    assert route.why.startswith("An earlier CoA was never answered, so what the session has is not known. CoA can ")


def test_a_router_that_cannot_change_it_back_ends_the_session():
    """The route must be right from each access that the session may have."""
    assert choose_unsettled(PAID, (OVERDUE,), PAID, Abilities()).kind == RouteKind.DISCONNECT
    assert choose_unsettled(PAID, (None,), PAID, LISTS).kind == RouteKind.DISCONNECT


@given(accesses, st.lists(accesses, max_size=3), accesses, abilities)
def test_the_route_is_enough_from_everywhere(applied, attempted, target, able):
    """No access that the session may have needs more than what is chosen, and one of them needs just that."""
    route = choose_unsettled(applied, tuple(attempted), target, able)
    each = [choose(one, target, able) for one in (applied, *attempted)]
    order = [RouteKind.NOTHING, RouteKind.COA, RouteKind.DISCONNECT, RouteKind.NEXT_LOGIN]
    assert route.kind in {one.kind for one in each}
    assert all(order.index(one.kind) <= order.index(route.kind) for one in each)
    if route.kind == RouteKind.COA:
        assert all(one.attributes == route.attributes for one in each if one.kind == RouteKind.COA)


def test_the_second_sending_says_why():
    """The same packet twice on a timeline would be a riddle."""
    assert once_more(29.6) == (
        "An earlier CoA to this session was not answered at once and may still arrive, which would undo this; so the "
        "same is sent once more in 30 s."
    )
