"""`ispagents bench ...`: a command for each bench. What is wrong with the arguments is said before measuring."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bench import acct, auth, billing, changes, coa, report, routeros, webhooks
from bench.load import LoadError
from bench.packets import BadReplyError
from bench.servers.contract import ServerError

app = typer.Typer(
    help="Measure ours and the alternatives side by side.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

WRONG_ARGUMENTS = 2
FAILED = 1
INTERRUPTED = 130
ERRORS = (
    ServerError,
    LoadError,
    BadReplyError,
    auth.BenchError,
    acct.AcctBenchError,
    coa.CoaBenchError,
    *changes.ERRORS,
    *webhooks.ERRORS,
    *billing.ERRORS,
    *routeros.ERRORS,
)

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", dir_okay=True, help="Write the results there as one object.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Smaller runs, under 45 s, the same keys.")]


@app.command(name="auth")
def auth_command(json: Json = None, quick: Quick = False) -> None:
    """Logins with a billing decision, against rlm_sql and the files floor."""
    _bench("auth", lambda: auth.run(quick), json)


@app.command(name="acct")
def acct_command(json: Json = None, quick: Quick = False) -> None:
    """Accounting until its rows are stored, against rlm_sql and detail alone; backlog, lag, pages."""
    _bench("acct", lambda: acct.run(quick), json)


@app.command(name="coa")
def coa_command(json: Json = None, quick: Quick = False) -> None:
    """Changes of live sessions, against radclient, and 10,000 of them on 50 routers."""
    _bench("coa", lambda: coa.run(quick), json)


@app.command(name="routeros")
def routeros_command(json: Json = None, quick: Quick = False) -> None:
    """Changes and readings of routers by API, against a plain librouteros loop; 100 routers at once."""
    _bench("routeros", lambda: routeros.run(quick), json)


@app.command(name="changes")
def changes_command(json: Json = None, quick: Quick = False) -> None:
    """From a payment's commit to its CoA, idle and during a batch of 10,000 changes on 50 routers."""
    _bench("changes", lambda: changes.run(quick), json)


@app.command(name="billing")
def billing_command(json: Json = None, quick: Quick = False) -> None:
    """The nightly run over 1,000,000 services while 10,000 signed webhooks come in; and the same night once more."""
    _bench("billing", lambda: billing.run(quick), json)


@app.command(name="webhooks")
def webhooks_command(json: Json = None, quick: Quick = False) -> None:
    """Signed webhooks of payments at the real web process."""
    _bench("webhooks", lambda: webhooks.run(quick), json)


def _bench(name: str, run: Callable[[], dict[str, Any]], json: Path | None) -> None:
    if json is not None:
        _make_sure_of(json)
    try:
        results = run()
    except ERRORS as problem:
        _end(str(problem), FAILED)
    except KeyboardInterrupt:
        _end("Stopped; every server of the bench was ended.", INTERRUPTED)
    report.show(name, results)
    if json is not None:
        try:
            report.write(name, results, json)
        except OSError as error:
            _end(f"The results could not be written to {json} ({error.strerror}).", FAILED)


def _make_sure_of(path: Path) -> None:
    """Ends the command if the file cannot be written; an existing one is kept as it is until there are results."""
    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        _end(f"{path} cannot be written ({error.strerror}); name another file with --json.", WRONG_ARGUMENTS)


def _end(sentence: str, code: int) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
