"""An access as RADIUS attributes."""

from hypothesis import given
from policy_strategies import accesses

from policy.access import Access, Kind
from policy.attributes import GIGAWORD, reply_attributes
from policy.reasons import Reason

GRANT = Access(Kind.GRANT, Reason.PLAN)
EMPTY = {name: value for name, value in Access._field_defaults.items() if name != "valid_until"}
# Fields that are not sent by themselves: what is sent of them stands in session_timeout_s.
NOT_SENT = {"plan_session_timeout_s"}


def values_of(access, name):
    """All values of one attribute."""
    return [value for known, value in reply_attributes(access) if known == name]


@given(accesses)
def test_every_field_that_is_set_is_sent(access):
    """Taking a field out changes the attributes, so none is forgotten; a pool gives way to an address."""
    access = access._replace(kind=Kind.GRANT)
    for name, empty in EMPTY.items():
        if getattr(access, name) == empty or name in NOT_SENT or (name == "pool" and access.address):
            continue
        assert reply_attributes(access._replace(**{name: empty})) != reply_attributes(access), name


@given(accesses)
def test_repeated_values_keep_their_order(access):
    """Every list and every route arrives, in the order of the plan."""
    access = access._replace(kind=Kind.RESTRICT)
    assert tuple(values_of(access, "Mikrotik-Address-List")) == access.address_lists
    assert tuple(values_of(access, "Framed-Route")) == access.routes


@given(accesses)
def test_a_limit_of_bytes_is_split_into_gigawords(access):
    """32 bits each (dictionary.mikrotik, 17 and 18), and the two together are the limit."""
    access = access._replace(kind=Kind.GRANT)
    low = [int(value) for value in values_of(access, "Mikrotik-Total-Limit")]
    high = [int(value) for value in values_of(access, "Mikrotik-Total-Limit-Gigawords")]
    assert sum(low) + sum(high) * GIGAWORD == access.total_limit_bytes
    assert all(value < GIGAWORD for value in low + high)


def test_gigawords_at_their_edge():
    """2^32 bytes are one gigaword and nothing; one byte less has no gigaword at all."""
    assert reply_attributes(GRANT._replace(total_limit_bytes=2**32)) == [
        ("Mikrotik-Total-Limit", "0"),
        ("Mikrotik-Total-Limit-Gigawords", "1"),
    ]
    assert reply_attributes(GRANT._replace(total_limit_bytes=2**32 - 1)) == [("Mikrotik-Total-Limit", "4294967295")]


@given(accesses)
def test_a_denial_sends_nothing(access):
    """A reject carries no attribute of a decision that never took effect."""
    assert reply_attributes(access._replace(kind=Kind.DENY)) == []


def test_an_address_takes_the_place_of_a_pool():
    """RouterOS ignores Framed-Pool beside Framed-IP-Address, so only one is sent."""
    assert reply_attributes(GRANT._replace(address="100.64.0.7", pool="customers")) == [
        ("Framed-IP-Address", "100.64.0.7")
    ]
