"""Commands as they are typed in a router's terminal."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from routeros_model import accesses, lines, routers, styles

from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.cuts import Cut
from policy.routeros.difference import difference
from policy.routeros.objects import Command, Item, Verb, Wanted, tagged
from policy.routeros.style import Style
from policy.routeros.terminal import SECRET, command_text, cut_text, plan_rows, plan_text, quoted
from policy.routeros.values import HIDDEN
from policy.routeros.wanted import Line, wanted_items

ESCAPED = {"n": b"\n", "r": b"\r", "t": b"\t", '"': b'"', "\\": b"\\", "$": b"$"}


def typed(text):
    """What a router makes of a text in quotes: the scripting manual's escapes, and nothing else may need one."""
    assert text.isascii()
    assert text.isprintable()
    assert text[0] == text[-1] == '"'
    inner, made, place = text[1:-1], b"", 0
    while place < len(inner):
        letter = inner[place]
        if letter != "\\":
            assert letter not in '"$?', "this would end the text, name a variable or ask for help"
            made, place = made + letter.encode(), place + 1
        elif inner[place + 1] in ESCAPED:
            made, place = made + ESCAPED[inner[place + 1]], place + 2
        else:
            assert re.fullmatch("[0-9A-F]{2}", inner[place + 1 : place + 3])
            made, place = made + bytes.fromhex(inner[place + 1 : place + 3]), place + 3
    return made


def split(line):
    """The words of a command: a quote hides blanks, brackets hold together."""
    words, word, depth, inside, place = [], "", 0, False, 0
    while place < len(line):
        letter = line[place]
        if inside and letter == "\\":
            word, place = word + line[place : place + 2], place + 2
            continue
        inside ^= letter == '"'
        if not inside:
            depth += (letter == "[") - (letter == "]")
        if letter == " " and not inside and not depth:
            words, word = [*words, word], ""
        else:
            word += letter
        place += 1
    assert not inside
    assert not depth
    return [*words, word]


@given(st.text(max_size=40) | st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
@example('a"b\\c$d?e\n\r\t\0łódź [find] ; # {x}')
@example("\udcff")
def test_any_text_comes_through_the_quotes(text):
    """Bytes that are no UTF-8 too, as old routers hold them."""
    errors = "surrogateescape" if re.search("[\udc80-\udcff]", text) else "surrogatepass"
    if errors == "surrogateescape" and re.search("[\ud800-\udc7f\udd00-\udfff]", text):
        return
    assert typed(quoted(text)) == text.encode("utf-8", errors)


@given(st.data(), lines, styles, accesses())
@settings(max_examples=60)
def test_every_command_of_a_plan_is_one_line_that_can_be_read_back(data, line, style, access):
    """Each field with its value, each item found by what it is, and no secret anywhere."""
    line = line._replace(password="tops3cret")
    plan = difference(wanted_items(line, access, style), data.draw(routers(line, style)).shown(), adopt=True)
    for change in plan.changes:
        for command in (change.command, change.undo):
            if command is not None:
                check(command)
    assert "tops3cret" not in plan_text(plan)
    assert [row.why for row in plan_rows(plan)] == [change.why for change in plan.changes]


def check(command):
    """One command against its text."""
    text = command_text(command)
    assert "\n" not in text
    words = split(text)
    path = len(command.menu.split("/")) - 1
    assert "/" + "/".join(word.lstrip("/") for word in words[:path]) == command.menu
    assert words[path] == command.verb
    rest = words[path + 1 :]
    if command.verb != Verb.ADD:
        assert rest.pop(0).startswith("[find ")
    if command.place_before:
        assert rest.pop().partition("=")[2].startswith("[find ")
    told = {name: text for name, text in command.fields if text or not menus.field_of(command.menu, name).unset}
    said = {word.partition("=")[0]: word.partition("=")[2] for word in rest if not word.startswith("!")}
    assert said.keys() == told.keys()
    for name, argument in said.items():
        if name == "password":
            assert argument == SECRET
        else:
            assert (typed(argument).decode() if argument.startswith('"') else argument) == told[name]


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (
            Command(Verb.ADD, menus.PPP_SECRET, (("name", "no"),), (("name", "no"), ("password", "x"), ("routes", ""))),
            '/ppp secret add name="no" password=*** routes=""',
        ),
        (
            Command(
                Verb.SET, menus.PPP_SECRET, (("name", "0123"),), (("remote-address", ""), ("disabled", "no")), "*1"
            ),
            '/ppp secret set [find name="0123"] !remote-address disabled=no',
        ),
        (
            Command(Verb.REMOVE, menus.ADDRESS_LIST, (("list", "łódź"), ("address", "10.0.0.5/32")), (), "*2"),
            r'/ip firewall address-list remove [find list="\C5\82\C3\B3d\C5\BA" address=10.0.0.5]',
        ),
        (
            Command(Verb.MOVE, menus.FILTER, (("comment", "a b"),), (), "*3", "*4", (("action", "drop"),)),
            '/ip firewall filter move [find comment="a b"] destination=[find action="drop"]',
        ),
        (
            Command(
                Verb.ADD, menus.QUEUE, (), (("name", "q"), ("max-limit", "10M/50M")), "", "*4", (("name", "rest"),)
            ),
            '/queue simple add name="q" max-limit=10M/50M place-before=[find name="rest"]',
        ),
        (Command(Verb.REMOVE, menus.LEASE, (), (), "*1A"), "/ip dhcp-server lease remove *1A"),
    ],
)
def test_commands_look_as_an_operator_would_type_them(command, wanted):
    """The terminal's own words."""
    assert command_text(command) == wanted


def test_secrets_are_told_when_asked_for_and_known():
    """For a script that is shown once."""
    command = Command(Verb.SET, menus.PPP_SECRET, (("name", "anna"),), (("password", "pa$$"),), "*1")
    assert command_text(command, secrets=True) == r'/ppp secret set [find name="anna"] password="pa\$\$"'
    hidden = command._replace(fields=(("password", HIDDEN),))
    assert command_text(hidden, secrets=True) == '/ppp secret set [find name="anna"] password=***'


def test_a_plan_is_shown_with_its_reverse_and_what_is_in_the_way():
    """A person reads it before it runs."""
    line = Line(12, "anna", Method.STATIC, address="10.0.0.5")
    grant = Access(Kind.GRANT, Reason.PLAN, address="10.0.0.5", address_lists=("paid",))
    overdue = Item(
        menus.ADDRESS_LIST, "*1", {"list": "overdue", "address": "10.0.0.5", "comment": tagged("service-12")}
    )
    denied = Item(menus.ADDRESS_LIST, "*2", {"list": "ispagents-denied", "address": "10.0.0.5"})
    plan = difference(wanted_items(line, grant, Style()), {menus.ADDRESS_LIST: [overdue, denied]})
    mine = 'comment="ispagents:service-12"'
    conflict = "The list entry 'ispagents-denied' '10.0.0.5' should not be there, but is not ours"
    assert plan_text(plan).splitlines() == [
        f"# In the way: {conflict}; remove it on the router, or adopt it.",
        f'/ip firewall address-list add list="paid" address=10.0.0.5 disabled=no {mine}',
        f'#   undo: /ip firewall address-list remove [find list="paid" address=10.0.0.5 {mine}]',
        f'/ip firewall address-list remove [find list="overdue" address=10.0.0.5 {mine}]',
        f'#   undo: /ip firewall address-list add {mine} list="overdue" address=10.0.0.5',
    ]


def test_what_needs_no_undo_says_so():
    """A profile that was made may be used by others by then."""
    plan = difference([Wanted(menus.PPP_PROFILE, (("name", "ispagents-1M-1M"),), (("rate-limit", "1M/1M"),))], {})
    assert plan_text(plan).splitlines() == [
        '/ppp profile add name="ispagents-1M-1M" rate-limit=1M/1M',
        "#   undo: nothing has to be taken back",
    ]


@pytest.mark.parametrize(
    ("cut", "wanted"),
    [
        (Cut(menus.PPP_ACTIVE, (("name", "anna"),), "", True), '/ppp active remove [find name="anna"]'),
        (
            Cut(menus.CONNECTION, (("src-address", "10.0.0.5"),), "", False),
            r'/ip firewall connection remove [find src-address~"^10\\.0\\.0\\.5(:|\$)"]',
        ),
        (
            Cut(menus.CONNECTION_V6, (("dst-address", "2001:db8::/56"),), "", False),
            "/ipv6 firewall connection remove [find dst-address in 2001:db8::/56]",
        ),
    ],
)
def test_cuts_name_whatever_is_there_by_then(cut, wanted):
    """Sessions by name, connections by address whatever the port."""
    assert cut_text(cut) == wanted
