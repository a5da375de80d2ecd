"""Files before and after: shown as a difference, backed up with a manifest of hashes, applied, and taken back.

Nothing that somebody wrote since is ever lost: a file that is no longer as we left it gets only our own lines taken
out, or is left alone with a sentence that says what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ispagents.errors import Problem
from ispagents.existing_freeradius.configuration import ENCODING
from ispagents.state_folder import write_atomically

MANIFEST: Final = "manifest.json"
# A call of ours that is still there once our own lines are taken out.
_OURS = re.compile(r"^[^#\n]*?(?<![\w/.-])(ispagents(?:_\w+)?)(?![\w/.=-])", re.MULTILINE)

# A secret on a line of the server's that stands near one of ours; the line's end stays.
_SECRET = re.compile(r"(\b(?:secret|password|radius_db)\s*=\s*)[^\r\n]+", re.IGNORECASE)


@dataclass(frozen=True)
class FileEdit:
    """One file as it is and as it is to be; `pieces` are what is put in. `before` None: there is no such file yet."""

    path: Path
    before: bytes | None
    after: bytes
    pieces: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Its name alone."""
        return f"FileEdit({self.path})"


class Way(StrEnum):
    """How a file is given back."""

    RESTORED = "restored"  # to the very bytes that were there
    MERGED = "merged"  # somebody edited it since: our lines are taken out, theirs stay
    REMOVED = "removed"  # a file of ours
    KEPT_ASIDE = "kept aside"  # a file of ours that somebody edited: moved to the backup folder
    ALREADY = "already"  # it is as it was, or gone
    CONFLICT = "conflict"  # nobody but a person can tell


@dataclass(frozen=True)
class Return:
    """One file on its way back. `after` None: it goes away."""

    path: Path
    way: Way
    before: bytes | None
    after: bytes | None
    said: str
    mtime_ns: int = 0


@dataclass(frozen=True)
class Kept:
    """A file in the manifest: its hashes, its rights, and the name of its copy ("" for a file that is ours)."""

    path: str
    before: str
    after: str
    pieces: list[str]
    copy: str
    mtime_ns: int


@dataclass
class Manifest:
    """What was done to which server."""

    raddb: str
    site: str
    files: list[Kept]

    def kept(self, path: Path) -> Kept | None:
        """What is known of a file."""
        return next((one for one in self.files if one.path == str(path)), None)


def inserted(path: Path, places: Iterable[tuple[int, str]]) -> FileEdit:
    """The edit that puts pieces at places of a file. Raises Problem."""
    try:
        before = path.read_bytes()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}; run this as root.") from error
    text = before.decode(ENCODING)
    ordered = sorted(places, key=lambda place: place[0])
    for at, piece in reversed(ordered):
        text = text[:at] + piece + text[at:]
    return FileEdit(path, before, text.encode(ENCODING), tuple(piece for _, piece in ordered))


def difference(path: Path, before: bytes | None, after: bytes | None) -> str:
    """A unified difference; "" where both are the same. What is secret in the lines around is not shown."""
    old, new = ((data or b"").decode("utf-8", "backslashreplace").splitlines(keepends=True) for data in (before, after))
    names = ("/dev/null" if before is None else str(path), "/dev/null" if after is None else str(path))
    lines = (_SECRET.sub(r"\1...", line) for line in difflib.unified_diff(old, new, *names))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


class Backup:
    """The folder that keeps what was there. It may hold secrets of the server's, so it is ours alone."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self.folder = folder

    def manifest(self) -> Manifest | None:
        """What was done, or None where nothing is. Raises Problem where the file is damaged."""
        path = self.folder / MANIFEST
        try:
            found = json.loads(path.read_text())
            return Manifest(found["raddb"], found["site"], [Kept(**one) for one in found["files"]])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Problem(f"The manifest {path} cannot be read ({error}); the copies beside it are whole.") from error

    def text(self) -> str | None:
        """The manifest as it stands, or None."""
        path = self.folder / MANIFEST
        return path.read_text() if path.exists() else None

    def forget(self, text: str | None) -> None:
        """Put the manifest back to an earlier text, after what it told of was taken back."""
        path = self.folder / MANIFEST
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text, mode=0o600)

    def remember(self, raddb: Path, site: str, edits: Iterable[FileEdit]) -> None:
        """Keep copies and hashes, before anything is written. Raises Problem where an earlier edit was overwritten."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        manifest = self.manifest() or Manifest(str(raddb), site, [])
        manifest.site = site
        for edit in edits:
            known = manifest.kept(edit.path)
            if known is not None:
                manifest.files.remove(known)
            manifest.files.append(self._kept(edit, known, len(manifest.files)))
        text = json.dumps(asdict(manifest), indent=2) + "\n"
        write_atomically(self.folder / MANIFEST, text, mode=0o600)

    def _kept(self, edit: FileEdit, known: Kept | None, number: int) -> Kept:
        original, pieces, mtime_ns = edit.before, list(edit.pieces), 0
        if known is not None and not known.copy:
            original = None
        elif known is not None:
            pieces = [*known.pieces, *pieces]
            original = self._original(edit, known)
            mtime_ns = known.mtime_ns
        elif original is not None:
            mtime_ns = edit.path.stat().st_mtime_ns
        copy = f"{number:04d}-{edit.path.name}" if original is not None else ""
        if original is not None:
            _write_new(self.folder / copy, original)
        return Kept(str(edit.path), digest(original), digest(edit.after), pieces, copy, mtime_ns)

    def _original(self, edit: FileEdit, known: Kept) -> bytes:
        """What the file was before us: as kept, unless somebody has edited it since."""
        if digest(edit.before) in (known.after, known.before):
            return (self.folder / known.copy).read_bytes()
        found = without(edit.before or b"", known.pieces)
        if found is None or _left_over(found):
            raise Problem(
                f"{edit.path} was edited since ISPAgents joined, and our lines in it cannot be told apart any more; "
                "run `ispagents freeradius uninstall` first: it says what to do by hand."
            )
        return found

    def returns(self, manifest: Manifest) -> list[Return]:
        """How each file is given back; nothing is written."""
        return [self._return(one) for one in manifest.files]

    def _return(self, kept: Kept) -> Return:
        path = Path(kept.path)
        try:
            current: bytes | None = path.read_bytes()
        except FileNotFoundError:
            current = None
        except OSError as error:
            raise Problem(f"{path} cannot be read: {error.strerror}; run this as root.") from error
        if current is None or digest(current) == kept.before:
            said = "is gone already" if current is None else "is as it was already"
            return Return(path, Way.ALREADY, current, current, said)
        unchanged = digest(current) == kept.after
        if not kept.copy:
            if unchanged:
                return Return(path, Way.REMOVED, current, None, "is ours and goes away")
            return Return(
                path, Way.KEPT_ASIDE, current, None, "is ours but was edited: it is kept in the backup folder"
            )
        if unchanged:
            original = (self.folder / kept.copy).read_bytes()
            if digest(original) != kept.before:  # whatever happened to it, it is not what was there
                return Return(path, Way.CONFLICT, current, current, f"cannot go back: its copy {kept.copy} was altered")
            return Return(path, Way.RESTORED, current, original, "gets its very bytes back", kept.mtime_ns)
        return _merged(path, current, kept)

    def put_away(self, moment: str) -> Path:
        """Keep the folder under another name, once everything is given back."""
        away = self.folder.with_name(f"{self.folder.name}-{moment}")
        self.folder.rename(away)
        return away


def _merged(path: Path, current: bytes, kept: Kept) -> Return:
    found = without(current, kept.pieces)
    left = _left_over(found if found is not None else current)
    if found is None or left:
        said = (
            f"was edited since, and {left or 'what is ours'} cannot be told apart any more; take it out by hand, then "
            f"run this again (the file as it was before is {kept.copy} in the backup folder)"
        )
        return Return(path, Way.CONFLICT, current, current, said)
    return Return(path, Way.MERGED, current, found, "was edited since: our lines go, the edits stay")


def _left_over(data: bytes) -> str:
    """A call of ours that is still there, with its line; "" where none is."""
    text = data.decode(ENCODING)
    found = _OURS.search(text)
    return f"{found[1]} in line {text.count(chr(10), 0, found.start(1)) + 1}" if found else ""


def without(data: bytes, pieces: Iterable[str]) -> bytes | None:
    """The file without our pieces, of which some may be gone already; None where one is there more than once."""
    text = data.decode(ENCODING)
    for piece in pieces:
        found = _cut(text, piece)
        if found is None:
            return None
        text = found
    return text.encode(ENCODING)


def _cut(text: str, piece: str) -> str | None:
    begin = "" if piece.startswith("\n") else r"(?m:^)"
    exact = list(re.finditer(begin + re.escape(piece), text))
    if len(exact) == 1:
        return text[: exact[0].start()] + text[exact[0].end() :]
    # Somebody may have indented it anew.
    lines, wanted = text.splitlines(keepends=True), [line.strip() for line in piece.strip().splitlines()]
    places = [
        at
        for at in range(len(lines) - len(wanted) + 1)
        if [line.strip() for line in lines[at : at + len(wanted)]] == wanted
    ]
    if len(places) > 1:
        return None
    return "".join(lines[: places[0]] + lines[places[0] + len(wanted) :]) if places else text


def apply(edits: Iterable[FileEdit]) -> None:
    """Write files. Raises Problem where one has changed since it was looked at, or cannot be written."""
    for edit in edits:
        replace(edit.path, edit.before, edit.after)


def take_back(edits: Iterable[FileEdit]) -> None:
    """Undo what was written of these edits; a file that is no longer as we wrote it is somebody else's by now."""
    for edit in edits:
        if edit.path.exists() and edit.path.read_bytes() == edit.after:
            replace(edit.path, edit.after, edit.before)


def give_back(returns: Iterable[Return], backup: Backup) -> None:
    """Give files back. Raises Problem where one has changed since it was looked at, or cannot be written."""
    for one in returns:
        if one.way is Way.KEPT_ASIDE and one.before is not None:
            _write_new(backup.folder / f"edited-{one.path.name}", one.before)
        if one.way in (Way.RESTORED, Way.MERGED, Way.REMOVED, Way.KEPT_ASIDE):
            replace(one.path, one.before, one.after)
        if one.way is Way.RESTORED:
            os.utime(one.path, ns=(one.mtime_ns, one.mtime_ns))


def replace(path: Path, expected: bytes | None, wanted: bytes | None) -> None:
    """Put a file's bytes in place at once, with the rights of the old one or of its folder. Raises Problem."""
    try:
        current = path.read_bytes() if path.exists() else None
        if current != expected:
            raise Problem(f"{path} was changed by somebody else at this moment; look at it, then run this again.")
        if wanted is None:
            path.unlink()
            return
        model = path.stat() if current is not None else path.parent.stat()
        mode = model.st_mode & 0o7777 if current is not None else 0o640
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix="~", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(wanted)
                file.flush()
                os.fsync(file.fileno())
            if os.geteuid() == 0:
                os.chown(name, model.st_uid, model.st_gid)
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}; run this as root.") from error


def digest(data: bytes | None) -> str:
    """A file's hash; "" where there is none."""
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def _write_new(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
