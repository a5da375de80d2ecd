"""Situations to explain: one of a customer with whom all is well, to be varied, and strategies for any at all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from policy_strategies import NOW, ZONES, accesses, maybe_names, names

from policy.access import Access, Kind
from policy.changes.enforcement import Enforcement
from policy.changes.intent import ChangeKind, Intent
from policy.changes.route import RouteKind
from policy.reasons import Reason
from policy.situation import (
    Asserted,
    Coming,
    Decision,
    Drifted,
    Earlier,
    EdgeNode,
    EndedLine,
    HeldLine,
    KnownRouter,
    LatestStep,
    LiveLine,
    Promise,
    Refused,
    Situation,
    Unpaid,
)
from policy.standing import HoldKind, Standing

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
PLAN = Access(Kind.GRANT, Reason.PLAN, "10M/50M", ("paid",))
GARDEN = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",))
NOTHING = Access(Kind.DENY, Reason.SUSPENDED)
SLOW = PLAN._replace(reason=Reason.FAIR_USE, rate_limit="1M/1M")
TOWER = KnownRouter("tower-1")
DOWN = KnownRouter("tower-1", down_since=NOW - 2 * HOUR, misses=9, left_alone_until=NOW + MINUTE)
INVOICE = Unpaid(17, NOW - 21 * DAY, 3000, 3000, "EUR")
HERE = EdgeNode("node-1", NOW - MINUTE / 60, silent=False, behind=False)


def line(**more: Any) -> LiveLine:
    """A session that has what the plan gives."""
    usual = LiveLine(
        id=5,
        router=TOWER,
        acct_session_id="80000005",
        mac="02:00:00:00:00:01",
        address="10.9.9.9",
        started_at=NOW - 5 * HOUR,
        last_seen_at=NOW - MINUTE,
        in_line=True,
        applied=PLAN,
        due=PLAN,
        step=None,
    )
    return replace(usual, **more)


def step(state: Enforcement, **more: Any) -> LatestStep:
    """A step of that session."""
    usual = LatestStep(
        id=12,
        change_id=9,
        route=RouteKind.COA,
        state=state,
        why="CoA can change the speed on this router, so the session stays up.",
        explanation="No answer came. It is tried again.",
        cause="timeout",
        attempts=3,
        created_at=NOW - 10 * MINUTE,
        due_at=NOW + MINUTE,
        ended_at=None,
    )
    return replace(usual, **more)


HELD = HeldLine(7, TOWER, in_line=True, observed_at=NOW - MINUTE, problem="", step=None)


def holding(**more: Any) -> Situation:
    """Anna, whose service a router's own configuration holds, but not as it should be."""
    return anna(sessions=(), held=replace(HELD, **({"in_line": False} | more)))


def decision(state: Intent, kind: ChangeKind = ChangeKind.RESTORE, **more: Any) -> Decision:
    """A change that is about this moment."""
    decided = state != Intent.AWAITING_APPROVAL
    usual = Decision(
        id=9,
        kind=kind,
        state=state,
        consequence="The connection stays up, and the customer has the plan at once.",
        created_at=NOW - 3 * HOUR,
        decided_at=NOW - HOUR if decided else None,
        decided_by="Piotr" if decided else "",
        note="ask the boss. First." if decided else "",
        held_back="",
        requested_by="billing",
        needs_approvals=1,
        approved_by=(),
        stands=True,
    )
    return replace(usual, **more)


def refused(reason: str, **more: Any) -> Refused:
    """A login that was refused a moment ago."""
    usual = Refused(3, "tower-1", "02:00:00:00:00:02", reason, NOW - 3 * MINUTE, 4)
    return replace(usual, **more)


ENDED = EndedLine(4, TOWER, NOW - 9 * HOUR, NOW - 3 * HOUR, "stop", "Lost-Carrier")


def anna(**more: Any) -> Situation:
    """Anna, with whom all is well, or with what is said."""
    usual = Situation(
        now=NOW,
        time_zone="Europe/Warsaw",
        username="anna",
        reference="K-1",
        name="Anna",
        method="pppoe",
        created_at=NOW - 90 * DAY,
        standing=Standing.CURRENT,
        unpaid=None,
        restores_by_itself=True,
        holds=(),
        override=None,
        plan="Home 50",
        plan_rate="10M/50M",
        wanted_plan="Home 50",
        authorised=PLAN,
        authorised_standing=Standing.CURRENT,
        authorised_at=NOW - 80 * DAY,
        authorised_change_id=2,
        wants_other=False,
        prepaid_until=None,
        bound_mac="",
        bound_router="",
        bound_port="",
        decision=None,
        review_due_at=None,
        sessions=(line(),),
        last_session=None,
        refused=(),
        writes_stopped_at=None,
        writes_stopped_by="",
        nodes=(HERE,),
    )
    return replace(usual, **more)


def owing(**more: Any) -> Situation:
    """Anna, suspended for an unpaid invoice and in the walled garden."""
    usual = {
        "standing": Standing.SUSPENDED,
        "unpaid": INVOICE,
        "authorised": GARDEN,
        "authorised_standing": Standing.SUSPENDED,
        "sessions": (line(applied=GARDEN, due=GARDEN),),
    }
    return anna(**(usual | more))


# Any at all, also what no database would hold.
_moments = st.integers(-4 * 10**7, 4 * 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))
_people = maybe_names | st.sampled_from(["billing", "Piotr", "cli:root"])
_texts = maybe_names | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)
_ids = st.integers(1, 2**62)
_routers = st.builds(KnownRouter, names, st.none() | _moments, st.integers(0, 99), st.none() | _moments)
_causes = st.sampled_from(["", "timeout", "error_cause:503", "network:EHOSTUNREACH", "odd"]) | maybe_names
_steps = st.builds(
    LatestStep,
    id=_ids,
    change_id=st.none() | _ids,
    route=st.sampled_from(RouteKind),
    state=st.sampled_from(Enforcement),
    why=_texts,
    explanation=_texts,
    cause=_causes,
    attempts=st.integers(0, 99),
    created_at=_moments,
    due_at=_moments,
    ended_at=st.none() | _moments,
)
_accesses = accesses | st.sampled_from([PLAN, GARDEN, NOTHING, SLOW])
_lines = st.builds(
    LiveLine,
    id=_ids,
    router=_routers,
    acct_session_id=names,
    mac=maybe_names,
    address=maybe_names,
    started_at=_moments,
    last_seen_at=_moments | st.just(NOW),
    in_line=st.booleans(),
    applied=st.none() | _accesses,
    due=_accesses,
    step=st.none() | _steps,
)
_promises = st.builds(
    Promise,
    _ids,
    st.none() | _moments,
    _texts,
    _people,
    _moments,
    st.sampled_from(HoldKind),
    st.none() | st.integers(1, 10**15),
    maybe_names,
)
_earlier = st.builds(Earlier, _ids, _moments, _texts, _people, _moments)
_decisions = st.builds(
    Decision,
    id=_ids,
    kind=st.sampled_from(ChangeKind),
    state=st.sampled_from(Intent),
    consequence=_texts,
    created_at=_moments,
    decided_at=st.none() | _moments,
    decided_by=_people,
    note=_texts,
    held_back=_texts,
    requested_by=_people,
    needs_approvals=st.integers(1, 2),
    approved_by=st.lists(_people, max_size=2).map(tuple),
    stands=st.booleans(),
)
_reasons = st.sampled_from([reason.value for reason in Reason]) | maybe_names
situations = st.builds(
    Situation,
    now=st.just(NOW),
    time_zone=st.sampled_from(ZONES),
    username=names,
    reference=names,
    name=maybe_names,
    method=st.sampled_from(["pppoe", "hotspot", "dhcp", "static"]),
    created_at=_moments,
    standing=st.sampled_from(Standing),
    unpaid=st.none()
    | st.builds(Unpaid, _ids, _moments, st.integers(1, 10**15), st.integers(0, 10**15), st.just("EUR")),
    restores_by_itself=st.booleans(),
    holds=st.lists(_promises, max_size=2).map(tuple),
    override=st.none() | _earlier,
    plan=names,
    plan_rate=st.sampled_from(["", "10M/50M", "1M/1M"]),
    wanted_plan=names,
    authorised=st.none() | _accesses,
    authorised_standing=st.none() | st.sampled_from(Standing),
    authorised_at=st.none() | _moments,
    authorised_change_id=st.none() | _ids,
    wants_other=st.booleans(),
    prepaid_until=st.none() | _moments,
    bound_mac=maybe_names,
    bound_router=maybe_names,
    bound_port=maybe_names,
    decision=st.none() | _decisions,
    review_due_at=st.none() | _moments,
    sessions=st.lists(_lines, max_size=3).map(tuple),
    last_session=st.none() | st.builds(EndedLine, _ids, _routers, _moments, _moments, names, maybe_names),
    refused=st.lists(
        st.builds(Refused, _ids, names, maybe_names, _reasons, _moments, st.integers(1, 10**9)), max_size=3
    ).map(tuple),
    writes_stopped_at=st.none() | _moments,
    writes_stopped_by=_people,
    nodes=st.lists(st.builds(EdgeNode, names, st.none() | _moments, st.booleans(), st.booleans()), max_size=3).map(
        tuple
    ),
    currency=st.just("EUR"),
    suspension=st.none() | st.builds(Coming, _moments, st.none() | _moments, _texts),
    outside=st.booleans(),
    asserted=st.none() | st.builds(Asserted, st.sampled_from(Standing), _moments, names, st.booleans()),
    held=st.none()
    | st.builds(
        HeldLine,
        id=_ids,
        router=_routers,
        in_line=st.booleans(),
        observed_at=st.none() | _moments,
        problem=st.just("") | maybe_names,
        step=st.none() | _steps,
        garden_list=st.just("") | names,
        garden_drift=st.none() | _ids,
        drift=st.none() | st.builds(Drifted, _ids, _texts, _moments, st.booleans()),
    ),
    healing_held_until=st.none() | _moments,
)
