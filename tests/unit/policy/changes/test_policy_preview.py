"""The preview of a change and the hash that an approval binds."""

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, accesses, services

from policy.access import Access, Kind, decide
from policy.changes.intent import ChangeKind
from policy.changes.preview import Draft, LiveSession, consequence, preview, preview_hash, text
from policy.changes.route import Abilities, RouteKind
from policy.facts import Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.reasons import Reason
from policy.standing import Standing

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
        accesses_now = [
            decide(Facts(OperatorFacts(1), one, plan, used_bytes=used_bytes), Login(), NOW) for one in (BEFORE, AFTER)
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
    assert "'anna': The connection stays up, and the customer is online in the walled garden only at once." in lines
    assert "last seen 42 s ago: coa." in lines
    assert "Mikrotik-Address-List = overdue" in lines


def test_the_consequence_is_the_worst_that_a_customer_notices():
    """One session that drops is a drop, and nobody online means the next login."""
    assert "Nobody is online" in consequence(OVERDUE, [])
    assert "drops once" in consequence(OVERDUE, [RouteKind.COA, RouteKind.DISCONNECT])
    assert "until the next login" in consequence(GRANT, [RouteKind.COA, RouteKind.NEXT_LOGIN])
    assert "stays up" in consequence(GRANT, [RouteKind.COA, RouteKind.NOTHING])
