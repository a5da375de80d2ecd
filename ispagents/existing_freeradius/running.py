"""The server itself: its own check mode, on the raddb as it is or as it would be, and its restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ispagents.errors import Problem
from ispagents.existing_freeradius.edits import FileEdit
from ispagents.existing_freeradius.layout import MAIN_FILE, Existing

# On 3.2.1 the check also connects to databases, and waits for those that do not answer.
CHECK_TIMEOUT_S: Final = 120
RESTART_TIMEOUT_S: Final = 120
COMPLAINTS_MAXIMUM: Final = 3
COMPLAINT_MAXIMUM_LETTERS: Final = 300
_COMPLAINING: Final = ("rror", "ailed", "nvalid", "Unknown", "Couldn't")


def complaint(existing: Existing, raddb: Path | None = None) -> str:
    """What the server's own check mode finds wrong; "" where it is content. Raises Problem where it cannot be asked."""
    command = [
        str(existing.installed.binary),
        "-C",
        "-l",
        "stdout",
        "-n",
        "radiusd",
        "-d",
        str(raddb or existing.raddb),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=CHECK_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise Problem(
            f"The server's own check of {existing.raddb} did not end within {CHECK_TIMEOUT_S} s; one of its modules "
            "may wait for a database that does not answer."
        ) from None
    except OSError as error:
        raise Problem(f"{existing.installed.binary} cannot be run: {error.strerror}; is it whole?") from error
    # A Python module that cannot be started is told in the log, and stops the server from 3.2.9 on only.
    broken = [line for line in done.stdout.splitlines() if "python" in line and "Error" in line]
    if done.returncode == 0 and not broken:
        return ""
    lines = [line for line in done.stdout.splitlines() if any(word in line for word in _COMPLAINING)] or ["no reason"]
    return "; ".join(_without_time(line)[:COMPLAINT_MAXIMUM_LETTERS] for line in lines[-COMPLAINTS_MAXIMUM:])


def complaint_after(existing: Existing, edits: Iterable[FileEdit], beside: Path) -> str:
    """What the check mode would find wrong after the edits, tried on a copy in the folder `beside`."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=beside))
    try:
        copy = folder / "raddb"
        group = existing.user().gid
        _hand_over(folder, group)
        wanted = {edit.path: edit.after for edit in edits}
        _copied(existing.raddb, copy, wanted)
        for path, data in wanted.items():
            if path.is_relative_to(existing.raddb) and not path.exists():
                (copy / path.relative_to(existing.raddb)).write_bytes(data)
        main = copy / MAIN_FILE
        main.write_bytes(main.read_bytes().replace(os.fsencode(existing.raddb), os.fsencode(copy)))
        for path in (copy, *copy.rglob("*")):
            _hand_over(path, group)
        return complaint(existing, copy).replace(str(copy), str(existing.raddb))
    finally:
        shutil.rmtree(folder)


def _copied(source: Path, target: Path, wanted: dict[Path, bytes]) -> None:
    """Copy a folder with links followed, and with what is wanted in place of what is there."""
    target.mkdir()
    for one in sorted(source.iterdir()):
        if one.is_dir() and not (one.is_symlink() and source.is_relative_to(one.resolve())):
            _copied(one, target / one.name, wanted)
        elif one.is_file():
            (target / one.name).write_bytes(wanted.get(one.resolve(), one.read_bytes()))


def _hand_over(path: Path, group: int) -> None:
    """The server's group may read it, and nobody else: the copy holds secrets as the original does."""
    if os.geteuid() == 0:
        os.chown(path, 0, group)
    path.chmod(0o750 if path.is_dir() else 0o640)


def restart(existing: Existing, command: Sequence[str]) -> None:
    """Restart the server, by systemd where no command is given. Raises Problem."""
    words = list(command) or ["systemctl", "restart", existing.installed.binary.name]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=RESTART_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"`{' '.join(words)}` did not end within {RESTART_TIMEOUT_S} s; look at the server.") from None
    except OSError as error:
        raise Problem(f"`{words[0]}` cannot be run: {error.strerror}; restart the server by hand.") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it gave no reason"]
        said = lines[-1][:COMPLAINT_MAXIMUM_LETTERS]
        raise Problem(f"`{' '.join(words)}` failed: {said}; see the server's log, or take us out again with uninstall.")


def _without_time(line: str) -> str:
    """A line of the server's without the moment in front."""
    moment, separator, rest = line.partition(" : ")
    return rest.strip() if separator and moment[:3].isalpha() else line.strip()
