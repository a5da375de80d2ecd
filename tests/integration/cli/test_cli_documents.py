"""Invoices and receipts as files, by command: what is stored is what is printed."""

from pathlib import Path
from typing import Any


def test_an_invoice_and_a_receipt_are_written(isp: Any, tmp_path: Path) -> None:
    """In the customer's language or another one, with what is paid by now; a credit has no receipt."""
    isp.ok("invoice", "add", "K-1", "--amount", "1234.56", "--due", "2026-12-01", "--description", "Setup <b>")
    number = isp.ok("invoice", "list")[0]["number"]
    payment = isp.ok("payment", "add", "K-1", "--amount", "1000", "--method", "bank")["id"]
    page, paper = tmp_path / "invoice.html", tmp_path / "invoice.pdf"
    isp.ok("invoice", "document", number, "--html", str(page), "--pdf", str(paper))
    html = page.read_text()
    for words in (f"Invoice {number}", "Zofia Kowalska", "€1,234.56", "€234.56", "Setup &lt;b&gt;", "December 1, 2026"):
        assert words in html, words
    assert paper.read_bytes().startswith(b"%PDF-")
    isp.ok("payment", "receipt", str(payment), "--html", str(page), "--language", "es")
    assert "1.000,00\xa0€" in page.read_text()
    isp.ok("invoice", "void", number)
    isp.ok("invoice", "document", number, "--html", str(page))
    assert "Void" in page.read_text()


def test_what_cannot_be_written_is_refused(isp: Any, tmp_path: Path) -> None:
    """In one sentence each."""
    isp.ok("invoice", "add", "K-1", "--amount", "1", "--due", "2026-12-01")
    number = isp.ok("invoice", "list")[0]["number"]
    page = str(tmp_path / "x.html")
    assert "There is no invoice '9'" in isp.refused("invoice", "document", "9", "--html", page)
    assert "There is no payment 9" in isp.refused("payment", "receipt", "9", "--html", page)
    assert "--pdf FILE" in isp.refused("invoice", "document", number)
    assert "There are no words in 'xx'" in isp.refused(
        "invoice", "document", number, "--html", page, "--language", "xx"
    )
    assert "cannot be written" in isp.refused("invoice", "document", number, "--html", str(tmp_path))
