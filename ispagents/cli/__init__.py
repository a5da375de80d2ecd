"""The command line: one file a noun. `main` turns every mishap into one sentence and exit code 2."""

from __future__ import annotations

import contextlib
import os
import sys

import psycopg
import typer
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

# Typer carries its own copy of click and exports only some of its errors; the pin in pyproject.toml guards this path.
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from ispagents.cli import common
from ispagents.cli.output import printable
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from policy.errors import PolicyError
from sql.errors import Refused
from sql.secrets import SecretsError
from sql.violations import sentence

SENTENCE_MAXIMUM_LETTERS = 2000

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Billing that controls service state, with a preview before, an approval where due, proof after, a way back.",
    callback=common.remember_state,
)


def main() -> None:
    """Run the command line."""
    from ispagents.cli import commands, machine  # noqa: PLC0415 - they import every process; only a run needs them

    machine.mount(app)
    commands.mount(app)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):
            # Names are data and no terminal knows all letters; a story that goes into a pipe is read while it is told.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr] # as suppressed
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Never raises for what a person did."""
    try:
        _check_letters(arguments)
        result = app(args=arguments, prog_name="ispagents", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _say("Stopped.", 130)
    except NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return PROBLEM_EXIT_CODE
    except ClickException as error:
        return _say(_one_line(error.format_message()) + _hint(error), PROBLEM_EXIT_CODE)
    except (Problem, Refused) as error:
        return _say(_one_line(str(error)), PROBLEM_EXIT_CODE)
    except (PolicyError, SecretsError) as error:
        return _say(_capital(_one_line(str(error))) + ".", PROBLEM_EXIT_CODE)
    except (DBAPIError, psycopg.Error) as error:
        return _say(_database_sentence(error), PROBLEM_EXIT_CODE)
    except (BrokenPipeError, SystemExit) as error:
        return _reader_left(error)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _say(f"The system refused{where}: {error.strerror or error}; choose another --state or mend that.", 2)
    return result if isinstance(result, int) else 0


def _check_letters(arguments: list[str]) -> None:
    for argument in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise Problem(f"The argument {argument!r} is not valid UTF-8; type it on a UTF-8 terminal.")
        if "\0" in argument:
            raise Problem(f"The argument {argument!r} holds a zero byte; leave it out.")


def _database_sentence(error: DBAPIError | psycopg.Error) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    said = _one_line(str(original)) or type(original).__name__
    if isinstance(error, IntegrityError | DataError):
        return _one_line(sentence(error))
    if isinstance(original, psycopg.errors.InsufficientPrivilege):
        return f"The database does not allow this to the command line ({said})."
    if isinstance(error, ProgrammingError) or isinstance(original, psycopg.ProgrammingError):
        return f"The database's schema is not the one this version needs ({said}); run `ispagents db migrate`."
    if isinstance(original, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return "Somebody else changed the same at this moment, so nothing was stored; try again."
    if isinstance(original, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return f"The database took too long, so nothing was stored ({said}); try again."
    return f"The database cannot be reached or gave up: {said.rstrip('.')}. Is `ispagents up` running?"


def _reader_left(error: BaseException) -> int:
    """The reader (head, less) has seen enough; keep Python from complaining again while it closes standard output."""
    if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
        return error.code if isinstance(error.code, int) else PROBLEM_EXIT_CODE
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say(text: str, code: int) -> int:
    """One sentence on standard error, printable and of a bounded length whatever it quotes."""
    if len(text) > SENTENCE_MAXIMUM_LETTERS:
        text = text[:SENTENCE_MAXIMUM_LETTERS] + " ..."
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(printable(text) + "\n")
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _hint(error: ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" See `{context.command_path} --help`." if context is not None else ""
