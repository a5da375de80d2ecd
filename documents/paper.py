"""Invoices and receipts as HTML, and as PDF by WeasyPrint. The only file that knows that library.

The same paper in the same language is the same HTML and the same PDF, byte for byte.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from documents.words import Words
from policy.money.papers import InvoicePaper, ReceiptPaper

TEMPLATES = Path(__file__).parent / "templates"
_ONE_DAY = timedelta(days=1)


def invoice_html(paper: InvoicePaper, words: Words) -> str:
    """An invoice as a page of its own, which needs no other file."""
    return _html("invoice.html", paper, words)


def receipt_html(paper: ReceiptPaper, words: Words) -> str:
    """A receipt as a page of its own, which needs no other file."""
    return _html("receipt.html", paper, words)


def pdf(html: str) -> bytes:
    """The page as PDF, tagged for readers of screens. Nothing is fetched from anywhere."""
    # It takes two seconds to load; whoever makes no PDF does without.
    from weasyprint import HTML  # noqa: PLC0415 - as above
    from weasyprint.urls import URLFetcher  # noqa: PLC0415 - as above

    class FetchesNothing(URLFetcher):  # type: ignore[misc] # untyped
        def fetch(self, url: str, headers: Any = None) -> NoReturn:
            del headers
            raise ValueError(f"documents fetch nothing, and so not {url[:60]!r}")

    identifier = sha256(html.encode()).digest()[:16]
    page = HTML(string=html, url_fetcher=FetchesNothing())
    made: bytes = page.write_pdf(pdf_identifier=identifier, pdf_tags=True)
    return made


def _html(template: str, paper: InvoicePaper | ReceiptPaper, words: Words) -> str:
    return (
        _environment()
        .get_template(template)
        .render(paper=paper, words=words, say=words.say, last_day=lambda end: end - _ONE_DAY)
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
