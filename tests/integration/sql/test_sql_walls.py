"""The walls between operators, and what each running role may not do, tried from inside those roles."""

# ruff: noqa: S608 - the table names come from the catalog

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from fixtures_database import Database, DatabaseServer, Isp, new_database
from one_of_each import fill
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sql.models import Base
from sql.roles import Role

RUNNING = [Role.WEB, Role.WORKER, Role.EDGE]
# Infrastructure that belongs to no operator.
COMMON = {"nodes", "spool_files", "spool_rejects", "alembic_version"}
# Secrets of people, programs and providers: the worker has no right to them at all.
OF_WEB_ALONE = {"people", "api_tokens", "payment_providers"}


@pytest.fixture(scope="module")
def database(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all tests of this file: what they try is refused, or rolled back."""
    with new_database(database_server) as found:
        yield found


@pytest.fixture(scope="module")
def two(database: Database) -> tuple[Isp, Isp]:
    """Two operators, each with one of everything."""
    both = database.isp("North"), database.isp("South")
    for isp in both:
        subscriber = isp.subscriber("K-1")
        service = isp.service("zofia", subscriber=subscriber)
        router = isp.router()
        isp.review()
        isp.invoice(subscriber)
        isp.review()
        isp.pay(subscriber, 100000)
        stamp = isp.fresh(service).authorised_stamp
        session_id = isp.online(service, router, stamp)
        with database.as_superuser() as connection:
            fill(connection, isp.operator_id, service.id, router.id, session_id)
    return both


def _tables(database: Database) -> list[str]:
    with database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'procrastinate%' ORDER BY 1"
        ).fetchall()
    return [row[0] for row in rows]


def _of_operators(database: Database, role: Role = Role.WEB) -> list[tuple[str, str]]:
    left_out = COMMON if role == Role.WEB else COMMON | OF_WEB_ALONE
    return [
        (name, "id" if name == "operators" else "operator_id") for name in _tables(database) if name not in left_out
    ]


def test_every_table_of_an_operator_has_forced_row_security(database: Database) -> None:
    """By the catalog, so that a new table cannot be forgotten: forced, and with a policy for web and worker."""
    with database.as_superuser() as connection:
        for table, key in _of_operators(database):
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", (table,)
            ).fetchall()
            assert (key,) in columns, f"{table} belongs to no operator; say in COMMON why it may"
            row = connection.execute(
                "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (table,)
            ).fetchone()
            assert row == (True, True), table
            policies = connection.execute(
                "SELECT roles::text[], qual, with_check FROM pg_policies WHERE tablename = %s "
                "AND 'ispagents_web' = ANY(roles)",
                (table,),
            ).fetchall()
            assert len(policies) == 1, table
            assert "current_operator()" in policies[0][1], table
            assert "current_operator()" in policies[0][2], table


def test_every_table_is_known_to_the_models(database: Database) -> None:
    """No table exists that the models, and so the other tests, do not know."""
    assert set(_tables(database)) - {"alembic_version"} == set(Base.metadata.tables)


def test_nobody_reaches_a_partition_beside_its_table(database: Database) -> None:
    """The wall stands before the table; so a partition may be read and written through it alone."""
    with database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity, "
            "has_any_column_privilege('ispagents_web', oid, 'SELECT') "
            "OR has_any_column_privilege('ispagents_worker', oid, 'SELECT') "
            "OR has_any_column_privilege('ispagents_edge', oid, 'SELECT, INSERT, UPDATE') "
            "FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert len(rows) >= 4
    assert {row[1:] for row in rows} == {(True, False)}, rows


def test_every_view_runs_with_the_rights_of_its_reader(database: Database) -> None:
    """A view without security_invoker would show every operator's rows."""
    with database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace "
            "AND NOT coalesce(reloptions @> '{security_invoker=true}', false)"
        ).fetchall()
    assert rows == []


def test_no_role_is_above_the_walls(database: Database) -> None:
    """No role is a superuser, bypasses row security, makes databases or roles, or is a member of another."""
    with database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication, "
            "EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid) "
            "FROM pg_roles WHERE rolname LIKE 'ispagents%' ORDER BY 1"
        ).fetchall()
    assert rows == [(role.value, False, False) for role in sorted(Role)]


@pytest.mark.parametrize("role", [Role.WEB, Role.WORKER])
def test_without_an_operator_there_are_no_rows(database: Database, two: tuple[Isp, Isp], role: Role) -> None:
    """A session that has not said for whom it acts sees nothing, in any table, and so does one that says nonsense."""
    for setting in (None, "", "0", "-1", "999999"):
        for table, _ in _of_operators(database, role):
            with database.engine(role).begin() as connection:
                if setting is not None:
                    connection.execute(text("SELECT set_config('app.operator', :to, true)"), {"to": setting})
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0, (table, setting)


@pytest.mark.parametrize("role", [Role.WEB, Role.WORKER])
def test_only_the_own_rows_are_read(database: Database, two: tuple[Isp, Isp], role: Role) -> None:
    """Each table shows rows of the own operator (there are some) and none of the other."""
    for isp in two:
        for table, key in _of_operators(database, role):
            with database.acting(isp.operator_id, role) as session:
                found = set(session.execute(text(f"SELECT {key} FROM {table}")).scalars())
                assert found == {isp.operator_id}, table


@pytest.mark.parametrize("role", RUNNING)
def test_another_operators_rows_are_neither_changed_nor_removed(
    database: Database, two: tuple[Isp, Isp], role: Role
) -> None:
    """UPDATE and DELETE with another operator's key touch nothing, or are not allowed at all."""
    mine, other = two
    with database.as_superuser() as connection:
        before = {table: _everything(connection, table) for table in _tables(database)}
    refusals: list[Any] = []
    for table, key in _of_operators(database):
        for statement in (f"DELETE FROM {table} WHERE {key} = :other", f"UPDATE {table} SET {key} = {key} WHERE true"):
            if role == Role.EDGE and "UPDATE" in statement:
                continue  # edge serves all operators
            try:
                with database.acting(mine.operator_id, role) as session:
                    values = {"other": other.operator_id} if ":" in statement else {}
                    done: Any = session.execute(text(statement), values)
                    assert done.rowcount == 0 or "UPDATE" in statement
                    session.rollback()
            except DBAPIError as error:
                refusals.append(error.orig)
    assert {type(one) for one in refusals} <= {psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation}
    with database.as_superuser() as connection:
        assert {table: _everything(connection, table) for table in _tables(database)} == before


def _everything(connection: psycopg.Connection[Any], table: str) -> list[Any]:
    return sorted(row[0] for row in connection.execute(f"SELECT t::text FROM {table} AS t").fetchall())


WRITES = {
    "plans": "INSERT INTO plans (operator_id, name) VALUES (:operator, 'x')",
    "subscribers": "INSERT INTO subscribers (operator_id, reference, name) VALUES (:operator, 'x', 'x')",
    "invoices": "INSERT INTO invoices (operator_id, subscriber_id, year, serial, amount_minor, currency, issued_on, "
    "due_at, due_on) SELECT :operator, id, 2026, 77, 1, 'EUR', now(), now(), now() FROM subscribers LIMIT 1",
    "ledger_entries": "INSERT INTO ledger_entries (operator_id, kind, booked_on, subscriber_id, booked_by) "
    "SELECT :operator, 'payment', now(), id, 'x' FROM subscribers LIMIT 1",
    "audit_events": "INSERT INTO audit_events (operator_id, actor, event) VALUES (:operator, 'x', 'a:b:c')",
    "accesses": "INSERT INTO accesses VALUES (:operator, 'x', '{}')",
    "people": "INSERT INTO people (operator_id, login, password, roles, fs_uniquifier) "
    "VALUES (:operator, 'thief', 'x', '{owner}', 'x')",
    "operators": "INSERT INTO operators (id, name, currency) VALUES (:operator + 1000, 'x', 'EUR')",
}


@pytest.mark.parametrize("table", WRITES)
def test_rows_cannot_be_planted_at_another_operator(database: Database, two: tuple[Isp, Isp], table: str) -> None:
    """INSERT with another operator's key is refused by row security."""
    mine, other = two
    with pytest.raises(DBAPIError, match="row-level security"), database.acting(mine.operator_id) as session:
        session.execute(text(WRITES[table]), {"operator": other.operator_id})


def test_rows_cannot_be_moved_to_another_operator(database: Database, two: tuple[Isp, Isp]) -> None:
    """An own row cannot be given another operator's key."""
    mine, other = two
    with pytest.raises(DBAPIError, match="row-level security"), database.acting(mine.operator_id) as session:
        session.execute(text("UPDATE subscribers SET operator_id = :other"), {"other": other.operator_id})


@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO services (operator_id, subscriber_id, plan_id, method, username) "
            "SELECT :mine, :subscriber, plan_id, 'pppoe', 'thief' FROM services LIMIT 1"
        ),
        (
            "INSERT INTO services (operator_id, subscriber_id, plan_id, method, username) "
            "SELECT :mine, subscriber_id, :plan, 'pppoe', 'thief' FROM services LIMIT 1"
        ),
        "UPDATE services SET router_id = :router",
        "UPDATE services SET plan_id = :plan",
        (
            "INSERT INTO holds (operator_id, service_id, until, reason, granted_by) "
            "VALUES (:mine, :service, now(), 'x', 'x')"
        ),
        (
            "INSERT INTO invoices (operator_id, subscriber_id, year, serial, amount_minor, currency, issued_on, "
            "due_at, due_on) VALUES (:mine, :subscriber, 2026, 77, 1, 'EUR', now(), now(), now())"
        ),
        "INSERT INTO reviews VALUES (:service, :mine, now())",
        "UPDATE services SET authorised_change_id = :change",
    ],
)
def test_keys_of_another_operator_are_refused(database: Database, two: tuple[Isp, Isp], statement: str) -> None:
    """A row of one's own cannot point to a row of another operator."""
    mine, other = two
    with database.as_superuser() as connection:
        row = connection.execute(
            "SELECT service.subscriber_id, service.plan_id, service.id, router.id, service.authorised_change_id "
            "FROM services AS service JOIN routers AS router USING (operator_id) WHERE operator_id = %s",
            (other.operator_id,),
        ).fetchone()
    assert row is not None
    values = dict(zip(("subscriber", "plan", "service", "router", "change"), row, strict=True))
    named = {key: value for key, value in {"mine": mine.operator_id, **values}.items() if f":{key}" in statement}
    with pytest.raises(DBAPIError) as refused, database.acting(mine.operator_id) as session:
        session.execute(text(statement), named)
    # A review's key is the service's: the clash is seen before the foreign key is asked, and tells nothing.
    assert isinstance(refused.value.orig, psycopg.errors.ForeignKeyViolation | psycopg.errors.UniqueViolation)


@pytest.mark.parametrize("role", [*RUNNING, Role.OWNER])
@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events"])
def test_nobody_rewrites_the_audit(database: Database, two: tuple[Isp, Isp], role: Role, statement: str) -> None:
    """Running roles have no right to change the audit, and its owner is stopped by a trigger."""
    with pytest.raises(DBAPIError) as refused, database.acting(two[0].operator_id, role) as session:
        session.execute(text(statement))
    wanted = psycopg.errors.RestrictViolation if role == Role.OWNER else psycopg.errors.InsufficientPrivilege
    assert isinstance(refused.value.orig, wanted)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (
            Role.WEB,
            "INSERT INTO evidence (operator_id, step_id, attempt, sent, started_at) VALUES (1, 1, 2, '[]', now())",
        ),
        (Role.WEB, "UPDATE evidence SET outcome = 'applied'"),
        (Role.WEB, "INSERT INTO steps DEFAULT VALUES"),
        (Role.WEB, "UPDATE steps SET state = 'verified'"),
        (Role.WEB, "UPDATE sessions SET applied_stamp = 'x'"),
        (Role.WEB, "INSERT INTO changes DEFAULT VALUES"),
        (Role.WEB, "INSERT INTO audit_events (operator_id, actor, event, at) VALUES (1, 'x', 'a:b:c', now())"),
        (Role.WORKER, "INSERT INTO audit_events (operator_id, actor, event, revision) VALUES (1, 'x', 'a:b:c', '1')"),
        (Role.WEB, "UPDATE changes SET to_facts = '{}'"),
        (Role.WEB, "UPDATE payments SET amount_minor = 1"),
        (Role.WEB, "UPDATE allocations SET amount_minor = 1"),
        (Role.WEB, "DELETE FROM invoices"),
        (Role.WEB, "DELETE FROM services"),
        (Role.WEB, "UPDATE people SET login = 'x'"),
        (Role.WEB, "DELETE FROM people"),
        (Role.WORKER, "SELECT * FROM people"),
        (Role.WORKER, "SELECT * FROM person_by_login('anna')"),
        (Role.WORKER, "UPDATE services SET password = NULL"),
        (Role.WORKER, "UPDATE services SET username = 'x'"),
        (Role.WORKER, "UPDATE invoices SET voided_at = now()"),
        (Role.WORKER, "SELECT * FROM payment_providers"),
        (Role.WORKER, "SELECT * FROM api_tokens"),
        (Role.WORKER, "SELECT * FROM provider_by_token('x')"),
        (Role.WEB, "DELETE FROM ledger_postings"),
        (Role.WORKER, "INSERT INTO payments DEFAULT VALUES"),
        (Role.WORKER, "INSERT INTO invoices DEFAULT VALUES"),
        (Role.WORKER, "UPDATE routers SET secret = ''"),
        (Role.EDGE, "SELECT * FROM invoices"),
        (Role.EDGE, "SELECT * FROM payments"),
        (Role.EDGE, "SELECT * FROM allocations"),
        (Role.EDGE, "SELECT * FROM subscribers"),
        (Role.EDGE, "SELECT * FROM changes"),
        (Role.EDGE, "SELECT * FROM audit_events"),
        (Role.EDGE, "SELECT * FROM people"),
        (Role.EDGE, "SELECT * FROM person_by_login('anna')"),
        (Role.EDGE, "UPDATE services SET authorised = NULL"),
        (Role.EDGE, "UPDATE services SET password = NULL"),
        (Role.EDGE, "UPDATE routers SET secret = ''"),
    ],
)
def test_a_role_cannot_do_anothers_work(database: Database, two: tuple[Isp, Isp], role: Role, statement: str) -> None:
    """Web stores intents, the worker plans and proves, edge reads what is authorised; nobody does more."""
    with pytest.raises(DBAPIError) as refused, database.acting(two[0].operator_id, role) as session:
        session.execute(text(statement))
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege), statement


@pytest.mark.parametrize("role", RUNNING)
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE services DISABLE ROW LEVEL SECURITY",
        "SET ROLE ispagents_owner",
        "SET ROLE postgres",
        "CREATE TABLE mine (id int)",
        "DROP POLICY operator_wall ON services",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "COPY services TO PROGRAM 'cat'",
    ],
)
def test_no_running_role_can_take_a_wall_down(database: Database, role: Role, statement: str) -> None:
    """Statements that would lift the walls are not allowed to any running role."""
    with pytest.raises(DBAPIError) as refused, database.engine(role).begin() as connection:
        connection.execute(text(statement))
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


def test_acting_ends_with_the_transaction(database: Database, two: tuple[Isp, Isp]) -> None:
    """A pooled connection forgets for whom it acted, whether the transaction was committed or rolled back."""
    mine, _ = two
    engine = database.databases.engine(Role.WEB, pool=1)
    try:
        for ends_well in (True, False):
            with engine.connect() as connection, connection.begin() as transaction:
                connection.execute(text("SELECT set_config('app.operator', :to, true)"), {"to": str(mine.operator_id)})
                assert connection.execute(text("SELECT count(*) FROM services")).scalar_one() == 1
                if not ends_well:
                    transaction.rollback()
            with engine.begin() as connection:
                assert connection.execute(text("SELECT count(*) FROM services")).scalar_one() == 0
    finally:
        engine.dispose()


def test_names_of_operators_tell_nothing_else(database: Database, two: tuple[Isp, Isp]) -> None:
    """Before an operator is chosen only names and numbers can be read, and edge not even those by this way."""
    with database.engine(Role.WEB).connect() as connection:
        rows = connection.execute(text("SELECT * FROM operator_names()")).all()
    assert [tuple(row) for row in rows] == [(two[0].operator_id, "North"), (two[1].operator_id, "South")]
    with pytest.raises(DBAPIError, match="permission denied"), database.engine(Role.EDGE).connect() as connection:
        connection.execute(text("SELECT * FROM operator_names()"))
    assert two[0].operator().created_at <= datetime.now(UTC)


def test_a_login_name_tells_only_where_it_belongs(database: Database, two: tuple[Isp, Isp]) -> None:
    """Before an operator is chosen a login name gives two numbers; the row behind them only its operator reads."""
    mine, other = two
    login = f"anna{other.operator_id}"
    with database.engine(Role.WEB).connect() as connection:
        rows = connection.execute(text("SELECT * FROM person_by_login(:login)"), {"login": login}).mappings().all()
        assert [set(row) for row in rows] == [{"operator_id", "person_id"}]
        assert rows[0]["operator_id"] == other.operator_id
        assert connection.execute(text("SELECT * FROM person_by_login('anna%')")).all() == []
        assert connection.execute(text("SELECT * FROM people")).all() == []
    with database.acting(mine.operator_id) as session:
        found = session.execute(text("SELECT login FROM people WHERE id = :id"), {"id": rows[0]["person_id"]}).all()
        assert found == []
