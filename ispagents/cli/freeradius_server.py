"""`ispagents freeradius`: a FreeRADIUS that was here before us is joined, left as it was, or examined."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption
from ispagents.cli.output import print_lines, printable
from ispagents.errors import Problem
from ispagents.existing_freeradius import doctor as examination
from ispagents.existing_freeradius import hooks, joining, running
from ispagents.existing_freeradius.edits import FileEdit, Return, Way, difference
from ispagents.existing_freeradius.joining import Ours
from ispagents.existing_freeradius.layout import Existing, find
from ispagents.settings import load

app = typer.Typer(
    help="A FreeRADIUS that is here already: let it answer for ISPAgents, leave it as it was, or find what is wrong.",
    no_args_is_help=True,
)

RaddbOption = Annotated[
    str, typer.Option("--raddb", metavar="DIR", help="Its configuration folder; the usual one if not given.")
]
SiteOption = Annotated[str, typer.Option("--site", help="The virtual server that the routers ask.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking; the edits are shown all the same.")]
RestartOption = Annotated[bool, typer.Option("--restart", help="Restart the server by systemd when all is in place.")]
CommandOption = Annotated[
    str, typer.Option("--restart-command", metavar="COMMAND", help="Restart it with this command instead.")
]
DynamicOption = Annotated[
    bool, typer.Option("--dynamic-clients", help="Let routers of ISPAgents ask without a line in clients.conf.")
]


@app.command()
def show(raddb: RaddbOption = "", as_json: JsonOption = False) -> None:
    """Show what is there: version, user, virtual servers, clients, and whether ISPAgents has joined. It only reads."""
    existing = _existing(raddb)
    ours = _ours()
    manifest = ours.backup.manifest()
    joined = manifest is not None and Path(manifest.raddb) == existing.raddb
    linked = existing.linked_python()
    found = {
        "raddb": str(existing.raddb),
        "binary": str(existing.installed.binary),
        "version": ".".join(str(part) for part in existing.installed.version),
        "user": existing.user().name,
        "group": existing.group_name(),
        "python": f"{linked[0]}.{linked[1]}" if linked else "",
        "virtual_servers": [printable(one.name) for one in existing.sections("server")],
        "listens": [
            f"{one.server}: {one.kind} on {one.address}, port {one.port or 'as usual'}" for one in existing.listeners()
        ],
        "clients": len(existing.clients()),
        "python_modules": [one.name or one.keyword for one in existing.instances() if "python" in one.keyword],
        "unread": list(existing.unread),
        "joined": joined,
        "joined_site": manifest.site if joined and manifest is not None else "",
        "files": [one.path for one in manifest.files] if joined and manifest is not None else [],
        "backup": str(ours.backup.folder) if joined else "",
    }
    common.show_one(found, as_json=as_json)


@app.command()
def install(
    raddb: RaddbOption = "",
    site: SiteOption = "default",
    dynamic_clients: DynamicOption = False,
    yes: YesOption = False,
    restart: RestartOption = False,
    restart_command: CommandOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let an existing FreeRADIUS answer the logins of ISPAgents; users whom ISPAgents does not know see no change.

    Every edit is shown first, tried on a copy by the server's own check, and backed up; `uninstall` takes it back.
    """
    existing, ours, words = _existing(raddb), _ours(), _words(restart_command)
    edits = joining.plan(existing, site, ours, dynamic_clients=dynamic_clients)
    document: dict[str, Any] = {
        "raddb": str(existing.raddb),
        "site": site,
        "edits": [{"path": str(one.path), "new": one.before is None, "diff": _shown(one)} for one in edits],
        "applied": False,
        "restarted": False,
        "backup": str(ours.backup.folder),
    }
    if not as_json:
        _tell_edits(edits)
    if not edits:
        joining.prepare(existing, ours)
        _end(
            document, as_json, [f"ISPAgents has joined {existing.raddb} already; its own code there is up to date now."]
        )
    elif _agreed(f"Make these edits in {existing.raddb}?", yes=yes, as_json=as_json):
        joining.prepare(existing, ours)
        joining.check_before(existing, edits, ours)
        joining.install(existing, site, edits, ours)
        document["applied"] = True
    else:
        _end(document, as_json, ["Nothing was changed; say --yes to do it."])
        return
    document["restarted"] = _restarted(existing, restart, words, as_json=as_json)
    if document["applied"]:
        _end(document, as_json, _next_steps(existing, ours, restarted=document["restarted"]))


@app.command()
def uninstall(
    raddb: RaddbOption = "",
    yes: YesOption = False,
    restart: RestartOption = False,
    restart_command: CommandOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give back the very bytes that were there. What somebody edited since stays: only our lines are taken out."""
    ours, words = _ours(), _words(restart_command)
    manifest = ours.backup.manifest()
    document: dict[str, Any] = {"raddb": "", "files": [], "applied": False, "restarted": False, "backup": ""}
    if manifest is None:
        _end(document, as_json, ["ISPAgents has joined no FreeRADIUS from this state folder; nothing was changed."])
        return
    if raddb and Path(raddb).expanduser().resolve() != Path(manifest.raddb):
        raise Problem(f"ISPAgents has joined the FreeRADIUS in {manifest.raddb}, not this one; leave --raddb out.")
    returns = ours.backup.returns(manifest)
    document["raddb"] = manifest.raddb
    document["files"] = [
        {"path": str(one.path), "way": one.way.value, "said": one.said, "diff": _way_back(one)} for one in returns
    ]
    if not as_json:
        _tell_returns(returns)
    # Somebody may have taken the whole server away since; its files are given back all the same.
    existing = find(Path(manifest.raddb)) if (Path(manifest.raddb) / "radiusd.conf").is_file() else None
    if not _agreed(f"Take ISPAgents out of {manifest.raddb}?", yes=yes, as_json=as_json):
        _end(document, as_json, ["Nothing was changed; say --yes to do it."])
        return
    document["backup"] = str(joining.leave(existing, returns, ours))
    document["applied"] = True
    if existing is not None:
        document["restarted"] = _restarted(existing, restart, words, as_json=as_json)
    said = [f"ISPAgents is out of {manifest.raddb}; the copies are kept in {document['backup']}."]
    if not document["restarted"]:
        said.append("Restart the server: until then it goes on with what it has loaded.")
    _end(document, as_json, said)


@app.command()
def doctor(raddb: RaddbOption = "", site: SiteOption = "", as_json: JsonOption = False) -> None:
    """Find what is wrong, in plain words, and what to do about it. It only reads. Exit code 1 when something is."""
    existing, ours = _existing(raddb), _ours()
    manifest = ours.backup.manifest()
    site = site or (manifest.site if manifest is not None else "default")
    found = examination.examine(existing, site, ours, load(ours.state.path))
    if as_json:
        findings = [{**one._asdict(), "weight": one.weight.value} for one in found]
        common.print_json({"raddb": str(existing.raddb), "site": site, "findings": findings})
    else:
        for one in found:
            print_lines(f"{one.weight.value}: {one.said}{f' ({one.where})' if one.where else ''}")
            if one.todo:
                print_lines(f"    {one.todo}")
        if not found:
            print_lines("Nothing is wrong.")
    if not examination.is_well(found):
        raise typer.Exit(1)


def _existing(raddb: str) -> Existing:
    return find(Path(raddb) if raddb else None)


def _ours() -> Ours:
    return Ours(common.own_state_folder())


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise Problem(f"The restart command cannot be read ({error}); close its quotation marks.") from error


def _tell_edits(edits: Sequence[FileEdit]) -> None:
    for one in edits:
        print_lines(_shown(one).expandtabs())
    if edits:
        print_lines("In the virtual server, each first in its section:")
        for hook in hooks.HOOKS:
            print_lines(f"  {hook.word:<24} {hook.why}")


def _shown(edit: FileEdit) -> str:
    return difference(edit.path, edit.before, edit.after)


def _way_back(one: Return) -> str:
    return difference(one.path, one.before, one.after)


def _tell_returns(returns: Sequence[Return]) -> None:
    for one in returns:
        print_lines(f"{one.path} {one.said}")
        if one.way is Way.MERGED:
            print_lines(_way_back(one).expandtabs())


def _agreed(question: str, *, yes: bool, as_json: bool) -> bool:
    if yes or as_json or not sys.stdin.isatty():
        return yes
    return typer.confirm(question)


def _restarted(existing: Existing, restart: bool, words: list[str], *, as_json: bool) -> bool:
    wanted = restart or bool(words)
    if not wanted and not as_json and sys.stdin.isatty():
        wanted = typer.confirm("Restart the server now? Logins wait for a moment.")
    if wanted:
        running.restart(existing, words)
    return wanted


def _next_steps(existing: Existing, ours: Ours, *, restarted: bool) -> list[str]:
    said = [f"ISPAgents has joined {existing.raddb}; what was there is kept in {ours.backup.folder}."]
    if not restarted:
        said.append("Restart the server: it reads its configuration at its start only.")
    said.append(
        f"Set ISPAGENTS_FREERADIUS=existing in {ours.state.path / 'ispagents.env'}, so that `ispagents up` starts no "
        "server of its own; then `ispagents freeradius doctor` says whether all is well."
    )
    return said


def _end(document: dict[str, Any], as_json: bool, said: Sequence[str]) -> None:
    if as_json:
        common.print_json({**document, "said": list(said)})
    else:
        for line in said:
            print_lines(line)
