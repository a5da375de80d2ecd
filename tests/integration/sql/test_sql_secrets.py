"""Secrets as they lie in the database: sealed to their row, under a key that is not there."""

# ruff: noqa: S608 - the table names come from the catalog

import stat
from pathlib import Path

import pytest
from fixtures_database import ACTOR, BOX, Database

from sql import customers
from sql.errors import Refused
from sql.secrets import (
    SecretBox,
    SecretsError,
    load_or_create,
    router_secret_place,
    service_password_place,
)


def test_a_password_opens_at_its_own_row_only(database: Database) -> None:
    """A sealed password copied into another row, or another operator's, does not open there."""
    north, south = database.isp(), database.isp()
    one, other, foreign = north.service("one"), north.service("other"), south.service("one")
    assert one.password is not None
    assert BOX.open(one.password, service_password_place(north.operator_id, "one")) == "made-up password"
    for service in (other, foreign):
        with pytest.raises(SecretsError, match="moved there from another row"):
            BOX.open(one.password, service_password_place(service.operator_id, service.username))
    with pytest.raises(SecretsError):
        BOX.open(one.password, router_secret_place(north.operator_id, "one"))


def test_nothing_in_the_database_shows_a_secret(database: Database) -> None:
    """No table holds the password or the RADIUS secret in clear, the job queue included."""
    isp = database.isp()
    service = isp.service()
    isp.router()
    with isp.web() as session:
        found = customers.service_by_username(session, isp.operator_id, service.username)
        customers.set_password(session, found, "another made-up one", box=BOX, actor=ACTOR)
    isp.review()
    with database.as_superuser() as connection:
        tables = connection.execute(
            "SELECT format('%I', relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            content = str(connection.execute(f"SELECT t::text FROM {table} AS t").fetchall())
            for secret in ("made-up password", "made-up secret", "another made-up one"):
                assert secret not in content, table
                assert secret.encode().hex() not in content, table


def test_another_key_says_what_to_do() -> None:
    """A secret of another installation is told apart from an altered one."""
    sealed = BOX.seal("x", "place")
    with pytest.raises(SecretsError, match="another key; restore the key file"):
        SecretBox([bytes(32)]).open(sealed, "place")
    with pytest.raises(SecretsError, match="altered"):
        BOX.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "place")


@pytest.mark.parametrize("kept_bytes", [0, 1, 5, 10, 17])
def test_a_value_cut_short_is_an_altered_one(kept_bytes: int) -> None:
    """One damaged row must not stop edge: whatever is left of it, the error is the one that edge expects."""
    sealed = BOX.seal("x", "place")
    with pytest.raises(SecretsError):
        BOX.open(sealed[:kept_bytes], "place")


def test_an_old_key_still_opens() -> None:
    """After a rotation the first key seals and the others open what was sealed before."""
    old, new = bytes(32), bytes(range(32))
    sealed = SecretBox([old]).seal("x", "place")
    both = SecretBox([new, old])
    assert both.open(sealed, "place") == "x"
    with pytest.raises(SecretsError):
        SecretBox([old]).open(both.seal("x", "place"), "place")


def test_the_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is made with mode 0600, used again by the next start, and a damaged one is named."""
    path = tmp_path / "secrets.key"
    sealed = load_or_create(path).seal("x", "place")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(path).open(sealed, "place") == "x"
    for damage in ("", "zz", "00", "00" * 31):
        path.write_text(damage)
        with pytest.raises(SecretsError, match="key"):
            load_or_create(path)
    with pytest.raises(SecretsError, match="cannot be made"):
        load_or_create(tmp_path / "nowhere" / "secrets.key")


@pytest.mark.parametrize("password", ["", "x" * 129, "a\0b", "\udcff", "ł" * 65])
def test_a_password_that_radius_cannot_carry_is_refused(database: Database, password: str) -> None:
    """Empty, longer than 128 bytes, with a zero byte or no UTF-8: edge could not copy it, so it is never stored."""
    isp = database.isp()
    service = isp.service()
    with isp.web() as session:
        found = customers.service_by_username(session, isp.operator_id, service.username)
        with pytest.raises(Refused, match="password"):
            customers.set_password(session, found, password, box=BOX, actor=ACTOR)
