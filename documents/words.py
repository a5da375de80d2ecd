"""Languages: our words from gettext catalogues, and dates and money as they are written there.

English is the language of the source. Another one is a file in `catalogues/`, read as it is: nothing is compiled.
"""

from __future__ import annotations

import gettext
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_percent, get_currency_symbol
from babel.units import format_unit

from policy.money.currency import digits

CATALOGUES = Path(__file__).parent / "catalogues"
SOURCE_LANGUAGE = "en"
# By CLDR's names, the largest first.
_SIZES = (("digital-terabyte", 10**12), ("digital-gigabyte", 10**9), ("digital-megabyte", 10**6))


class Words:
    """One language. `say` and `count` translate, the others write values as that language does."""

    def __init__(self, language: str, translations: gettext.NullTranslations) -> None:
        """Use `words_for`, which keeps what it has read."""
        self.language = language
        self.locale = Locale.parse(language)
        self.say = translations.gettext
        self.count = translations.ngettext

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, as HTML says it."""
        return self.locale.text_direction

    def money(self, minor: int, currency: str) -> str:
        """An amount of minor units with its currency, by ISO 4217's decimals."""
        places = digits(currency)
        amount = Decimal(minor).scaleb(-places)
        pattern = _with_places(self.locale.currency_formats["standard"].pattern, places)
        if get_currency_symbol(currency, locale=self.locale)[-1:].isalpha():
            pattern = pattern.replace("¤#", "¤\u00a0#")  # letters keep a distance from digits (CLDR, currencySpacing)
        return format_currency(amount, currency, pattern, locale=self.locale, currency_digits=False)

    def day(self, day: date) -> str:
        """A day in full, such as November 22, 2026."""
        return format_date(day, "long", locale=self.locale)

    def short_day(self, day: date) -> str:
        """A day that takes little room, with its month in letters."""
        return format_date(day, "medium", locale=self.locale)

    def percent(self, basis_points: int) -> str:
        """A share in basis points, such as 23% or 7.5%."""
        return format_percent(Decimal(basis_points).scaleb(-4), "#,##0.##%", locale=self.locale)

    def size(self, size_bytes: int) -> str:
        """An amount of bytes by thousands, such as 12.3 GB."""
        unit = next((one for one in _SIZES if size_bytes >= one[1]), _SIZES[-1])
        number = (Decimal(size_bytes) / unit[1]).quantize(Decimal("0.1"), ROUND_HALF_UP)
        return format_unit(number, unit[0], "short", "#,##0.#", locale=self.locale)


def words_for(languages: Sequence[str]) -> Words:
    """The first of these languages that we have words in; English where there is none."""
    return _words(next((one for one in languages if one in known_languages()), SOURCE_LANGUAGE))


@cache
def known_languages() -> tuple[str, ...]:
    """The languages that there are words in."""
    return (SOURCE_LANGUAGE, *sorted(file.stem for file in CATALOGUES.glob("*.po")))


@cache
def _words(language: str) -> Words:
    if language == SOURCE_LANGUAGE:
        return Words(language, gettext.NullTranslations())
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Words(language, gettext.GNUTranslations(compiled))


def _with_places(pattern: str, places: int) -> str:
    """A currency's number pattern with exactly so many decimals, whatever the locale thinks of the currency."""
    return pattern.replace(".00", "." + "0" * places if places else "")
