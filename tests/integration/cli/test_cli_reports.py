"""Reports and the journal by command: tables, JSON, and a CSV file that no spreadsheet runs."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ispagents.cli import ledger


def test_reports_are_tables_and_json(isp: Any) -> None:
    """Empty ones say so; those with something show amounts for people and for programs."""
    for name in ("ageing", "revenue", "collected", "suspensions"):
        assert isp("report", name).out.startswith(("Nothing is left", "There is nothing")), name
    isp.ok("invoice", "add", "K-1", "--amount", "15", "--due", "2026-01-01")
    isp.ok("payment", "add", "K-1", "--amount", "5", "--method", "bank")
    (late,) = [row for row in isp.ok("report", "ageing") if row["invoices"]]
    assert (late["days_overdue"], late["open"], late["open_minor"]) == ("over 90", "10.00 EUR", 1000)
    assert isp.ok("report", "revenue")[0]["net_minor"] == 1500
    assert [(row["method"], row["in"]) for row in isp.ok("report", "collected")] == [("bank", "5.00 EUR")]
    assert isp.ok("report", "restoration")["restored"] == 0
    assert "Nobody was restored" in isp("report", "restoration").out
    for name in ("ageing", "revenue", "collected"):
        assert "EUR" in isp("report", name).out


def test_the_journal_is_shown_and_exported(isp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer's entries, balances that are nothing together, and every line in a file, whatever its length."""
    monkeypatch.setattr("sql.money.journal.PAGE", 2)
    isp.ok("subscriber", "set", "K-1", "--name", '=HYPERLINK("http://example.net")')
    for _ in range(3):
        isp.ok("invoice", "add", "K-1", "--amount", "15", "--due", "2026-12-01")
    isp.ok("payment", "add", "K-1", "--amount", "20", "--method", "+cash")
    rows = isp.ok("ledger", "show", "K-1")
    assert sum(row["amount_minor"] for row in rows) == 0
    assert {row["kind"] for row in rows} == {"invoice", "payment", "allocation"}
    assert {row["entry"] for row in isp.ok("ledger", "show", "K-1", "--limit", "1")} == {max(r["entry"] for r in rows)}
    held = {row["account"]: row["balance"] for row in isp.ok("ledger", "balances")}
    assert held == {"cash": "20.00 EUR", "receivable": "25.00 EUR", "revenue": "-45.00 EUR"}
    file = tmp_path / "journal.csv"
    assert isp.ok("ledger", "export", str(file), "--from", "2020-01-01")["lines"] == len(rows)
    with file.open(encoding="utf-8", newline="") as opened:
        found = list(csv.DictReader(opened))
    assert sum(float(row["debit"] or 0) for row in found) == sum(float(row["credit"] or 0) for row in found) == 85
    assert {row["customer"] for row in found} == {'\'=HYPERLINK("http://example.net")'}
    assert {row["method"] for row in found} == {"", "'+cash"}
    assert [path.name for path in tmp_path.iterdir()] == ["journal.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "revenue", "--from", "yesterday"), "not a day"),
        (("report", "collected", "--from", "2026-02-01", "--until", "2026-01-01"), "before it begins"),
        (("report", "suspensions", "--from", "2000-01-01", "--until", "2026-01-01"), "3660 days at most"),
        *((("report", name, "--until", "0001-01-01"), "too far away") for name in ("revenue", "restoration")),
        (("ledger", "show", "K-9"), "no subscriber"),
        (("ledger", "balances", "--until", "2026-13-01"), "not a day"),
        (("ledger", "export", "/dev/null/x", "--from", "2026-01-01"), "cannot be written"),
        (("ledger", "export", "x", "--from", "2026-02-01", "--until", "2026-01-01"), "before it begins"),
    ],
)
def test_nonsense_is_refused(isp: Any, words: tuple[str, ...], said: str) -> None:
    """In one sentence each."""
    assert said in isp.refused(*words)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "  =1", "\r=1"])
def test_cells_that_begin_like_formulas_are_text(text: str) -> None:
    """Whatever stands before them."""
    assert ledger.safe(text) == "'" + text
    assert ledger.safe("Zofia = 1") == "Zofia = 1"
