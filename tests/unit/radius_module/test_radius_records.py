"""The bytes of a service's record."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from policy.facts import Bindings, Method, ServiceFacts
from policy.standing import Standing
from radius_module.records import ServiceRow, read_service, service_value, without_binding

MAC = "02:00:00:00:00:01"
words = st.sampled_from(("", "", "a1", "é:"))
moments = st.integers(0, 2**33).map(lambda second: datetime.fromtimestamp(second, UTC))
kinds = (st.just(7), st.sampled_from(Method), st.sampled_from(Standing), st.integers(1, 2**32 - 1))
extras = (st.none() | moments, words, words, words, st.lists(words.filter(bool), max_size=2).map(tuple))
facts = (st.tuples(*kinds) | st.tuples(*kinds, *extras)).map(lambda fields: ServiceFacts(*fields))
flags = st.booleans()
bindings = st.sampled_from((Bindings(bind_mac=True, mac=MAC), Bindings(bind_mac=True))) | st.tuples(
    flags, st.sampled_from(("", MAC)), flags, st.integers(0, 9), flags, words
).map(lambda fields: Bindings(*fields))
usages = st.sampled_from(("", '{"spans":[]}'))
rows = st.tuples(st.none() | words, facts, bindings, usages).map(lambda fields: ServiceRow(1, "anna", *fields))


@given(rows, st.sampled_from(("", MAC, "02:00:00:00:00:02")))
def test_only_a_binding_to_this_very_device_and_nothing_else_is_left_out(row, mac):
    """Then the record is that of an unbound service, byte for byte; any other stays as it is."""
    value = service_value(row)
    known, password, binding, usage = read_service(7, value)
    assert usage == row.usage
    alone = known == ServiceFacts(7, known.method, known.standing, known.plan_version_id) and password is not None
    alone = alone and not usage
    fits = alone and mac and binding == Bindings(bind_mac=True, mac=mac)
    assert without_binding(value, mac) == (service_value(row._replace(bindings=Bindings())) if fits else value)
