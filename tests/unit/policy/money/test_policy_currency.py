"""Amounts: exact in every currency, and one clear answer for whatever else somebody writes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from policy.money.currency import DIGITS, AmountError, decimal_mark, digits, is_known, money, read_amount, written

codes = st.sampled_from(sorted(DIGITS))
amounts = st.integers(1, AMOUNT_MAXIMUM_MINOR)


def test_the_table_is_iso_4217() -> None:
    """Each code once, three letters, with the four lengths of minor units that there are."""
    assert all(re.fullmatch("[A-Z]{3}", code) for code in DIGITS)
    assert {digits(code) for code in ("JPY", "EUR", "KWD", "CLF")} == {0, 2, 3, 4}
    assert len(DIGITS) == 164
    for none in ("XXX", "XAU", "BGN", "HRK", "eur", "EURO", "", "E R"):
        assert not is_known(none)


@given(codes, amounts)
def test_what_is_written_is_read_again(code: str, minor: int) -> None:
    """In each currency, to the last minor unit, with its sign."""
    assert read_amount(written(minor, code), code) == minor
    assert read_amount(written(-minor, code), code, signed=True) == -minor
    assert money(minor, code) == f"{written(minor, code)} {code}"


@given(codes, amounts, st.sampled_from([(".", ","), (".", "'"), (",", "."), (",", "\u202f"), (",", " ")]))
def test_grouped_digits_are_read_where_the_mark_is_known(code: str, minor: int, style: tuple[str, str]) -> None:
    """Thousands by comma, point, blank or apostrophe; the same number of minor units."""
    mark, group = style
    whole, _, fraction = written(minor, code).partition(".")
    grouped = re.sub(r"(?<=[0-9])(?=(?:[0-9]{3})+$)", group, whole) + (mark + fraction if fraction else "")
    assert read_amount(grouped, code, mark) == minor  # type: ignore[arg-type] # one of the two
    assert decimal_mark([grouped]) in (mark, None)


@given(st.text(max_size=20), codes, st.sampled_from([None, ".", ","]), st.booleans())
def test_any_text_is_an_amount_or_one_clause(text: str, code: str, mark: str | None, signed: bool) -> None:
    """Nothing else is ever raised, and what is read is within bounds."""
    answer = _answer(text, code, mark, signed=signed)
    if isinstance(answer, str):
        assert answer.rstrip(".") == answer != ""
    else:
        assert abs(answer) <= AMOUNT_MAXIMUM_MINOR
        assert signed or answer > 0


def test_leading_zeros_mean_nothing() -> None:
    """However many: what is left of them is read, or is nothing."""
    assert read_amount("0" * 6000 + "1.5", "EUR") == 150
    with pytest.raises(AmountError, match="is nothing"):
        read_amount("0" * 6000, "JPY")


def _answer(text: str, code: str, mark: str | None, *, signed: bool) -> int | str:
    try:
        return read_amount(text, code, mark, signed=signed)  # type: ignore[arg-type] # one of the three
    except AmountError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "mark", "says"),
    [
        ("", None, "there is no amount"),
        (" \t", ".", "there is no amount"),
        ("0", None, "is nothing"),
        ("0.00", None, "is nothing"),
        ("-0", None, "is nothing"),
        ("-5", None, "is negative"),
        ("5.00-", None, "is negative"),
        ("NaN", None, "is not an amount of EUR"),
        ("inf", None, "is not an amount of EUR"),
        ("1e9", None, "is not an amount of EUR"),
        ("12.50 EUR", None, "is not an amount of EUR"),
        ("+-1", None, "is not an amount of EUR"),
        ("٣٠", None, "digits 0 to 9"),
        ("１２", None, "digits 0 to 9"),
        ("9" * 40, None, "larger than any"),
        ("10000000000000.01", None, "larger than any"),
        ("1.005", None, "more decimals than EUR"),
        ("1,50", None, "two ways"),
        ("1,234.56", None, "two ways"),
        ("1.234,56", None, "two ways"),
        ("1 234", None, "two ways"),
        ("1.234,56", ".", "is not an amount"),
        ("1,50", ".", "is not an amount"),
        ("12,34,567.00", ".", "is not an amount"),
        (".5", None, "is not an amount"),
        ("5.", None, "two ways"),
    ],
)
def test_what_is_no_amount_says_why(text: str, mark: str | None, says: str) -> None:
    """Negative, zero, huge, not a number, other digits, blanks, too many decimals, two readings."""
    with pytest.raises(AmountError, match=says):
        read_amount(text, "EUR", mark)  # type: ignore[arg-type] # one of the three


@pytest.mark.parametrize(
    ("column", "mark"),
    [
        (["12.50", "7"], "."),
        (["12,50", "1.234,00"], ","),
        (["1.234", "1,234"], None),
        (["1.234", "12,5"], ","),
        (["1,234,567", "5"], "."),
        (["12.50", "12,50"], None),
        (["-5,00", "5,00-"], ","),
        (["1.234 KWD", "1.234 €"], None),
        (["1.23 €"], "."),
        ([], None),
    ],
)
def test_a_column_tells_its_decimal_mark(column: list[str], mark: str | None) -> None:
    """Where its amounts tell, and all tell the same."""
    assert decimal_mark(column) == mark
