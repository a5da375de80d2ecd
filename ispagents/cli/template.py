"""`ispagents template`: the operator's own words to customers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines
from ispagents.errors import Problem
from policy.notices import BLANKS, Event
from sql.models import NoticeTemplate
from sql.notice_settings import BODY_MAXIMUM_BYTES, remove_template, set_template, template_of, templates

app = typer.Typer(no_args_is_help=True, help="Your own words to customers, for each event and language.")

EMPTY = "There are no words of your own, so ours are used; write some with `ispagents template set EVENT LANGUAGE`."

EventArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(Event)}.")]
LanguageArgument = Annotated[str, typer.Argument(help="Two small letters, such as en.")]


@app.command("set")
def put(
    event: EventArgument,
    language: LanguageArgument,
    subject: Annotated[str, typer.Option(help="One line.")],
    text: Annotated[str | None, typer.Option(help="The text; or take it from a file.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the text, in UTF-8.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Use words of your own. Blanks such as {name} are filled; `template blanks EVENT` lists them. {{ is a brace."""
    if (text is None) == (file is None):
        raise Problem("Give the text either by --text or by --file.")
    body = text if text is not None else _read(file or Path())
    with common.acting(operator) as (session, operator_id):
        set_template(
            session, operator_id, event=event, language=language, subject=subject, body=body, actor=common.actor()
        )
        row = _row(template_of(session, operator_id, event=event, language=language))
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """List your own words."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in templates(session, operator_id)]
    columns = ("event", "language", "subject", "updated_at")
    common.show(rows, as_json=as_json, title="Templates", empty=EMPTY, columns=columns)


@app.command("show")
def show(
    event: EventArgument, language: LanguageArgument, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Show your own words for an event."""
    with common.acting(operator) as (session, operator_id):
        row = _row(template_of(session, operator_id, event=event, language=language))
    if as_json:
        common.print_json(row)
        return
    print_lines(f"{row['subject']}\n\n{row['text']}")


@app.command("remove")
def remove(
    event: EventArgument, language: LanguageArgument, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Use our words again."""
    with common.acting(operator) as (session, operator_id):
        remove_template(session, operator_id, event=event, language=language, actor=common.actor())
    common.show_one({"event": event, "language": language, "state": "removed"}, as_json=as_json)


@app.command("blanks")
def blanks(event: EventArgument, as_json: JsonOption = False) -> None:
    """List the blanks that words for an event may have."""
    try:
        known = BLANKS[Event(event)]
    except ValueError as error:
        raise Problem(f"The event {event[:60]!r} is not known; use one of {', '.join(Event)}.") from error
    rows = [{"blank": "{" + name + "}", "is": meaning} for name, meaning in known.items()]
    common.show(rows, as_json=as_json, title="Blanks", empty="")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(BODY_MAXIMUM_BYTES + 1).decode()
    except OSError as error:
        raise Problem(f"The file {str(file)!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise Problem(f"The file {str(file)!r} is not in UTF-8, or too long.") from error


def _row(template: NoticeTemplate) -> dict[str, Any]:
    return {
        "event": template.event,
        "language": template.language,
        "subject": template.subject,
        "text": template.body,
        "updated_at": template.updated_at,
    }
