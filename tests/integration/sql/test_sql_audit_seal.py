"""Every event gets its place in the sealed audit exactly once, and nobody who runs alters it."""

# ruff: noqa: S608 - the statements are made of constants

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from audited import SEED, finding, happen, of_many_batches, rows, sealed, tampering, verified, whole
from fixtures_database import Database, Isp
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from policy.audit_chain import Event, chain_hash, genesis
from sql import audit_seal
from sql.audit import record
from sql.audit_export import lines
from sql.audit_seal import ChainBroken, operators_to_seal, seal, seal_batch
from sql.roles import Role


@pytest.fixture
def isp(database: Database, monkeypatch: pytest.MonkeyPatch) -> Isp:
    """An operator whose few events are many batches and pages."""
    return of_many_batches(database, monkeypatch)


def test_each_event_is_sealed_once_and_the_chain_is_whole(isp: Isp, database: Database) -> None:
    """Batches of five make one chain from a beginning of the operator's own; a second look finds nothing."""
    happen(isp, 4, transactions=4, note="Łódź\n\"'\\\u2028", big=10**40, nested=[{"b": None, "a": [1.5e300]}])
    worker = database.engine(Role.WORKER)
    assert operators_to_seal(worker) == [isp.operator_id]
    assert sealed(isp) == 17
    assert operators_to_seal(worker) == []
    assert sealed(isp) == 0
    whole(isp, 17)
    first = rows(isp, "SELECT hash FROM audit_seals WHERE operator_id = %s AND number = 1")[0][0]
    columns = f"SELECT {audit_seal.EVENT_COLUMNS} FROM audit_events AS event WHERE event.operator_id = %s ORDER BY id"
    assert first == chain_hash(genesis(isp.operator_id), Event(*rows(isp, columns)[0]))


def test_exactly_one_batch_ends_the_round(isp: Isp, database: Database) -> None:
    """A number of events that fills its batches leaves nothing to look at again."""
    happen(isp, 9)
    assert sealed(isp) == 10
    assert operators_to_seal(database.engine(Role.WORKER)) == []


def test_operators_have_chains_of_their_own(isp: Isp, database: Database) -> None:
    """The events of one are not in the other's chain, and each is verified alone."""
    other = database.isp()
    for number in range(3):
        happen(isp, number + 1)
        happen(other)
    assert (sealed(isp), sealed(other)) == (7, 4)
    whole(isp, 7)
    whole(other, 4)
    with tampering(isp) as connection:
        connection.execute("UPDATE audit_events SET actor = 'x' WHERE operator_id = %s", (other.operator_id,))
    whole(isp, 7)
    assert finding(other).number == 1


def test_a_transaction_that_commits_late_is_sealed_once(isp: Isp, database: Database) -> None:
    """It was open while later ones were sealed, so it comes after them; one that is rolled back never comes."""
    with isp.web() as late, isp.web() as never:
        for session in (late, never):
            record(session, isp.operator_id, "slow", "test:thing:happen")
            session.flush()
        happen(isp, 7)
        assert sealed(isp) == 8
        whole_so_far = verified(isp)
        assert (whole_so_far.sealed, whole_so_far.waiting, whole_so_far.finding) == (8, 0, None)
        never.rollback()
    assert operators_to_seal(database.engine(Role.WORKER)) == [isp.operator_id]
    assert sealed(isp) == 1
    happen(isp)
    assert sealed(isp) == 1
    whole(isp, 10)
    last = rows(isp, "SELECT event_id FROM audit_seals WHERE operator_id = %s ORDER BY number")[8][0]
    assert last < rows(isp, "SELECT max(event_id) FROM audit_seals WHERE operator_id = %s")[0][0]


def test_transactions_in_any_order_are_sealed_once(isp: Isp) -> None:
    """Seeded: they begin, write, commit or end in any order, and the sealer looks in between, not always to the end."""
    dice = random.Random(SEED)
    worker = isp.database.engine(Role.WORKER)
    held_open: list[Any] = []
    written = 1
    for _ in range(80):
        match dice.choice(["begin", "end", "seal", "batch"]):
            case "begin" if len(held_open) < 6:
                transaction = isp.web()
                session, count = transaction.__enter__(), dice.randrange(1, 9)
                for _ in range(count):
                    record(session, isp.operator_id, "any", "test:thing:happen", dice=dice.random())
                session.flush()
                held_open.append((transaction, session, count))
            case "end" if held_open:
                transaction, session, count = held_open.pop(dice.randrange(len(held_open)))
                if dice.random() < 0.3:
                    session.rollback()
                    count = 0
                transaction.__exit__(None, None, None)
                written += count
            case "seal":
                sealed(isp)
            case "batch":
                seal_batch(worker, isp.operator_id)
        assert verified(isp).finding is None, f"seed {SEED}"
    for transaction, _, count in held_open:
        transaction.__exit__(None, None, None)
        written += count
    sealed(isp)
    whole(isp, written)


def test_sealers_at_once_make_one_chain(isp: Isp) -> None:
    """Four sealers and two writers, each with connections of their own: no fork, no gap, nothing twice."""
    worker = isp.database.engine(Role.WORKER)
    stop = threading.Event()
    failed: list[Exception] = []

    def until_stopped(work: Callable[[], Any]) -> None:
        try:
            while not stop.is_set():
                work()
        except Exception as error:  # noqa: BLE001 - a thread tells its failure to the test
            failed.append(error)
            stop.set()

    sealers = [threading.Thread(target=until_stopped, args=(lambda: seal(worker, isp.operator_id),)) for _ in range(4)]
    writers = [threading.Thread(target=happen, args=(isp, 3), kwargs={"transactions": 40}) for _ in range(2)]
    for thread in sealers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()
    assert failed == []
    sealed(isp)
    whole(isp, 241)


@pytest.mark.parametrize("place", ["INSERT INTO audit_heads", "INSERT INTO audit_seals", "UPDATE audit_heads"])
def test_a_sealer_that_is_killed_leaves_a_whole_chain(isp: Isp, database: Database, place: str) -> None:
    """Its connection is cut after any of its writes, in the first batch or a later one; the next one goes on."""
    happen(isp, 16)
    for after_batches in (0, 1, 2):
        worker = database.databases.engine(Role.WORKER)
        batch = audit_seal.Batch(0, None)
        for _ in range(after_batches):
            batch = seal_batch(worker, isp.operator_id, batch.following)
        with _killed_after(isp, place), pytest.raises(DBAPIError):
            seal_batch(worker, isp.operator_id, batch.following)
        worker.dispose()
        verdict = verified(isp)
        assert verdict.finding is None
        happen(isp)
    sealed(isp)
    whole(isp, 20)


@contextmanager
def _killed_after(isp: Isp, statement: str) -> Iterator[None]:
    """The sealer's backend ends itself behind a statement, as a kill between two inserts does."""
    kind, *_, table = statement.split()
    with isp.database.as_superuser() as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
            "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(0.01); RETURN NULL; END $$"
        )
        connection.execute(f"CREATE TRIGGER die AFTER {kind} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION die()")
        yield
        connection.execute(f"DROP TRIGGER die ON {table}")


def test_hostile_events_do_not_stop_the_chain(isp: Isp) -> None:
    """Times without end and before Christ, data deeper than any reader goes, numbers longer than Python takes.

    No running role may choose the time of an event; whoever administers the server may.
    """
    deep = '{"a":' * 1500 + "1" + "}" * 1500
    with isp.database.as_superuser() as connection:
        for at, data in (
            ("infinity", "{}"),
            ("-infinity", "{}"),
            ("0044-03-15 BC", "{}"),
            ("2044-03-15", deep),
            ("2044-03-15", '{"a": %s}' % ("9" * 6000)),
            ("12044-03-15", '{"a": "\\\\\\u0007\u2028"}'),
        ):
            connection.execute(
                "INSERT INTO audit_events (operator_id, at, actor, event, data) VALUES (%s, %s, 'x', 'a:b:c', %s)",
                (isp.operator_id, at, data),
            )
    assert sealed(isp) == 7
    whole(isp, 7)
    with isp.web() as session:
        assert len(list(lines(session, isp.operator_id))) == 7
    with tampering(isp) as connection:
        connection.execute("UPDATE audit_events SET at = '0044-03-15' WHERE at < '0001-01-01' AND at <> '-infinity'")
    assert finding(isp).number == 4


def test_a_database_that_came_back_from_a_dump_is_sealed_on(isp: Isp, database: Database) -> None:
    """Another server counts its transactions from below: nothing is lost, nothing is sealed twice."""
    happen(isp, 12)
    sealed(isp)
    happen(isp, 2)
    with tampering(isp) as connection:
        connection.execute("UPDATE audit_heads SET snapshot = '9000000000:9000000009:9000000003'")
        connection.execute("UPDATE audit_events SET revision = '9000000003' WHERE id IN (14, 15)")
    happen(isp, 3)
    assert verified(isp).waiting == 5
    assert verified(isp).finding is None
    assert sealed(isp) == 5
    happen(isp)
    assert sealed(isp) == 1
    verdict = verified(isp)
    assert (verdict.sealed, verdict.waiting, verdict.finding) == (19, 0, None)


def test_nothing_is_added_to_a_chain_that_does_not_end_where_its_head_says(isp: Isp) -> None:
    """The sealer leaves the traces to a person."""
    happen(isp, 3)
    sealed(isp)
    happen(isp)
    for statement in (
        "UPDATE audit_heads SET number = number - 1",
        "UPDATE audit_heads SET hash = 'x'",
        "DELETE FROM audit_seals WHERE number = 4",
    ):
        with tampering(isp) as connection, connection.transaction(force_rollback=False):
            connection.execute("CREATE TABLE kept AS SELECT * FROM audit_heads")
            connection.execute("CREATE TABLE kept_seals AS SELECT * FROM audit_seals")
            connection.execute(statement)
        with pytest.raises(ChainBroken, match="audit verify"):
            sealed(isp)
        assert verified(isp).finding is not None
        with tampering(isp) as connection:
            connection.execute("DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM kept; DROP TABLE kept")
            connection.execute(
                "DELETE FROM audit_seals; INSERT INTO audit_seals SELECT * FROM kept_seals; DROP TABLE kept_seals"
            )
    assert sealed(isp) == 1
    whole(isp, 5)


def _refusal(isp: Isp, role: Role, statement: str) -> BaseException | None:
    with pytest.raises(DBAPIError) as refused, isp.database.acting(isp.operator_id, role) as session:
        session.execute(text(statement))
    return refused.value.orig


def test_no_role_alters_events_or_seals(isp: Isp) -> None:
    """Running roles have no right to; the owner, who only migrates, is stopped by a trigger."""
    sealed(isp)
    for table in ("audit_events", "audit_seals"):
        for statement in (f"UPDATE {table} SET operator_id = operator_id", f"DELETE FROM {table}"):
            assert isinstance(_refusal(isp, Role.OWNER, statement), psycopg.errors.RestrictViolation)
            for role in (Role.WEB, Role.WORKER, Role.EDGE):
                assert isinstance(_refusal(isp, role, statement), psycopg.errors.InsufficientPrivilege)
                emptying = _refusal(isp, role, f"TRUNCATE {table} CASCADE")
                assert isinstance(emptying, psycopg.errors.InsufficientPrivilege)
    whole(isp, 1)


def test_only_the_worker_seals(isp: Isp) -> None:
    """Web and edge read at most, and nobody removes the head."""
    sealed(isp)
    for statement in (
        "INSERT INTO audit_seals (operator_id, number, event_id, hash) VALUES (1, 2, 1, 'x')",
        "INSERT INTO audit_heads (operator_id) VALUES (1)",
        "UPDATE audit_heads SET number = 0",
        "DELETE FROM audit_heads",
    ):
        for role in (Role.WEB, Role.EDGE):
            assert isinstance(_refusal(isp, role, statement), psycopg.errors.InsufficientPrivilege)
    assert isinstance(_refusal(isp, Role.WORKER, "DELETE FROM audit_heads"), psycopg.errors.InsufficientPrivilege)
