"""What a router hears when somebody logs in."""

import pytest
from fixtures_freeradius import ACCEPT, REJECT

from policy.access import Access, Kind
from policy.reasons import Reason
from policy.stamp import stamp

PROTOCOLS = ("pap", "chap", "mschap")
HOME = '{"rate_limit": "10M/50M"}'
NAMES = [
    "no",
    "0123",
    "łódź",
    "qu\"ote's",
    "new\nline",
    "tab\tand\x01control",
    "back\\slash",
    "ends in \\",
    "a\\nb",
    "oct\\101al",
    "%{User-Password}",
    "`id` $(id) $ENV{PATH}",
    "domain\\user",
    "user@realm/x",
    " blank ",
    "x" * 253,
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_right_password_gets_the_plan(router, add, protocol):
    """Rate limit, a signature and a Class that names service and stamp, by every protocol."""
    service_id = add("anna", plan=HOME)
    reply = getattr(router, protocol)("anna", "right password")
    assert reply.code == ACCEPT
    assert reply.signed
    assert reply.all("Mikrotik-Rate-Limit") == ["10M/50M"]
    assert reply.session_class.service_id == service_id
    assert reply.session_class.stamp == stamp(Access(Kind.GRANT, Reason.PLAN, "10M/50M", interim_interval_s=300))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_password_gets_nothing(router, add, notes, protocol):
    """A signed Reject without Class or rate limit, and a note that says why."""
    service_id = add("anna", plan=HOME)
    reply = getattr(router, protocol)("anna", "a wrong password")
    assert reply.code == REJECT
    assert reply.signed
    assert reply.names() <= {"Message-Authenticator", "MS-CHAP-Error"}
    (note,) = notes()
    assert (note["service"], note["reason"], note["user"]) == (str(service_id), "wrong_password", "anna")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_unknown_user_gets_nothing(router, notes, protocol):
    """The same Reject, and a note that the name is not known on this router."""
    reply = getattr(router, protocol)("nobody", "any password")
    assert (reply.code, reply.signed) == (REJECT, True)
    assert reply.names() == {"Message-Authenticator"}
    assert [(note["operator"], note["reason"]) for note in notes()] == [(str(router.operator), "unknown_user")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_an_ordinary_name(router, add, name, protocol):
    """It logs in with its password and not with another."""
    service_id = add(name)
    assert getattr(router, protocol)(name, "right password").session_class.service_id == service_id
    assert getattr(router, protocol)(name, "left password").code == REJECT


@pytest.mark.parametrize("name", NAMES)
def test_any_name_comes_through_the_spool(router, notes, name):
    """Edge reads the name that was tried, to the letter."""
    router.pap(name, "any password")
    assert [note["user"] for note in notes()] == [name]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "password",
    [
        "qu\"otes and '",
        "back\\slash \\n \\",
        "new\nline\r\n\t",
        "zażółć gęślą",
        "%{User-Name} $x",
        " ",
        "no",
        "y" * 128,
    ],
)
def test_any_password_is_an_ordinary_password(router, add, password, protocol):
    """The module hands it to the server as it is."""
    add("anna", password=password)
    assert getattr(router, protocol)("anna", password).code == ACCEPT
    assert getattr(router, protocol)("anna", password[:-1] + "!").code == REJECT


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_empty_password_is_no_open_door(router, add, protocol):
    """Whoever gives another one is refused."""
    add("anna", password="")
    assert getattr(router, protocol)("anna", "another password").code == REJECT


def test_a_login_without_any_password_is_refused(router, add, notes):
    """A service that has a password wants one."""
    add("anna")
    assert router.login("anna", []).code == REJECT
    assert [note["reason"] for note in notes()] == ["wrong_password"]


def test_chap_may_use_the_authenticator_as_its_challenge(router, add):
    """Without CHAP-Challenge the Request Authenticator is the challenge (RFC 2865 section 5.3)."""
    add("anna")
    assert router.chap("anna", "right password", challenge_in_header=True).code == ACCEPT
    assert router.chap("anna", "wrong password", challenge_in_header=True).code == REJECT


def test_repeated_attributes_all_arrive(router, add):
    """Two address lists and two routes are two and two, in their order, whatever is in them."""
    lists = ["home", 'q"uoted \\n łódź %{User-Name}']
    routes = ["10.1.0.0/24 0.0.0.0 1", "10.2.0.0/24 0.0.0.0 1"]
    plan = '{"rate_limit": "10M/50M", "address_lists": ["home", "q\\"uoted \\\\n łódź %{User-Name}"]}'
    add("anna", plan=plan, routes=tuple(routes))
    reply = router.pap("anna", "right password")
    assert reply.all("Mikrotik-Address-List") == lists
    assert reply.all("Framed-Route") == routes


def test_every_kind_of_attribute_arrives(router, add):
    """Addresses, prefixes, numbers beyond 32 bits and names, each as its own type."""
    plan = (
        '{"ipv6_pool": "six", "delegated_ipv6_pool": "delegated", "group": "fast", "filter_id": "chain.in",'
        ' "quota_bytes": 25769803781, "simultaneous_use": 2, "session_timeout_s": 4294967295, "idle_timeout_s": 60}'
    )
    prefixes = {"ipv6_prefix": "2001:db8::/64", "delegated_ipv6_prefix": "2001:db8:1::/56"}
    add("anna", plan=plan, address="100.64.0.7", **prefixes)
    found = dict(router.pap("anna", "right password").pairs)
    assert {name: value for name, value in found.items() if name not in ("Class", "Message-Authenticator")} == {
        "Framed-IP-Address": "100.64.0.7",
        "Framed-IPv6-Prefix": "2001:db8::/64",
        "Delegated-IPv6-Prefix": "2001:db8:1::/56",
        "Framed-IPv6-Pool": "six",
        "Mikrotik-Delegated-IPv6-Pool": "delegated",
        "Mikrotik-Group": "fast",
        "Filter-Id": "chain.in",
        "Port-Limit": "2",
        "Session-Timeout": "4294967295",
        "Idle-Timeout": "60",
        "Acct-Interim-Interval": "60",  # often, so that not much passes beyond the quota
        "Mikrotik-Total-Limit": "5",
        "Mikrotik-Total-Limit-Gigawords": "6",
    }


def test_the_longest_texts_arrive_whole(router, add):
    """247 bytes of a vendor's attribute and 253 of the others, the last ones that fit."""
    add("anna", plan=f'{{"address_lists": ["{"L" * 247}"], "pool": "{"p" * 253}"}}')
    reply = router.pap("anna", "right password")
    assert reply.all("Mikrotik-Address-List") == ["L" * 247]
    assert reply.all("Framed-Pool") == ["p" * 253]


def test_a_suspended_service_is_online_in_its_list(router, add):
    """With the slow rate and the list of the overdue, by its own password."""
    add("anna", plan=HOME, standing="suspended")
    reply = router.mschap("anna", "right password")
    assert (reply.all("Mikrotik-Rate-Limit"), reply.all("Mikrotik-Address-List")) == (["256k/256k"], ["overdue"])
    assert router.pap("anna", "wrong password").code == REJECT


@pytest.mark.parametrize("protocol", ["pap", "chap"])
def test_a_wrong_password_is_let_into_the_garden_where_the_operator_chose_so(router, add, chosen, notes, protocol):
    """With that list, a Class of no service, and nothing of the plan; what it would have taught is not learnt."""
    add("anna", plan='{"rate_limit": "10M/50M", "address_lists": ["home"], "group": "fast"}', bind_mac=1)
    chosen('{"wrong_password": {"address_list": "wrong", "rate_limit": "64k/64k", "session_timeout_s": 300}}')
    reply = getattr(router, protocol)("anna", "wrong password", Calling_Station_Id="02:00:00:00:00:01")
    assert (reply.code, reply.signed) == (ACCEPT, True)
    assert reply.all("Mikrotik-Address-List") == ["wrong"]
    assert reply.all("Mikrotik-Rate-Limit") == ["64k/64k"]
    assert reply.all("Session-Timeout") == ["300"]
    assert not reply.all("Mikrotik-Group")
    assert reply.session_class.service_id == 0
    assert [(note["reason"], note.get("learn")) for note in notes()] == [("wrong_password", None)]


def test_mschap_is_never_let_in_with_a_wrong_password(router, add, chosen, notes):
    """The server would have to prove a password that it was not shown; and nothing is learnt of it."""
    add("anna", plan=HOME, bind_mac=1)
    chosen('{"wrong_password": {"address_list": "wrong"}, "unknown_user": {"address_list": "unknown"}}')
    assert router.mschap("anna", "wrong password", Calling_Station_Id="02:00:00:00:00:01").code == REJECT
    assert router.mschap("nobody", "any password").code == REJECT
    assert [(note["reason"], note.get("learn")) for note in notes()] == [
        ("wrong_password", None),
        ("unknown_user", None),
    ]


def test_an_unknown_user_is_let_into_the_garden_where_the_operator_chose_so(router, chosen):
    """Whatever password came with it."""
    chosen('{"unknown_user": {"address_list": "unknown"}}')
    for reply in (router.pap("nobody", "any password"), router.chap("nobody", "any password")):
        assert (reply.code, reply.all("Mikrotik-Address-List")) == (ACCEPT, ["unknown"])


def test_a_first_login_is_noted_for_its_binding(router, add, notes):
    """Edge learns device and port from it; a login that simply works leaves no note."""
    add("anna", bind_mac=1, bind_port=1)
    router.mschap("anna", "right password", Calling_Station_Id="02:00:00:00:00:01", NAS_Port_Id="ether1")
    assert [note["learn"] for note in notes()] == ["mac,port"]
    add("berta")
    router.pap("berta", "right password")
    assert len(notes()) == 1


def test_another_device_is_refused(router, add, notes):
    """A bound service works from its own device alone."""
    add("anna", bind_mac=1, mac="02:00:00:00:00:01")
    assert router.pap("anna", "right password", Calling_Station_Id="02:00:00:00:00:01").code == ACCEPT
    assert router.pap("anna", "right password", Calling_Station_Id="02:00:00:00:00:02").code == REJECT
    assert [note["reason"] for note in notes()] == ["wrong_device"]


def test_a_hotspot_device_is_let_in_by_its_mac(router, add):
    """Whatever mac-auth-password the router sends along, and no other device under that name."""
    mac = "02:00:00:00:00:01"
    service_id = add(mac, method="hotspot", password=None)
    reply = router.pap(mac, "", Service_Type=1, Calling_Station_Id=mac)
    assert reply.session_class.service_id == service_id
    assert router.chap(mac, "mac-auth", Service_Type=1, Calling_Station_Id=mac).code == ACCEPT
    assert router.pap(mac, "", Service_Type=1, Calling_Station_Id="02:00:00:00:00:02").code == REJECT
