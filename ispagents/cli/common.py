"""What all commands share: the state folder, acting for an operator, and common options."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli.output import print_json, printable, show, show_one, use_zone
from ispagents.database import Databases, find, secret_box
from ispagents.errors import Problem
from ispagents.settings import Settings, load
from ispagents.state_folder import STATE_VARIABLE, StateFolder
from policy.windows import zone
from sql.models import Operator
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for, operator_names

__all__ = ["print_json", "show", "show_one"]

ROWS = 100
NO_MORE = "There is nothing after that."
ID_MAXIMUM = 2**63 - 1

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OperatorOption = Annotated[
    str, typer.Option("--operator", help="The operator's name; needed when there is more than one.")
]
StateOption = Annotated[
    str | None,
    typer.Option(
        "--state", help="The state folder; ISPAGENTS_STATE or the usual place if not given.", show_default=False
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many rows at most.")]
Id = Annotated[int, typer.Argument(min=1, max=ID_MAXIMUM, show_default=False)]
SearchOption = Annotated[str, typer.Option("--search", help="Only those that begin with this.")]
SubscriberOption = Annotated[str, typer.Option("--subscriber", help="Only those of this customer number.")]
AfterOption = Annotated[str, typer.Option("--after", help="Go on after this key, the last one of the page before.")]


@dataclass
class _Chosen:
    state: Path | None = None


_chosen = _Chosen()


def remember_state(state: StateOption = None) -> None:
    """The state folder that the commands of this run use. Raises Problem for an empty name."""
    if state == "":
        raise Problem("The state folder needs a name; leave --state out for the usual place.")
    _chosen.state = Path(state) if state is not None else None
    use_zone(UTC)


def own_state_folder() -> StateFolder:
    """The chosen state folder, or the usual one."""
    return StateFolder.default(_chosen.state)


def demo_state_folder() -> StateFolder:
    """The chosen state folder, or the usual one of the demo, so that a demo never mixes with a real ISP."""
    if _chosen.state is not None or os.environ.get(STATE_VARIABLE):
        return own_state_folder()
    usual = StateFolder.default().path
    return StateFolder(usual.with_name(usual.name + "-demo"))


def state_folder() -> StateFolder:
    """The state folder that a command is about: the usual one, or the demo's while only the demo runs."""
    own, demo = own_state_folder(), demo_state_folder()
    return demo if demo != own and not _runs(own) and _runs(demo) else own


def _runs(state: StateFolder) -> bool:
    try:
        return state.path.is_dir() and state.holder() is not None
    except OSError:
        return False


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


def time_zone(operator: str) -> str:
    """The operator's time zone, in which dates without an offset are meant."""
    with acting(operator) as (session, operator_id):
        return session.get_one(Operator, operator_id).time_zone


@contextmanager
def acting(operator: str) -> Iterator[tuple[Session, int]]:
    """A transaction as the web role for an operator by name; the only one when the name is empty.

    What is printed from here on has its moments in this operator's time zone.
    """
    engine = databases().engine(Role.WEB, pool=2)
    try:
        operator_id = _operator_id(operator_names(engine), operator)
        with acting_for(engine, operator_id) as session:
            use_zone(zone(session.get_one(Operator, operator_id).time_zone))
            yield session, operator_id
    finally:
        engine.dispose()


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


def more(rows: Sequence[dict[str, Any]], limit: int, key: str) -> str:
    """How to get the next page, where this one is full."""
    return f"There may be more: go on with --after {shlex.quote(str(rows[-1][key]))}" if len(rows) == limit else ""


def nothing(empty: str, *, search: str, after: str) -> str:
    """What an empty list says: that nothing matches or follows, or what to do first."""
    if search:
        return f"Nothing begins with {printable(search)!r}."
    return NO_MORE if after else empty
