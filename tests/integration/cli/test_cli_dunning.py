"""Dunning policies, holidays, kinds of holds, and standings from other systems, on the command line."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOW = datetime.now(UTC)
FILE = (
    "Kunde;Benutzer;Status;Stand\nK-1;zofia;gesperrt;{now}\nK-9;;gesperrt;{now}\n;zofia;zu;{now}\n;zofia;due;gestern\n"
)
READ = ("--column", "standing=Status", "--column", "username=Benutzer", "--column", "reference=Kunde")
THEIRS = ("--column", "as_of=Stand", "--word", "Gesperrt=suspended", "--source", "Their billing")
NONSENSE = [
    ["dunning", "add", ""],
    ["dunning", "add", "x", "--weekdays", "0"],
    ["dunning", "add", "x", "--weekdays", "none"],
    ["dunning", "add", "x", "--weekdays", "Monday"],
    ["dunning", "add", "x", "--suspend-hour", "24"],
    ["dunning", "add", "x", "--suspend-hour", "1,2"],
    ["dunning", "add", "x", "--suspend-hour", "९"],
    ["dunning", "add", "x", "--reminders", "400"],
    ["dunning", "add", "x", "--reminders", ",".join(str(day) for day in range(17))],
    ["dunning", "add", "x", "--close-days", "0"],
    ["dunning", "add", "x", "--grace-days", "-1"],
    ["dunning", "set", "nobody"],
    ["dunning", "show", "nobody"],
    ["plan", "set", "Home 50", "--dunning", "nobody"],
    ["plan", "set", "nothing", "--dunning", "none"],
    ["operator", "set", "Wave", "--dunning", "nobody"],
    ["operator", "set", "Wave", "--standings-from", "heaven"],
    ["operator", "set", "Wave", "--standing-feed-hours", "9999"],
    ["holiday", "add", "25.12.2026", "Christmas"],
    ["holiday", "add", "1999-12-25", "Christmas"],
    ["holiday", "add", "2026-12-25", " "],
    ["holiday", "remove", "2026-12-25"],
    ["holiday", "import", "/nowhere"],
    ["holiday", "import", "/etc/hostname"],
    ["holiday", "import", "/etc/hostname", "--from", "2026-01-01", "--until", "2036-01-01"],
    ["holiday", "import", "/etc/hostname", "--from", "9999-12-31"],
    ["hold", "add", "zofia", "--reason", "x"],
    ["hold", "add", "zofia", "--kind", "odd", "--until", "2150-01-01", "--reason", "x"],
    ["hold", "add", "zofia", "--kind", "vip", "--amount", "5", "--reason", "x"],
    ["hold", "add", "zofia", "--kind", "promise", "--until", "2150-01-01", "--amount", "-5", "--reason", "x"],
    ["hold", "add", "zofia", "--kind", "dispute", "--until", "2150-01-01", "--reason", "x"],
    ["hold", "add", "zofia", "--kind", "dispute", "--until", "2150-01-01", "--invoice", "2026-9", "--reason", "x"],
    ["standing", "import", "/nowhere"],
    ["standing", "import", "/etc/hostname"],
    ["standing", "import", "/dev/null"],
    ["standing", "import", "/etc/hostname", "--column", "standing"],
    ["standing", "import", "/etc/hostname", "--column", "colour=x"],
    ["standing", "import", "/etc/hostname", "--word", "blocked=closed"],
    ["standing", "import", "/etc/hostname", "--as-of", "yesterday"],
    ["standing", "apply", "7"],
    ["standing", "forget", "nobody"],
]


def test_dunning_is_set_for_operator_and_plan(isp: Any) -> None:
    """A policy is made, changed, given to both, and seen there; holidays are added, renamed and removed."""
    made = isp.ok("dunning", "add", "workdays", "--weekdays", "5,1,2,3,4", "--suspend-hour", "9", "--reminders=-3,1")
    assert "of this name already" in isp.refused("dunning", "add", "workdays")
    assert (made["suspend_weekdays"], made["suspend_hour"], made["reminder_days"]) == ([1, 2, 3, 4, 5], 9, [-3, 1])
    changed = isp.ok(
        "dunning", "set", "workdays", "--close-days", "60", "--suspend-hour", "none", "--reminders", "none"
    )
    assert (changed["close_days"], changed["suspend_hour"], changed["reminder_days"]) == (60, None, [])
    assert isp.ok("dunning", "show", "workdays") == changed == isp.ok("dunning", "list")[0]
    assert isp.ok("operator", "set", "Wave", "--dunning", "workdays")["dunning"] == "workdays"
    assert isp.ok("operator", "list")[0]["dunning"] == "workdays"
    assert isp.ok("operator", "set", "Wave", "--dunning", "none")["dunning"] is None
    assert isp.ok("plan", "set", "Home 50", "--dunning", "workdays")["dunning"] == "workdays"
    assert isp.ok("plan", "set", "Home 50", "--dunning", "none")["dunning"] is None
    isp.ok("holiday", "add", "2150-12-25", "Xmas")
    isp.ok("holiday", "add", "2150-12-25", "Christmas")
    assert isp.ok("holiday", "list") == [{"day": "2150-12-25", "name": "Christmas"}]
    isp.ok("holiday", "remove", "2150-12-25")
    assert isp.ok("holiday", "list", "--since", "2150-01-01") == []


def test_kinds_of_holds_are_listed_with_what_they_are_about(isp: Any) -> None:
    """A promise with its amount, a dispute with its invoice, a VIP for good."""
    number = isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due-in-days", "3")["number"]
    until = (NOW + timedelta(days=9)).date().isoformat()
    isp.ok("hold", "add", "zofia", "--kind", "promise", "--until", until, "--amount", "7.50", "--reason", "wages")
    isp.ok("hold", "add", "zofia", "--kind", "dispute", "--until", until, "--invoice", number, "--reason", "wrong sum")
    isp.ok("hold", "add", "zofia", "--kind", "vip", "--reason", "the mayor")
    rows = isp.ok("hold", "list")
    assert [(one["kind"], one["state"], one["amount"], one["invoice"]) for one in reversed(rows)] == [
        ("promise", "holds", "7.50 EUR", ""),
        ("dispute", "holds", None, number),
        ("vip", "holds", None, ""),
    ]
    story = [one["sentence"] for one in isp.ok("timeline", "zofia", "--kind", "hold")]
    assert any("took a promise to pay 7.50 EUR" in one for one in story)
    assert any("neither to remind nor to suspend at all: the mayor" in one for one in story)


def test_a_file_of_standings_is_read_first_and_applied_once(isp: Any, tmp_path: Path) -> None:
    """Their words and columns, in Windows-1252: what would move, which rows are bad and why, a file of those to fix."""
    isp.ok("operator", "set", "Wave", "--standings-from", "outside", "--standing-feed-hours", "24")
    file, bad = tmp_path / "standings.csv", tmp_path / "bad.csv"
    file.write_bytes(FILE.format(now=NOW.isoformat()).encode("cp1252"))
    found = isp.ok("standing", "import", str(file), *READ, *THEIRS, "--bad-rows", str(bad))
    assert (found["moving"], found["bad_rows"]) == ({"suspended": 1}, 3)
    assert [one["line"] for one in found["problems"]] == [3, 4, 5]
    with bad.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["Kunde", "Benutzer", "Status", "Stand", "problem"]
    assert [row[-1] for row in rows[1:]] == [
        "line 3: There is no open service of this name or customer number.",
        "line 4: The standing 'zu' is none of current, due, grace, overdue, suspended.",
        "line 5: 'gestern' is not a moment; write 2026-12-05T18:00+01:00.",
    ]
    assert isp.ok("standing", "list") == []
    assert isp.ok("standing", "apply", str(found["import"]))["applied"] == 1
    assert [(one["username"], one["standing"], one["source"]) for one in isp.ok("standing", "list")] == [
        ("zofia", "suspended", "Their billing")
    ]
    assert "applied already" in isp.refused("standing", "apply", str(found["import"]))
    again = isp.ok("standing", "import", str(file), *READ, *THEIRS)
    assert (again["moving"], again["unchanged"]) == ({}, 1)
    assert "This very file" in isp.refused("standing", "apply", str(again["import"]))
    assert "its source" not in isp("standing", "sources").out
    assert [one["source"] for one in isp.ok("standing", "sources")] == ["Their billing"]
    isp.ok("standing", "forget", "Their billing")
    assert isp.ok("standing", "sources") == []
    facts = " ".join(one["sentence"] for one in isp.ok("explain", "zofia")["facts"])
    assert "Another system does the billing here: Their billing says suspended" in facts


def test_nonsense_is_one_sentence(isp: Any) -> None:
    """Whatever is typed, the answer is one sentence that says what to do."""
    for words in NONSENSE:
        assert isp.refused(*words).endswith((".", "--help`.")), words


def test_holidays_come_from_a_calendar(isp: Any, tmp_path: Path) -> None:
    """Shown first; taken in twice they are the same, and the calendar's names beat those that were typed."""
    file = tmp_path / "holidays.ics"
    events = "".join(
        f"BEGIN:VEVENT\nDTSTART;VALUE=DATE:2150{day}\nSUMMARY:{name}\nEND:VEVENT\n"
        for day, name in (("0101", "New Year"), ("1225", "Christmas"))
    )
    file.write_text(f"BEGIN:VCALENDAR\n{events}END:VCALENDAR\n")
    words = ("holiday", "import", str(file), "--from", "2150-01-01")
    isp.ok("holiday", "add", "2150-12-25", "a day")
    assert (isp.ok(*words, "--preview")["added"], len(isp.ok("holiday", "list"))) == (0, 1)
    assert [isp.ok(*words)["added"] for _ in range(2)] == [2, 0]
    assert [(one["day"], one["name"]) for one in isp.ok("holiday", "list")] == [
        ("2150-01-01", "New Year"),
        ("2150-12-25", "Christmas"),
    ]
    assert "2150-12-25" in isp(*words).out
