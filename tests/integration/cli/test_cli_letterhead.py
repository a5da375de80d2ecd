"""Who writes to whom, and when: what operators and customers can be told to be, and outages made good, by command."""

from pathlib import Path
from typing import Any

import pytest


def test_what_stands_on_invoices_is_set(isp: Any, tmp_path: Path) -> None:
    """The operator's and the customer's side; an invoice that was issued keeps what stood on it."""
    found = isp.ok(
        *("operator", "set", "Wave", "--legal-name", "Fale Sp. z o.o.", "--address", "Długa 1\\n00-238 Łódź"),
        *("--tax-name", "VAT", "--tax-number", "PL 525", "--payment-details", "IBAN PL61", "--language", "es"),
        *("--quiet", "21:00-08:00"),
    )
    assert (found["address"], found["quiet"], found["language"]) == ("Długa 1\n00-238 Łódź", "21:00-08:00", "es")
    assert isp.ok("operator", "set", "Wave", "--quiet", "none")["quiet"] is None
    customer = isp.ok("subscriber", "set", "K-1", "--area", "North", "--tax-number", "PL 1", "--language", "es")
    assert (customer["area"], customer["tax_number"], customer["email"]) == ("North", "PL 1", "zofia@example.org")
    isp.ok("invoice", "add", "K-1", "--amount", "10", "--due", "2026-12-01")
    isp.ok("subscriber", "set", "K-1", "--name", "Somebody else")
    page = tmp_path / "page.html"
    isp.ok("invoice", "document", isp.ok("invoice", "list")[0]["number"], "--html", str(page))
    for words in ("Fale Sp. z o.o.", "Długa 1\n00-238 Łódź", "PL 525", "IBAN PL61", "Zofia Kowalska", "Factura"):
        assert words in page.read_text(), words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("operator", "set", "Wave", "--quiet", "25:00-08:00"), "21:00-08:00, or none"),
        (("operator", "set", "Wave", "--quiet", "08:00-08:00"), "the same time"),
        (("operator", "set", "Wave", "--language", "english"), "two small letters"),
        (("operator", "set", "Wave", "--tax-number", "x" * 65), "64 are the most"),
        (("subscriber", "set", "K-1"), "Say what to change"),
        (("subscriber", "set", "K-1", "--name", " "), "must not be empty"),
        (("subscriber", "set", "K-1", "--area", "x" * 254), "253 are the most"),
        (("subscriber", "set", "K-9", "--area", "x"), "no subscriber"),
        (("compensation", "plan", "x", "--reason", "x", "--days", "1"), "--router NAME or --area NAME"),
        (("compensation", "plan", "x", "--reason", "x", "--area", "x"), "--days 3 or --amount 5.00"),
        (("compensation", "plan", "x", "--reason", "x", "--area", "x", "--days", "1"), "No service there"),
        (("compensation", "plan", "x", "--reason", " ", "--area", "x", "--amount", "1"), "must not be empty"),
        (("compensation", "approve", "x", "--hash", "x"), "There is no compensation 'x'"),
        (("compensation", "show", "x"), "There is no compensation 'x'"),
    ],
)
def test_nonsense_is_refused(isp: Any, words: tuple[str, ...], said: str) -> None:
    """In one sentence each."""
    assert said in isp.refused(*words)


def test_an_outage_is_made_good_by_command(isp: Any) -> None:
    """Planned, seen, approved by its hash, and taken back."""
    isp.ok("subscriber", "set", "K-1", "--area", "North")
    made = isp.ok("compensation", "plan", "storm", "--area", "North", "--amount", "5", "--reason", "a storm")
    assert (made["preview"]["services"], made["money"], made["state"]) == (1, "5.00 EUR", "planned")
    assert isp("compensation", "show", "storm").out.rstrip().endswith(f"--hash {made['preview_hash']}`.")
    assert "another preview" in isp.refused("compensation", "approve", "storm", "--hash", "0")
    found = isp.ok("compensation", "approve", "storm", "--hash", made["preview_hash"])
    assert (found["state"], found["now"]) == ("approved", {"applied": 1})
    assert isp.ok("subscriber", "show", "K-1")["balance"] == "5.00 EUR"
    assert isp.ok("compensation", "undo", "storm")["now"] == {"undone": 1}
    assert isp.ok("subscriber", "show", "K-1")["balance"] == "0.00 EUR"
    story = [one["sentence"] for one in isp.ok("timeline", "zofia", "--kind", "compensation")]
    assert [words.partition(" ")[2] for words in story] == [
        "gave 5.00 EUR for storm: a storm.",
        "took back what was given for storm.",
    ]
    assert "undone" in isp("compensation", "list").out
    assert "cannot be dropped" in isp.refused("compensation", "drop", "storm")
