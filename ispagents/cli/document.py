"""`ispagents invoice document` and `ispagents payment receipt`: what customers get, as HTML or PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from documents.paper import invoice_html, pdf, receipt_html
from documents.words import known_languages, words_for
from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, OperatorOption
from ispagents.cli.files import write_bytes
from ispagents.errors import Problem
from sql.models import Subscriber
from sql.money.invoices import invoice_by_number
from sql.money.papers import invoice_paper, languages_of, receipt_paper
from sql.money.payments import payment_by_id

PdfOption = Annotated[Path | None, typer.Option("--pdf", help="Write a PDF into this file.", show_default=False)]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a web page into this file.", show_default=False)]
LanguageOption = Annotated[
    str, typer.Option(help="Another language than the customer's, such as es.", show_default=False)
]


def invoice_document(
    number: Annotated[str, typer.Argument(help="The invoice's number, such as 2026-17.")],
    pdf_file: PdfOption = None,
    html_file: HtmlOption = None,
    language: LanguageOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write an invoice as PDF or as a web page, in the customer's language, with what is paid by now."""
    _check(pdf_file, html_file, language)
    with common.acting(operator) as (session, operator_id):
        invoice = invoice_by_number(session, operator_id, number)
        paper = invoice_paper(session, invoice)
        languages = languages_of(session, operator_id, language or invoice.language)
    html = invoice_html(paper, words_for(languages))
    _write(html, pdf_file, html_file, as_json=as_json)


def payment_receipt(
    payment: Id,
    pdf_file: PdfOption = None,
    html_file: HtmlOption = None,
    language: LanguageOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the receipt of a payment as PDF or as a web page, in the customer's language."""
    _check(pdf_file, html_file, language)
    with common.acting(operator) as (session, operator_id):
        found = payment_by_id(session, operator_id, payment)
        paper = receipt_paper(session, found)
        own = session.get_one(Subscriber, found.subscriber_id).language
        languages = languages_of(session, operator_id, language or own)
    html = receipt_html(paper, words_for(languages))
    _write(html, pdf_file, html_file, as_json=as_json)


def _check(pdf_file: Path | None, html_file: Path | None, language: str) -> None:
    if pdf_file is None and html_file is None:
        raise Problem("Say where to write it: --pdf FILE, --html FILE, or both.")
    if language and language not in known_languages():
        raise Problem(f"There are no words in {language[:60]!r}; there are some in {', '.join(known_languages())}.")


def _write(html: str, pdf_file: Path | None, html_file: Path | None, *, as_json: bool) -> None:
    written = {}
    if html_file is not None:
        write_bytes(html_file, html.encode())
        written["html"] = str(html_file)
    if pdf_file is not None:
        write_bytes(pdf_file, pdf(html))
        written["pdf"] = str(pdf_file)
    common.show_one({**written, "said": "Written."}, as_json=as_json)
