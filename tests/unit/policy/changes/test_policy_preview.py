"""The preview of a change and the hash that an approval binds."""

import json
from datetime import timedelta
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, accesses, services

from policy.access import Access, Kind, decide
from policy.changes.intent import ChangeKind
from policy.changes.preview import Draft, LiveSession, consequence, preview, preview_hash, text
from policy.changes.route import Abilities, RouteKind
from policy.facts import Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.fair_use import SpanUse
from policy.reasons import Reason
from policy.stamp import stamp
from policy.standing import Standing
from policy.usage import SpanKind

BEFORE = ServiceFacts(7, Method.PPPOE, Standing.CURRENT, 1)
AFTER = BEFORE._replace(standing=Standing.SUSPENDED)
GRANT = Access(Kind.GRANT, Reason.PLAN, "10M/50M", ("home",))
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",))
DRAFT = Draft(ChangeKind.SUSPEND, "anna", BEFORE, GRANT, AFTER, OVERDUE)
SESSION = LiveSession(3, "tower 1", "8100000a", NOW, GRANT, Abilities(coa_address_list=True))


def hash_of(draft=DRAFT, sessions=(SESSION,), now=NOW):
    """What an approval of this change would bind."""
    return preview_hash(preview(draft, sessions, now))


def test_the_hash_ignores_who_is_online_under_which_id():
    """Customers redial overnight: another session on the same route is the same change."""
    redialled = SESSION._replace(session_id=99, acct_session_id="81ffffff", last_seen_at=NOW - timedelta(hours=5))
    assert hash_of(sessions=(redialled,)) == hash_of()
    assert hash_of(sessions=(SESSION, redialled)) == hash_of()
    assert hash_of(now=NOW + timedelta(days=1)) == hash_of()


def test_the_hash_ignores_what_runs_down_by_itself():
    """Remaining time and bytes, and when the decision ends, move between preview and approval."""
    later = {"session_timeout_s": 100, "total_limit_bytes": 10**12, "valid_until": NOW}
    draft = DRAFT._replace(from_access=GRANT._replace(**later), to_access=OVERDUE._replace(**later))
    assert hash_of(draft, ()) == hash_of(DRAFT, ())


def test_used_bytes_do_not_unsettle_an_approval():
    """A customer with a quota goes on downloading while somebody reads the preview."""
    plan = PlanFacts(1, "Quota", "1M/1M", quota_bytes=10**9)

    def draft(used_bytes):
        usage = (SpanUse(SpanKind.PERIOD, NOW + timedelta(days=9), used_bytes),)
        accesses_now = [
            decide(Facts(OperatorFacts(1), one, plan, usage=usage), Login(), NOW) for one in (BEFORE, AFTER)
        ]
        return Draft(ChangeKind.SUSPEND, "anna", BEFORE, accesses_now[0], AFTER, accesses_now[1])

    assert hash_of(draft(10), ()) == hash_of(draft(20_000), ())


@given(
    st.sampled_from(["kind", "from_facts", "from_access", "to_facts", "to_access"]),
    services.filter(lambda one: one not in (BEFORE, AFTER)),
    accesses,
)
def test_the_hash_binds_what_the_preview_says(field, service, access):
    """Another kind, other facts or another access is another change to approve."""
    new = {"kind": ChangeKind.PLAN, "from_facts": service, "to_facts": service}.get(field, access)
    changed = preview(DRAFT._replace(**{field: new}), (), NOW)
    same = preview(DRAFT, (), NOW)
    said = [{name: one[name] for name in ("kind", "from", "to", "consequence")} for one in (changed, same)]
    assert said[0] != said[1]
    assert preview_hash(changed) != preview_hash(same)


def test_the_hash_binds_the_route():
    """Whoever approved a CoA has not approved that the customer drops."""
    drops = SESSION._replace(abilities=Abilities(coa_address_list=False))
    assert hash_of(sessions=(drops,)) != hash_of()
    assert hash_of(sessions=()) != hash_of()


@given(services, accesses, st.none() | accesses)
def test_a_preview_can_be_stored_and_read(service, access, applied):
    """It survives JSON with its hash, and reads as lines of text."""
    draft = Draft(ChangeKind.OPEN, "anna", None, None, service, access)
    document = preview(draft, (SESSION._replace(applied=applied),), NOW)
    assert preview_hash(json.loads(json.dumps(document))) == preview_hash(document)
    assert "nothing, the service is new" in text(document)


def test_a_person_reads_what_will_happen():
    """Before, after, the route, why, and each attribute that is sent."""
    lines = text(preview(DRAFT, (SESSION._replace(last_seen_at=NOW - timedelta(seconds=42)),), NOW))
    assert lines.split("\n") == [
        "suspend 'anna': The connection stays up, and the customer is online in the walled garden only at once.",
        (
            "  before: grant (Mikrotik-Rate-Limit = 10M/50M, Mikrotik-Address-List = home). "
            "The service has what its plan gives."
        ),
        (
            "  after:  restrict (Mikrotik-Rate-Limit = 256k/256k, Mikrotik-Address-List = overdue). "
            "The service is suspended because an invoice is overdue; a payment restores it."
        ),
        (
            "  session 8100000a on tower 1, last seen 42 s ago: coa. CoA can change the address list and the speed "
            "on this router, so the session stays up."
        ),
        "      Mikrotik-Rate-Limit = 256k/256k",
        "      Mikrotik-Address-List = overdue",
    ]


def test_the_consequence_is_the_worst_that_a_customer_notices():
    """One session that drops is a drop, and nobody online means the next login."""
    both = [RouteKind.COA, RouteKind.DISCONNECT, RouteKind.NEXT_LOGIN]
    waits = [RouteKind.COA, RouteKind.NEXT_LOGIN]
    denied = GRANT._replace(kind=Kind.DENY)
    assert consequence(OVERDUE, []) == (
        "Nobody is online; from the next login on the customer is online in the walled garden only."
    )
    assert consequence(denied, both) == "The connection drops once, and then the customer is offline."
    assert consequence(GRANT, waits) == "Nothing changes until the next login; then the customer has the plan."
    assert consequence(GRANT, [RouteKind.COA]) == "The connection stays up, and the customer has the plan at once."


def test_what_is_unusual_is_said():
    """Several sessions, a long silence, an access that nobody knows, a drop that could be spared, a deaf router."""
    silent = SESSION._replace(router_name="tower 2", last_seen_at=NOW - timedelta(hours=1000), abilities=Abilities())
    deaf = SESSION._replace(router_name="tower 3", applied=None, abilities=Abilities(dynamic_authorization=False))
    document = preview(DRAFT, (SESSION, silent, deaf), NOW)
    assert document["odd"] == [
        "There are 3 live sessions.",
        "The session on tower 2 was last heard of 1000.0 hours ago.",
        (
            "Whether tower 2 changes address lists by CoA is not known, so the connection drops; "
            "`ispagents router test` can find out."
        ),
        "What the session on tower 3 was given is not known.",
        "tower 3 takes no CoA, so nothing changes before the next login.",
    ]
    assert (document["drops"], document["unreachable"]) == (1, 1)
    assert preview(DRAFT, (SESSION, SESSION), NOW)["odd"] == ["There are 2 live sessions."]
    assert text(document).split("\n")[-6:] == [
        "  drops 1 connection(s); a PPPoE client redials by itself, usually within a minute.",
        *(f"  unusual: {one}" for one in document["odd"]),
    ]


def test_what_is_usual_is_not_said():
    """One session that was heard of within three interims and changes by CoA, or could by no router."""
    heard = SESSION._replace(last_seen_at=NOW - timedelta(minutes=15))
    assert preview(DRAFT, (heard,), NOW)["odd"] == []
    moved = DRAFT._replace(to_access=GRANT._replace(address="100.64.0.7"))
    assert preview(moved, (SESSION._replace(abilities=Abilities()),), NOW)["odd"] == []
    same = DRAFT._replace(to_access=GRANT)
    assert preview(same, (SESSION._replace(abilities=Abilities()),), NOW)["odd"] == []


def test_a_session_is_told_as_it_was_last_seen():
    """Everything that a page or a program shows of it; a clock that runs ahead is no negative age."""
    document = preview(DRAFT, (SESSION._replace(last_seen_at=NOW + timedelta(seconds=5)),), NOW)
    assert document["sessions"] == [
        {
            "session_id": 3,
            "router": "tower 1",
            "acct_session_id": "8100000a",
            "last_seen_at": "2026-11-22T15:00:05+00:00",
            "age_s": 0,
            "route": "coa",
            "why": "CoA can change the address list and the speed on this router, so the session stays up.",
            "attributes": [["Mikrotik-Rate-Limit", "256k/256k"], ["Mikrotik-Address-List", "overdue"]],
        }
    ]


def test_both_sides_are_told_whole():
    """Facts, access, stamp, attributes and why; not what runs down by itself."""
    later = {"session_timeout_s": 100, "total_limit_bytes": 10**12, "valid_until": NOW}
    document = preview(DRAFT._replace(from_access=GRANT._replace(**later)), (), NOW)
    assert document["username"] == "anna"
    assert document["from"] == {
        "facts": {"service_id": 7, "method": "pppoe", "standing": "current", "plan_version_id": 1},
        "access": {"kind": "grant", "reason": "plan", "rate_limit": "10M/50M", "address_lists": ["home"]},
        "stamp": stamp(GRANT),
        "attributes": [["Mikrotik-Rate-Limit", "10M/50M"], ["Mikrotik-Address-List", "home"]],
        "why": "The service has what its plan gives.",
    }
    assert preview(DRAFT._replace(from_access=None), (), NOW)["from"] is None
    assert preview(DRAFT._replace(from_facts=None), (), NOW)["from"] is None


def test_a_preview_of_an_earlier_version_can_still_be_read():
    """Stored previews know nothing of what came later; one without attributes says so."""
    document = preview(Draft(ChangeKind.OPEN, "anna", None, None, BEFORE, Access(Kind.GRANT, Reason.PLAN)), (), NOW)
    del document["odd"], document["drops"]
    assert text(document).split("\n") == [
        "open 'anna': Nobody is online; from the next login on the customer has the plan.",
        "  before: nothing, the service is new",
        "  after:  grant (no attributes). The service has what its plan gives.",
    ]


def test_the_hash_is_the_same_for_good():
    """An approval that waits over an update was given by it: another way to write the same would ask for all again."""
    bound = {
        "to": {"why": "łódź", "facts": {"b": 2, "a": 1}},
        "from": None,
        "kind": "open",
        "consequence": "Nobody is online.",
        "sessions": [{"route": "disconnect"}, {"route": "coa"}],
    }
    written = (
        '{"consequence": "Nobody is online.", "from": null, "kind": "open", "routes": ["coa", "disconnect"], '
        '"to": {"facts": {"a": 1, "b": 2}, "why": "łódź"}}'
    )
    assert preview_hash(bound) == sha256(written.encode()).hexdigest()
