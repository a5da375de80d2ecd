"""Whatever of the sealed audit is altered afterwards is found and named."""

# ruff: noqa: S608 - the statements are made of constants

import random

import pytest
from audited import (
    SEED,
    TAMPERED,
    anchors,
    finding,
    happen,
    held,
    of_many_batches,
    rows,
    sealed,
    tampering,
    verified,
    whole,
)
from fixtures_database import Database, Isp

from policy.audit_chain import genesis
from sql.audit_check import Verdict, verify


@pytest.fixture
def isp(database: Database, monkeypatch: pytest.MonkeyPatch) -> Isp:
    """An operator whose few events are many batches and pages."""
    return of_many_batches(database, monkeypatch)


@pytest.mark.parametrize("column", TAMPERED)
def test_one_altered_column_of_one_event_is_found(isp: Isp, column: str) -> None:
    """Seeded: any column of any row; the first altered event is named by number and id."""
    dice = random.Random(f"{SEED} {column}")
    isp.database.isp()
    happen(isp, 5, transactions=3)
    sealed(isp)
    number = dice.randrange(1, 17)
    event_id = rows(isp, f"SELECT event_id FROM audit_seals WHERE operator_id = %s AND number = {number}")[0][0]
    values = {
        "id": "id + 1000",
        "operator_id": "operator_id + 1",
        "at": f"at + interval '{dice.choice([-1, 1])} microseconds'",
        "actor": f"actor || '{dice.choice([' ', '.', 'x'])}'",
        "event": "event || 'x'",
        "service_id": "coalesce(service_id, 0) + 1",
        "subscriber_id": "coalesce(subscriber_id, 0) + 1",
        "data": dice.choice(["data || '{\"x\": null}'", "data - 'place' || '{\"y\": 1}'", "'{}'"]),
        "revision": "(revision::text::bigint + 1)::text::xid8",
    }
    if event_id == rows(isp, "SELECT min(id) FROM audit_events WHERE operator_id = %s")[0][0]:
        values["data"] = "'{\"x\": 1}'"  # the event of the operator's own beginning has other data
    with tampering(isp) as connection:
        done = connection.execute(f"UPDATE audit_events SET {column} = {values[column]} WHERE id = %s", (event_id,))
        assert done.rowcount == 1
    found = finding(isp)
    assert (found.number, found.event_id) == (number, event_id), f"seed {SEED}"
    assert ("missing" in found.said) == (column in ("id", "operator_id"))


@pytest.mark.parametrize("column", ["number", "event_id", "hash"])
def test_one_altered_column_of_one_seal_is_found(isp: Isp, column: str) -> None:
    """A seal proves itself by the ones around it."""
    happen(isp, 15)
    sealed(isp)
    number = random.Random(f"{SEED} {column}").randrange(1, 16)
    values = {"number": "number + 100", "event_id": "event_id + 100", "hash": "'1-' || md5(hash) || md5(hash || 'x')"}
    with tampering(isp) as connection:
        connection.execute(f"UPDATE audit_seals SET {column} = {values[column]} WHERE number = %s", (number,))
    assert finding(isp).number == number


CLOSE_A_GAP = (
    "DELETE FROM audit_events WHERE id = 8",
    "DELETE FROM audit_seals WHERE event_id = 8",
    "UPDATE audit_seals SET number = number + 1000 WHERE number > 8",
    "UPDATE audit_seals SET number = number - 1001 WHERE number > 1000",
    "UPDATE audit_heads SET number = number - 1",
)
SWAP_SEALS = (
    "UPDATE audit_seals SET event_id = -8 WHERE number = 8",
    "UPDATE audit_seals SET event_id = 8 WHERE number = 6",
    "UPDATE audit_seals SET event_id = 6 WHERE number = 8",
)
SWAP_EVENTS = (
    "UPDATE audit_events SET id = -8 WHERE id = 8",
    "UPDATE audit_events SET id = 8 WHERE id = 6",
    "UPDATE audit_events SET id = 6 WHERE id = -8",
)
PUT_BETWEEN = (
    "UPDATE audit_seals SET number = number + 1000 WHERE number >= 8",
    "UPDATE audit_seals SET number = number - 999 WHERE number > 1000",
    "INSERT INTO audit_events (id, operator_id, actor, event) VALUES (99, 1, 'x', 'a:b:c')",
    "INSERT INTO audit_seals SELECT 1, 8, 99, hash FROM audit_seals WHERE number = 9",
    "UPDATE audit_heads SET number = number + 1",
)


@pytest.mark.parametrize(
    ("statements", "number", "said"),
    [
        (("UPDATE audit_events SET data = '{}' WHERE id IN (8, 9)",), 8, "Event 8 (number 8) of 20"),
        (("DELETE FROM audit_events WHERE id = 8",), 8, "Event 8 (number 8) is missing"),
        (("DELETE FROM audit_seals WHERE event_id = 8",), 8, "Number 8 is missing"),
        (CLOSE_A_GAP, 8, "Event 9 (number 8) of 20"),
        (SWAP_SEALS, 6, "put in the place of event 6, which stands at number 8 now"),
        (SWAP_EVENTS, 6, "Event 6 (number 6) of 20"),
        (PUT_BETWEEN, 8, "put in the place of event 8, which stands at number 9 now"),
        (("INSERT INTO audit_seals VALUES (1, 17, 999, '1-0')",), 17, "Event 999 (number 17) is missing"),
        (("INSERT INTO audit_seals VALUES (1, 23, 999, '1-0')",), 17, "Number 17 is missing"),
        (("DELETE FROM audit_seals WHERE number > 12",), 13, "Number 13 is missing, the end of the audit"),
        (("UPDATE audit_heads SET number = 12",), 13, "not 16"),
        (("UPDATE audit_heads SET hash = 'x'",), 16, "another hash than number 16"),
        (("DELETE FROM audit_heads",), 1, "not 16"),
        (("TRUNCATE audit_events CASCADE",), 1, "Number 1 is missing, the end of the audit: 16"),
        (("UPDATE audit_seals SET hash = replace(hash, '1-', '2-') WHERE number = 5",), 5, "does not know"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(isp: Isp, statements: tuple[str, ...], number: int, said: str) -> None:
    """Altered, removed, swapped, put in between, cut off: the number, and a sentence that says what happened."""
    assert isp.operator_id == 1
    happen(isp, 15)
    sealed(isp)
    with tampering(isp) as connection:
        for statement in statements:
            connection.execute(statement)
    found = finding(isp)
    assert found.number == number
    assert said in found.said


@pytest.mark.parametrize(
    ("revision", "at", "said"),
    [
        ("'5'", "now()", "put in later"),
        ("DEFAULT", "now() - interval '11 minutes'", "not sealed yet"),
        ("DEFAULT", "now() + interval '1 day'", "not sealed yet"),
        ("'99999999'", "now() - interval '1 day'", "not sealed yet"),
    ],
)
def test_an_event_that_should_have_a_seal_is_named(isp: Isp, revision: str, at: str, said: str) -> None:
    """One that was put in between by a forged transaction number, or that waits for longer than it may."""
    happen(isp, 7)
    sealed(isp)
    happen(isp, 5)
    assert verified(isp) == Verdict(8, 5, anchors(isp)[0].hash, None)
    with tampering(isp) as connection:
        connection.execute(
            f"INSERT INTO audit_events (operator_id, actor, event, revision, at) "
            f"VALUES ({isp.operator_id}, 'x', 'a:b:c', {revision}, {at})"
        )
    found = finding(isp)
    assert (found.number, found.event_id) == (None, 14)
    assert said in found.said
    assert "6 events have no seal" in found.said


def test_a_seal_that_was_taken_away_cleanly_is_named(isp: Isp) -> None:
    """Seals and head go back by three, the events stay: the snapshot in the head says that they were sealed."""
    happen(isp, 9)
    sealed(isp)
    with tampering(isp) as connection:
        connection.execute("DELETE FROM audit_seals WHERE number > 7")
        connection.execute("UPDATE audit_heads SET number = 7, hash = (SELECT hash FROM audit_seals WHERE number = 7)")
    found = finding(isp)
    assert found.event_id == 8
    assert "3 events have no seal" in found.said


def test_only_an_anchor_finds_an_end_that_was_cut_off_cleanly(isp: Isp) -> None:
    """Events, seals and head are rolled back together: whole in itself, and not what was anchored."""
    happen(isp, 9)
    sealed(isp)
    kept = anchors(isp)
    happen(isp, 3)
    sealed(isp)
    kept += anchors(isp)
    assert held(isp, kept) is None
    with tampering(isp) as connection:
        connection.execute("DELETE FROM audit_seals WHERE number > 11")
        connection.execute("DELETE FROM audit_events WHERE id > 11")
        connection.execute(
            "UPDATE audit_heads SET number = 11, hash = (SELECT hash FROM audit_seals WHERE number = 11)"
        )
    assert verified(isp).finding is None
    found = held(isp, kept)
    assert found is not None
    assert found.number == 13
    assert "cut off" in found.said
    assert kept[1].at in found.said


def test_only_an_anchor_finds_a_whole_that_was_rewritten(isp: Isp) -> None:
    """One event is altered and everything is sealed anew, by the sealer itself; the first anchor behind it tells."""
    kept = []
    for _ in range(3):
        happen(isp, 4)
        sealed(isp)
        kept += anchors(isp)
    with tampering(isp) as connection:
        connection.execute("UPDATE audit_events SET actor = 'somebody else' WHERE id = 7")
        connection.execute("DELETE FROM audit_seals")
        connection.execute("DELETE FROM audit_heads")
    sealed(isp)
    whole(isp, 13)
    found = held(isp, kept)
    assert found is not None
    assert (found.number, found.event_id) == (kept[1].number, 9)
    assert "rewritten" in found.said
    assert held(isp, kept[:1]) is None


def test_progress_is_told_page_by_page(isp: Isp) -> None:
    """Memory stays small: pages, and each is told."""
    happen(isp, 9)
    sealed(isp)
    told: list[tuple[int, int]] = []
    with isp.web() as session:
        verify(session, isp.operator_id, lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_an_operator_without_events_is_whole(database: Database) -> None:
    """Nothing happened, nothing is wrong."""
    isp = database.isp()
    with tampering(isp) as connection:
        connection.execute("DELETE FROM audit_events")
    assert verified(isp) == Verdict(0, 0, genesis(isp.operator_id), None)
    assert sealed(isp) == 0
