"""Calendar files: each day of each event, and one clause where days would have to be guessed."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.money.calendar_file import SIZE_MAXIMUM_BYTES, CalendarError, read_calendar

FIRST, LAST = date(2026, 11, 1), date(2028, 1, 31)


def _calendar(*events: str) -> bytes:
    body = "".join(f"BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{body}END:VCALENDAR\r\n".encode()


def _read(*events: str) -> list[tuple[str, str]]:
    return [(str(one.day), one.name) for one in read_calendar(_calendar(*events), FIRST, LAST)]


def test_days_of_a_calendar() -> None:
    """One, several, each year; folded and escaped names; alarms are none of them; two of one day stand together."""
    found = _read(
        "DTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227\r\nSUMMARY:Boże Naro\r\n dzenie\\, święto",
        "DTSTART:20261225T000000Z\r\nSUMMARY:Christmas\r\nBEGIN:VALARM\r\nDTSTART:20261230\r\nEND:VALARM",
        "SUMMARY;LANGUAGE=en:New Year\r\nDTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=YEARLY;BYMONTH=1",
        "DTSTART;VALUE=DATE:20261101\r\nDTEND;VALUE=DATE:20261101",
        "DTSTART;VALUE=DATE:20301225\r\nSUMMARY:too late",
    )
    assert found == [
        ("2026-11-01", "holiday"),
        ("2026-12-25", "Boże Narodzenie, święto, Christmas"),
        ("2026-12-26", "Boże Narodzenie, święto"),
        ("2027-01-01", "New Year"),
        ("2028-01-01", "New Year"),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no calendar"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * (SIZE_MAXIMUM_BYTES + 1), "larger"),
        (_calendar("SUMMARY:x"), "no day"),
        (_calendar("DTSTART:20260230"), "no day"),
        (_calendar("DTSTART:99991231"), "no day"),
        (_calendar("DTSTART:20261201\r\nDTEND:20271201"), "365 days"),
        (_calendar("DTSTART:20261201\r\nDTEND:20261101"), "-30 days"),
        (_calendar("DTSTART:20261126\r\nRRULE:FREQ=YEARLY;BYDAY=4TH"), "not read"),
        (_calendar("DTSTART:20240229\r\nRRULE:FREQ=YEARLY"), "29 February"),
    ],
)
def test_what_is_no_calendar_says_why(data: bytes, says: str) -> None:
    """Nothing is guessed, and nothing of such a file is taken."""
    with pytest.raises(CalendarError, match=says):
        read_calendar(data, FIRST, LAST)


@given(
    st.lists(st.sampled_from(["BEGIN:VEVENT", "END:VEVENT", "DTSTART:20261225", "RRULE:=;FREQ", "SUMMARY:ł\\", " x"]))
)
def test_any_order_of_lines_is_days_or_one_clause(lines: list[str]) -> None:
    """Nothing else is ever raised."""
    with suppress(CalendarError):
        read_calendar("\n".join(["BEGIN:VCALENDAR", *lines]).encode(), FIRST, LAST)
