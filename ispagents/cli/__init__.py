"""The command line: one file a noun. `main` turns every mishap into one sentence and exit code 2."""

from __future__ import annotations

import os
import sys

import typer
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

# Typer carries its own copy of click and exports only some of its errors; the pin in pyproject.toml guards this path.
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from ispagents.cli import common
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from policy.errors import PolicyError
from sql.errors import Refused
from sql.secrets import SecretsError
from sql.violations import sentence

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
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Never raises for what a person did."""
    try:
        result = app(args=arguments, prog_name="ispagents", standalone_mode=False)
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
    except (IntegrityError, DataError) as error:
        return _say(_one_line(sentence(error)), PROBLEM_EXIT_CODE)
    except ProgrammingError as error:
        return _say(
            f"The database's schema is not the one this version needs ({_one_line(str(error.orig))}); "
            "run `ispagents db migrate`.",
            PROBLEM_EXIT_CODE,
        )
    except OperationalError as error:
        return _say(
            f"The database cannot be reached or gave up: {_one_line(str(error.orig))}. Is `ispagents up` running?",
            PROBLEM_EXIT_CODE,
        )
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep Python from complaining again while it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _say(text: str, code: int) -> int:
    sys.stderr.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _hint(error: ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" See `{context.command_path} --help`." if context is not None else ""
