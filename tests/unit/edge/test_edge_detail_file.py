"""FreeRADIUS's detail files are read as they were meant, whole, from any place, whatever else stands in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detail_file import (
    NAME,
    RECORD_MAXIMUM_BYTES,
    Record,
    TakenFile,
    Unreadable,
    take_over,
    unquoted,
    waiting_bytes,
)

# Written by FreeRADIUS 3.2.1, for user names no, a"b\c<newline>d<tab>e<0x01><0x7f>, Zoë łódź, two bytes that are no
# UTF-8 with "Latin" after them, \101, and it's = "x".
REAL = (
    b"Sun Nov 22 16:41:24 2026\n\tPacket-Src-IP-Address = 127.1.9.9\n\tAcct-Status-Type = Start\n"
    b'\tUser-Name = "no"\n\tAcct-Session-Id = "8100001a"\n\tFramed-IP-Address = 10.0.0.9\n'
    b'\tTmp-String-0 = "operator=1 router=77 service=5 stamp=1-b1a50f02ce9c2ffa"\n\tTimestamp = 1795365684\n\n'
    b'Sun Nov 22 16:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "a\\"b\\\\c\\nd\\te\\001\\177"\n\n'
    b'Sun Nov 22 16:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "Zo\xc3\xab \xc5\x82\xc3\xb3d\xc5\xba"\n\n'
    b'Sun Nov 22 16:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "\\377\\376Latin"\n\n'
    b'Sun Nov 22 16:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "\\\\101"\n\n'
    b'Sun Nov 22 16:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "it\'s = \\"x\\""\n\n'
)
NAMES = ["no", 'a"b\\c\nd\te\x01\x7f', "Zoë łódź", "\ufffd\ufffdLatin", "\\101", 'it\'s = "x"']


def pieces(folder: Path, content: bytes, from_bytes: int = 0) -> list[Record | Unreadable]:
    """What a file of this content holds."""
    path = folder / f"{NAME}.1.work"
    path.write_bytes(content)
    taken = TakenFile(path)
    try:
        return list(taken.records(from_bytes))
    finally:
        taken.close()


def record(name: str = "anna") -> bytes:
    """A small record as the server writes it."""
    return f'Sun Nov  1 06:41:24 2026\n\tAcct-Status-Type = Start\n\tUser-Name = "{name}"\n\tTimestamp = 7\n\n'.encode()


def printed(value: str) -> str:
    """A string as FreeRADIUS prints it between double quotes (fr_prints, src/lib/print.c)."""
    out = ""
    for letter in value:
        if letter in '"\\':
            out += "\\" + letter
        elif letter in "\r\n\t":
            out += {"\r": "\\r", "\n": "\\n", "\t": "\\t"}[letter]
        elif letter < " " or letter == "\x7f":
            out += f"\\{ord(letter):03o}"
        else:
            out += letter
    return f'"{out}"'


def test_what_freeradius_wrote_is_read_back(tmp_path):
    """Quotes, backslashes, control characters, UTF-8 and names such as `no` come back as they were sent."""
    found = pieces(tmp_path, REAL)

    assert [one.first("User-Name") for one in found if isinstance(one, Record)] == NAMES
    first = found[0]
    assert isinstance(first, Record)
    assert first.first("Acct-Status-Type") == "Start"
    assert first.first("Tmp-String-0") == "operator=1 router=77 service=5 stamp=1-b1a50f02ce9c2ffa"
    assert (first.first("Timestamp"), first.first("Class")) == ("1795365684", "")
    assert first.text.encode() == REAL[: first.end_bytes - 1]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_survives_printing(value):
    """A text printed as the server prints it is the text again, and never more than one line."""
    text = printed(value)

    assert "\n" not in text
    assert unquoted(text) == value


@given(garbage=st.binary(max_size=300))
def test_no_bytes_break_the_reader(garbage, tmp_path_factory):
    """Whatever bytes a file holds, all of it is accounted for, and a whole record behind it is found."""
    found = pieces(tmp_path_factory.mktemp("spool"), garbage + b"\n\n" + record("after"))

    assert found[-1].end_bytes == len(garbage) + 2 + len(record("after"))
    last = found[-1]
    assert isinstance(last, Record)
    assert last.first("User-Name") == "after"


def test_reading_may_begin_at_the_end_of_any_record(tmp_path):
    """Every place that a record ends is a place to go on from."""
    everything = pieces(tmp_path, REAL)

    for count, one in enumerate(everything, 1):
        assert pieces(tmp_path, REAL, one.end_bytes) == everything[count:]


@pytest.mark.parametrize("cut", range(1, len(record())))
def test_a_torn_end_is_told_and_takes_nothing_with_it(tmp_path, cut):
    """A file that ends within a record gives the whole ones, and the rest as unreadable."""
    found = pieces(tmp_path, record() + record("berta")[:-cut])

    assert isinstance(found[0], Record)
    assert isinstance(found[1], Unreadable) == (cut < len(record("berta")))
    assert found[-1].end_bytes == len(record()) + len(record("berta")) - cut


@pytest.mark.parametrize("cut", range(len("Sun Nov  1 06:41:24 2026\n"), len(record("half")) - 1))
def test_a_record_written_behind_half_a_record_is_read_alone(tmp_path, cut):
    """After a server died while it wrote, the next record is neither lost nor mixed with what stands before it."""
    half = record("half")[:cut]

    *before, last = pieces(tmp_path, record() + half + record("whole"))

    assert isinstance(last, Record)
    assert [name for name, _ in last.attributes] == ["Acct-Status-Type", "User-Name", "Timestamp"]
    assert last.first("User-Name") == "whole"
    assert [type(one) for one in before] == [Record, Unreadable]
    assert before[1].end_bytes == len(record()) + len(half)


@pytest.mark.parametrize("filler", [b"x" * 3 * RECORD_MAXIMUM_BYTES, b"\tEnd = 1" + b"\n\tEnd = 1" * 9000])
def test_what_is_longer_than_any_packet_is_passed_over_whole(tmp_path, filler):
    """An over-long piece is one unreadable thing: its end is no record of its own, and what follows is read."""
    long = b"Sun Nov  1 06:41:24 2026\n" + filler + b"\n\tAcct-Status-Type = Stop\n\n"

    unreadable, last = pieces(tmp_path, long + record("after"))

    assert isinstance(unreadable, Unreadable)
    assert "longer than any packet" in unreadable.reason
    assert unreadable.end_bytes == len(long)
    assert isinstance(last, Record)
    assert last.first("User-Name") == "after"


@pytest.mark.parametrize(
    "line", [b"nonsense", b"\tUser-Name", b"\tUser-Name ", b'\tUser-Name = "half', b"User-Name = no", b"\0\0\0\0"]
)
def test_a_record_with_a_broken_line_is_set_aside_with_the_reason(tmp_path, line):
    """Half-understood records are not guessed at."""
    broken = b"Sun Nov  1 06:41:24 2026\n\tAcct-Status-Type = Stop\n" + line + b"\n\n"

    unreadable, last = pieces(tmp_path, broken + record())

    assert isinstance(unreadable, Unreadable)
    assert "no attribute" in unreadable.reason
    assert "\0" not in unreadable.text
    assert isinstance(last, Record)


def test_taking_over_renames_what_is_being_written(tmp_path):
    """The current file gets a name of its own, so that the server begins another; earlier ones come first."""
    (tmp_path / NAME).write_bytes(record("first"))
    (first,) = take_over(tmp_path)
    (tmp_path / NAME).write_bytes(record("second"))

    files = take_over(tmp_path)

    assert [path.read_bytes() for path in files] == [record("first"), record("second")]
    assert files[0] == first
    assert not (tmp_path / NAME).exists()
    assert waiting_bytes(tmp_path) == len(record("first")) + len(record("second"))


def test_an_empty_or_missing_file_is_left_alone(tmp_path):
    """Nothing is taken over where there is nothing, in a folder that does not exist either."""
    (tmp_path / NAME).touch()

    assert take_over(tmp_path) == []
    assert (tmp_path / NAME).exists()
    assert take_over(tmp_path / "missing") == []
    assert waiting_bytes(tmp_path / "missing") == 0
