"""`ispagents person`: who may sign in, with passwords that are never arguments."""

import pytest
from fixtures_database import Database

PASSWORD = b"correct horse battery staple\n"


def test_the_first_owner_comes_from_the_command_line(isp, database: Database) -> None:
    """A person is stored with an Argon2 hash, and nothing printed or audited shows password or hash."""
    said = isp("person", "add", "Anna", "--role", "owner", "--password-stdin", typed=PASSWORD)
    assert (said.code, said.err) == (0, "")
    with database.as_superuser() as connection:
        row = connection.execute("SELECT login, password, roles, active, fs_uniquifier FROM people").fetchone()
        audit = connection.execute("SELECT event, data::text FROM audit_events WHERE event ~ '^person'").fetchall()
    assert row is not None
    assert (row[0], row[2], row[3]) == ("anna", ["owner"], True)
    assert row[1].startswith("$argon2id$")
    assert [one[0] for one in audit] == ["person:account:add"]
    for shown in (said.out, audit[0][1]):
        assert "battery" not in shown
        assert "argon2" not in shown
        assert row[4] not in shown


def test_people_are_listed_changed_and_disabled(isp, database: Database) -> None:
    """Roles are replaced; disabling and a new password end the open sessions; enabling lets in again."""
    assert isp("person", "list").out.startswith("Nobody can sign in yet")
    isp.ok("person", "add", "anna", "--role", "owner", "--password-stdin", typed=PASSWORD)
    isp.ok("person", "add", "bert", "--role", "support", "--role", "finance", "--password-stdin", typed=PASSWORD)
    assert [row["roles"] for row in isp.ok("person", "list")] == [["owner"], ["finance", "support"]]
    assert [row["name"] for row in isp.ok("person", "list", "--after", "anna")] == ["bert"]
    tokens = {_token(database)}
    assert isp.ok("person", "role", "bert", "--role", "auditor")["roles"] == ["auditor"]
    assert _token(database) in tokens
    assert isp.ok("person", "disable", "bert")["active"] is False
    tokens.add(_token(database))
    assert isp.ok("person", "enable", "bert")["active"] is True
    isp.ok("person", "password", "bert", "--password-stdin", typed=b"four words of another kind\n")
    tokens.add(_token(database))
    assert len(tokens) == 3


def _token(database: Database) -> str:
    with database.as_superuser() as connection:
        row = connection.execute("SELECT fs_uniquifier FROM people WHERE login = 'bert'").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["add", "bert", "--password-stdin"], PASSWORD),
        (["add", "bert", "--role", "king", "--password-stdin"], PASSWORD),
        (["add", "bert", "--role", "owner"], PASSWORD),
        (["add", "bert", "--role", "owner", "--password-stdin"], b"too short\n"),
        (["add", "bert", "--role", "owner", "--password-stdin"], b"bert bert bert bert\n"),
        (["add", "bert", "--role", "owner", "--password-stdin"], b"aaaaaaaaaaaaaaaa\n"),
        (["add", "bert", "--role", "owner", "--password-stdin"], b"x" * 129),
        (["add", "bert", "--role", "owner", "--password-stdin"], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\n"),
        (["add", "bert", "--role", "owner", "--password-stdin"], b""),
        (["add", "b b", "--role", "owner", "--password-stdin"], PASSWORD),
        (["add", "cli:root", "--role", "owner", "--password-stdin"], PASSWORD),
        (["add", "", "--role", "owner", "--password-stdin"], PASSWORD),
        (["add", "x" * 201, "--role", "owner", "--password-stdin"], PASSWORD),
        (["add", "anna", "--role", "owner", "--password-stdin"], PASSWORD),
        (["disable", "bert"], b""),
        (["enable", "bert"], b""),
        (["role", "bert", "--role", "owner"], b""),
        (["role", "anna"], b""),
        (["role", "anna", "--role", "king"], b""),
        (["password", "bert", "--password-stdin"], PASSWORD),
        (["password", "anna"], PASSWORD),
        (["password", "anna", "--password-stdin"], b"short\n"),
        (["list", "--limit", "0"], b""),
    ],
)
def test_nonsense_ends_in_one_sentence(isp, arguments: list[str], typed: bytes) -> None:
    """Nothing is stored, nobody is changed, and no password is shown back."""
    isp.ok("person", "add", "anna", "--role", "owner", "--password-stdin", typed=PASSWORD)
    before = isp.ok("person", "list")
    sentence = isp.refused("person", *arguments, typed=typed)
    assert "battery" not in sentence
    assert isp.ok("person", "list") == before


def test_a_login_name_is_one_persons_on_the_installation(isp) -> None:
    """Another operator cannot take it, since a sign-in names no operator."""
    isp.ok("operator", "add", "Tide", "--currency", "EUR")
    isp.ok("person", "add", "anna", "--role", "owner", "--operator", "Wave", "--password-stdin", typed=PASSWORD)
    sentence = isp.refused(
        "person", "add", "anna", "--role", "owner", "--operator", "Tide", "--password-stdin", typed=PASSWORD
    )
    assert "is taken" in sentence
    assert isp.ok("person", "list", "--operator", "Tide") == []


def test_without_a_terminal_the_sentence_names_the_way(isp) -> None:
    """The password is never an argument: standard input is the way for programs."""
    assert "--password-stdin" in isp.refused("person", "add", "bert", "--role", "owner")
    assert "--password-file" not in isp.refused("person", "add", "bert", "--role", "owner")
