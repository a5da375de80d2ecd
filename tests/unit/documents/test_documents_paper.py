"""Documents: what they say in each language, that they are the same every time, and that they fetch nothing."""

import io
import logging
import re
from datetime import date
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from babel.messages.extract import extract, extract_from_dir
from babel.messages.pofile import read_po

import documents
from documents.notices import our_template, written
from documents.paper import invoice_html, pdf, receipt_html
from documents.words import CATALOGUES, known_languages, words_for
from policy.fair_use import TierAction
from policy.money.papers import Buyer, InvoicePaper, Line, Paid, ReceiptPaper, Seller, Settlement
from policy.notices import BLANKS, Event, Facts, Usage, blanks_in

DAY = date(2026, 11, 1)
END = date(2026, 12, 1)
SELLER = Seller("Fale Sp. z o.o.", "ul. Długa 17/3\n00-238 Łódź", "VAT", "PL 525", "IBAN PL61 1090")
BUYER = Buyer("Zofia Brzęczyszczykiewicz", "K-17", "Kraków", "PL 123")


def paper(*lines: Line, **more: Any) -> InvoicePaper:
    """An invoice of these lines."""
    lines = lines or (Line("Home 50", 2033, 467, 2300, DAY, END), Line("Discount", -200, -46, 2300), Line("Book", 100))
    amount = sum(line.gross_minor for line in lines)
    values: dict[str, Any] = {
        "number": "2026-17",
        "currency": "EUR",
        "issued_on": DAY,
        "due_on": date(2026, 11, 15),
        "seller": SELLER,
        "buyer": BUYER,
        "lines": lines,
        "amount_minor": amount,
        "tax_minor": sum(line.tax_minor for line in lines),
        "open_minor": amount,
    }
    return InvoicePaper(**(values | more))


def read(made: bytes) -> tuple[str, int]:
    """The text of a PDF without its line breaks, and how many pages it has."""
    found = pypdfium2.PdfDocument(io.BytesIO(made))
    try:
        text = " ".join(page.get_textpage().get_text_range() for page in found)
        return " ".join(text.split()), len(found)
    finally:
        found.close()


def text_of(html: str) -> str:
    """The words of a page."""
    return " ".join(re.sub("<[^>]*>", " ", html.partition("</style>")[2]).split())


def test_an_invoice_says_who_owes_what() -> None:
    """Parties, periods with their last day, taxes by rate, the total and how to pay, in English and Spanish."""
    said = text_of(invoice_html(paper(), words_for(["en"])))
    for words in (
        *("Invoice 2026-17", "Fale Sp. z o.o.", "VAT : PL 525", "Zofia Brzęczyszczykiewicz", "November 15, 2026"),
        *("Home 50 Nov 1, 2026 – Nov 30, 2026", "€25.00", "-€2.46", "23% €18.33 €4.21", "0% €1.00 €0.00"),
        *("Total €23.54", "IBAN PL61 1090", "number: 2026-17"),
    ):
        assert words in said, words
    assert "Paid" not in said
    spanish = text_of(invoice_html(paper(), words_for(["es"])))
    for words in ("Factura 2026-17", "1 nov 2026 – 30 nov 2026", "23,54 €", "Vencimiento 15 de noviembre de 2026"):
        assert words in spanish.replace("\xa0", " "), words


def test_a_structured_reference_is_printed_where_banks_take_one() -> None:
    """In euros, for a customer number that one can hold, while there is something to pay."""
    buyer = Buyer("Zofia Nowak", "A1042")
    said = text_of(invoice_html(paper(buyer=buyer), words_for(["en"])))
    assert "structured reference is asked for: RF92 A104 2" in said
    for other in (paper(), paper(buyer=buyer, currency="KES"), paper(buyer=buyer, open_minor=0)):
        assert "structured" not in invoice_html(other, words_for(["en"]))


def test_marks_say_what_became_of_it() -> None:
    """Paid, partly paid, or void: the mark, what paid it, and what is left."""
    part = (Settlement(DAY, "money", "cash", "R-1", 2000), Settlement(DAY, "credit", "credit", "2", 300))
    said = text_of(invoice_html(paper(open_minor=54, settlements=part), words_for(["en"])))
    for words in ("Payment, Nov 1, 2026 ( cash ) -€20.00", "Credit, Nov 1, 2026 -€3.00", "Left to pay €0.54"):
        assert words in said, words
    paid = text_of(invoice_html(paper(open_minor=0), words_for(["en"])))
    void = text_of(invoice_html(paper(open_minor=0, voided_on=DAY), words_for(["es"])))
    assert ("Paid" in paid, "How to pay" in paid) == (True, False)
    assert ("Anulada" in void, "Cómo pagar" in void) == (True, False)


@pytest.mark.parametrize(
    ("currency", "amount"), [("EUR", "€15.00"), ("JPY", "¥1,500"), ("KWD", "KWD\xa01.500"), ("CLF", "CLF\xa00.1500")]
)
def test_money_has_its_own_decimals(currency: str, amount: str) -> None:
    """By ISO 4217, whatever the language is used to."""
    assert amount in invoice_html(paper(Line("x", 1500), currency=currency), words_for(["en"]))


def test_a_receipt_says_what_was_paid() -> None:
    """The invoices, what is kept, what went back; and nothing of it is markup, whoever wrote it."""
    odd = Buyer("محمد <script>alert(1)</script> \u202e", "K-2")
    made = ReceiptPaper("R-4", "EUR", DAY, "<b>bank", SELLER, odd, 10000, (Paid("2026-17", 2500),), 6500, 1000)
    html = receipt_html(made, words_for(["en"]))
    assert "<script" not in html
    assert "<b>" not in html
    for words in ("Invoice 2026-17 €25.00", "Kept for the next invoice €65.00", "Paid back €10.00", "Received €100.00"):
        assert words in text_of(html), words


def test_a_pdf_is_the_same_every_time(caplog: pytest.LogCaptureFixture) -> None:
    """Byte for byte, with letters of other scripts, on as many pages as it needs, and without a complaint."""
    caplog.set_level(logging.WARNING)
    lines = [Line(f"Line {number} " + "x" * number, 1500, 0, 0, DAY, END) for number in range(40)]
    html = invoice_html(paper(*lines, buyer=Buyer("محمد Łódź", "K-2")), words_for(["en"]))
    made = pdf(html)
    assert pdf(html) == made
    text, pages = read(made)
    assert pages in {2, 3}
    for words in ("Line 0", "Line 39", "Łódź", "€600.00", f"1 / {pages}", f"{pages} / {pages}"):
        assert words in text, words
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_nothing_is_fetched() -> None:
    """A page that asks for pictures or files gets none of them, and is made all the same."""
    html = invoice_html(paper(), words_for(["en"]))
    for url in ("file:///etc/passwd", "http://127.0.0.1:1/x.png", "data:text/css,main{display:none}"):
        asking = html.replace("<main>", f'<main><img src="{url}"><link rel="stylesheet" href="{url}">')
        text, _ = read(pdf(asking))
        assert "Home 50" in text
        assert "root:" not in text


def _messages() -> set[str]:
    """All words that the code and the templates say."""
    root = Path(documents.__file__).parent
    found = extract_from_dir(root, method_map=[("**.py", "python")], keywords={"N_": None, "say": None})
    messages = {str(message) for _, _, message, _, _ in found if isinstance(message, str)}
    for file in (root / "templates").glob("*.html"):
        with file.open("rb") as opened:
            for _, message, _, _ in extract("jinja2.ext:babel_extract", opened, keywords={"say": None}):
                messages.add(str(message))
    return messages


@pytest.mark.parametrize("language", [one for one in known_languages() if one != "en"])
def test_catalogues_are_whole(language: str) -> None:
    """Every word is translated, none is left over, and the blanks are the same."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = {str(one.id): str(one.string) for one in read_po(file, locale=language) if one.id}
    wanted = _messages()
    assert set(catalogue) == wanted
    for message, translated in catalogue.items():
        assert translated
        assert blanks_in(translated) == blanks_in(message)


@pytest.mark.parametrize("percent", [80, 100])
@pytest.mark.parametrize("action", TierAction)
def test_our_notices_have_known_blanks_alone(percent: int, action: TierAction) -> None:
    """And are filled without a rest, in every language and for every event; the subject is one line."""
    facts = Facts(
        "Zofia\r\nBcc: all@example.net",
        "K-1",
        "Fale\n\tSp.",
        "",
        "EUR",
        owed_minor=100,
        number="2026-1",
        usage=Usage(percent, 80 * 10**9, 100 * 10**9, DAY, action),
    )
    for language in known_languages():
        words = words_for([language])
        for event in Event:
            template = our_template(words, event, facts)
            assert blanks_in(template.subject) | blanks_in(template.body) <= set(BLANKS[event])
            subject, body = written(words, template, facts)
            assert subject.isprintable()
            assert "{" not in subject + body
            assert "\n\n\n" not in body


def test_what_is_used_is_told_by_what_follows() -> None:
    """What is left as long as something is, then what the limit does; sizes as they are written there."""
    usage = Usage(80, 80_940_000_000, 1_230_000_000_000, date(2026, 12, 1), TierAction.STOP)
    english, spanish = words_for(["en"]), words_for(["es"])
    facts = Facts("Zofia", "K-1", "Fale", "", "EUR", username="zofia", usage=usage)
    subject, body = written(english, our_template(english, Event.USAGE, facts), facts)
    assert subject == "You have used 80% of your data"
    assert "zofia has used 80.9\xa0GB of 1.2\xa0TB; 1.1\xa0TB are left. Counting begins anew on December 1, 2026" in (
        body.replace("GB", "GB").replace(" GB", "\xa0GB").replace(" TB", "\xa0TB")
    )
    used_up = Facts("Zofia", "K-1", "Fale", "", "EUR", username="zofia", usage=usage._replace(percent=100))
    assert "is interrupted from now on. It is back on" in (
        written(english, our_template(english, Event.USAGE, used_up), used_up).body
    )
    assert "80,9" in written(spanish, our_template(spanish, Event.USAGE, used_up), used_up).body
    assert "1 de diciembre de 2026" in written(spanish, our_template(spanish, Event.USAGE, used_up), used_up).body
