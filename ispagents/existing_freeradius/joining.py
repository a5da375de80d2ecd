"""Install and uninstall, step by step: looked at, shown, tried on a copy, backed up, written, checked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import policy
import radius_module
from ispagents import freeradius
from ispagents.errors import Problem
from ispagents.existing_freeradius import hooks, running
from ispagents.existing_freeradius.edits import (
    Backup,
    FileEdit,
    Manifest,
    Return,
    Way,
    apply,
    give_back,
    inserted,
    take_back,
)
from ispagents.existing_freeradius.layout import Existing
from ispagents.processes import User
from ispagents.state_folder import StateFolder

FOLDER: Final = "existing"
SPOOLS: Final = ("accounting", "logins")


@dataclass(frozen=True)
class Ours:
    """The folder of ours that the server reads: our code, and the filter of refusals. The backup lies beside."""

    state: StateFolder

    @property
    def folder(self) -> Path:
        return self.state.freeradius / FOLDER

    @property
    def python(self) -> Path:
        return self.folder / "python"

    @property
    def refusal(self) -> Path:
        return self.folder / "refusal"

    @property
    def backup(self) -> Backup:
        return Backup(self.folder / "backup")

    def joined(self, raddb: Path) -> Manifest | None:
        """What was done to this server, if anything. Raises Problem where it was another server."""
        found = self.backup.manifest()
        if found is not None and Path(found.raddb) != raddb:
            raise Problem(
                f"ISPAgents has joined the FreeRADIUS in {found.raddb}, and one state folder serves one; run "
                f"`ispagents freeradius uninstall --raddb {found.raddb}` first, or choose another --state."
            )
        return found


def plan(existing: Existing, site: str, ours: Ours, *, dynamic_clients: bool = False) -> list[FileEdit]:
    """Every edit that is missing for this virtual server to ask us. Raises Problem where it cannot.

    With `dynamic_clients` routers of ISPAgents become clients by themselves; else the clients stay as they are.
    """
    server = existing.server(site)
    hooks.check_fit(existing, server)
    manifest = ours.joined(existing.raddb)
    if manifest is not None and manifest.site != site:
        raise Problem(
            f"ISPAgents has joined the virtual server {manifest.site} here; run `ispagents freeradius uninstall` first."
        )
    edits = []
    files = [
        hooks.module_file(
            existing, python=ours.python, replica=ours.state.replica, spool=ours.state.spool, refusal=ours.refusal
        ),
        hooks.policy_file(existing),
    ]
    if dynamic_clients:
        files.append(hooks.routers_file(existing))
    for path, text in files:
        edit = _own_file(path.resolve(), text.encode(), manifest)
        if edit is not None:
            edits.append(edit)
    places: dict[Path, list[tuple[int, str]]] = {}
    for one in hooks.insertions(server):
        places.setdefault(one.path.resolve(), []).append((one.at, one.text))
    return edits + [inserted(path, found) for path, found in places.items()]


def _own_file(path: Path, wanted: bytes, manifest: Manifest | None) -> FileEdit | None:
    current = path.read_bytes() if path.exists() else None
    if current == wanted:
        return None
    known = manifest.kept(path) if manifest is not None else None
    if current is not None and (known is None or known.copy):
        raise Problem(f"{path} is there already and is not ours; rename it, since FreeRADIUS needs that name for us.")
    return FileEdit(path, current, wanted)


def prepare(existing: Existing, ours: Ours) -> None:
    """Make what of ours the server reads and writes, with its rights. Raises Problem where it could not use them."""
    ours.state.create()
    folder, spool = ours.folder, ours.state.spool
    layout = freeradius.Layout(folder, folder, folder, spool, ours.state.replica, "", 0, 0)
    freeradius.check_paths(layout)
    user = existing.user()
    folder.mkdir(exist_ok=True)
    shutil.rmtree(ours.python, ignore_errors=True)
    for package in (policy, radius_module):
        source = Path(package.__path__[0])
        shutil.copytree(source, ours.python / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(hooks.TEMPLATES / "refusal", ours.refusal)
    for path in (ours.state.freeradius, folder, ours.refusal, ours.python, *ours.python.rglob("*")):
        _own(path, os.geteuid(), user.gid)
        path.chmod(0o750 if path.is_dir() else 0o640)
    for path in (spool, ours.state.replica):
        # Edge goes on writing there as whoever owns it; the server reaches in by its group.
        _own(path, -1, user.gid)
    for name in SPOOLS:
        (spool / name).mkdir(exist_ok=True)
        _own(spool / name, user.uid, user.gid)
        (spool / name).chmod(0o2770)
    _check_reach(user, ours)


def _own(path: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid)


def unreachable(user: User, ours: Ours) -> list[str]:
    """What of ours the server's user cannot use, as sentences."""
    wanted = [(ours.python / "radius_module", "-r", "read"), (ours.refusal, "-r", "read")]
    wanted += [(ours.state.replica, "-r", "read"), (ours.state.replica, "-x", "enter")]
    wanted += [(ours.state.spool / name, "-w", "write to") for name in SPOOLS]
    return [
        f"the user {user.name} that the server runs as cannot {verb} {path}"
        for path, flag, verb in wanted
        if not user.can("test", flag, str(path))
    ]


def _check_reach(user: User, ours: Ours) -> None:
    if found := unreachable(user, ours):
        raise Problem(
            f"{found[0][:1].upper()}{found[0][1:]}; let it pass through the folders above (mode 0711), or choose "
            "another --state such as /var/lib/ispagents."
        )


def check_before(existing: Existing, edits: Sequence[FileEdit], ours: Ours) -> None:
    """Let the server check itself as it is and as it would be, on a copy. Raises Problem with its first complaint."""
    if said := running.complaint(existing):
        raise Problem(f"FreeRADIUS does not accept its own configuration as it is: {said}; mend that first.")
    if said := running.complaint_after(existing, edits, ours.folder):
        raise Problem(f"FreeRADIUS would not accept these edits, so nothing was changed: {said}.")


def install(existing: Existing, site: str, edits: Sequence[FileEdit], ours: Ours) -> None:
    """Back up, write, and check in place; what the server refuses is taken back. Raises Problem."""
    backup = ours.backup
    before = backup.text()
    backup.remember(existing.raddb, site, edits)
    try:
        apply(edits)
        _check_in_place(existing)
    except BaseException:
        take_back(edits)
        backup.forget(before)
        raise


def _check_in_place(existing: Existing) -> None:
    if said := running.complaint(existing):
        raise Problem(f"FreeRADIUS does not accept the edits, so they were taken back: {said}.")


def leave(existing: Existing | None, returns: Sequence[Return], ours: Ours) -> Path:
    """Give every file back, check, and keep the backup under another name. Raises Problem, and changes nothing then."""
    conflicts = [one for one in returns if one.way is Way.CONFLICT]
    if conflicts:
        raise Problem(
            "Nothing was changed, since a person has to look first: "
            + "; ".join(f"{one.path} {one.said}" for one in conflicts)
            + "."
        )
    give_back(returns, ours.backup)
    away = ours.backup.put_away(f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}")
    if existing is not None and (said := running.complaint(existing)):
        raise Problem(f"Everything is as it was, but FreeRADIUS does not accept its configuration: {said}.")
    return away
