"""A login from request to answer."""

from datetime import UTC, datetime

import pytest
from fixtures_freeradius import CONTROL, router_row, service_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.facts import Method
from policy.stamp import read_class
from radius_module.logins import Answer, Logins, UnknownRouter, read_login
from radius_module.pairs import UnfitValue
from radius_module.replica import NoReplica, Replica

MAC = "02:00:00:00:00:01"
PPPOE = {"Framed-Protocol": "PPP", "Service-Type": "Framed-User", "Calling-Station-Id": MAC, "NAS-Port-Id": "ether1"}
HOTSPOT = {"Service-Type": "Login-User", "Calling-Station-Id": MAC}
NOW = 1_795_000_000.0


class Bench:
    """A replica being written, and the logins that read it at a clock that the test sets."""

    def __init__(self, writer):
        self.writer = writer
        self.clock = NOW
        self.logins = Logins(Replica(writer.folder), lambda: self.clock)

    def add(self, *rows):
        with self.writer:
            self.writer.put_services(rows)

    def chosen(self, refusals):
        """What operator 1 chose for refused logins."""
        self.writer.put_operator(1, refusals)

    def ask(self, username, request=PPPOE, source=CONTROL):
        return self.logins.authorize({"User-Name": username, **request}, source)

    def wrong(self, username, request=PPPOE):
        return self.logins.wrong_password({"User-Name": username, **request}, CONTROL)


@pytest.fixture
def bench(writer):
    """Service 7 is anna's."""
    one = Bench(writer)
    one.add(service_row("anna", 7))
    return one


def values(answer, name):
    """All values of one reply attribute."""
    return [value for known, _, value in answer.reply if known == name]


def class_of(answer):
    """What our Class says; FreeRADIUS takes octets as they stand where they do not begin with 0x."""
    (value,) = values(answer, "Class")
    return read_class(value)


def test_a_known_service_must_prove_its_password(bench):
    """The answer holds the plan's attributes and a Class, and writes no note."""
    answer = bench.ask("anna")
    assert (answer.accepted, answer.password, answer.note) == (True, "right password", "")
    assert values(answer, "Mikrotik-Rate-Limit") == ["10M/50M"]
    assert class_of(answer).service_id == 7
    assert "right password" not in repr(answer)


def test_every_login_has_an_id_of_its_own(bench, writer):
    """Also across restarts of the server, or two sessions would be one."""
    ids = {class_of(bench.ask("anna")).login_id for _ in range(100)}
    ids |= {class_of(Bench(writer).ask("anna")).login_id for _ in range(100)}
    assert len(ids) == 200


def test_an_unknown_user_is_refused_with_a_note(bench):
    """Support sees who tried, on which router, and why it failed."""
    assert bench.ask("nobody") == Answer(accepted=False, note="operator=1 router=1 service=0 reason=unknown_user")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"standing": "closed"}, "closed"),
        ({"method": "hotspot"}, "wrong_method"),
        ({"bind_mac": 1, "mac": "02:00:00:00:00:09"}, "wrong_device"),
        ({"bind_router": 1, "bound_router_id": 9}, "wrong_router"),
        ({"bind_port": 1, "port": "ether9"}, "wrong_port"),
    ],
)
def test_a_refusal_names_its_reason(bench, row, reason):
    """And what the operator chose for that reason turns it into a restricted login."""
    bench.add(service_row("anna", 7, **row))
    assert bench.ask("anna") == Answer(accepted=False, note=f"operator=1 router=1 service=7 reason={reason}")
    bench.chosen(f'{{"{reason}": {{"address_list": "look here", "session_timeout_s": 300}}}}')
    answer = bench.ask("anna")
    assert (answer.accepted, answer.password) == (True, "right password")
    assert values(answer, "Mikrotik-Address-List") == ["look here"]
    assert values(answer, "Session-Timeout") == ["300"]


def test_a_suspended_service_is_online_in_its_list(bench):
    """It proves its password as ever, and gets the plan's look of a suspended service."""
    bench.add(service_row("anna", 7, standing="suspended", address="100.64.0.7"))
    answer = bench.ask("anna")
    assert (answer.accepted, answer.password) == (True, "right password")
    assert values(answer, "Mikrotik-Address-List") == ["overdue"]
    assert values(answer, "Mikrotik-Rate-Limit") == ["256k/256k"]
    assert values(answer, "Framed-IP-Address") == ["100.64.0.7"]


def test_a_suspended_service_may_be_denied(bench):
    """Where the plan says so, it is refused and noted."""
    bench.writer.put_plan(2, "Hard", '{"suspended": {"look": "deny"}}')
    bench.add(service_row("anna", 7, standing="suspended", plan_version_id=2))
    assert bench.ask("anna").note.endswith("service=7 reason=suspended")


def test_an_unknown_user_may_be_let_into_the_garden(bench):
    """Without a password to prove, and so never by MS-CHAPv2, where the server must prove it too."""
    bench.chosen('{"unknown_user": {"address_list": "unknown"}}')
    answer = bench.ask("nobody")
    assert (answer.accepted, answer.password) == (True, None)
    assert (class_of(answer).service_id, values(answer, "Mikrotik-Address-List")) == (0, ["unknown"])
    assert not bench.ask("nobody", PPPOE | {"MS-CHAP-Challenge": "0x00"}).accepted


def test_a_wrong_password_may_be_let_into_the_garden(bench):
    """By PAP and CHAP where the operator chose so; the note teaches nothing and counts it as refused."""
    note = "operator=1 router=1 service=7 reason=wrong_password"
    bench.add(service_row("anna", 7, bind_mac=1))
    assert bench.wrong("anna") == Answer(accepted=False, note=note)
    bench.chosen('{"wrong_password": {"address_list": "wrong"}}')
    answer = bench.wrong("anna")
    assert (answer.accepted, answer.note, class_of(answer).service_id) == (True, note, 0)
    assert values(answer, "Mikrotik-Address-List") == ["wrong"]
    assert bench.wrong("anna", PPPOE | {"MS-CHAP-Challenge": "0x00"}) == Answer(accepted=False, note=note)


def test_a_first_login_teaches_its_bindings(bench):
    """What is switched on and empty is noted, and nothing else; what is known fits or refuses."""
    bench.add(service_row("anna", 7, bind_mac=1, bind_router=1, bind_port=1))
    assert bench.ask("anna").note == "operator=1 router=1 service=7 reason=plan learn=mac,router,port"
    bench.add(service_row("anna", 7, bind_mac=1, mac=MAC, bind_port=1, port="ether1"))
    assert bench.ask("anna").note == ""
    bench.add(service_row("anna", 7, bind_mac=1, bind_port=1))
    assert bench.ask("anna", {"Framed-Protocol": "PPP", "Calling-Station-Id": "10.0.0.1"}).note == ""


def test_a_bound_service_is_answered_as_one_of_its_kind_on_its_own_device_alone(bench):
    """Whether its kind was decided before or not; on any other device, and where more is its own, it is not."""
    bound = {"bind_mac": 1, "mac": MAC}
    others = [PPPOE | {"Calling-Station-Id": device} for device in ("02:00:00:00:00:09", "", "10.0.0.1")]
    bench.add(service_row("first", 8, **bound), service_row("address", 9, **bound, address="100.64.0.9"))
    bench.add(service_row("port", 10, **bound, bind_port=1, port="ether9"))
    replies = []
    for _ in range(2):
        first, plain = bench.ask("first"), bench.ask("anna")
        assert (first.accepted, first.password, first.note) == (plain.accepted, plain.password, plain.note)
        assert (class_of(first).service_id, class_of(first).stamp) == (8, class_of(plain).stamp)
        replies += [[pair for pair in answer.reply if pair[0] != "Class"] for answer in (first, plain)]
        assert [bench.ask("first", other).accepted for other in others] == [False] * 3
        assert values(bench.ask("address"), "Framed-IP-Address") == ["100.64.0.9"]
        assert bench.ask("port").note.endswith("reason=wrong_port")
    assert replies == [replies[0]] * 4


PLANS = (
    '{"rate_limit": "10M/50M", "session_timeout_s": 3600}',
    '{"rate_limit": "10M/50M", "simultaneous_use": 1, "at_limit": "refuse"}',
    '{"suspended": {"look": "deny"}, "pool": "homes"}',
    '{"rate_limit": "1M/1M", "windows": [{"start_minute": 0, "end_minute": 720, "rate_limit": "9M/9M"}]}',
    '{"quota_bytes": 1000, "tiers": [{"from_bytes": 500, "rate_limit": "1M/2M", "span": "day"}]}',
)
OWN = {
    "standing": st.sampled_from(("current", "suspended", "closed")),
    "plan_version_id": st.integers(1, 1 + len(PLANS)),
    "prepaid_until": st.sampled_from((None, NOW - 5, NOW + 5, NOW + 5000, NOW + 10**7)),
    "address": st.sampled_from(("", "100.64.0.7", "100.64.0.8")),
    "routes": st.sampled_from(((), ("10.9.0.0/24",))),
    "bind_mac": st.booleans(),
    "mac": st.sampled_from(("", MAC, "02:00:00:00:00:09")),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({}, optional=OWN), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_an_answer_that_is_kept_is_the_one_that_would_be_decided(bench, rows, order):
    """Whoever was asked for before, at whatever time: what is remembered of a kind never differs from deciding anew."""
    for number, facts in enumerate(PLANS):
        bench.writer.put_plan(2 + number, "Plan", facts)
    bench.add(*(service_row(f"user{number}", 20 + number, **row) for number, row in enumerate(rows)))
    bench.clock = NOW
    warm = Logins(Replica(bench.writer.folder), lambda: bench.clock)
    for _ in range(3):
        for number in order.sample(range(len(rows)), len(rows)):
            request = {
                "User-Name": f"user{number}",
                **order.choice((PPPOE, HOTSPOT, PPPOE | {"Calling-Station-Id": ""})),
            }
            cold = Logins(Replica(bench.writer.folder), lambda: bench.clock)
            assert said(warm.authorize(request, CONTROL)) == said(cold.authorize(request, CONTROL))
        bench.clock += order.choice((0, 4.5, 3600))
        bench.writer.set_newest_time(bench.clock + order.choice((-100, 0, 5)))


def said(answer):
    """What an answer says; every login has an id of its own, and the order of attributes means nothing."""
    known = class_of(answer) if answer.accepted else None
    others = sorted(pair for pair in answer.reply if pair[0] != "Class")
    return answer.accepted, answer.password, answer.note, others, known and (known.service_id, known.stamp)


def test_a_hotspot_device_logs_in_by_its_mac(bench):
    """The name is the MAC in any spelling, and the device must have it: a name alone is no proof."""
    bench.add(service_row("02-00-00-00-00-01", 8, method="hotspot", password=None))
    answer = bench.ask("02-00-00-00-00-01", HOTSPOT)
    assert (answer.accepted, answer.password) == (True, None)
    stranger = bench.ask("02-00-00-00-00-01", HOTSPOT | {"Calling-Station-Id": "02:00:00:00:00:02"})
    assert stranger == Answer(accepted=False, note="operator=1 router=1 service=8 reason=wrong_password")
    assert not bench.ask("02-00-00-00-00-01", HOTSPOT | {"MS-CHAP-Challenge": "0x00"}).accepted


def test_a_service_without_password_is_no_open_door(bench):
    """A name that is no MAC cannot do without a password."""
    bench.add(service_row("guest", 8, password=None))
    assert not bench.ask("guest").accepted


def test_a_dhcp_client_is_let_in_by_its_name(bench):
    """RouterOS's DHCP server sends the MAC as the name, and nothing that says what it is."""
    bench.add(service_row(MAC, 8, method="dhcp", password=None))
    answer = bench.ask(MAC, {})
    assert (answer.accepted, answer.password, class_of(answer).service_id) == (True, None, 8)
    assert not bench.ask(MAC, PPPOE).accepted


def test_no_password_is_asked_of_a_service_whose_password_is_empty(bench):
    """An empty password is a password: the client must prove it, the decision alone does not accept."""
    bench.add(service_row("anna", 7, password=""))
    assert bench.ask("anna").password == ""


def test_an_unknown_router_is_not_answered(bench):
    """Any answer would be signed with a secret that is gone."""
    for ask in (bench.logins.authorize, bench.logins.wrong_password, bench.logins.annotate):
        with pytest.raises(UnknownRouter):
            ask({"User-Name": "anna"}, "127.0.0.9")


def test_without_a_replica_nobody_is_answered(tmp_path):
    """Silence, so that the router asks its other server."""
    logins = Logins(Replica(tmp_path), lambda: NOW)
    with pytest.raises(NoReplica):
        logins.authorize({"User-Name": "anna"}, CONTROL)


def test_a_value_that_the_server_would_misread_is_not_sent(bench):
    """An address of 0.0.0.0 would be worse than no answer."""
    bench.add(service_row("anna", 7, address="not an address"))
    with pytest.raises(UnfitValue, match="Framed-IP-Address"):
        bench.ask("anna")


@pytest.mark.parametrize(
    ("clock", "newest", "restricted"),
    [(NOW, NOW, False), (NOW + 20, NOW, True), (NOW, NOW + 20, True), (NOW - 10**6, NOW + 20, True)],
)
def test_time_is_the_later_of_two_clocks(bench, clock, newest, restricted):
    """A node whose clock went back gives no prepaid time twice."""
    bench.clock = clock
    bench.writer.set_newest_time(newest)
    bench.add(service_row("anna", 7, prepaid_until=NOW + 10))
    answer = bench.ask("anna")
    assert (values(answer, "Mikrotik-Address-List") == ["overdue"]) is restricted
    assert restricted or values(answer, "Session-Timeout") == ["10"]


def test_the_other_clock_is_only_asked_where_time_matters(bench):
    """A plain service is decided by the local clock alone: that read is spared on most logins."""
    bench.writer.set_newest_time(NOW + 50)
    row = bench.logins._replica.login(CONTROL, "anna")
    assert bench.logins._facts(row)[1] == datetime.fromtimestamp(NOW, UTC)


FAIR = (
    '{"rate_limit": "10M/50M", "simultaneous_use": 1, "at_limit": "refuse",'
    ' "tiers": [{"from_bytes": 5000000000, "rate_limit": "1M/2M", "span": "day"}]}'
)


def moment(seconds):
    """So many seconds from now, as a state of usage has it."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


def test_a_tier_that_is_reached_counts_at_the_next_login_until_its_span_ends(bench):
    """The day begins anew by the clock, with or without a database."""
    bench.writer.put_plan(2, "Fair", FAIR)
    usage = f'{{"spans":[["day","{moment(60)}",5000000000,0]]}}'
    bench.add(service_row("anna", 7, plan_version_id=2)._replace(usage=usage), service_row("jan", 8, plan_version_id=2))
    assert values(bench.ask("anna"), "Mikrotik-Rate-Limit") == ["1M/2M"]
    assert values(bench.ask("jan"), "Mikrotik-Rate-Limit") == ["10M/50M"]
    bench.clock += 60
    assert values(bench.ask("anna"), "Mikrotik-Rate-Limit") == ["10M/50M"]


@pytest.mark.parametrize(
    ("mac", "seconds", "accepted"), [("02:00:00:00:00:09", 60, False), (MAC, 60, True), ("02:00:00:00:00:09", 0, True)]
)
def test_one_session_too_many_is_refused(bench, mac, seconds, accepted):
    """Because of another device that still reports; never because of this one, or of one that went quiet."""
    bench.writer.put_plan(2, "Fair", FAIR)
    usage = f'{{"sessions":[["{mac}","{moment(seconds)}"]]}}'
    bench.add(service_row("anna", 7, plan_version_id=2)._replace(usage=usage))
    answer = bench.ask("anna")
    assert answer.accepted is accepted
    assert accepted or answer.note.endswith("service=7 reason=too_many_sessions")
    assert " service=7 stamp=" in bench.logins.annotate({"User-Name": "anna", **PPPOE}, CONTROL)


def test_accounting_is_noted_with_the_authorised_stamp(bench):
    """Edge reads from it whose record it is and what was authorised then; a stranger's has the router alone."""
    granted = class_of(bench.ask("anna")).stamp
    assert bench.logins.annotate({"User-Name": "anna", **PPPOE}, CONTROL) == (
        f"operator=1 router=1 service=7 stamp={granted}"
    )
    assert bench.logins.annotate({"User-Name": "nobody"}, CONTROL) == "operator=1 router=1"
    assert bench.logins.annotate({}, CONTROL) == "operator=1 router=1"


def test_the_router_selects_the_operator(bench):
    """Another operator's anna is another person."""
    bench.writer.put_router(*router_row("127.0.0.3", 2, operator=2))
    assert bench.ask("anna", source="127.0.0.3").note == "operator=2 router=2 service=0 reason=unknown_user"


@pytest.mark.parametrize(
    ("request_", "method", "mac"),
    [
        (PPPOE, Method.PPPOE, MAC),
        (HOTSPOT, Method.HOTSPOT, MAC),
        ({"Calling-Station-Id": "02-00-00-00-00-01"}, None, MAC),
        ({"Framed-Protocol": "PPP", "Calling-Station-Id": "10.0.0.1"}, Method.PPPOE, ""),
        ({}, None, ""),
    ],
)
def test_a_request_says_how_it_came(request_, method, mac):
    """Framed-Protocol means PPP, Login-User means hotspot, and silence is held against nobody."""
    login = read_login(request_, 3)
    assert (login.method, login.mac, login.router_id) == (method, mac, 3)
