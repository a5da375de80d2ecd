"""`ispagents explain`: why a customer is offline, slow or restricted right now, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines, printable
from policy.explain import Explanation
from policy.explain import explain as in_words
from policy.wording import command, escaped, sentence, span
from sql.errors import NotFound
from sql.explain import similar_names, situation

UNKNOWN_EXIT_CODE = 1


def explain(username: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Say why a customer is offline, slow or restricted right now, with the facts behind it and what to type next.

    Exit code 1 when there is no such user name.
    """
    now = datetime.now(UTC)
    with common.acting(operator) as (session, operator_id):
        try:
            known = situation(session, operator_id, username, now)
        except NotFound:
            known = None
            similar = similar_names(session, operator_id, username)
    if known is None:
        _unknown(username, similar, as_json=as_json)
        raise typer.Exit(UNKNOWN_EXIT_CODE)
    explanation = in_words(known)
    if as_json:
        common.print_json(_document(username, explanation, now))
        return
    print_lines(explanation.answer)
    for line in _lines(explanation, now):
        print_lines(line)


def _lines(explanation: Explanation, now: datetime) -> Iterator[str]:
    if len(explanation.causes) > 1:
        yield ""
        yield "Also:"
        for cause in explanation.causes[1:]:
            yield f"  - {sentence(cause.clause + ('; ' + cause.remedy if cause.remedy else ''))}"
    yield ""
    yield "What is known:"
    for fact in explanation.facts:
        age = f"{span(now - fact.at)} ago" if fact.at is not None and fact.at <= now else ""
        source = ", ".join(part for part in (fact.evidence, age) if part)
        yield f"  - {fact.sentence}" + (f" [{source}]" if source else "")
    if explanation.next_steps:
        yield ""
        yield "Next:"
        for step in explanation.next_steps:
            yield f"  {step.command}"
            yield f"      {step.why}"


def _document(username: str, explanation: Explanation, now: datetime) -> dict[str, Any]:
    return {
        "username": username,
        "answer": explanation.answer,
        "state": explanation.state.value,
        "causes": [
            {"code": one.code.value, "because": one.clause, "remedy": one.remedy, "evidence": one.evidence}
            for one in explanation.causes
        ],
        "facts": [
            {
                "sentence": one.sentence,
                "evidence": one.evidence,
                "at": one.at,
                "age_s": int((now - one.at).total_seconds()) if one.at is not None else None,
            }
            for one in explanation.facts
        ],
        "next_steps": [{"command": one.command, "why": one.why} for one in explanation.next_steps],
    }


def _unknown(username: str, similar: list[str], *, as_json: bool) -> None:
    answer = f"There is no service with the user name '{escaped(username)}'"
    if similar:
        answer += "; similar ones are " + ", ".join(f"'{escaped(name)}'" for name in similar)
    step = command("explain", similar[0]) if similar else command("service list")
    if as_json:
        common.print_json(
            {
                "username": username,
                "answer": f"{answer}.",
                "state": "unknown",
                "causes": [],
                "facts": [],
                "next_steps": [{"command": step, "why": "look at that one" if similar else "see those there are"}],
                "similar": similar,
            }
        )
        return
    sys.stderr.write(printable(f"{answer}. Next: {step}") + "\n")
