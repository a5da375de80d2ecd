"""A bank statement's rows, read one by one: a payment, money that went out, or why the row cannot be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from hashlib import sha256
from typing import Final, NamedTuple

from policy.errors import PolicyError
from policy.money.csv_table import WESTERN, Columns, Row, Table, TableError, find_columns
from policy.money.currency import AmountError, Mark, decimal_mark, is_known, read_amount
from policy.money.incoming import Incoming
from policy.windows import zone

# Headers of banks in English, German, Spanish, Polish, French, Italian and Portuguese; the first that is there counts.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "date": (
        *("date", "booking date", "transaction date", "value date", "posting date", "completed date"),
        *("Buchungstag", "Buchungsdatum", "Datum", "Valuta", "Wertstellung"),
        *("fecha", "fecha operación", "fecha contable", "fecha valor"),
        *("data", "data operacji", "data księgowania", "data transakcji", "data waluty"),
        *("date opération", "date de l'opération", "date comptable", "data contabile", "data operazione"),
    ),
    "amount": (
        *("amount", "paid in", "credit", "money in", "transaction amount"),
        *("Betrag", "Umsatz", "Betrag EUR", "importe", "monto", "abono", "kwota", "kwota operacji", "kwota transakcji"),
        *("montant", "importo", "valor", "quantia"),
    ),
    "reference": (
        *("reference", "payment reference", "description", "details", "purpose", "remittance information", "memo"),
        *("message", "narrative", "Verwendungszweck", "Buchungstext", "concepto", "referencia", "descripción"),
        *(
            "tytuł",
            "tytuł operacji",
            "opis",
            "opis operacji",
            "libellé",
            "motif",
            "causale",
            "descrizione",
            "descrição",
        ),
    ),
    "payer": (
        *("payer", "payer name", "sender", "debtor", "counterparty", "counterparty name", "from", "name"),
        *("Auftraggeber", "Zahlungspflichtiger", "Begünstigter Zahlungspflichtiger", "Name Zahlungsbeteiligter"),
        *("ordenante", "remitente", "nadawca", "kontrahent", "nadawca odbiorca", "donneur d'ordre", "ordinante"),
    ),
    "account": (
        *("iban", "account", "payer account", "sender account", "counterparty account", "debtor account"),
        *("Kontonummer", "IBAN Zahlungsbeteiligter", "cuenta", "rachunek", "numer rachunku", "compte", "conto"),
    ),
    "id": (
        *("id", "transaction id", "transaction number", "bank reference", "entry reference"),
        *("Transaktionsnummer", "número de operación", "id transacción", "identyfikator", "numer operacji"),
        *("numer transakcji", "numéro d'opération"),
    ),
    "currency": ("currency", "Währung", "moneda", "divisa", "waluta", "devise", "valuta conto", "moeda"),
    "phone": ("phone", "mobile", "msisdn", "Telefon", "teléfono", "numer telefonu", "téléphone", "telefono"),
    "username": ("username", "user name", "login", "Benutzername", "usuario", "użytkownik", "utilisateur"),
}
# How banks write a currency beside its amounts. The operator's own alone is read, so $ is whichever dollar that is.
SIGNS: Final = {
    "EUR": "€",
    "GBP": "£",
    "PLN": "zł",
    "CZK": "Kč",
    "BRL": "R$",
    "JPY": "¥",
    "INR": "₹",
    "TRY": "₺",
    "UAH": "₴",
    **dict.fromkeys(("USD", "CAD", "AUD", "NZD", "MXN", "ARS", "CLP", "COP", "UYU"), "$"),
}
NEEDED: Final = (("date",), ("amount",))
# Where these are the money, banks that write no Unicode write Central European Windows.
_CENTRAL_EUROPEAN: Final = frozenset({"PLN", "CZK", "HUF", "RON", "RSD", "BAM", "ALL"})
_CLOCK: Final = re.compile(r"[ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?$")
_SAME_EVERYWHERE: Final = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y", "%Y.%m.%d")
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y", "%m/%d/%Y"


@dataclass(frozen=True, slots=True)
class Terms:
    """How to read a file. `columns` are headers of this file by our names; None for mark and format means: look.

    `currency` and `time_zone` are the operator's; `method` is how the money came. Without an `encoding` it is Unicode,
    or what is usual where the currency is.
    """

    currency: str
    time_zone: str
    columns: Mapping[str, str] = field(default_factory=dict)
    mark: Mark | None = None
    date_format: str = ""
    method: str = "bank"
    encoding: str = ""


def usual_encoding(currency: str) -> str:
    """What a statement without Unicode is written in where this is the money."""
    return "cp1250" if currency in _CENTRAL_EUROPEAN else WESTERN


class Read(NamedTuple):
    """What a row says: a payment, or why there is nothing to book (`skipped`), or what is wrong with it (`problem`)."""

    row: Row
    payment: Incoming | None = None
    skipped: str = ""
    problem: str = ""


class Statement(NamedTuple):
    """A file that was read: its header, and each row."""

    header: Row
    rows: tuple[Read, ...]


def read_statement(table: Table, terms: Terms) -> Statement:
    """Read every row; one that is wrong stops none of the others. Raises TableError where there is no such table."""
    columns = find_columns(table, COLUMNS, NEEDED, terms.columns)
    if terms.date_format and "%" not in terms.date_format:
        raise TableError(f"{terms.date_format!r} is no format of dates; write it like %d.%m.%Y")
    mark = terms.mark or decimal_mark(columns.text(row, "amount") for row in columns.data)
    formats = [terms.date_format] if terms.date_format else _formats(columns)
    return Statement(
        columns.header, tuple(_numbered([_read(columns, row, terms, mark, formats) for row in columns.data]))
    )


def _read(columns: Columns, row: Row, terms: Terms, mark: Mark | None, formats: Sequence[str]) -> Read:
    if columns.is_cut_off(row):
        return Read(row, problem=f"It has {len(row.fields)} of {len(columns.header.fields)} fields; it may be cut off.")
    try:
        currency = _currency(columns.text(row, "currency"), terms)
        day = _day(columns.text(row, "date"), formats)
        minor = _amount(columns.text(row, "amount"), currency, mark)
    except (AmountError, PolicyError) as error:
        return Read(row, problem=f"{str(error)[:1].upper()}{str(error)[1:]}.")
    if minor < 0:
        return Read(row, skipped="Money that went out; book refunds with `ispagents payment refund`.")
    if minor == 0:
        return Read(row, problem="The amount is nothing; a payment is more than zero.")
    name, account = columns.text(row, "payer"), columns.text(row, "account")
    payment = Incoming(
        columns.text(row, "id"),
        minor,
        currency,
        datetime.combine(day, time(), zone(terms.time_zone)),
        terms.method,
        reference=" ".join(columns.text(row, "reference").split()),
        payer=" ".join(f"{name} ({account})".split()) if name and account else name or account,
        phone=columns.text(row, "phone"),
        username=columns.text(row, "username"),
    )
    return Read(row, payment)


def _numbered(rows: Sequence[Read]) -> Iterator[Read]:
    """The rows with an id each: the bank's own, or one of what the row says and how often it was said before.

    Statements that overlap say the same of the same payments, so these count once; two equal ones of a day stay two.
    """
    seen: Counter[str] = Counter()
    named: dict[str, Read] = {}
    for one in rows:
        if one.payment is None:
            yield one
            continue
        paid = one.payment
        if paid.external_id:
            yield _once(one, paid, named.setdefault(paid.external_id, one))
            continue
        said = (
            paid.occurred_at.date(),
            paid.amount_minor,
            paid.currency,
            paid.reference,
            paid.payer,
            paid.phone,
            paid.username,
        )
        digest = sha256("\x1f".join(str(part) for part in said).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        seen[digest] += 1
        yield one._replace(payment=_with_id(paid, f"row-{digest}-{seen[digest]}"))


def _once(one: Read, paid: Incoming, first: Read) -> Read:
    """A row whose id an earlier row has: the same payment once more, or a mistake of the file."""
    if first is one:
        return one
    if first.payment == paid:
        return Read(one.row, skipped=f"Line {first.row.line} says the same of the payment {paid.external_id[:60]!r}.")
    said = f"Line {first.row.line} says otherwise of the payment {paid.external_id[:60]!r}"
    return Read(one.row, problem=f"{said}; each payment has an id of its own.")


def _with_id(paid: Incoming, external_id: str) -> Incoming:
    return Incoming(
        external_id,
        paid.amount_minor,
        paid.currency,
        paid.occurred_at,
        paid.method,
        reference=paid.reference,
        payer=paid.payer,
        phone=paid.phone,
        username=paid.username,
    )


def _currency(text: str, terms: Terms) -> str:
    currency = text.upper() or terms.currency
    if not is_known(currency):
        raise PolicyError(f"{currency[:20]!r} is no currency of ISO 4217")
    if currency != terms.currency:
        raise PolicyError(f"it is in {currency}, and only {terms.currency} is booked here")
    return currency


def _amount(text: str, currency: str, mark: Mark | None) -> int:
    # Banks write the currency beside the number.
    bare = text
    for sign in (currency, SIGNS.get(currency, currency)):
        bare = bare.removesuffix(sign).removeprefix(sign).strip()
    if mark is None and ("." in bare or "," in bare):
        raise AmountError(f"{text[:40]!r} can be read in two ways; say --decimal-comma or --decimal-point")
    return read_amount(bare, currency, mark, signed=True)


def _formats(columns: Columns) -> list[str]:
    """How the dates of this file are written. With slashes, a day above 12 tells which of the two comes first."""
    slashed = [text.split("/") for row in columns.data if (text := _bare(columns.text(row, "date"))).count("/") == 2]
    first = any(one[0].isdigit() and 12 < int(one[0][:4]) <= 31 for one in slashed)
    second = any(one[1].isdigit() and 12 < int(one[1][:4]) <= 31 for one in slashed)
    if first != second:
        return [*_SAME_EVERYWHERE, _DAY_FIRST if first else _MONTH_FIRST]
    return list(_SAME_EVERYWHERE)


def _bare(text: str) -> str:
    return _CLOCK.sub("", text)


def _day(text: str, formats: Sequence[str]) -> date:
    if not text:
        raise PolicyError("there is no date")
    if not text.isascii():
        raise PolicyError(f"{text[:40]!r} is not a date such as 2026-11-22")
    for one in formats:
        try:
            return datetime.strptime(_bare(text) if "%H" not in one else text, one).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    if len(formats) == 1:
        raise PolicyError(f"{text[:40]!r} is not written as {formats[0][:40]!r}, which --date-format says")
    hint = "; say which comes first with --date-format %d/%m/%Y or %m/%d/%Y" if text.count("/") == 2 else ""
    raise PolicyError(f"{text[:40]!r} is not a date such as 2026-11-22{hint}")
