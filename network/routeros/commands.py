"""A command as words, as evidence in which no secret can be read, and as what an item shows of it afterwards."""

from __future__ import annotations

import re
from typing import Final

from network.routeros.errors import InvalidCommandError
from policy.routeros.menus import agrees, as_sent, field_of, menu_of
from policy.routeros.objects import Command, Fields, Item, Verb
from policy.routeros.terminal import SECRET as SHOWN
from policy.routeros.terminal import command_text
from policy.routeros.values import HIDDEN, Kind, same

MAX_FIELDS: Final = 200  # the widest menu has some 80
SHORTEST_HIDDEN: Final = 3  # characters; hiding single letters would hide the router's words
# In menus that `policy.routeros.menus` does not know; what they hold is a password or a key.
SECRET_FIELDS: Final = frozenset(
    {
        "authentication-password",
        "encryption-password",
        "ipsec-secret",
        "mac-auth-password",
        "passphrase",
        "password",
        "private-key",
        "preshared-key",
        "radius-password",
        "secret",
        "shared-secret",
        "wpa-pre-shared-key",
        "wpa2-pre-shared-key",
    }
)
_MENU: Final = re.compile(r"(?:/[a-z0-9][a-z0-9-]*)+")
# A name that a router knows has no `=`, which would begin the value. `!name` takes a field away.
_NAME: Final = re.compile(r"!?[A-Za-z0-9][A-Za-z0-9-]*|\.id")


def words_of(command: Command) -> tuple[str, ...]:
    """What the command says on the wire. Raises InvalidCommandError; nothing was sent then.

    An add carries its key and its fields; a set, a remove and a move name the item by its `.id`. A set with neither
    `.id` nor key is for a menu of settings, which has no items (`/ppp/aaa`).
    """
    check_menu(command.menu)
    start = f"{command.menu}/{command.verb}"
    if command.fields and all(value == HIDDEN for _, value in command.fields):
        raise InvalidCommandError(f"What to set in {command.menu} is a secret that is not known here; set it by hand.")
    if command.verb is Verb.ADD:
        if untold(command):
            raise InvalidCommandError(
                f"A new item in {command.menu} needs a secret that is not known here; add it by hand with its password."
            )
        named = dict((*command.key, *command.fields))
        # What a new item has not got needs no taking away.
        fields = tuple((name, value) for name, value in as_sent(command.menu, tuple(named.items())) if name in named)
        before = (f"=place-before={command.place_before}",) if command.place_before else ()
        return (start, *_attributes(fields), *before)
    if not command.id and (command.key or command.verb is not Verb.SET):
        raise InvalidCommandError(f"A {command.verb} in {command.menu} names no item; read the router again.")
    if command.verb is Verb.SET:
        item = (f"=.id={command.id}",) if command.id else ()
        return (start, *item, *_attributes(as_sent(command.menu, command.fields)))
    if command.verb is Verb.MOVE:
        # Without a destination an item goes to the end.
        before = (f"=destination={command.place_before}",) if command.place_before else ()
        return (start, f"=numbers={command.id}", *before)
    return (start, f"=.id={command.id}")


def evidence_of(command: Command) -> Fields:
    """The same as a pair of evidence: as it would be typed in a terminal. Whoever reads it learns no secret."""
    shown = tuple((name, SHOWN if is_secret(command.menu, name) else value) for name, value in command.fields)
    return (("command", command_text(command._replace(fields=shown))),)


def is_secret(menu: str, name: str) -> bool:
    """Whether a field holds something that nobody may read."""
    return name in SECRET_FIELDS or field_of(menu, name).kind is Kind.SECRET


def untold(command: Command) -> bool:
    """Whether it has a secret that is not known here, which is not sent then."""
    return any(value == HIDDEN for _, value in command.fields)


def without_secrets(command: Command, text: str) -> str:
    """A router's words about a command, in which it may have repeated a secret that it does not like."""
    for name, value in command.fields:
        if is_secret(command.menu, name) and len(value) >= SHORTEST_HIDDEN:
            text = text.replace(value, SHOWN)
    return text


def shows(item: Item, command: Command) -> bool:
    """Whether an item is as an add or a set left it; a secret that the router keeps to itself is taken on trust."""
    known = menu_of(item.menu).fields
    wanted = dict((*command.key, *command.fields))
    # A field that policy does not know is text, but `yes` is read back as `true` wherever it stands.
    unknown = [name for name in wanted if name not in known]
    if not all(same(Kind.BOOLEAN, item.fields.get(name, ""), wanted.pop(name)) for name in unknown):
        return False
    return agrees(item, tuple(wanted.items()))


def check_menu(menu: str) -> None:
    """Raises InvalidCommandError for what is not a menu, such as `/ip/firewall/address-list`."""
    if not _MENU.fullmatch(menu):
        raise InvalidCommandError(f"{menu!r} is not a menu; write it as /ppp/secret.")


def check_name(name: str) -> None:
    """Raises InvalidCommandError for what is not a field's name."""
    if not _NAME.fullmatch(name):
        raise InvalidCommandError(f"{name!r} is not the name of a field.")


def _attributes(fields: Fields) -> list[str]:
    if len(fields) > MAX_FIELDS:
        raise InvalidCommandError(f"A command with {len(fields)} fields cannot be sent; {MAX_FIELDS} are the most.")
    for name, _ in fields:
        check_name(name)
    # A secret that is not known here is left as the router has it.
    return [f"={name}={value}" for name, value in fields if value != HIDDEN]
