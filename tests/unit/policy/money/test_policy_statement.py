"""Bank statements: whatever a bank writes them in, each row is a payment, skipped, or says what is wrong with it."""

import codecs
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.money.csv_table import SIZE_MAXIMUM_BYTES, TableError, read_table
from policy.money.statement import Read, Terms, read_statement, usual_encoding

TERMS = Terms("EUR", "Europe/Warsaw")
ENGLISH = "Date,Amount,Reference,Payer,Account,Transaction ID\n2026-11-20,15.00,K-1042,Anna Nowak,PL61 1090,T-1\n"
GERMAN = (
    "Kontoauszug;;;\nInhaber: Wave;;;\n\nBuchungstag;Verwendungszweck;Auftraggeber;Betrag\n"
    '20.11.26;"K-1042; Müller";Zürich Ölbaum;"1.234,50"\n21.11.26;Strom;Stadtwerke;-80,00\n'
)
POLISH = "data operacji\ttytuł operacji\tnadawca/odbiorca\tkwota\n2026-11-20\tłącze K-1042\tŻaneta Łoś\t1 234,50 EUR\n"


def _read(text: str | bytes, terms: Terms = TERMS) -> tuple[Read, ...]:
    return read_statement(read_table(text if isinstance(text, bytes) else text.encode()), terms).rows


@pytest.mark.parametrize(
    "data",
    [
        ENGLISH.encode(),
        codecs.BOM_UTF8 + ENGLISH.replace(",", ";").encode(),
        ENGLISH.replace(",", "|").encode("utf-16"),
        ENGLISH.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-le"),
        ENGLISH.encode("utf-16-be"),
        b"sep=;\n" + ENGLISH.replace(",", ";").encode("cp1252"),
    ],
)
def test_encodings_and_separators_are_found_out(data: bytes) -> None:
    """UTF-8 and UTF-16 with and without their marks, Windows-1252; comma, semicolon, tab and bar."""
    (row,) = _read(data)
    paid = row.payment
    assert paid is not None, row
    assert (paid.external_id, paid.amount_minor, paid.reference, paid.payer) == (
        *("T-1", 1500, "K-1042"),
        "Anna Nowak (PL61 1090)",
    )
    assert paid.occurred_at.date() == date(2026, 11, 20)


@pytest.mark.parametrize("data", [GERMAN.encode("cp1252"), GERMAN.encode(), POLISH.encode(), POLISH.encode("utf-16")])
def test_banks_of_other_countries_are_read(data: bytes) -> None:
    """Lines above the header, decimal commas, grouped digits, dates with points; what went out is skipped."""
    paid, *rest = _read(data)
    assert paid.payment is not None, paid
    assert (paid.payment.amount_minor, paid.payment.occurred_at.date()) == (123450, date(2026, 11, 20))
    assert "K-1042" in paid.payment.reference
    assert all("went out" in one.skipped for one in rest)


def test_a_country_or_a_person_says_what_is_written_without_unicode() -> None:
    """Polish letters of Windows-1250 are none of Windows-1252; the currency tells, or --encoding; nonsense is named."""
    data = POLISH.encode("cp1250")
    for table in (read_table(data, usual=usual_encoding("PLN")), read_table(data, "cp1250")):
        (row,) = read_statement(table, TERMS).rows
        assert row.payment is not None
        assert row.payment.payer == "Żaneta Łoś"
    assert usual_encoding("EUR") == "cp1252"
    with pytest.raises(TableError, match="no text in utf-8; save it"):
        read_table(data, "utf-8")
    with pytest.raises(TableError, match="'ebcdic' is no encoding"):
        read_table(data, "ebcdic")


def test_a_row_that_was_cut_off_is_no_payment() -> None:
    """A file that ends in the middle of a row: 5,0 may have been 5,00 or 5,03; what is not read may be missing."""
    head = "Date;Amount;Reference;Note\n2026-11-20;15,00;K-1\n2026-11-20;7,00;K-1;x\n2026-11-21;7,00;K-1;x\n"
    *whole, cut = _read(head + "2026-11-20;5,0")
    assert all(one.payment is not None for one in whole)
    assert cut.problem == "It has 2 of 4 fields; it may be cut off."


def test_bad_rows_say_why_and_stop_nobody() -> None:
    """Each with its line and a sentence; the good one is read."""
    rows = _read(
        "date,amount,currency,reference\n2026-11-20,abc,,x\n2026-13-40,5.00,,x\n,5.00,,x\n2026-11-20,0,,x\n"
        "2026-11-20,5.00,USD,x\n2026-11-20,5.00,??,x\n2026-11-20,,,x\n2026-11-20\n２０２６-11-20,5.00,,x\n"
        "2026-11-20,5.00,eur,good\n"
    )
    said = [
        "not an amount",
        "not a date",
        "no date",
        "is nothing",
        "in USD",
        "no currency",
        "no amount",
        "has 1 of 4 fields",
        "not a date",
    ]
    assert all(words in row.problem for row, words in zip(rows, said, strict=False)), [row.problem for row in rows]
    assert all(row.problem.endswith(".") for row in rows[:-1])
    assert rows[-1].payment is not None
    assert [row.row.line for row in rows] == list(range(2, 12))


def test_what_can_be_read_in_two_ways_is_asked() -> None:
    """Amounts and dates that nothing in the file decides; an option does."""
    text = "date;amount\n03/04/2026;1.234\n"
    (row,) = _read(text)
    assert "--date-format" in row.problem
    (row,) = _read(text, Terms("EUR", "UTC", date_format="%d/%m/%Y"))
    assert "--decimal-comma" in row.problem
    (row,) = _read(text, Terms("EUR", "UTC", date_format="%d/%m/%Y", mark=","))
    assert row.payment is not None
    assert (row.payment.amount_minor, row.payment.occurred_at.date()) == (123400, date(2026, 4, 3))
    (one, other) = _read("date,amount\n03/04/2026,5.00\n03/25/2026,5.00\n")
    assert one.payment is not None
    assert (one.payment.occurred_at.month, other.problem) == (3, "")


def test_columns_may_be_named() -> None:
    """What this bank calls them, instead of what others do; a name that is not there is told."""
    text = "When,How much,amount\n2026-11-20,7.00,1.00\n"
    (row,) = _read(text, Terms("EUR", "UTC", columns={"date": "when", "amount": "HOW MUCH"}))
    assert row.payment is not None
    assert row.payment.amount_minor == 700
    with pytest.raises(TableError, match="payer 'Who'"):
        _read(text, Terms("EUR", "UTC", columns={"payer": "Who"}))
    with pytest.raises(TableError, match="date"):
        _read("a,b\n1,2\n")


def test_a_payment_that_the_file_has_twice_is_one() -> None:
    """By the bank's own id: told alike it is skipped, told otherwise it is a mistake, and the first one is named."""
    first, same, other = _read(
        "date,amount,id\n2026-11-20,5.00,T-1\n2026-11-20,5.00,T-1\n2026-11-20,6.00,T-1\n",
    )
    assert first.payment is not None
    assert "Line 2 says the same" in same.skipped
    assert "Line 2 says otherwise" in other.problem


@pytest.mark.parametrize("amount", ["1.234,56 €", "€ 1.234,56", "1.234,56 EUR", "1 234,56"])
def test_the_currency_beside_an_amount_is_no_digit(amount: str) -> None:
    """By its code or its sign, before or behind; another currency's sign is none."""
    (row, other) = _read(f"date;amount\n2026-11-20;{amount}\n2026-11-20;£ 5,00\n")
    assert row.payment is not None, row
    assert row.payment.amount_minor == 123456
    assert "not an amount of EUR" in other.problem


def test_a_date_that_is_not_written_as_said_tells_how_it_was_said() -> None:
    """The format is what is wrong, or the date."""
    (row,) = _read("date,amount\n2026-11-20,5.00\n", Terms("EUR", "UTC", date_format="%d.%m.%Y"))
    assert "'%d.%m.%Y', which --date-format says" in row.problem


LINES = [
    "2026-11-20,15.00,rent,Anna",
    "2026-11-20,15.00,rent,Anna",
    "2026-11-21,15.00,rent,Anna",
    "2026-11-22,9.00,x,Adam",
]


def test_overlapping_statements_name_the_same_payments_alike() -> None:
    """Without ids of the bank's own: equal rows of a day are counted, the same way in every file."""
    header = "date,amount,reference,payer\n"
    ids = [one.payment.external_id for one in _read(header + "\n".join(LINES)) if one.payment]
    assert len(set(ids)) == 4
    later = _read((header + "\n".join(LINES[:3])).replace(",", ";").replace("15.00", "15,00").encode("utf-16"))
    assert [one.payment.external_id for one in later if one.payment] == ids[:3]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"\x81\x8d\xff,\n", "no text"),
        (b"date,amount\n1,\0\n", "no text"),
        (b'date,amount\n"2026,5\n', "quotation"),
        (b'date,amount,reference\n2026-11-20,5.00,"x\n', "line 2"),
        (b"x" * (SIZE_MAXIMUM_BYTES + 1), "larger"),
        (b"a\n" * 100_002, "more than 100000 rows"),
        (b"a," + b"x" * 200_000, "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, says: str) -> None:
    """Nothing in it, no text, a quotation without end, too much of it."""
    with pytest.raises(TableError, match=says):
        read_table(data)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: ("date,amount\n" + text).encode())))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """One kind of error, and every row is exactly one of payment, skipped and problem."""
    try:
        rows = _read(data)
    except TableError:
        return
    assert all(sum((row.payment is not None, bool(row.skipped), bool(row.problem))) == 1 for row in rows)
