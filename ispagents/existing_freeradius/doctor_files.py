"""What the server's own files say: our place in them, signatures, clients, times. Nothing is run or changed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from ispagents.existing_freeradius.configuration import Include, Item, Node, Section
from ispagents.existing_freeradius.findings import Finding, Weight, some
from ispagents.existing_freeradius.hooks import HOOKS, calls, inside, missing
from ispagents.existing_freeradius.layout import Client, Existing

SIGNS_BY_ITSELF: Final = (3, 2, 5)
OLDEST_PYTHON: Final = (3, 11)
# RouterOS waits 300 ms for RADIUS unless told otherwise; the bootstrap script tells it 3 s.
ROUTER_TIMEOUT_S: Final = 3.0
THREADS_MAXIMUM: Final = 64  # one call into Python runs at a time; more threads only wait for it
WELL_KNOWN_SECRETS: Final = ("testing123", "secret", "radius", "123456", "mikrotik")
LEFT_OVER: Final = (".bak", ".old", ".orig", ".save", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".dpkg-new")
# Modules that answer or refuse a login, or hand it to another server.
_ANSWERING: Final = {
    "files": "answers names of its own file",
    "sql": "answers names of its database",
    "ldap": "answers names of its directory",
    "pap": "decides how the password is proved",
    "chap": "decides how the password is proved",
    "mschap": "decides how the password is proved",
    "eap": "answers EAP",
    "perl": "may answer",
    "rest": "may answer",
    "exec": "may answer",
    "passwd": "answers names of its own file",
    "unix": "answers names of this machine",
    "realm": "hands names with a realm to another server",
}
_REFUSING: Final = {
    "filter_username": "refuses names with blanks and some with @",
    "deny_realms": "refuses names with @",
    "rewrite_calling_station_id": "rewrites the device's address",
}
RETURNING: Final = {
    "ispagents_authorize": "others decide them again",
    "ispagents_post_auth": "a module behind it that fails refuses them",
}
_SIGNED = re.compile(r"&?(reply:)?Message-Authenticator")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def examine(existing: Existing, server: Section, *, joined: bool) -> Iterator[Finding]:
    """Everything that the files tell."""
    yield from _hooks(existing, server, joined=joined)
    yield from _python(existing)
    yield from _signing(existing, server)
    yield from _asked(existing, server)
    yield from _times(existing)
    yield from _passwords_kept(existing, server)
    yield from clients(existing.clients())
    yield from _copies(existing.main.children)
    for one in existing.unread:
        yield Finding("unread", Weight.NOTE, f"A file could not be read, so nothing is said about it: {one}.", "")


def _copies(children: list[Node]) -> Iterator[Finding]:
    """Copies that an editor or a package left in a folder that is included as a whole: the server reads them too."""
    for node in children:
        if isinstance(node, Section):
            yield from _copies(node.children)
        elif isinstance(node, Include):
            for document in node.documents:
                if document.path.name.endswith(LEFT_OVER):
                    said = f"The server reads {document.path} as well, which looks like a left-over copy."
                    yield Finding("copy", Weight.WRONG, said, "Move it to another folder.", str(document.path))
                yield from _copies(document.children)


def _hooks(existing: Existing, server: Section, *, joined: bool) -> Iterator[Finding]:
    absent = missing(server)
    if len(absent) == len(HOOKS) and not joined:
        said = f"ISPAgents has not joined the virtual server {server.name}."
        yield Finding("not_joined", Weight.NOTE, said, "Run `ispagents freeradius install`; it shows every edit first.")
        return
    again = "Run `ispagents freeradius install` again: it puts back what is missing."
    for hook in absent:
        place = " ".join(" ".join(filter(None, one)) for one in hook.place)
        result = {
            "ispagents_authorize": "nobody of ours is answered by us",
            "ispagents_authenticate": "Auth-Type ispagents is never proved, and every login of ours is refused",
            "ispagents_accounting": "sessions and usage of ours never reach ISPAgents",
            "ispagents_post_auth": "devices are never learnt",
            "ispagents_refused": "nobody learns why a login of ours was refused, and its refusal is not signed",
        }[hook.word]
        said = f"The section {place} of the virtual server {server.name} does not call {hook.word}, so {result}."
        yield Finding("hook_missing", Weight.WRONG, said, again, str(server.document.path))
    for hook in HOOKS:
        if hook not in absent and (section := inside(server, hook.place)) is not None:
            yield from _order(existing, section, hook.word)


def _order(existing: Existing, section: Section, word: str) -> Iterator[Finding]:
    """Whether something before our call takes what is ours, or our call does not end the section."""
    kinds = {one.name or one.keyword: one.keyword for one in existing.instances()}
    for name, node in calls(section):
        where = f"{section.document.path}, line {node.line}"
        if name == word:
            returns = isinstance(node, Section) and node.items().get("ok") == "return"
            if word in RETURNING and not returns:
                said = f"{word} does not end its section for logins of ours, so {RETURNING[word]}."
                yield Finding("no_return", Weight.WRONG, said, f"Write `{word} {{ ok = return }}`.", where)
            return
        what = _ANSWERING.get(kinds.get(name, "")) or _REFUSING.get(name)
        todo = f"Move {word} to the top of the section."
        if what is None:
            continue
        if section.keyword == "authorize":
            said = f"{name} comes before {word} and {what}, before we are asked."
            yield Finding("order", Weight.WRONG, said, todo, where)
        elif section.keyword == "accounting":
            said = f"{name} comes before {word} in accounting: when it fails, records of ours are not kept."
            yield Finding("order", Weight.UNWISE, said, todo, where)
        elif section.keyword == "post-auth":
            said = f"{name} comes before {word} in post-auth: when it fails, logins of ours are refused."
            yield Finding("order", Weight.UNWISE, said, todo, where)


def _python(existing: Existing) -> Iterator[Finding]:
    pythons = [one for one in existing.instances() if one.keyword in ("python3", "python")]
    if len(pythons) > 1:
        names = some([f"{one.name or one.keyword} ({one.document.path}, line {one.line})" for one in pythons])
        said = f"More than one Python module is enabled: {names}; FreeRADIUS 3.2 aborts or hangs with two."
        yield Finding("two_pythons", Weight.WRONG, said, "Disable all but ispagents.")
    linked = existing.linked_python()
    if linked is not None and linked < OLDEST_PYTHON:
        said = f"The server's Python module was built against Python {linked[0]}.{linked[1]}; ours needs 3.11 or newer."
        yield Finding("wrong_python", Weight.WRONG, said, "Install FreeRADIUS from a newer distribution.")
    elif linked is None:
        said = "The server's Python module does not say which Python it was built against."
        yield Finding("unknown_python", Weight.NOTE, said, "See that it is 3.11 or newer.")


def _signing(existing: Existing, server: Section) -> Iterator[Finding]:
    if existing.installed.version >= SIGNS_BY_ITSELF:
        if existing.setting("security", "require_message_authenticator") in ("", "no"):
            said = "The server takes unsigned requests from every router (CVE-2024-3596)."
            todo = "Where every router has RouterOS 7.15 or newer, set require_message_authenticator = yes in security."
            yield Finding("unsigned_requests", Weight.UNWISE, said, todo, str(existing.main.path))
        return
    places = {
        "post-auth": inside(server, (("post-auth", ""),)),
        "Post-Auth-Type REJECT": inside(server, (("post-auth", ""), ("Post-Auth-Type", "REJECT"))),
    }
    unsigned = [name for name, section in places.items() if section is None or not _signs(section)]
    if unsigned:
        version = ".".join(str(part) for part in existing.installed.version)
        said = (
            f"FreeRADIUS {version} does not sign answers to users who are not ours (missing: {some(unsigned)}), and "
            "RouterOS 7.15 and newer drops unsigned answers, so such users cannot log in there (CVE-2024-3596)."
        )
        todo = (
            "Put `update reply { &Message-Authenticator := 0x00 }` first in these sections (the server fills the value "
            "in), or set require-message-auth=no on the routers. Ours are signed."
        )
        yield Finding("unsigned", Weight.UNWISE, said, todo, str(server.document.path))


def _signs(section: Section) -> bool:
    for node in section.nodes():
        names = [one.name for one in node.nodes() if isinstance(one, Item)] if isinstance(node, Section) else []
        if isinstance(node, Section) and node.keyword == "update" and any(map(_SIGNED.fullmatch, names)):
            return True
    return "ispagents_sign" in [word for word, _ in calls(section)]


def _asked(existing: Existing, server: Section) -> Iterator[Finding]:
    kinds = {one.kind for one in existing.listeners() if one.server == server.name}
    named = any(one.server == server.name for one in existing.clients())
    for kind, what in (("auth", "logins"), ("acct", "accounting")):
        if not named and not any(kind in one for one in kinds):
            said = f"The virtual server {server.name} does not listen for {what}, and no client names it."
            todo = f"Name the one that the routers ask with --site, or add a `listen` of type {kind} to it."
            yield Finding("nobody_asks", Weight.WRONG, said, todo, str(server.document.path))


def _times(existing: Existing) -> Iterator[Finding]:
    delay = existing.setting("security", "reject_delay", "1")
    delay_s = float(delay) if _SECONDS.fullmatch(delay) else 0.0
    if delay_s > 0:
        said = (
            f"A refused login is answered after {delay_s:g} s (reject_delay), and RouterOS waits 0.3 s unless told "
            "otherwise: it asks again, and takes the server for dead."
        )
        todo = f"Set reject_delay = 0, or see that every router has a timeout above {delay_s:g} s (ours: 3s)."
        weight = Weight.WRONG if delay_s >= ROUTER_TIMEOUT_S else Weight.UNWISE
        yield Finding("reject_delay", weight, said, todo, str(existing.main.path))
    threads = existing.setting("thread", "max_servers")
    if threads.isdigit() and int(threads) > THREADS_MAXIMUM:
        said = f"The thread pool may grow to {threads} threads, and one call into Python runs at a time."
        yield Finding("threads", Weight.UNWISE, said, "Set max_servers of the thread pool to 32 or less.")


def _passwords_kept(existing: Existing, server: Section) -> Iterator[Finding]:
    """The distribution's post-auth query of rlm_sql keeps the typed password."""
    section = inside(server, (("post-auth", ""),))
    kinds = {one.name or one.keyword: one for one in existing.instances() if one.keyword == "sql"}
    called = [kinds[name] for name, _ in calls(section) if name in kinds] if section is not None else []
    for one in called:
        dialect = one.items().get("dialect", "")
        queries = existing.raddb / "mods-config" / "sql" / "main" / dialect / "queries.conf"
        try:
            keeps = "%{User-Password}" in queries.read_text(errors="replace")
        except OSError:
            continue
        if keeps:
            said = "rlm_sql writes the password of every PAP login in clear into radpostauth, of ours too."
            todo = "Take User-Password and Chap-Password out of the query in post-auth, and empty the column."
            yield Finding("passwords_kept", Weight.UNWISE, said, todo, str(queries))


def clients(found: list[Client]) -> Iterator[Finding]:
    """Routers as the server's files have them: without a secret, with a well-known one, twice, within each other."""
    without = [f"{one.name} ({one.line})" for one in found if not one.secret]
    if without:
        said = f"Clients without a secret: {some(without)}; the server refuses to start, or drops their packets."
        yield Finding("client_without_secret", Weight.WRONG, said, "Give each the secret that its router has.")
    networks: dict[tuple[object, str], Client] = {}
    known = [
        f"{one.name} ({one.address})"
        for one in found
        if one.secret in WELL_KNOWN_SECRETS and not one.address.startswith(("127.", "::1", "localhost"))
    ]
    if known:
        said = f"Clients with a secret that everybody knows: {some(known)}; anybody near can log in anybody."
        yield Finding("well_known_secret", Weight.WRONG, said, "Choose new secrets, there and on the routers.")
    twice, within = [], []
    placed = sorted(
        ((network, one) for one in found if (network := _network(one.address)) is not None),
        key=lambda pair: pair[0].prefixlen,
    )
    lengths = sorted({(network.version, network.prefixlen) for network, _ in placed})
    for network, one in placed:
        key = (network, one.server)
        if key in networks:
            twice.append(f"{one.name} and {networks[key].name} ({network})")
            continue
        for version, length in lengths:
            if version == network.version and length < network.prefixlen:
                around = networks.get((network.supernet(new_prefix=length), one.server))
                if around is not None and around.secret != one.secret:
                    within.append(f"{one.name} within {around.name}")
        networks[key] = one
    if twice:
        said = f"Clients that are there twice: {some(twice)}; the server refuses to start, or takes the first."
        yield Finding("client_twice", Weight.WRONG, said, "Leave one of each.")
    if within:
        said = f"Clients within another client's network that has another secret: {some(within)}; the narrower counts."
        yield Finding("client_within", Weight.NOTE, said, "See that these routers have the narrower one's secret.")


def _network(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network("0.0.0.0/0" if address == "*" else address, strict=False)
    except ValueError:
        return None
