"""Commands as words, and as evidence without secrets."""

import pytest

from network.routeros.commands import evidence_of, words_of
from network.routeros.errors import InvalidCommandError
from network.routeros.verbs import Query
from policy.routeros.objects import Command, Verb
from policy.routeros.values import HIDDEN

LIST = "/ip/firewall/address-list"
SECRET = "/ppp/secret"


def test_words():
    """An add carries all fields, whatever is in them; the others name the item by its id."""
    name = 'łódź "no"\n=x'
    add = Command(Verb.ADD, LIST, (("list", "paid"), ("address", "192.0.2.1")), (("comment", name),), place_before="*7")
    assert words_of(add) == (
        f"{LIST}/add",
        "=list=paid",
        "=address=192.0.2.1",
        f"=comment={name}",
        "=place-before=*7",
    )
    assert words_of(Command(Verb.SET, SECRET, (("name", "no"),), (("profile", "0123"),), id="*1")) == (
        f"{SECRET}/set",
        "=.id=*1",
        "=profile=0123",
    )
    assert words_of(Command(Verb.REMOVE, SECRET, (("name", "no"),), id="*1")) == (f"{SECRET}/remove", "=.id=*1")
    assert words_of(Command(Verb.MOVE, "/queue/simple", (("name", "a"),), id="*1", place_before="*2")) == (
        "/queue/simple/move",
        "=numbers=*1",
        "=destination=*2",
    )
    assert words_of(Command(Verb.SET, "/radius/incoming", (), (("accept", "yes"),))) == (
        "/radius/incoming/set",
        "=accept=yes",
    )


def test_fields_are_taken_away():
    """A field that takes no empty value is taken away as `!name`; a new item does not mention it."""
    fields = (("remote-address", ""), ("comment", ""))
    assert words_of(Command(Verb.SET, SECRET, (("name", "a"),), fields, id="*1")) == (
        f"{SECRET}/set",
        "=.id=*1",
        "=!remote-address=",
        "=comment=",
    )
    assert words_of(Command(Verb.ADD, SECRET, (("name", "a"),), fields)) == (f"{SECRET}/add", "=name=a", "=comment=")


def test_unknown_secrets_are_not_sent():
    """A secret that is not told here stays as the router has it."""
    command = Command(Verb.SET, SECRET, (("name", "a"),), (("password", HIDDEN), ("profile", "p")), id="*1")
    assert words_of(command) == (f"{SECRET}/set", "=.id=*1", "=profile=p")
    for impossible in (
        Command(Verb.ADD, SECRET, (("name", "a"),), (("name", "a"), ("password", HIDDEN))),
        Command(Verb.SET, SECRET, (("name", "a"),), (("password", HIDDEN),), id="*1"),
    ):
        with pytest.raises(InvalidCommandError, match="by hand"):
            words_of(impossible)


@pytest.mark.parametrize(
    "command",
    [
        Command(Verb.SET, SECRET, (("name", "a"),), (("profile", "p"),)),
        Command(Verb.REMOVE, SECRET, ()),
        Command(Verb.ADD, "ppp secret", (("name", "a"),)),
        Command(Verb.ADD, "/ppp/secret/print\n", (("name", "a"),)),
        Command(Verb.ADD, SECRET, (("name=x", "a"),)),
        Command(Verb.ADD, SECRET, ((".tag", "1"),)),
        Command(Verb.ADD, SECRET, (("", "a"),)),
        Command(Verb.ADD, SECRET, tuple((f"field-{n}", "a") for n in range(201))),
    ],
)
def test_what_cannot_be_sent(command):
    """No name or menu can smuggle in another word, and no command goes without its item."""
    with pytest.raises(InvalidCommandError):
        words_of(command)


def test_evidence_has_no_secret():
    """Passwords and keys are stars, all else is as it was sent."""
    fields = (("name", "anna"), ("password", "hush-hush"), ("profile", "p"))
    ((name, text),) = evidence_of(Command(Verb.ADD, SECRET, (("name", "anna"),), fields))
    assert name == "command"
    assert text == '/ppp secret add name="anna" password=*** profile="p"'
    radius = Command(Verb.SET, "/radius", (), (("secret", "hush-hush"),), id="*1")
    assert "hush" not in str(evidence_of(radius))


def test_query_words():
    """Values of a field are alternatives, and everything must hold."""
    query = Query(menu=LIST, fields=("list", "address"), where=(("list", ("paid", "slow")),), present=("comment",))
    assert query.words() == (
        f"{LIST}/print",
        "=.proplist=.id,list,address",
        "?list=paid",
        "?list=slow",
        "?#|",
        "?comment",
        "?#&",
    )
    assert Query(menu=LIST).words() == (f"{LIST}/print",)
    for nonsense in ({"fields": ("a,b",)}, {"where": (("list", ()),)}, {"present": ("#|",)}):
        with pytest.raises(InvalidCommandError):
            Query(menu=LIST, **nonsense).words()
