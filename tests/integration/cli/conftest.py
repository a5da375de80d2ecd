"""The command line inside the test's process, against a database of the test's own."""

import functools
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from fixtures_database import Database
from fixtures_postgres import temporary_state

from ispagents import cli
from ispagents.cli import commands
from sql.roles import Role

if not cli.app.registered_groups:
    commands.mount(cli.app)
# A program makes its hundred commands once; making them again for each of a test's many calls took most of the time.
typer.main.get_command = functools.cache(typer.main.get_command)


@dataclass
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class CommandLine:
    """Runs commands for a state folder of the test's own."""

    def __init__(self, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing runs yet."""
        self.state = state
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, typed: bytes = b"") -> Said:
        """Run a command with `typed` on its standard input, which is no terminal."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8"))
        self._capsys.readouterr()
        code = cli.run(["--state", str(self.state), *arguments])
        found = self._capsys.readouterr()
        return Said(code, found.out, found.err)

    def ok(self, *arguments: str, typed: bytes = b"") -> Any:
        """Run a command that must succeed; its JSON."""
        said = self(*arguments, "--json", typed=typed)
        assert (said.code, said.err) == (0, ""), said
        return said.json

    def refused(self, *arguments: str, typed: bytes = b"") -> str:
        """Run a command that must be refused; its one sentence."""
        said = self(*arguments, typed=typed)
        assert said.code == 2, (arguments, said)
        assert said.out == "", said
        assert said.err.endswith("\n"), said
        assert said.err.count("\n") == 1, said
        assert "Traceback" not in said.err, said
        return said.err.strip()


@pytest.fixture
def cli_state(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder whose settings name the test's database."""
    for role in Role:
        url = database.databases.urls[role].render_as_string(hide_password=False)
        monkeypatch.setenv(f"ISPAGENTS_DATABASE_{role.name}_URL", url)
    with temporary_state() as state:
        yield state.path


@pytest.fixture
def command(
    cli_state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandLine]:
    """The command line with an empty database."""
    return CommandLine(cli_state, capsys, monkeypatch)


@pytest.fixture
def isp(command: CommandLine) -> CommandLine:
    """The command line with one operator, plan, subscriber and service."""
    command.ok("operator", "add", "Wave", "--currency", "EUR")
    command.ok("plan", "add", "Home 50", "--rate", "10M/50M", "--price", "15.00", "--address-list", "online")
    command.ok("subscriber", "add", "K-1", "Zofia Kowalska", "--email", "zofia@example.org")
    command.ok(
        "service", "add", "zofia", "--subscriber", "K-1", "--plan", "Home 50", "--password-stdin", typed=b"made up\n"
    )
    return command
