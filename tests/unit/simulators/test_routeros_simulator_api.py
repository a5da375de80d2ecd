"""The simulated RouterOS API speaks the protocol: framing, logins, queries, rows and refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import librouteros
import pytest
from hypothesis import given
from hypothesis import strategies as st
from librouteros.query import Key
from routeros_talk import Talk

from simulators.clock import HandClock
from simulators.routeros import ApiUser, RouterOs, RouterOsSettings
from simulators.routeros.commands import Commands, Request
from simulators.routeros.device import Device
from simulators.routeros.menus_system import POLICIES
from simulators.routeros.queries import compile_query
from simulators.routeros.traps import TrapError
from simulators.routeros.words import Decoder, FramingError, encode, length_prefix

USERS = (ApiUser(name="api", password="made-up"), ApiUser(name="eyes", password="made-up", group="read"))


@pytest.fixture
def router() -> Iterator[RouterOs]:
    with RouterOs(RouterOsSettings(users=USERS)) as router:
        yield router


@pytest.fixture
def talk(router: RouterOs) -> Iterator[Talk]:
    with Talk(router.address, router.port) as talk:
        assert talk.log_in("api", "made-up") == ""
        yield talk


@given(st.lists(st.lists(st.binary(min_size=1, max_size=300), min_size=1), max_size=6), st.integers(1, 7))
def test_sentences_survive_any_cut(sentences: list[list[bytes]], step: int) -> None:
    """Sentences come back whole, however the stream was cut."""
    stream, decoder, heard = b"".join(map(encode, sentences)), Decoder(), []
    for start in range(0, len(stream), step):
        heard += decoder.feed(stream[start : start + step])
    assert heard == sentences


def test_lengths() -> None:
    """The five forms of a length are those of the API page; a reserved byte and too long a word are refused."""
    assert [length_prefix(n).hex() for n in (0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 0x10000000)] == [
        "7f", "8080", "bfff", "c04000", "dfffff", "e0200000", "f010000000",
    ]  # fmt: skip
    for stream in (b"\xf8", length_prefix(5000)):
        with pytest.raises(FramingError):
            Decoder().feed(stream)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["?disabled"], "ab"),
        (["?-comment"], "b"),
        (["?name=a"], "a"),
        (["?=name=b"], "b"),
        (["?>mtu=1000"], "b"),
        (["?<mtu=1000"], "a"),
        (["?name=a", "?mtu=1500"], ""),  # several words mean all of them
        (["?name=a", "?mtu=1500", "?#|"], "ab"),
        (["?name=a", "?#!"], "b"),
        (["?name=a", "?name=b", "?#0!&"], ""),  # the copy of b, turned round, and b, under which a stays
        (["?name=a", "?#.&"], "a"),
        (["?name=a", "?name=b", "?#1"], "a"),  # an index at the end replaces everything
        (["?disabled=yes"], "b"),
    ],
)
def test_queries(words: list[str], names: str) -> None:
    """Query words work on a stack as the API page says."""
    rows = [
        {"name": "a", "mtu": "900", "comment": "", "disabled": "false"},
        {"name": "b", "mtu": "1500", "disabled": "true"},
    ]
    assert "".join(row["name"] for row in rows if compile_query(words)(row)) == names


def test_logins(router: RouterOs) -> None:
    """A wrong password is refused by text; without a login every command is fatal."""
    with Talk(router.address, router.port) as talk:
        assert talk.log_in("api", "wrong") == talk.log_in("nobody", "") == "invalid user name or password (6)"
        assert talk.log_in_by_challenge("api", "made-up") == "invalid user name or password (6)"  # over since 6.45.1
        assert talk.log_in("api", "made-up") == ""
        assert talk.rows("/system/identity/print") == [{"name": "MikroTik"}]
    with Talk(router.address, router.port) as talk:
        talk.say("/ppp/secret/print")
        assert talk.hear() == ("!fatal", {"not logged in": ""})
        assert talk.gone()


def test_challenge_login() -> None:
    """Before 6.43 only the challenge is known, and a client that sends its password is given one."""
    with (
        RouterOs(RouterOsSettings(version="6.42.12", users=USERS)) as router,
        Talk(router.address, router.port) as talk,
    ):
        assert "ret" in talk.ask("/login", "=name=api", "=password=made-up")[0][1]
        assert talk.log_in_by_challenge("api", "wrong") == "cannot log in"
        assert talk.log_in_by_challenge("api", "made-up") == ""
        assert talk.refusal("/ppp/secret/remove", "=.id=*9") == "no such item (4)"


def test_rows(talk: Talk) -> None:
    """Rows get ids, defaults and only what was asked for; names and numbers stay the text they are."""
    for name in ("no", "0123", "łódź", 'quo"te\nline', "x" * 253):
        ((_, done),) = talk.ask("/ppp/secret/add", f"=name={name}", "=password=a=b", "=limit-bytes-in=007")
        (row,) = talk.rows("/ppp/secret/print", f"?name={name}")
        assert (row[".id"], row["name"], row["password"]) == (done["ret"], name, "a=b")
        assert (row["service"], row["profile"], row["disabled"], row["limit-bytes-in"]) == (
            "any", "default", "false", "7",
        )  # fmt: skip
        assert "comment" not in row
    assert talk.rows("/ppp/secret/print", "=.proplist=name,comment", "?name=no") == [{"name": "no"}]
    assert talk.ask("/ppp/secret/print", "=count-only=") == [("!done", {"ret": "5"})]
    talk.ask("/ppp/secret/set", "=.id=*1,*2", "=disabled=yes", "=comment=late")
    assert [row["name"] for row in talk.rows("/ppp/secret/print", "?disabled=true", "?comment=late")] == ["no", "0123"]
    talk.ask("/ppp/secret/remove", "=.id=*1,*2")
    talk.ask("/ppp/secret/enable", "=numbers=łódź")
    assert [row[".id"] for row in talk.rows("/ppp/secret/print")] == ["*3", "*4", "*5"]


def test_values_are_read_back_in_one_form(talk: Talk) -> None:
    """Rates lose their suffix, times get letters, single addresses their mask where the menu writes one."""
    talk.ask("/queue/simple/add", "=name=a", "=target=10.0.0.1,ether2", "=max-limit=10M/50M", "=limit-at=64k")
    (queue,) = talk.rows("/queue/simple/print")
    assert (queue["target"], queue["max-limit"], queue["limit-at"]) == (
        "10.0.0.1/32,ether2", "10000000/50000000", "64000/64000",
    )  # fmt: skip
    talk.ask("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.1/32")
    talk.ask("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.7/24")
    assert [row["address"] for row in talk.rows("/ip/firewall/address-list/print")] == ["10.0.0.1", "10.0.0.0/24"]
    talk.ask("/ppp/profile/set", "=.id=default", "=session-timeout=1d 01:00:05")
    assert talk.rows("/ppp/profile/print", "?name=default")[0]["session-timeout"] == "1d1h5s"


def test_order(talk: Talk) -> None:
    """Rules stand where they were put: before another, or moved."""

    def chains() -> str:
        return "".join(row["chain"] for row in talk.rows("/ip/firewall/filter/print"))

    for place, chain in enumerate("abc"):
        before = ["=place-before=*1"] if place else []
        talk.ask("/ip/firewall/filter/add", f"=chain={chain}", "=action=drop", *before)
    assert chains() == "bca"
    talk.ask("/ip/firewall/filter/move", "=numbers=*1", "=destination=*2")
    assert chains() == "abc"
    talk.ask("/ip/firewall/filter/move", "=numbers=*1")
    assert chains() == "bca"
    talk.ask("/ip/firewall/filter/move", "=numbers=*2", "=destination=*99")  # what is gone means the end
    assert chains() == "cab"
    assert talk.refusal("/ip/firewall/filter/move", "=numbers=*1", "=destination=*1") == (
        "failure: can not move object before itself"
    )
    assert talk.refusal("/ppp/secret/add", "=name=a", "=place-before=*1") == "unknown parameter place-before"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/ppp/secret/add", "=name=anna"], "failure: secret with the same name already exists"),
        (["/ppp/secret/add", "=password=x"], "missing =name="),
        (["/ppp/secret/add", "=name=x", "=profile=gold"], "input does not match any value of profile"),
        (["/ppp/secret/add", "=name=x", "=disabled=maybe"], "input does not match any value of disabled"),
        (["/ppp/secret/add", "=name=x", "=colour=red"], "unknown parameter colour"),
        (["/ppp/secret/set", "=.id=*99", "=comment=x"], "no such item"),
        (["/ppp/secret/set", "=comment=x"], "missing =.id="),
        (["/ppp/secrets/print"], "no such command prefix"),
        (["/ppp/secret/prinnt"], "no such command"),
        (["/ppp/active/add", "=name=x"], "no such command"),
        (["/ppp/profile/remove", "=.id=default"], "failure: can not remove default item"),
        (["/queue/simple/add", "=name=x", "=target=10.0.0.1", "=limit-at=fast"], "invalid value for argument limit-at"),
        (["/ip/hotspot/ip-binding/add", "=mac-address=x"], "invalid value of mac-address, mac address required"),
        (["/ip/firewall/address-list/add", "=list=a", "=address=10.0.0.999"], "invalid value for argument address"),
    ],
)  # fmt: skip
def test_refusals(router: RouterOs, talk: Talk, words: list[str], message: str) -> None:
    """What cannot be done is refused by RouterOS's texts, and nothing has changed."""
    router.add("/ppp/secret", name="anna", password="made-up")
    before = router.rows("/ppp/secret")
    assert talk.refusal(*words) == message
    assert router.rows("/ppp/secret") == before


def test_permissions(router: RouterOs) -> None:
    """A reader changes nothing and sees stars where passwords are; users' passwords are shown to nobody."""
    router.add("/ppp/secret", name="anna", password="made-up")
    with Talk(router.address, router.port) as talk:
        talk.log_in("eyes", "made-up")
        assert talk.rows("/ppp/secret/print")[0]["password"] == "*****"
        assert talk.refusal("/ppp/secret/set", "=.id=*1", "=password=x") == "not enough permissions (9)"
        assert talk.refusal("/user/add", "=name=x", "=group=full") == "not enough permissions (9)"
    with Talk(router.address, router.port) as talk:
        talk.log_in("api", "made-up")
        assert all("password" not in row for row in talk.rows("/user/print"))
        talk.ask("/user/group/add", "=name=mute", "=policy=read,write")
        talk.ask("/user/set", "=.id=eyes", "=group=mute")
        talk.ask("/ip/service/set", "=.id=api", "=address=192.0.2.0/24")
    with Talk(router.address, router.port) as talk:
        assert talk.gone()
    router.set("/ip/service", "api", address="")
    with Talk(router.address, router.port) as talk:
        assert talk.log_in("eyes", "made-up") == "invalid user name or password (6)"


def test_references_follow_names(talk: Talk) -> None:
    """A renamed profile keeps its secrets; a removed one leaves its id behind."""
    talk.ask("/ppp/profile/add", "=name=gold")
    talk.ask("/ppp/secret/add", "=name=anna", "=profile=gold")
    talk.ask("/ppp/profile/set", "=.id=gold", "=name=silver")
    assert talk.rows("/ppp/secret/print")[0]["profile"] == "silver"
    talk.ask("/ppp/profile/remove", "=.id=silver")
    assert talk.rows("/ppp/secret/print")[0]["profile"].startswith("*")


def test_disabled_rows_do_not_clash(talk: Talk) -> None:
    """An entry may stand twice while one of the two is disabled; enabling it is refused."""
    words = ("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.1")
    assert [talk.refusal(*words), talk.refusal(*words), talk.refusal(*words, "=disabled=yes")] == [
        "", "failure: already have such entry", "",
    ]  # fmt: skip
    second = talk.rows("/ip/firewall/address-list/print", "?disabled=true")[0][".id"]
    assert talk.refusal("/ip/firewall/address-list/enable", f"=.id={second}") == "failure: already have such entry"


def test_what_version_7_leaves_out_and_adds(talk: Talk) -> None:
    """The server `all` is none, rules say that they are enabled when told so, each connection is a service."""
    talk.ask("/ip/dhcp-server/lease/add", "=address=10.0.0.9", "=mac-address=02:00:5e:00:00:09", "=server=all")
    (lease,) = talk.rows("/ip/dhcp-server/lease/print")
    assert (lease.get("server"), lease["status"], lease["last-seen"]) == (None, "waiting", "never")
    talk.ask("/ip/firewall/filter/add", "=chain=forward", "=action=drop")
    assert "disabled" not in talk.rows("/ip/firewall/filter/print")[0]
    talk.ask("/ip/firewall/filter/enable", "=numbers=*1")
    assert talk.rows("/ip/firewall/filter/print")[0]["disabled"] == "false"
    assert talk.refusal("/user/group/add", "=name=few") == ""
    talk.ask("/user/set", "=.id=eyes", "=group=few")
    assert talk.refusal("/user/group/remove", "=.id=few") == "failure: group has some users"
    assert [row["dynamic"] for row in talk.rows("/ip/service/print", "?name=api")] == ["false", "true"]


def test_tags(talk: Talk) -> None:
    """Every sentence of an answer carries the tag of its command."""
    talk.say("/interface/print", ".tag=a", "=.proplist=name", "?name=ether1")
    talk.say("/nonsense/print", ".tag=b")
    assert [talk.hear() for _ in range(4)] == [
        ("!re", {".tag": "a", "name": "ether1"}),
        ("!done", {".tag": "a"}),
        ("!trap", {".tag": "b", "category": "0", "message": "no such command prefix"}),
        ("!done", {".tag": "b"}),
    ]


_TEXT = st.sampled_from(
    ["", "x", "no", "*1", "*1,*2", "default", "10.0.0.1", "10M/1M", "1M", "1h", "-", "!", "a-b", "none", "é", "=", "1/"]
)


@given(st.data())
def test_nonsense_is_refused_by_a_trap(data: st.DataObject) -> None:
    """Whatever is asked of whichever menu, the router answers or refuses; it never breaks."""
    device = Device(RouterOsSettings(), HandClock())
    commands = Commands(device)
    for _ in range(4):
        table = device.store[data.draw(st.sampled_from(sorted(device.store.tables)))]
        verb = data.draw(st.sampled_from(["print", "add", "add", "set", "remove", "move", "unset", "enable"]))
        names = st.sampled_from([*sorted(table.known), ".id", "numbers", "place-before", "destination", ".proplist"])
        asked = Request(f"{table.menu.path}/{verb}", data.draw(st.dictionaries(names, _TEXT, max_size=6)))
        asked.queries = data.draw(st.lists(st.sampled_from(["?name", "?#|", "?>name=1", "?", "?#1"]), max_size=2))
        required = [one.name for one in table.known.values() if one.required]
        if verb == "add":
            asked.arguments.update({name: data.draw(_TEXT) for name in required})
        with contextlib.suppress(TrapError):
            list(commands.run(asked, frozenset(POLICIES)).rows)


@pytest.mark.parametrize(("version", "empty"), [("6.49.10", 0), ("7.16.1", 0), ("7.18", 1)])
def test_releases_differ(version: str, empty: int) -> None:
    """`!empty` exists since 7.18; dates, fields and the version itself are those of the release."""
    with RouterOs(RouterOsSettings(version=version, users=USERS)) as router, Talk(router.address, router.port) as talk:
        talk.log_in("api", "made-up")
        assert [reply for reply, _ in talk.ask("/ppp/active/print")].count("!empty") == empty
        assert talk.rows("/system/resource/print")[0]["version"] == f"{version} (stable)"
        is_new = version.startswith("7")
        assert ("servers" in talk.rows("/system/ntp/client/print")[0]) is is_new
        assert ("-" in talk.rows("/system/clock/print")[0]["date"]) is is_new
        wanted = "" if is_new else "unknown parameter"
        assert talk.refusal("/radius/add", "=address=192.0.2.1", "=require-message-auth=no") == wanted


def test_librouteros_works_with_it(router: RouterOs) -> None:
    """A foreign client logs in, adds, finds, changes and removes."""
    api = librouteros.connect(router.address, "api", "made-up", port=router.port, encoding="utf-8")
    secrets = api.path("ppp", "secret")
    row_id = secrets.add(name="łódź", password="a b")
    secrets.update(**{".id": row_id, "disabled": True})
    found = secrets.select(Key("name"), Key(".id")).where(Key("disabled") == True)  # noqa: E712  # its query language
    assert list(found) == [{"name": "łódź", ".id": row_id}]
    secrets.remove(row_id)
    with pytest.raises(librouteros.exceptions.TrapError, match="no such item"):
        secrets.remove(row_id)
    api.close()
