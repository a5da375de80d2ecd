"""`ispagents router test`: why a router does not take changes, and what it is able to do."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines, printable
from ispagents.errors import Problem
from ispagents.wiring.self_test import SelfTest, here
from network.contract import Result
from policy.explanations import explain
from sql import abilities
from sql.abilities import LentSession, Level
from sql.customers import router_by_name
from sql.errors import NotFound, Refused
from sql.models import Router
from worker.self_test.address_list import TEST_LIST, evidence_of, level_of, put_back, with_test_list
from worker.self_test.examining import Report
from worker.self_test.probes import Probe

FAULT_EXIT_CODE = 1


class Saw(StrEnum):
    """What a person saw on the router."""

    YES = "yes"
    NO = "no"


def examine_router(
    name: str,
    session: Annotated[
        str, typer.Option("--session", help="Try on this user's live session whether a CoA changes address lists.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="With --session: send it; without, it says what it would.")
    ] = False,
    saw_it: Annotated[
        Saw | None, typer.Option("--saw-it", help=f"Whether the router showed the list {TEST_LIST} after the try.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find out how a router takes CoA, by harmless requests. Exit code 1: something is wrong there."""
    if yes and not session:
        raise Problem("--yes goes with --session: it consents to a try on that user's live session.")
    if yes and saw_it is not None:
        raise Problem("Say --saw-it after the try, without --yes.")
    if saw_it is not None:
        said = _saw(operator, name, session, saw=saw_it is Saw.YES)
    elif session and not yes:
        said = _would(operator, name, session)
    elif session:
        said = _try(operator, name, session)
    else:
        _examine(operator, name, as_json=as_json)
        return
    if as_json:
        common.print_json(said)
    else:
        print_lines(said["said"])


def _self_test(operator_id: int, name: str) -> SelfTest:
    where = here(common.state_folder(), common.settings())
    return SelfTest(common.databases(), where, common.box(), operator_id, name)


def _examine(operator: str, name: str, *, as_json: bool) -> None:
    with common.acting(operator) as (database, operator_id):
        router_by_name(database, operator_id, name)
    report = _self_test(operator_id, name).run()
    if as_json:
        common.print_json(_document(name, report))
    else:
        _tell(name, report)
    if not report.conclusion.right:
        raise typer.Exit(FAULT_EXIT_CODE)


def _document(name: str, report: Report) -> dict[str, Any]:
    end = report.conclusion
    return {
        "router": name,
        "verdict": end.verdict.value,
        "right": end.right,
        "conclusion": end.sentence,
        "on_router": end.on_router,
        "here": end.here,
        "probes": [
            {**one._asdict(), "aim": one.aim.value, "identified_by": list(one.identified_by)} for one in report.probes
        ],
    }


def _tell(name: str, report: Report) -> None:
    rows = [_row(one) for one in report.probes]
    common.show(rows, as_json=False, title=f"Self-test of {printable(name)}", empty="")
    end = report.conclusion
    print_lines(f"\n{printable(end.sentence)}")
    if end.on_router:
        print_lines(f"Type on the router (RouterOS): {printable(end.on_router)}")
    if end.here:
        print_lines(f"Or set here: {printable(end.here)}" if end.on_router else f"Set here: {printable(end.here)}")


def _row(probe: Probe) -> dict[str, Any]:
    return {"sent": probe.sent, "came back": probe.came_back, "means": probe.means}


def _would(operator: str, name: str, username: str) -> dict[str, Any]:
    """What a try would do, exactly."""
    with common.acting(operator) as (database, operator_id):
        router = router_by_name(database, operator_id, name)
        abilities.check_may_try(database, router)
        lent = abilities.session_to_test(database, router, username)
    sent = with_test_list(lent.present)
    whom = f"{lent.acct_session_id} of {username} at {name}"
    said = (
        f"Nothing was sent. With --yes one CoA goes to the live session {printable(whom)}: what it has now, and the "
        f"address list {TEST_LIST!r}, which no firewall rule names.\n"
        + "".join(f"    {key} = {printable(value)}\n" for key, value in sent)
        + _going(lent)
    )
    return {"router": name, "sent": False, "would_send": [list(pair) for pair in sent], "said": said}


def _going(lent: LentSession) -> str:
    if put_back(lent.present):
        return "The customer notices nothing; the list is taken away again when you have said what you saw."
    return "The customer notices nothing; the list stays until his next login, since a CoA cannot remove the only one."


def _try(operator: str, name: str, username: str) -> dict[str, Any]:
    with common.acting(operator) as (database, operator_id):
        router = router_by_name(database, operator_id, name)
        abilities.check_may_try(database, router)
        lent = abilities.session_to_test(database, router, username)
        abilities.trying(database, router, lent, with_test_list(lent.present), actor=common.actor())
    lent, result = _self_test(operator_id, name).send(username, back=False)
    if result is None:
        raise AssertionError("a try always has something to send")
    level = level_of(result)
    if level is not None:
        with common.acting(operator) as (database, operator_id):
            router = router_by_name(database, operator_id, name)
            evidence = evidence_of(lent, result)
            abilities.learn(database, router, level=level, able=False, evidence=evidence, actor=common.actor())
    return {
        "router": name,
        "sent": True,
        "level": level.value if level is not None else None,
        "cause": result.cause,
        "said": _said_of_try(name, lent, result, level),
    }


def _said_of_try(name: str, lent: LentSession, result: Result, level: Level | None) -> str:
    shown = printable(name)
    if level is Level.ACKNOWLEDGED:
        return (
            f"{shown} said yes, which proves nothing yet. Look there whether {lent.framed_address or lent.username} is "
            f"in the list now:\n    /ip firewall address-list print where list={TEST_LIST}\n"
            f"and say what you saw: `ispagents router test {shlex.quote(shown)} --saw-it yes` (or no)."
        )
    if level is Level.REFUSED:
        return f"{shown} refused a CoA with an address list, so that a change of lists disconnects there. Stored."
    return f"Nothing was learnt. {explain(result.cause, router=shown).text}"


def _saw(operator: str, name: str, username: str, *, saw: bool) -> dict[str, Any]:
    with common.acting(operator) as (database, operator_id):
        router = router_by_name(database, operator_id, name)
        evidence = _tried(abilities.ability(database, router), router, username)
        observed = {**evidence, "saw_it": saw, "saw_by": common.actor()}
        abilities.learn(database, router, level=Level.SEEN, able=saw, evidence=observed, actor=common.actor())
    verdict = "changes address lists by CoA" if saw else "does not, so that a change of lists disconnects there"
    back = _take_back(operator_id, name, evidence)
    return {
        "router": name,
        "able": saw,
        "level": Level.SEEN.value,
        "said": f"Stored: {printable(name)} {verdict}. {back}",
    }


def _tried(found: Any, router: Router, username: str) -> dict[str, Any]:
    evidence: dict[str, Any] = dict(found.evidence) if found is not None else {}
    if evidence.get("outcome") != "applied":
        raise NotFound(
            f"No try at {router.name} was acknowledged yet; `ispagents router test NAME --session USER` does one."
        )
    if username and evidence["username"] != username:
        raise Refused(f"The last try at {router.name} was with {evidence['username']!r}, not with {username!r}.")
    return evidence


def _take_back(operator_id: int, name: str, evidence: dict[str, Any]) -> str:
    """Take the test's list away; what keeps it from going is said, since the list does no harm."""
    stays = f"The list {TEST_LIST!r} stays until the session's next login."
    try:
        _, result = _self_test(operator_id, name).send(
            evidence["username"], back=True, acct_session_id=evidence["session"]
        )
    except NotFound:
        return "The session has ended meanwhile, and the list with it."
    except (Refused, Problem) as error:
        return f"{stays} {printable(str(error))}"
    if result is None:
        return stays
    if level_of(result) is not Level.ACKNOWLEDGED:
        return f"{stays} {explain(result.cause, router=printable(name)).happened}"
    return (
        f"The list was taken away again; if {TEST_LIST!r} still shows it, say --saw-it no: a list that only grows "
        "cannot restrict anybody."
    )
