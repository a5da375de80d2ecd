"""How values become words in a sentence: names on one line, money, ages, local times, commands that can be typed."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

from policy.money import currency as currencies
from policy.windows import zone

# A name may have 1,024 bytes; a sentence that holds one stays readable.
LETTERS_MOST = 80
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
# Below two of a unit the next smaller one says more: 30 hours, not 1 day.
_ENOUGH = 2


def escaped(text: str) -> str:
    """The text on one line: every letter that is not printable is written as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def short(text: str, most: int = LETTERS_MOST) -> str:
    """A name or other foreign text within a sentence: on one line, and cut where it is long."""
    line = escaped(text[: most + 1])
    return line if len(line) <= most else line[: most - 3] + "..."


def clause(text: str) -> str:
    """The first sentence of a text without its full stop, to stand within another sentence."""
    first = " ".join(escaped(text).split()).partition(". ")[0].rstrip(".!? ")
    return short(first, 3 * LETTERS_MOST).rstrip(". ")


def sentence(text: str) -> str:
    """The text as a sentence of its own: on one line, with a full stop. A name at its beginning stays as it is."""
    line = escaped(text).strip()
    return line if line.endswith((".", "!", "?")) else line + "."


def money(minor: int, currency: str) -> str:
    """An amount in minor units, such as 30.00 EUR."""
    return currencies.money(minor, currency)


def megabytes(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"


def span(length: timedelta) -> str:
    """A length of time in its largest unit that says enough, such as 21 days; nothing is shorter than 0 seconds."""
    seconds = max(0, int(length.total_seconds()))
    for size, name in _UNITS:
        if seconds >= _ENOUGH * size or size == 1:
            count = seconds // size
            return f"{count} {name}" + ("" if count == 1 else "s")
    return "0 seconds"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th ..."""
    last = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def day(moment: datetime, time_zone: str) -> str:
    """The local date."""
    return moment.astimezone(zone(time_zone)).strftime("%Y-%m-%d")


def minute(moment: datetime, time_zone: str) -> str:
    """The local date and time to the minute."""
    return moment.astimezone(zone(time_zone)).strftime("%Y-%m-%d %H:%M")


def hold(kind: str, until: datetime | None, time_zone: str, *, amount: str = "", invoice: str = "") -> str:
    """What somebody granted, to follow the name: by kind, with the amount that is promised or the disputed invoice."""
    before = "at all" if until is None else f"before {minute(until, time_zone)}"
    told = {
        "promise": f"took a promise to pay{' ' if amount else ''}{amount} and not to suspend {before}",
        "dispute": f"let invoice {short(invoice)} not count {before}, since it is disputed",
        "reminders_only": f"promised to remind but not to suspend {before}",
        "vip": f"promised neither to remind nor to suspend {before}",
    }
    return told.get(kind, f"promised not to suspend {before}")


def command(words: str, argument: str = "", options: str = "") -> str:
    """A command of ispagents as it can be typed into a shell, whatever the argument holds."""
    parts = ["ispagents", words]
    if argument.startswith("-"):
        parts += [options, "--", shell_word(argument)]
    elif argument:
        parts += [shell_word(argument), options]
    else:
        parts.append(options)
    return " ".join(part for part in parts if part)


def shell_word(text: str) -> str:
    """A word for a shell on one line; letters that cannot be printed are written as bash and zsh read them: $'\\n'."""
    if text.isprintable():
        return shlex.quote(text)
    letters = [_shell_letter(one) for one in text]
    return "$'" + "".join(letters) + "'"


def _shell_letter(letter: str) -> str:
    if letter in "\\'":
        return "\\" + letter
    if letter.isprintable():
        return letter
    # By bytes: \x1b and what follows it would be read as one number by some shells, three octal digits never are.
    return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogatepass"))
