"""Servers that are in use: one with its users in PostgreSQL, one that hands a realm to a partner's server."""

from dataclasses import dataclass

import psycopg
import pytest
from fixtures_existing_freeradius import STOCK, Existing, OldRouter, existing_freeradius
from fixtures_freeradius import ACCEPT, ACCOUNTING_RESPONSE, CONTROL, REJECT, Router, service_row

from ispagents.postgres import EmbeddedPostgres

SCHEMA = STOCK / "mods-config" / "sql" / "main" / "postgresql" / "schema.sql"
LOCALHOST_SECRET = "testing123"  # as the distribution's clients.conf has it
USERS = """
INSERT INTO radcheck (username, attribute, op, value) VALUES
    ('sql user', 'Cleartext-Password', ':=', 'sql password'), ('anna', 'Cleartext-Password', ':=', 'an older password');
INSERT INTO radusergroup (username, groupname) VALUES ('sql user', 'gold');
INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES ('gold', 'Mikrotik-Rate-Limit', ':=', '5M/5M');
INSERT INTO radreply (username, attribute, op, value) VALUES ('sql user', 'Framed-IP-Address', ':=', '10.9.8.7');
"""


@dataclass
class Radius:
    """The database of rlm_sql."""

    postgres: EmbeddedPostgres
    name: str = "radius"

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Run statements as the superuser; the rows of the last one."""
        with psycopg.connect(self.postgres.server().conninfo(self.name, "postgres"), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    @property
    def radius_db(self) -> str:
        """How rlm_sql reaches it."""
        return f"host=127.0.0.1 port={self.postgres.server().port} dbname={self.name} user=radius password=made-up"


@pytest.fixture
def radius(embedded_postgres):
    """The distribution's schema with some users, of whom one is ours as well by now."""
    embedded_postgres.ensure_database("radius")
    one = Radius(embedded_postgres)
    one.run("CREATE ROLE radius LOGIN PASSWORD 'made-up'; ALTER SCHEMA public OWNER TO radius")
    one.run("SET ROLE radius;" + SCHEMA.read_text() + USERS)
    yield one
    Radius(embedded_postgres, "postgres").run("DROP DATABASE radius WITH (FORCE)")
    Radius(embedded_postgres, "postgres").run("DROP ROLE radius")


def with_sql(world: Existing, radius_db: str) -> None:
    """Switch rlm_sql on as its README says."""
    module = world.raddb / "mods-available" / "sql"
    text = module.read_text().replace('dialect = "sqlite"', 'dialect = "postgresql"')
    text = text.replace('driver = "rlm_sql_null"', 'driver = "rlm_sql_${dialect}"')
    text = text.replace('radius_db = "radius"', f'radius_db = "{radius_db}"')
    module.write_text(text)
    (world.raddb / "mods-enabled" / "sql").symlink_to("../mods-available/sql")


def sql_user_logs_in(world: Existing) -> None:
    router = OldRouter(world.server, CONTROL)
    for way in (router.pap, router.chap, router.mschap):
        reply = way("sql user", "sql password")
        assert reply.code == ACCEPT
        assert reply.all("Mikrotik-Rate-Limit") == ["5M/5M"]
        assert reply.all("Framed-IP-Address") == ["10.9.8.7"]
        assert way("sql user", "wrong password").code == REJECT


def without_whitespace_rule(world: Existing) -> None:
    """Names with blanks are ordinary in this database."""
    site = world.site.read_text()
    world.site.write_text(site.replace("\n\tfilter_username\n", "\n"))


def test_users_in_postgresql_go_on_as_before(radius, capsys):
    """Theirs are answered by rlm_sql, ours by us; radacct goes on for both; afterwards nothing is left."""

    def prepared(world: Existing) -> None:
        without_whitespace_rule(world)
        with_sql(world, radius.radius_db)

    with existing_freeradius(prepared) as world:
        world.server.start()
        sql_user_logs_in(world)
        assert OldRouter(world.server, CONTROL).pap("anna", "an older password").code == ACCEPT
        before = world.snapshot()

        assert world.install() == 0, capsys.readouterr()
        assert "made-up" not in capsys.readouterr().out
        world.restart()
        world.server.add(service_row("anna", 10))
        sql_user_logs_in(world)
        router = Router(world.server, CONTROL)
        for way in (router.pap, router.chap, router.mschap):
            assert way("anna", "right password").all("Mikrotik-Rate-Limit") == ["10M/50M"]
            assert way("anna", "an older password").code == REJECT
        for name, session in (("anna", "ours-1"), ("sql user", "theirs-1")):
            assert router.account(1, name, session).code == ACCOUNTING_RESPONSE
        rows = radius.run("SELECT acctsessionid, username FROM radacct ORDER BY 1")
        assert rows == [("ours-1", "anna"), ("theirs-1", "sql user")]
        assert [record.first("Acct-Session-Id") for record in world.server.spooled("accounting")] == ["ours-1"]

        radius.run("ALTER ROLE radius NOLOGIN")
        radius.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'radius'")
        assert OldRouter(world.server, CONTROL).pap("sql user", "sql password").code == REJECT
        assert router.pap("anna", "right password").code == ACCEPT, "their database is down, and ours log in"
        radius.run("ALTER ROLE radius LOGIN")

        assert world.run("uninstall", "--yes") == 0, capsys.readouterr()
        assert world.snapshot() == before
        world.restart()
        sql_user_logs_in(world)
        assert OldRouter(world.server, CONTROL).pap("anna", "an older password").code == ACCEPT


def at_home(world: Existing) -> None:
    """The partner's server: it knows bob, and lists carol too."""
    users = world.raddb / "mods-config" / "files" / "authorize"
    known = "".join(
        f'{name}@partner.example Cleartext-Password := "partner password"\n\tReply-Message := "from the partner"\n'
        for name in ("bob", "carol")
    )
    users.write_text(known + users.read_text())


def with_realm(world: Existing, home: Existing) -> None:
    """Hand the realm partner.example over, logins and accounting."""
    layout = home.server.layout
    text = ""
    for kind, port in (("auth", layout.auth_port), ("acct", layout.acct_port)):
        text += f"home_server partner_{kind} {{\n\ttype = {kind}\n\tipaddr = {layout.address}\n\tport = {port}\n"
        text += f"\tsecret = {LOCALHOST_SECRET}\n}}\n"
        text += f"home_server_pool partner_{kind} {{\n\thome_server = partner_{kind}\n}}\n"
    text += "realm partner.example {\n\tauth_pool = partner_auth\n\tacct_pool = partner_acct\n\tnostrip\n}\n"
    with (world.raddb / "proxy.conf").open("a") as proxy:
        proxy.write(text)


def partner_answers(world: Existing) -> None:
    router = OldRouter(world.server, CONTROL)
    for way in (router.pap, router.chap, router.mschap):
        reply = way("bob@partner.example", "partner password")
        assert reply.code == ACCEPT
        assert reply.all("Reply-Message") == ["from the partner"]


def test_a_realm_of_a_partner_goes_on_and_ours_within_it_are_ours(capsys):
    """The partner is asked about its own, and neither about logins nor about accounting of ours."""
    with (
        existing_freeradius(at_home) as home,
        existing_freeradius(lambda world: with_realm(world, home)) as world,
    ):
        home.server.start()
        world.server.start()
        partner_answers(world)
        before = world.snapshot()

        assert world.install() == 0, capsys.readouterr()
        world.restart()
        world.server.add(service_row("carol@partner.example", 10))
        partner_answers(world)
        router = Router(world.server, CONTROL)
        for way in (router.pap, router.chap, router.mschap):
            assert way("carol@partner.example", "right password").all("Mikrotik-Rate-Limit") == ["10M/50M"]
        assert router.pap("carol@partner.example", "partner password").code == REJECT
        for name in ("bob", "carol"):
            assert router.account(1, f"{name}@partner.example", f"of-{name}").code == ACCOUNTING_RESPONSE
        assert "of-bob" in home.detail()
        assert "of-carol" not in home.detail()
        assert ["of-bob" in world.detail(), "of-carol" in world.detail()] == [True, True]
        assert [record.first("Acct-Session-Id") for record in world.server.spooled("accounting")] == ["of-carol"]

        assert world.run("uninstall", "--yes") == 0, capsys.readouterr()
        assert world.snapshot() == before
        world.restart()
        partner_answers(world)
