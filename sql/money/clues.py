"""What in the truth fits incoming payments: one query a kind of clue, however many payments a file has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from policy.money.incoming import Incoming
from policy.money.matching import CANDIDATES_MOST, Clue, Hit, wanted

_NUMBERS = text("""
SELECT reference AS asked, id AS subscriber_id, reference AS found
FROM subscribers WHERE operator_id = :operator AND reference = ANY(CAST(:asked AS text[]))
""")
_USERNAMES = text("""
SELECT username AS asked, subscriber_id, username AS found
FROM services WHERE operator_id = :operator AND username = ANY(CAST(:asked AS text[]))
""")
_INVOICES = text("""
SELECT invoice.number AS asked, invoice.subscriber_id, invoice.number AS found
FROM unnest(CAST(:years AS integer[]), CAST(:serials AS integer[])) AS asked (year, serial)
JOIN invoices AS invoice
    ON invoice.operator_id = :operator AND invoice.year = asked.year AND invoice.serial = asked.serial
""")
_PHONES = text("""
SELECT phone_end AS asked, id AS subscriber_id, phone AS found
FROM subscribers WHERE operator_id = :operator AND phone_end <> '' AND phone_end = ANY(CAST(:asked AS text[]))
""")
_NAMES = text("""
SELECT search_name AS asked, id AS subscriber_id, name AS found
FROM subscribers WHERE operator_id = :operator AND search_name = ANY(CAST(:asked AS text[]))
""")
_PAYERS = text("""
SELECT DISTINCT payer AS asked, subscriber_id, payer AS found
FROM incoming_payments
WHERE operator_id = :operator AND state = 'booked' AND payer <> '' AND payer = ANY(CAST(:asked AS text[]))
    AND subscriber_id IS NOT NULL
""")
# One more than a person would read: where so many owe the same, the amount tells nothing.
_AMOUNTS = text("""
SELECT asked.minor AS asked, owed.subscriber_id, owed.number AS found
FROM unnest(CAST(:asked AS bigint[])) AS asked (minor)
CROSS JOIN LATERAL (
    SELECT subscriber_id, number FROM invoices
    WHERE operator_id = :operator AND open_minor = asked.minor AND open_minor > 0 ORDER BY due_on, id LIMIT :most
) AS owed
""")
_OWED = text("""
SELECT subscriber_id, number, open_minor FROM invoices
WHERE operator_id = :operator AND subscriber_id = ANY(CAST(:asked AS bigint[])) AND open_minor > 0
""")

_SERIAL_MAXIMUM = 2**31 - 1


def clues(session: Session, operator_id: int, payments: Sequence[Incoming]) -> list[list[Hit]]:
    """For each payment what may say whose it is; `policy.money.matching` judges it."""
    asked = [wanted(one) for one in payments]
    words = {word for one in asked for word in one.words}
    keys = sorted({key for one in asked for key in one.invoices if key[1] <= _SERIAL_MAXIMUM})
    found: dict[Clue, dict[Any, list[Hit]]] = {
        Clue.NUMBER: _look(session, _NUMBERS, Clue.NUMBER, operator_id, words),
        Clue.USERNAME: _look(session, _USERNAMES, Clue.USERNAME, operator_id, words),
        Clue.PHONE: _look(session, _PHONES, Clue.PHONE, operator_id, {end for one in asked for end in one.phone_ends}),
        Clue.NAME: _look(session, _NAMES, Clue.NAME, operator_id, {name for one in asked for name in one.names}),
        Clue.PAYER: _look(session, _PAYERS, Clue.PAYER, operator_id, {one.payer for one in payments if one.payer}),
    }
    values = {"operator": operator_id, "years": [year for year, _ in keys], "serials": [serial for _, serial in keys]}
    found[Clue.INVOICE] = _by_asked(session, _INVOICES, Clue.INVOICE, values) if keys else {}
    hits = []
    for one, words_of in zip(payments, asked, strict=True):
        mine: list[Hit] = []
        for word in words_of.words:
            mine += found[Clue.NUMBER].get(word, [])
            mine += found[Clue.USERNAME].get(word, [])
        for year, serial in words_of.invoices:
            mine += found[Clue.INVOICE].get(f"{year}-{serial}", [])
        for end in words_of.phone_ends:
            mine += found[Clue.PHONE].get(end, [])
        for name in words_of.names:
            mine += found[Clue.NAME].get(name, [])
        mine += found[Clue.PAYER].get(one.payer, [])
        hits.append(mine)
    return _with_amounts(session, operator_id, payments, hits)


def _with_amounts(
    session: Session, operator_id: int, payments: Sequence[Incoming], hits: list[list[Hit]]
) -> list[list[Hit]]:
    """The hits, and who owes exactly what was paid: those found by other clues, and a few others."""
    known = sorted({hit.subscriber_id for mine in hits for hit in mine})
    owed: dict[int, list[tuple[str, int]]] = {}
    if known:
        for row in session.execute(_OWED, {"operator": operator_id, "asked": known}):
            owed.setdefault(row.subscriber_id, []).append((row.number, row.open_minor))
    amounts = sorted({one.amount_minor for one in payments})
    values = {"operator": operator_id, "asked": amounts, "most": CANDIDATES_MOST + 1}
    anybody = _by_asked(session, _AMOUNTS, Clue.AMOUNT, values)
    result = []
    for one, mine in zip(payments, hits, strict=True):
        others = anybody.get(one.amount_minor, [])
        exact = others if len(others) <= CANDIDATES_MOST else []
        for subscriber_id in {hit.subscriber_id for hit in mine}:
            exact = exact + _exact(subscriber_id, one.amount_minor, owed.get(subscriber_id, []))
        result.append(mine + exact)
    return result


def _exact(subscriber_id: int, amount_minor: int, owed: Sequence[tuple[str, int]]) -> list[Hit]:
    numbers = [number for number, open_minor in owed if open_minor == amount_minor]
    if not numbers and owed and sum(open_minor for _, open_minor in owed) == amount_minor:
        numbers = [owed[0][0]]
    return [Hit(subscriber_id, Clue.AMOUNT, number) for number in numbers[:1]]


def _look(
    session: Session, statement: TextClause, clue: Clue, operator_id: int, asked: Iterable[str]
) -> dict[Any, list[Hit]]:
    wanted_values = sorted(one for one in asked if "\0" not in one)
    if not wanted_values:
        return {}
    return _by_asked(session, statement, clue, {"operator": operator_id, "asked": wanted_values})


def _by_asked(session: Session, statement: TextClause, clue: Clue, values: Mapping[str, Any]) -> dict[Any, list[Hit]]:
    found: dict[Any, list[Hit]] = {}
    for row in session.execute(statement, values):
        found.setdefault(row.asked, []).append(Hit(row.subscriber_id, clue, row.found))
    return found
