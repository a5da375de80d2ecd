"""The stamp of an access, and the Class that carries it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_strategies import NOW, accesses

from policy.access import Access, Kind
from policy.reasons import Reason
from policy.stamp import (
    CLASS_MAXIMUM_BYTES,
    SessionClass,
    class_of,
    parts_of_stamp,
    read_class,
    same_format,
    stamp,
    stamp_with_address,
)

RUNS_DOWN = {"session_timeout_s", "total_limit_bytes", "valid_until"}
IGNORED = RUNS_DOWN | {"reason"}
# raddb/policy.d/accounting of FreeRADIUS 3.2: what makes Class the unique id of a session.
FREERADIUS_CLASS = re.compile(r"^ai:([0-9a-f]{32})", re.IGNORECASE)
login_ids = st.binary(min_size=16, max_size=16).map(bytes.hex)


def another(access, name):
    """The access with one field changed."""
    value = getattr(access, name)
    if name == "kind":
        new = next(kind for kind in Kind if kind != value)
    elif name == "reason":
        new = next(reason for reason in Reason if reason != value)
    elif name == "valid_until":
        new = None if value else NOW
    elif isinstance(value, tuple):
        new = (*value, "one more")
    else:
        new = value + (1 if isinstance(value, int) else "x")
    return access._replace(**{name: new})


def test_the_slice_of_the_stamp_names_the_fields_it_means():
    """access[2:17] is everything but kind and reason in front and what runs down at the end."""
    assert Access._fields[:2] == ("kind", "reason")
    assert set(Access._fields[17:]) == RUNS_DOWN


@pytest.mark.parametrize("name", sorted(IGNORED))
@given(access=accesses)
def test_what_runs_down_and_the_reason_leave_the_stamp_alone(access, name):
    """The network cannot tell such accesses apart, so they are no drift."""
    assert stamp(another(access, name)) == stamp(access)


@pytest.mark.parametrize("name", [name for name in Access._fields if name not in IGNORED])
@settings(max_examples=10)
@given(access=accesses)
def test_every_other_field_changes_the_stamp(access, name):
    """Nothing that is sent can change unnoticed."""
    assert stamp(another(access, name)) != stamp(access)


@given(login_ids, st.integers(0, 2**63 - 1), accesses)
def test_class_comes_back_as_it_was(login_id, service_id, access):
    """It fits an attribute, FreeRADIUS takes it for the session's unique id, and it reads back."""
    text = class_of(login_id, service_id, stamp(access))
    assert len(text.encode()) <= CLASS_MAXIMUM_BYTES
    assert FREERADIUS_CLASS.match(text)[1] == login_id
    assert read_class(text) == SessionClass(login_id, service_id, stamp(access))


@given(st.text() | st.from_regex(r"ai:[0-9a-f]{30,34}:[0-9]{1,21}:1-[0-9a-f]{15,17}", fullmatch=True))
def test_a_foreign_class_is_foreign(text):
    """Any text is either ours to the letter or None."""
    found = read_class(text)
    assert found is None or class_of(*found) == text


def test_stamps_of_two_formats_are_not_compared():
    """A new format alone is never drift."""
    first = stamp(Access(Kind.GRANT, Reason.PLAN))
    assert same_format(first, stamp(Access(Kind.DENY, Reason.CLOSED)))
    assert not same_format(first, "2-" + first.partition("-")[2])
    assert not same_format(first, "11-" + first.partition("-")[2])


def test_a_stamp_never_moves():
    """Stored stamps must keep their meaning: this one may change only together with FORMAT."""
    assert stamp(Access(Kind.GRANT, Reason.PLAN, "10M/50M", interim_interval_s=300)) == "1-b1a50f02ce9c2ffa"


@given(accesses, st.text(max_size=15))
def test_a_stamp_in_two_parts_is_the_stamp(access, address):
    """Whatever the address between them."""
    assert stamp_with_address(parts_of_stamp(access), address) == stamp(access._replace(address=address))
