"""The bytes of an audit event, and the chain of hashes over them."""

import json
from datetime import UTC, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.audit_chain import (
    NESTED_MAXIMUM,
    Anchor,
    Event,
    anchor,
    anchor_line,
    canonical,
    canonical_json,
    chain_hash,
    exported,
    exported_unsealed,
    genesis,
    is_deep,
    is_known,
    read_anchor,
)
from policy.errors import PolicyError

EVENT = Event(
    7, 3, "2026-11-22T10:20:30.123456Z", "cli:anna", "plan:version:add", None, 12, '{"b": 1.0, "a": "Łódź"}', "815"
)
# What PostgreSQL stores as text: no zero bytes, no halves of letters.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.integers(1, 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(texts, values, max_size=4)
events = st.builds(
    Event,
    id=numbers,
    operator_id=numbers,
    at=st.datetimes(timezones=st.just(UTC)).map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    actor=texts,
    event=st.from_regex(r"[a-z_]+:[a-z_]+:[a-z_]+", fullmatch=True),
    service_id=st.none() | numbers,
    subscriber_id=st.none() | numbers,
    data=documents.map(json.dumps),
    revision=numbers.map(str),
)


def test_the_bytes_and_hashes_of_version_1_never_change():
    """A chain that was sealed years ago must be verified by any later version: these values are for ever."""
    assert canonical(EVENT) == (
        '{"actor":"cli:anna","at":"2026-11-22T10:20:30.123456Z","data":{"a":"Łódź","b":1.0},'
        '"event":"plan:version:add","id":7,"operator_id":3,"revision":"815","service_id":null,"subscriber_id":12}'
    )
    assert genesis(3) == "1-9789ca2c7a08fafbe3d32922280491d0fb85ad2756e4f0072ea9ce281fc30f0f"
    assert chain_hash(genesis(3), EVENT) == "1-22ba101f47f1602c4902c36d5fc42475f7965454a0f3bd520210f5f4c25f2415"


@given(events, events)
def test_anybody_can_check_an_export_with_the_standard_library(one, other):
    """Two lines of an export: each hash is SHA-256 of the words, the hash before and the event's canonical JSON."""
    first = chain_hash(genesis(1), one)
    lines = [exported(1, genesis(1), first, one), exported(2, first, chain_hash(first, other), other)]
    before = "1-" + sha256(b"ispagents audit 1\ngenesis of operator 1").hexdigest()
    for line in lines:
        assert "\n" not in line
        assert json.loads(line)["before"] == before
        plain = line.partition('"event":')[2][:-1]
        before = "1-" + sha256(f"ispagents audit 1\n{before}\n{plain}".encode()).hexdigest()
        assert json.loads(line)["hash"] == before
        assert is_known(before)


@given(events, st.data())
def test_one_other_column_is_another_hash(event, data):
    """Whatever is altered in whichever column, the hash differs."""
    name = data.draw(st.sampled_from(Event._fields))
    altered = data.draw(events.map(lambda other: event._replace(**{name: getattr(other, name)})))
    same = altered._replace(data="") == event._replace(data="") and (
        canonical_json(altered.data) == canonical_json(event.data)
    )
    assert (chain_hash("x", altered) == chain_hash("x", event)) == same


@given(events, st.sampled_from(["", "1-x", genesis(1)]), st.sampled_from(["1-y", genesis(2)]))
def test_the_hash_before_is_covered(event, one, other):
    """The same event after another hash has another hash; operators begin differently."""
    assert chain_hash(one, event) != chain_hash(other, event)
    assert genesis(1) != genesis(11)


@given(documents)
def test_the_order_of_keys_and_blanks_do_not_matter(document):
    """One canonical form for all ways to write the same value, and it means the same."""
    backwards = dict(reversed(document.items()))
    one = canonical_json(json.dumps(document))
    assert one == canonical_json(json.dumps(backwards, indent=3, ensure_ascii=False))
    assert json.loads(one) == document
    assert canonical_json(one) == one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[0.1000000000000000055]", "[0.1]"),
        ("[12345678901234567890123]", "[12345678901234567890124]"),
        ("[1]", '["1"]'),
        ("[1]", "[true]"),
        ("[null]", "[false]"),
        ('{"a": []}', '{"a": {}}'),
        ('{"a": "b,c"}', '{"a": "b", "c": ""}'),
        ("[" + "9" * 6000 + "]", "[" + "9" * 5999 + "8]"),
    ],
)
def test_what_floats_would_round_away_is_seen(one, other):
    """Numbers count digit by digit however long they are, and no two values share a form."""
    assert canonical_json(one) != canonical_json(other)
    assert chain_hash("x", EVENT._replace(data=one)) != chain_hash("x", EVENT._replace(data=other))


@pytest.mark.parametrize("depth", [NESTED_MAXIMUM, NESTED_MAXIMUM + 1, 100_000])
def test_no_depth_stops_the_chain(depth):
    """Data that no reader of JSON takes is hashed as text, under a name of its own."""
    text = '{"a":' * depth + "1" + "}" * depth
    event = EVENT._replace(data=text)
    assert is_deep(text) == (depth > NESTED_MAXIMUM)
    assert ('"data_text"' in canonical(event)) == (depth > NESTED_MAXIMUM)
    assert chain_hash("x", event) != chain_hash("x", event._replace(data=text.replace("1", "2")))
    assert chain_hash("x", event) != chain_hash("x", event._replace(data=json.dumps({"data_text": text})))


@given(documents)
def test_brackets_in_text_and_side_by_side_are_not_depth(document):
    """Only nesting counts."""
    wide = {"many": [[]] * 500, "text": '["{[' * 300, "data": document}
    assert not is_deep(json.dumps(wide))


@pytest.mark.parametrize("text", ["", "{", "[NaN]", "[Infinity]", "{'a': 1}", "[" * 5000])
def test_what_is_no_json_is_refused(text):
    """PostgreSQL never gives such a text; another caller is told."""
    with pytest.raises(PolicyError, match="not JSON"):
        canonical_json(text)


def test_an_event_that_waits_is_exported_too():
    """Without number and hash."""
    line = json.loads(exported_unsealed(EVENT))
    assert (line["number"], line["before"], line["hash"], line["event"]["id"]) == (None, None, None, 7)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])), numbers, numbers)
def test_an_anchor_survives_its_line(now, operator_id, number):
    """One line, read back as it was; its time is UTC."""
    one = anchor(now, operator_id, number, genesis(1))
    assert read_anchor(anchor_line(one)) == one
    assert "\n" not in anchor_line(one)
    assert one.at.endswith("Z")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        "1",
        "[" * 5000,
        anchor_line(Anchor("x", 1, 1, "1-abc")),
        anchor_line(Anchor("x", 0, 1, genesis(1))),
        anchor_line(Anchor("x", 1, -1, genesis(1))),
        anchor_line(Anchor("x", 1, 2**63, genesis(1))),
        anchor_line(Anchor("x", 1, 1, genesis(1))).replace(":1,", ":true,"),
        anchor_line(Anchor("x", 1, 1, genesis(1))).replace(":1,", ":1.5,"),
        anchor_line(Anchor("x", 1, 1, genesis(1))).replace('"x"', "7"),
        anchor_line(Anchor("x", 1, 1, genesis(1)))[:-1],
    ],
)
def test_a_line_that_is_no_anchor_is_refused(line):
    """Nothing is guessed from it."""
    with pytest.raises(PolicyError):
        read_anchor(line)


@pytest.mark.parametrize(("text", "known"), [(genesis(1), True), ("2-" + "0" * 64, False), ("", False), ("1-", False)])
def test_only_known_versions_can_be_verified(text, known):
    """A chain of a later version is no altered one; the caller says which it is."""
    assert is_known(text) == known
