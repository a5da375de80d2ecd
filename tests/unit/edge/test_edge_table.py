"""The replica's table: what was put is what is read, whatever the order, and a machine without room says so."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import table_writer
from edge.table_writer import TableFull, TableWriter, retire
from radius_module.table import WORD_RETIRED, Damaged, Table

KINDS = st.sampled_from([b"s", b"r"])
NAMES = st.binary(max_size=300) | st.sampled_from([b"a", b"b", b"c"])
IDS = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KINDS, NAMES, st.binary(max_size=60), IDS),
        st.tuples(st.just("set"), st.just(b"p"), NAMES, st.binary(max_size=60), st.just(0)),
        st.tuples(st.just("remove"), KINDS, st.just(b""), st.just(b""), IDS),
    ),
    max_size=40,
)


@given(steps=STEPS, again=st.booleans())
@settings(max_examples=60)
def test_the_table_is_what_a_dict_would_be(tmp_path_factory, steps, again):
    """Put, renamed and removed by id; and the same after another run took it over."""
    file = tmp_path_factory.mktemp("table") / "one.table"
    writer = TableWriter.create(file, 10)
    reader, model = Table(file), {}
    for what, kind, name, value, record_id in steps:
        key = kind + name
        if what == "remove":
            writer.remove(kind, record_id)
            model = {k: v for k, v in model.items() if k[:1] != kind or v[0] != record_id}
            continue
        before = len(model)
        if record_id:
            model = {k: v for k, v in model.items() if k == key or k[:1] != kind or v[0] != record_id}
        model[key] = (record_id, value)
        assert writer.put(key, value, record_id) == len(model) - before
    if again:
        writer.close()
        writer = TableWriter.take_over(file)
    for what, kind, name, *_ in steps:
        if what != "remove":
            assert reader.get(kind + name) == model.get(kind + name)
    assert {kind: writer.count(kind) for kind in (b"s", b"r", b"p")} == {
        kind: Counter(key[:1] for key in model)[kind] for kind in (b"s", b"r", b"p")
    }
    writer.close()


def test_many_keys_are_found_and_no_others(tmp_path):
    """With the slots as full as they may become."""
    writer = TableWriter.create(tmp_path / "one.table", 3000)
    keys = [b"s%d" % number for number in range(3200)]
    for number, key in enumerate(keys, 1):
        writer.put(key, b"value of " + key, number)
    reader = Table(tmp_path / "one.table")
    assert all(reader.get(key) == (number, b"value of " + key) for number, key in enumerate(keys, 1))
    assert not any(reader.get(b"t%d" % number) for number in range(3000))
    writer.close()


def put_many(writer: TableWriter, keys: list[bytes], value: bytes) -> None:
    """Put the same under each key."""
    for key in keys:
        writer.put(key, value)


def test_a_table_without_room_says_so_and_stays_whole(tmp_path, monkeypatch):
    """Of slots as of bytes; edge builds a larger one then."""
    monkeypatch.setattr(table_writer, "RECORDS_SMALLEST_BYTES", 4096)
    monkeypatch.setattr(table_writer, "RECORDS_BYTES_PER_SLOT", 0)
    writer = TableWriter.create(tmp_path / "one.table", 10)
    with pytest.raises(TableFull, match="records"):
        put_many(writer, [b"sanna"] * 100, b"x" * 200)
    assert Table(tmp_path / "one.table").get(b"sanna") == (0, b"x" * 200)
    writer.close()

    monkeypatch.setattr(table_writer, "RECORDS_SMALLEST_BYTES", 1 << 20)
    monkeypatch.setattr(table_writer, "SMALLEST_SLOTS", 8)
    writer = TableWriter.create(tmp_path / "two.table", 1)
    with pytest.raises(TableFull, match="slots"):
        put_many(writer, [b"s%d" % number for number in range(1, 100)], b"")
    reader = Table(tmp_path / "two.table")
    assert reader.get(b"s1") == (0, b"")
    assert reader.get(b"s99") is None
    writer.close()


def test_a_disk_without_room_is_an_error_and_no_end(tmp_path, monkeypatch):
    """Blocks are had before they are written through the map, where their lack would kill the process."""
    writer = TableWriter.create(tmp_path / "one.table", 10)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_writer.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        writer.put(b"sanna", b"x" * 200, 7)
    monkeypatch.undo()
    writer.put(b"sanna", b"x" * 200, 7)
    assert Table(tmp_path / "one.table").get(b"sanna") == (7, b"x" * 200)
    writer.close()


def test_notes_are_whole_or_the_ones_before(tmp_path):
    """A note that a kill cut off does not count; one that is too long is not taken."""
    file = tmp_path / "one.table"
    writer = TableWriter.create(file, 10)
    assert writer.note() == b""
    assert writer.set_note(b"first")
    assert writer.set_note(b"second")
    assert not writer.set_note(b"x" * 10_000)
    assert writer.note() == b"second"
    content = file.read_bytes()
    with file.open("r+b") as torn:
        torn.seek(content.index(b"second"))
        torn.write(b"S")
    assert writer.note() == b"first"
    assert writer.set_note(b"third")
    assert writer.note() == b"third"
    writer.close()


def test_an_older_table_is_retired_whoever_wrote_it(tmp_path):
    """Its readers go to the pointer; a file that is no table is left alone."""
    writer = TableWriter.create(tmp_path / "one.table", 10)
    writer.close()
    reader = Table(tmp_path / "one.table")
    retire(tmp_path / "one.table")
    assert reader.words[WORD_RETIRED]
    with pytest.raises(Damaged):
        TableWriter.take_over(tmp_path / "one.table")
    (tmp_path / "text").write_text("no table" * 10)
    retire(tmp_path / "text")
    assert (tmp_path / "text").read_text() == "no table" * 10
    retire(tmp_path / "nothing")
