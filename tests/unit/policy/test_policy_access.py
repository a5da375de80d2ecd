"""The one decision."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, facts, logins, looks, moments, moments_near_turns

from policy.access import Access, Kind, decide, refusal_by_wrong_password
from policy.facts import (
    AtLimit,
    Bindings,
    Facts,
    Login,
    Method,
    OpenSession,
    OperatorFacts,
    PlanFacts,
    RestrictedLook,
    ServiceFacts,
    SuspendedLook,
)
from policy.fair_use import FairUseTier, SpanUse
from policy.reasons import SENTENCES, Reason, sentence
from policy.standing import Standing
from policy.usage import SpanKind
from policy.windows import TimeWindow

MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
LOGIN = Login(Method.PPPOE, MAC, 1, "ether1")
HOUR = timedelta(hours=1)
PLAN = PlanFacts(1, "Home 50", "10M/50M", address_lists=("home", "fast"), pool="customers", simultaneous_use=1)
SERVICE = ServiceFacts(7, Method.PPPOE, Standing.CURRENT, 1)
PLAIN = Facts(OperatorFacts(1), SERVICE, PLAN)


def with_service(**changes):
    """The plain facts with another service."""
    return PLAIN._replace(service=SERVICE._replace(**changes))


def used(number):
    """So many bytes of a period that ends in a week."""
    return (SpanUse(SpanKind.PERIOD, NOW + 168 * HOUR, number),)


def with_plan(**changes):
    """The plain facts with another plan."""
    values = {name: getattr(PLAN, name) for name in PlanFacts.__dataclass_fields__}
    return PLAIN._replace(plan=PlanFacts(**(values | changes)))


@given(facts, logins, moments | moments_near_turns)
def test_every_login_gets_a_decision(some, login, now):
    """Whatever the facts, the answer is an access with a sentence, and its end lies ahead."""
    access = decide(some, login, now)
    assert sentence(access.reason)
    assert access.valid_until is None or access.valid_until > now
    assert 0 <= access.session_timeout_s < 2**62
    assert access.total_limit_bytes >= 0


@given(facts, logins, moments | moments_near_turns, st.floats(0, 1, exclude_max=True))
def test_the_decision_holds_up_to_its_end(some, login, now, share):
    """From now up to `valid_until` only the remaining time runs down, so schedulers need no polling."""
    first = decide(some, login, now)
    later = now + timedelta(days=3000) * share
    if first.valid_until is not None:
        later = min(now + (first.valid_until - now) * share, first.valid_until - timedelta(microseconds=1))
    second = decide(some, login, later)
    assert second._replace(session_timeout_s=0) == first._replace(session_timeout_s=0)


@given(facts, logins, moments)
def test_the_same_question_has_the_same_answer(some, login, now):
    """A decision depends on its arguments alone."""
    assert decide(some, login, now) == decide(some, login, now)


@given(facts, logins, moments)
def test_a_denial_carries_nothing(some, login, now):
    """Who is denied gets no rate limit, list or address."""
    access = decide(some, login, now)
    if access.kind == Kind.DENY:
        assert access == Access(Kind.DENY, access.reason, valid_until=access.valid_until)


def test_the_first_rule_that_matches_wins():
    """With every rule broken at once, mending one after another shows their order."""
    plan = {
        "at_limit": AtLimit.REFUSE,
        "quota_bytes": 100,
        "tiers": (FairUseTier(50, "1M/1M"),),
        "windows": (TimeWindow(0, 1440, rate_limit="2M/2M"),),
    }
    some = with_plan(**plan)._replace(
        service=SERVICE._replace(standing=Standing.CLOSED, prepaid_until=NOW - HOUR),
        bindings=Bindings(True, OTHER_MAC, True, 2, True, "ether2"),
        usage=used(100),
        sessions=(OpenSession(OTHER_MAC, fresh=True),),
    )
    login, bound = LOGIN._replace(method=Method.HOTSPOT), some.bindings
    seen = []

    def look(**changes):
        nonlocal some
        seen.append(decide(some, login, NOW).reason)
        some = some._replace(**changes)

    look(service=some.service._replace(standing=Standing.SUSPENDED))
    look()
    login = LOGIN
    for name in ("mac", "router", "port"):
        bound = bound._replace(**{f"bind_{name}": False})
        look(bindings=bound)
    look(service=some.service._replace(standing=Standing.CURRENT))
    look(service=some.service._replace(prepaid_until=None))
    look(sessions=())
    look(usage=used(50))
    look(usage=())
    look(plan=PLAN)
    look(service=None)
    look()
    rules = [reason for reason in Reason if reason not in (Reason.UNKNOWN_USER, Reason.OUTSIDE_HOURS)]
    assert seen == [*rules[: rules.index(Reason.PLAN) + 1], Reason.UNKNOWN_USER]


def test_the_plan_is_granted_in_full():
    """A current service has what its plan and its own facts say."""
    service = SERVICE._replace(address="100.64.0.7", routes=("10.1.0.0/24 0.0.0.0 1",))
    access = decide(PLAIN._replace(service=service), LOGIN, NOW)
    assert access[:2] == (Kind.GRANT, Reason.PLAN)
    assert (access.rate_limit, access.address_lists) == ("10M/50M", ("home", "fast"))
    assert (access.address, access.pool) == ("100.64.0.7", "")
    assert access.routes == service.routes


def test_restricted_means_online_in_a_list():
    """The default look keeps the address, and has its own list and speed."""
    access = decide(with_service(standing=Standing.SUSPENDED, address="100.64.0.7"), LOGIN, NOW)
    assert access[:2] == (Kind.RESTRICT, Reason.SUSPENDED)
    assert (access.rate_limit, access.address_lists, access.address) == ("256k/256k", ("overdue",), "100.64.0.7")


def test_a_pool_takes_the_place_of_the_address():
    """The look of a pool gives an address of the walled garden, never the service's own."""
    some = with_plan(suspended=RestrictedLook(SuspendedLook.POOL, pool="garden"))
    access = decide(some._replace(service=SERVICE._replace(standing=Standing.SUSPENDED, address="1.2.3.4")), LOGIN, NOW)
    assert (access.kind, access.pool, access.address) == (Kind.RESTRICT, "garden", "")


def test_a_deny_look_denies():
    """Operators may choose that a suspended service is offline."""
    some = with_plan(suspended=RestrictedLook(SuspendedLook.DENY))
    assert decide(some._replace(service=SERVICE._replace(standing=Standing.SUSPENDED)), LOGIN, NOW) == Access(
        Kind.DENY, Reason.SUSPENDED
    )


@given(looks(), st.sampled_from([Reason.UNKNOWN_USER, Reason.WRONG_PASSWORD]))
def test_a_refusal_becomes_the_look_that_the_operator_chose(look, reason):
    """Only the reason that was chosen becomes a restricted login; it holds nothing of any service."""
    some = Facts(OperatorFacts(1, ((reason, look),)))
    unknown, wrong = decide(some, LOGIN, NOW), refusal_by_wrong_password(some)
    chosen, other = (unknown, wrong) if reason == Reason.UNKNOWN_USER else (wrong, unknown)
    assert other.kind == Kind.DENY
    if look.look == SuspendedLook.DENY:
        assert chosen == Access(Kind.DENY, reason)
    else:
        assert chosen.kind == Kind.RESTRICT
        assert chosen.session_timeout_s == look.session_timeout_s
        assert (chosen.address, chosen.routes) == ("", ())


@pytest.mark.parametrize("name", ["mac", "router", "port"])
def test_what_is_not_learnt_yet_fits_any_device(name):
    """A binding that is switched on and empty refuses nobody: the first login teaches it."""
    assert decide(PLAIN._replace(bindings=Bindings(**{f"bind_{name}": True})), LOGIN, NOW).kind == Kind.GRANT


def test_a_login_that_names_no_method_fits_any():
    """DHCP requests do not say what they are, so the method is not held against the service."""
    assert decide(with_service(method=Method.DHCP), Login(mac=MAC), NOW).kind == Kind.GRANT
    assert decide(with_service(method=Method.DHCP), LOGIN, NOW).reason == Reason.WRONG_METHOD


@pytest.mark.parametrize(
    ("session", "kind"),
    [
        (OpenSession(OTHER_MAC, fresh=True), Kind.DENY),
        (OpenSession(OTHER_MAC, fresh=False), Kind.GRANT),
        (OpenSession(MAC, fresh=True), Kind.GRANT),
    ],
)
def test_a_ghost_never_locks_anyone_out(session, kind):
    """A session of the same device, or one that went quiet, does not count against the limit."""
    assert decide(with_plan(at_limit=AtLimit.REFUSE)._replace(sessions=(session,)), LOGIN, NOW).kind == kind


def test_ending_the_oldest_refuses_nobody():
    """That is the default at the limit."""
    assert decide(PLAIN._replace(sessions=(OpenSession(OTHER_MAC, fresh=True),)), LOGIN, NOW).kind == Kind.GRANT


def test_the_prepaid_end_is_the_end_of_the_session():
    """The router ends the session then, and the decision is good until then."""
    access = decide(with_service(prepaid_until=NOW + HOUR), LOGIN, NOW)
    assert (access.session_timeout_s, access.valid_until) == (3600, NOW + HOUR)
    assert decide(with_service(prepaid_until=NOW + HOUR), LOGIN, NOW + HOUR).reason == Reason.PREPAID_ENDED


def test_a_prepaid_end_far_away_fits_its_attribute():
    """Session-Timeout has 32 bits, and less than a second left is still a second."""
    far = with_service(prepaid_until=NOW + timedelta(days=365 * 200))
    assert decide(far, LOGIN, NOW).session_timeout_s == 2**32 - 1
    near = with_service(prepaid_until=NOW + timedelta(milliseconds=1))
    assert decide(near, LOGIN, NOW).session_timeout_s == 1


def test_a_windows_edge_is_no_session_timeout():
    """The worker changes the live session there, or everybody would drop every evening."""
    evening = with_plan(windows=(TimeWindow(18 * 60, 24 * 60, rate_limit="1M/1M"),))
    day = decide(evening, LOGIN, NOW)
    assert (day.reason, day.session_timeout_s, day.valid_until) == (Reason.PLAN, 0, NOW + 3 * HOUR)
    night = decide(evening, LOGIN, NOW + 3 * HOUR)
    assert (night.reason, night.rate_limit) == (Reason.WINDOW, "1M/1M")


def test_a_closed_hour_restricts():
    """Outside the plan's hours the customer is in the walled garden until the window's end."""
    access = decide(with_plan(windows=(TimeWindow(0, 1440 - 60, closed=True),)), LOGIN, NOW)
    assert (access.kind, access.reason, access.valid_until) == (Kind.RESTRICT, Reason.OUTSIDE_HOURS, NOW + 8 * HOUR)


def test_what_is_left_of_a_quota_is_sent():
    """The router counts the rest itself; at its end the quota's own look applies."""
    slow = RestrictedLook(address_list="used up")
    some = with_plan(quota_bytes=100, quota_look=slow)._replace(usage=used(40))
    assert decide(some, LOGIN, NOW).total_limit_bytes == 60
    used_up = decide(some._replace(usage=used(100)), LOGIN, NOW)
    assert (used_up.reason, used_up.address_lists) == (Reason.QUOTA_USED, ("used up",))


def test_too_many_sessions_ends_with_the_prepaid_time():
    """At the prepaid end another rule matches first, so the answer is good until then only."""
    some = with_plan(at_limit=AtLimit.REFUSE)._replace(sessions=(OpenSession(OTHER_MAC, fresh=True),))
    some = some._replace(service=SERVICE._replace(prepaid_until=NOW + HOUR))
    assert decide(some, LOGIN, NOW)[:2] == (Kind.DENY, Reason.TOO_MANY_SESSIONS)
    assert decide(some, LOGIN, NOW).valid_until == NOW + HOUR


def test_every_reason_has_its_sentence():
    """Support reads it aloud, so none is missing and each ends as a sentence."""
    assert SENTENCES.keys() == set(Reason)
    assert all(text.endswith(".") for text in SENTENCES.values())
