"""Facts and accesses as JSON, and back."""

import json
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, accesses, moments, operators, plans, services

from policy.documents import (
    access_document,
    address,
    operator_document,
    plan_document,
    read_access,
    read_operator,
    read_plan,
    read_service,
    read_time,
    service_document,
    time_text,
)
from policy.errors import PolicyError
from policy.facts import PlanFacts

SERVICE = {"service_id": 7, "method": "pppoe", "standing": "current", "plan_version_id": 1}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
READERS = (read_service, lambda document: read_plan(document, 1, "x"), lambda one: read_operator(one, 1), read_access)


def stored(document):
    """A document as it comes back from storage."""
    return json.loads(json.dumps(document))


@given(services)
def test_a_service_comes_back_as_it_was(service):
    """Through JSON and back, nothing is lost."""
    assert read_service(stored(service_document(service))) == service


@given(plans)
def test_a_plan_comes_back_as_it_was(plan):
    """Tiers, windows and looks too; its id and name stay beside the document."""
    assert read_plan(stored(plan_document(plan)), plan.plan_version_id, plan.name) == plan


@given(operators)
def test_an_operator_comes_back_as_it_was(operator):
    """The look of every refusal."""
    assert read_operator(stored(operator_document(operator)), 1) == operator


@given(accesses)
def test_an_access_comes_back_as_it_was(access):
    """What was applied can be compared with what is wanted later."""
    assert read_access(stored(access_document(access))) == access


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_key_is_refused(reader):
    """A misspelt option is an error, never silently without effect."""
    with pytest.raises(PolicyError, match="rate_limmit"):
        reader({"rate_limmit": "1M/1M"} | SERVICE)


@pytest.mark.parametrize(
    "document",
    [
        {"suspended": {"colour": "red"}},
        {"tiers": [{"from_bytes": 1, "rate_limit": "1M/1M", "x": 1}]},
        {"windows": [{"start_minute": 0, "end_minute": 60, "close": True}]},
    ],
)
def test_an_unknown_key_within_is_refused_too(document):
    """Looks, tiers and windows know their own names."""
    with pytest.raises(PolicyError):
        read_plan(document, 1, "x")


@given(st.sampled_from(READERS), st.sampled_from([*sorted(PlanFacts.__dataclass_fields__), "refusals"]), json_values)
def test_any_document_is_read_or_refused(reader, name, value):
    """Whatever JSON somebody stores, the error is one of policy's."""
    for document in ({name: value}, value, SERVICE | {name: value}):
        try:
            reader(document)
        except PolicyError:
            continue


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_limit": "fast"},
        {"quota_bytes": -1},
        {"quota_bytes": True},
        {"idle_timeout_s": 1.5},
        {"windows": [{"start_minute": 0, "end_minute": 60, "closed": "no"}]},
        {"windows": [{"start_minute": 0, "end_minute": 60, "days": 3}]},
        {"suspended": {"look": "pool"}},
        {"suspended": {"look": "restrict", "address_list": ""}},
        {"suspended": None},
        {"time_zone": "Mars/Olympus"},
        {"address_lists": "home"},
        {"address_lists": ["x" * 248]},
        {"group": "ł" * 124},
        {"filter_id": "x" * 254},
        {"pool": "a\0b"},
        {"pool": "\ud800"},
        {"address_lists": ["x"] * 33},
    ],
)
def test_a_plan_that_no_router_could_apply_is_refused(wrong):
    """What would be cut off, misread or could not be sent never becomes a plan."""
    with pytest.raises(PolicyError, match=next(iter(wrong))):
        read_plan(wrong, 1, "x")


UNFIT_ADDRESSES = ("127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "010.0.0.1", "::1", "x")  # noqa: S104 - data


@pytest.mark.parametrize("text", UNFIT_ADDRESSES)
def test_an_address_that_routeros_would_not_give_is_refused(text):
    """127.0.0.0/8 and 224.0.0.0/3 mean "use the pool" there."""
    with pytest.raises(PolicyError):
        address(text)


@pytest.mark.parametrize("missing", sorted(SERVICE))
def test_a_service_needs_its_four_facts(missing):
    """The error names what is missing."""
    with pytest.raises(PolicyError, match=missing):
        read_service({name: value for name, value in SERVICE.items() if name != missing})


@given(moments, st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))))
def test_times_are_stored_in_utc(moment, offset):
    """Whatever the offset, it is the same moment that comes back."""
    assert read_time(moment.astimezone(offset).isoformat()) == moment
    assert time_text(moment.astimezone(offset)) == moment.isoformat()


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-11-22T15:00:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+05:00", 5, ""]
)
def test_a_time_without_its_offset_is_refused(text):
    """A local time means another moment in another town."""
    with pytest.raises(PolicyError):
        read_time(text)


def test_a_time_may_be_absent():
    """None stays None."""
    assert read_time(None) is None
    assert time_text(None) is None
    assert time_text(NOW) == "2026-11-22T15:00:00+00:00"
