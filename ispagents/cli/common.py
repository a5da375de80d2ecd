"""What all commands share: the state folder, acting for an operator, and output as a table or as JSON."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from ispagents.database import Databases, find, secret_box
from ispagents.errors import Problem
from ispagents.settings import Settings, load
from ispagents.state_folder import StateFolder
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for, operator_names

ROWS = 100

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OperatorOption = Annotated[
    str, typer.Option("--operator", help="The operator's name; needed when there is more than one.")
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", help="The state folder; ISPAGENTS_STATE or the usual place if not given.", show_default=False
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many rows at most.")]
AfterOption = Annotated[str, typer.Option("--after", help="Go on after this key, the last one of the page before.")]


@dataclass
class _Chosen:
    state: Path | None = None


_chosen = _Chosen()


def remember_state(state: StateOption = None) -> None:
    """The state folder that the commands of this run use."""
    _chosen.state = state


def state_folder() -> StateFolder:
    """The chosen state folder."""
    return StateFolder.default(_chosen.state)


def settings(**overrides: object) -> Settings:
    """The settings for the chosen state folder."""
    return load(state_folder().path, **overrides)


def databases() -> Databases:
    """The databases in use. Raises Problem when nothing runs."""
    return find(state_folder(), settings())


def box() -> SecretBox:
    """The box for secrets."""
    return secret_box(state_folder())


def actor() -> str:
    """Who is at the keyboard, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli:unknown"


@contextmanager
def acting(operator: str) -> Iterator[tuple[Session, int]]:
    """A transaction as the web role for an operator by name; the only one when the name is empty."""
    engine = databases().engine(Role.WEB, pool=2)
    try:
        operator_id = _operator_id(operator_names(engine), operator)
        with acting_for(engine, operator_id) as session:
            yield session, operator_id
    finally:
        engine.dispose()


def show(rows: Iterable[dict[str, Any]], *, as_json: bool, title: str, empty: str) -> None:
    """Print rows as a table, or as a JSON list. `empty` says what to do when there are none."""
    found = list(rows)
    if as_json:
        print_json(found)
        return
    if not found:
        Console().print(Text(empty))
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for name in found[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)


def show_one(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing as `name  value` lines, or as a JSON object."""
    if as_json:
        print_json(row)
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        Console().print(Text(f"{name.replace('_', ' '):<{width}}  {_cell(value)}"))


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def money_minor(text: str, currency: str) -> int:
    """An amount such as 12.50 in minor units. Raises Problem. ISO 4217's exceptions follow with the ledger."""
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Problem(f"{text!r} is not an amount; write it as 12.50.") from error
    minor = amount.scaleb(2) if amount.is_finite() else Decimal(0)
    if minor != minor.to_integral_value() or minor <= 0:
        raise Problem(f"{text!r} is not an amount of {currency}; write more than zero with at most two decimals.")
    return int(minor)


def money_text(minor: int, currency: str) -> str:
    """An amount for people."""
    return f"{Decimal(minor).scaleb(-2):.2f} {currency}"


def moment(text: str) -> datetime:
    """A moment from `2026-12-05` (its midnight, UTC) or ISO 8601 with an offset. Raises Problem."""
    try:
        if len(text) == len("2026-12-05"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(f"{text!r} is not a date; write 2026-12-05 or 2026-12-05T18:00+01:00.") from error
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _operator_id(names: dict[str, int], wanted: str) -> int:
    if not names:
        raise Problem("There is no operator yet; add one with `ispagents operator add NAME --currency EUR`.")
    if wanted:
        if wanted not in names:
            raise Problem(f"There is no operator {wanted!r}; there are {_listed(names)}.")
        return names[wanted]
    if len(names) > 1:
        raise Problem(f"There is more than one operator ({_listed(names)}); choose one with --operator.")
    return next(iter(names.values()))


def _listed(names: Sequence[str] | dict[str, int]) -> str:
    some = sorted(names)[:10]
    return ", ".join(repr(name) for name in some) + (", ..." if len(names) > len(some) else "")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value) or "-"
    if isinstance(value, dict):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value).replace("\n", "\\n").replace("\r", "\\r").replace("\x1b", "\\x1b")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
