"""`ispagents person`: people who may sign in to the pages, and their roles."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import read_secret
from ispagents.errors import Problem
from sql import people
from sql.models import Person
from sql.people import PersonRole
from sql.roles import Role

app = typer.Typer(no_args_is_help=True, help="People who may sign in to the pages, and what they may do there.")

EMPTY = "Nobody can sign in yet; add the first one with `ispagents person add NAME --role owner`."
Roles = Annotated[
    list[PersonRole], typer.Option("--role", help="What this person is; say it again for more.", show_default=False)
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read it as one line from standard input.")]


@app.command("add")
def add(
    name: str,
    role: Roles,
    password_stdin: PasswordStdin = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a person. The password is asked for twice, or read with --password-stdin; there is no default."""
    login = name.lower()
    people.check_login(login)
    password_hash = _hash(login, from_stdin=password_stdin)
    with common.acting(operator) as (session, operator_id):
        person = people.add_person(
            session, operator_id, login=login, password_hash=password_hash, roles=role, actor=common.actor()
        )
        session.refresh(person)
        row = _row(person)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List people by name."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(person) for person in people.people(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="People",
        empty=common.nothing(EMPTY, search="", after=after),
        columns=("name", "roles", "active", "last_login_at", "locked_until"),
        more=common.more(rows, limit, "name"),
    )


@app.command("disable")
def disable(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Let a person no longer sign in; open sessions end at once."""
    _set_active(name, operator, active=False, as_json=as_json)


@app.command("enable")
def enable(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Let a disabled person sign in again."""
    _set_active(name, operator, active=True, as_json=as_json)


@app.command("role")
def role(name: str, role: Roles, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Give a person these roles instead of those before."""
    with common.acting(operator) as (session, operator_id):
        person = people.person_named(session, operator_id, name.lower())
        people.set_roles(session, person, role, actor=common.actor())
        row = _row(person)
    common.show_one(row, as_json=as_json)


@app.command("password")
def password(
    name: str, password_stdin: PasswordStdin = False, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Give a person a new password; open sessions and a lock end."""
    login = name.lower()
    with common.acting(operator) as (session, operator_id):
        people.person_named(session, operator_id, login)
    password_hash = _hash(login, from_stdin=password_stdin)
    with common.acting(operator) as (session, operator_id):
        person = people.person_named(session, operator_id, login)
        people.set_password_hash(session, person, password_hash, actor=common.actor())
        row = _row(person)
    common.show_one(row, as_json=as_json)


def _set_active(name: str, operator: str, *, active: bool, as_json: bool) -> None:
    with common.acting(operator) as (session, operator_id):
        person = people.person_named(session, operator_id, name.lower())
        people.set_active(session, person, active=active, actor=common.actor())
        row = _row(person)
    common.show_one(row, as_json=as_json)


def _hash(login: str, *, from_stdin: bool) -> str:
    from web.sign_in.passwords import checked_password, hashed  # noqa: PLC0415 - Flask-Security costs every command's start

    if not from_stdin and not sys.stdin.isatty():
        raise Problem("There is no terminal to ask for the password; give it as one line with --password-stdin.")
    text, _ = read_secret("password", from_stdin=from_stdin, file=None)
    checked_password(text, login)
    engine = common.databases().engine(Role.WEB, pool=1)
    try:
        return hashed(text, engine)
    finally:
        engine.dispose()


def _row(person: Person) -> dict[str, Any]:
    return {
        "name": person.login,
        "roles": person.roles,
        "active": person.active,
        "created_at": person.created_at,
        "last_login_at": person.last_login_at,
        "locked_until": person.locked_until,
    }
