"""One FreeRADIUS as it stands on this machine: its folder, its files, its version, its user, what is enabled."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ispagents import freeradius
from ispagents.errors import Problem
from ispagents.existing_freeradius.configuration import (
    ENCODING,
    Document,
    Include,
    Item,
    Node,
    Section,
    Unreadable,
    nodes,
    read,
)
from ispagents.processes import User, current_user, find_user

USUAL_FOLDERS: Final = ("/etc/freeradius/3.0", "/etc/raddb", "/etc/freeradius", "/usr/local/etc/raddb")
MAIN_FILE: Final = "radiusd.conf"
# Of one raddb: the distribution's has some hundred files of some kilobytes.
FILES_MAXIMUM: Final = 5_000
FILE_MAXIMUM_BYTES: Final = 16 * 1024 * 1024
INCLUDES_MAXIMUM: Final = 16  # within each other
VARIABLES_MAXIMUM: Final = 8  # within each other
# What an include of a folder takes (FreeRADIUS, src/main/conffile.c).
_TAKEN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.:-]+)\}")
_LINKED_PYTHON = re.compile(rb"libpython(3)\.(\d+)\.so")


class Listener(NamedTuple):
    """Where a virtual server listens: `kind` is auth, acct, auth+acct, coa and so on; port 0 is the usual one."""

    server: str
    kind: str
    address: str
    port: int


class Client(NamedTuple):
    """A router as the server's own files have it. The secret is for comparing only."""

    name: str
    address: str
    secret: str
    line: str
    server: str
    asks_signed: str

    def __repr__(self) -> str:
        """Never shows the secret."""
        return f"Client(name={self.name!r}, address={self.address!r})"


@dataclass(frozen=True)
class Existing:
    """A server that is there. `top` are the nodes of its main file, included files read through."""

    raddb: Path
    installed: freeradius.FreeRadius
    main: Document
    unread: tuple[str, ...]

    def sections(self, keyword: str, name: str | None = None) -> Iterator[Section]:
        """Sections at the top that are called so."""
        for node in nodes(self.main.children):
            if isinstance(node, Section) and node.keyword == keyword and name in (None, node.name):
                yield node

    def items(self) -> dict[str, str]:
        """Items at the top, with what they refer to put in."""
        return _top_items(self.main.children)

    def setting(self, section: str, name: str, default: str = "") -> str:
        """An item of a section at the top, such as security's user."""
        for one in self.sections(section):
            if name in (items := one.items()):
                return _filled(items[name], self.items())
        return default

    def server(self, name: str) -> Section:
        """A virtual server. Raises Problem that names those that there are."""
        found = next(self.sections("server", name), None)
        if found is None:
            names = ", ".join(sorted(one.name for one in self.sections("server"))) or "none"
            raise Problem(f"There is no virtual server {name!r} in {self.raddb}; there are: {names} (--site).")
        return found

    def instances(self) -> list[Section]:
        """Modules that are enabled, as their sections."""
        return [node for one in self.sections("modules") for node in one.nodes() if isinstance(node, Section)]

    def user(self) -> User:
        """As whom the server runs. Raises Problem where that user is not on this machine."""
        name = self.setting("security", "user") or self.items().get("user", "")
        if not name or os.geteuid() != 0:
            return current_user()
        user = find_user(name)
        if user is None:
            raise Problem(f"{self.raddb} runs as the user {name}, whom this machine does not know; correct `user`.")
        group = self.setting("security", "group") or self.items().get("group", "")
        try:
            return User(user.name, user.uid, grp.getgrnam(group).gr_gid if group else user.gid)
        except KeyError:
            raise Problem(f"{self.raddb} runs as the group {group}, which is not there; correct `group`.") from None

    def group_name(self) -> str:
        """The group's name, or its number."""
        try:
            return grp.getgrgid(self.user().gid).gr_name
        except KeyError:
            return str(self.user().gid)

    def linked_python(self) -> tuple[int, int] | None:
        """The Python that the server's module was built against, or None where the file does not say."""
        libdir = Path(self.items().get("libdir", "") or self.installed.libraries)
        for folder in (libdir, self.installed.libraries):
            try:
                found = _LINKED_PYTHON.search((folder / "rlm_python3.so").read_bytes())
            except OSError:
                continue
            if found:
                return int(found[1]), int(found[2])
        return None

    def listeners(self) -> list[Listener]:
        """Every place where a virtual server listens."""
        found = []
        for server in self.sections("server"):
            for one in server.sections("listen"):
                items = {name: _filled(value, self.items()) for name, value in one.items().items()}
                address = items.get("ipaddr") or items.get("ipv4addr") or items.get("ipv6addr") or "*"
                port = items.get("port", "0")
                found.append(Listener(server.name, items.get("type", ""), address, int(port) if port.isdigit() else 0))
        return found

    def clients(self) -> list[Client]:
        """The routers in the files, of every virtual server."""
        tops = [*self.sections("client")]
        for holder in (*self.sections("clients"), *self.sections("server")):
            tops += holder.sections("client")
        return [self._client(one) for one in tops]

    def _client(self, one: Section) -> Client:
        items = one.items()
        address = items.get("ipaddr") or items.get("ipv4addr") or items.get("ipv6addr") or one.name
        if (mask := items.get("netmask")) and "/" not in address:
            address += f"/{mask}"
        where = f"{one.document.path}, line {one.line}"
        asks = items.get("require_message_authenticator", "")
        return Client(one.name, address, items.get("secret", ""), where, items.get("virtual_server", ""), asks)

    def included_folder(self, keyword: str) -> Path:
        """The folder that a section at the top includes as a whole, such as mods-enabled of `modules`.

        Raises Problem where there is none.
        """
        for one in self.sections(keyword):
            for node in one.children:
                if isinstance(node, Include) and (folder := _path(node.path, self.raddb, self.items())).is_dir():
                    return folder
        raise Problem(
            f"The section {keyword} in {self.raddb} includes no folder, so there is no place for a file of ours; "
            f"add `$INCLUDE {'mods-enabled' if keyword == 'modules' else 'policy.d'}/` to it."
        )

    def sites_folder(self) -> Path:
        """The folder of virtual servers that the main file includes as a whole. Raises Problem where there is none."""
        for node in self.main.children:
            if isinstance(node, Include) and (folder := _path(node.path, self.raddb, self.items())).is_dir():
                return folder
        raise Problem(f"{self.main.path} includes no folder of virtual servers; add `$INCLUDE sites-enabled/` to it.")


def find(raddb: Path | None) -> Existing:
    """The server in a folder, or in the usual place. Raises Problem where there is none, or it cannot be used."""
    folder = (raddb or _usual()).expanduser().resolve()
    if not _is_raddb(folder):
        raise Problem(f"{folder} is no FreeRADIUS configuration: it has no {MAIN_FILE}; name another with --raddb.")
    return Existing(folder, freeradius.find(), *_load(folder))


def user_name(uid: int) -> str:
    """A user's name, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _usual() -> Path:
    for name in USUAL_FOLDERS:
        if _is_raddb(Path(name)):
            return Path(name)
    raise Problem(f"No FreeRADIUS configuration is in {', '.join(USUAL_FOLDERS)}; name its folder with --raddb.")


def _is_raddb(folder: Path) -> bool:
    try:
        return (folder / MAIN_FILE).is_file()
    except PermissionError as error:
        raise Problem(f"{folder} may not be looked at by this user; run this as root.") from error


def _load(folder: Path) -> tuple[Document, tuple[str, ...]]:
    """The main file with everything that it includes; and sentences about what could not be read."""
    loader = _Loader(folder)
    try:
        main = loader.document(folder / MAIN_FILE)
    except (OSError, Unreadable) as error:
        raise Problem(
            f"The configuration in {folder} cannot be read: {error}; mend that, or run this as root."
        ) from error
    # Variables may be set behind the include that uses them, so items are gathered from what is at hand by then.
    loader.include(main.children, main, [main.children], depth=0)
    return main, tuple(loader.unread)


class _Loader:
    """Reads files as the server does: includes by file and by folder, with variables put in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self.unread: list[str] = []

    def document(self, path: Path) -> Document:
        """One file. Raises OSError or Unreadable."""
        self._files += 1
        if self._files > FILES_MAXIMUM:
            raise Unreadable(f"more than {FILES_MAXIMUM} files are included")
        if path.stat().st_size > FILE_MAXIMUM_BYTES:
            raise Unreadable(f"{path} is larger than {FILE_MAXIMUM_BYTES // 1024 // 1024} MB")
        return read(path, path.read_bytes().decode(ENCODING))

    def include(self, children: list[Node], document: Document, scopes: list[list[Node]], *, depth: int) -> None:
        """Read what the includes among these nodes name; `scopes` are the nodes around, innermost last."""
        for node in children:
            if isinstance(node, Section):
                self.include(node.children, node.document, [*scopes, node.children], depth=depth)
            elif isinstance(node, Include) and depth < INCLUDES_MAXIMUM:
                for path in self._named(node, document, scopes):
                    self._add(node, path, scopes, depth)

    def _add(self, node: Include, path: Path, scopes: list[list[Node]], depth: int) -> None:
        try:
            found = self.document(path)
        except FileNotFoundError:
            if not node.optional:
                self.unread.append(f"{path} is included and not there")
        except (OSError, Unreadable) as error:
            self.unread.append(str(error))
        else:
            node.documents.append(found)
            self.include(found.children, found, scopes, depth=depth + 1)

    def _named(self, node: Include, document: Document, scopes: list[list[Node]]) -> list[Path]:
        known: dict[str, str] = {}
        for scope in scopes:
            known |= _top_items(scope)
        path = _path(node.path, document.path.parent, known)
        if "${" in str(path):
            # A module's own queries, named by the instance: nothing that anybody here looks at.
            return []
        if not path.is_dir():
            return [path]
        return sorted(one for one in path.iterdir() if _TAKEN.fullmatch(one.name) and one.is_file())


def _path(text: str, folder: Path, known: dict[str, str]) -> Path:
    return folder / os.fsdecode(_filled(text, known).encode(ENCODING))


def _top_items(children: list[Node]) -> dict[str, str]:
    known: dict[str, str] = {}
    for node in nodes(children):
        if isinstance(node, Item):
            known[node.name] = _filled(node.value, known)
    return known


def _filled(text: str, known: dict[str, str]) -> str:
    """The text with variables put in, as far as they are known."""
    for _ in range(VARIABLES_MAXIMUM):
        filled = _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text)
        if filled == text:
            break
        text = filled
    return text
