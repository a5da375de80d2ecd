"""What the pages show and store, without a browser."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fixtures_database import ACTOR, Database, Isp
from markupsafe import escape
from sqlalchemy import event
from web_site import Site, Visitor, seen_hash

from sql import intent
from sql.enforcement import enforce
from sql.models import Batch, Change, Service
from sql.people import PersonRole
from sql.roles import Role


@pytest.fixture
def owner(site: Site, isp: Isp) -> Visitor:
    """Somebody who may do everything."""
    return site.signed_in(site.person(isp, "anna"))


def suspensions(isp: Isp, number: int) -> list[Service]:
    """Overdue customers whose suspensions wait."""
    plan = isp.plan()
    services = [isp.service(f"user{place:03}", plan=plan) for place in range(number)]
    isp.review()
    for service in services:
        isp.invoice(service.subscriber_id)
    isp.review()
    return services


def waiting(isp: Isp, service: Service) -> Change:
    """The newest change of a service, which waits."""
    change = isp.changes(service)[-1]
    assert change.state == "awaiting_approval"
    return change


def test_an_empty_isp_is_told_what_to_do_first(owner: Visitor) -> None:
    """Each page says how its first row comes to be."""
    assert "ispagents plan add" in owner.get("/")
    assert "Nothing waits for a person" in owner.get("/changes")
    assert "There is no batch yet" in owner.get("/batches")
    assert "ispagents subscriber add" in owner.get("/customers")
    assert "No event matches" in owner.get("/audit?actor=nobody")


def test_a_list_goes_on_by_its_last_key(owner: Visitor, isp: Isp) -> None:
    """Following the next page shows each change, customer and event exactly once."""
    services = suspensions(isp, 53)
    assert _all(owner, "/changes?state=", r'/changes/(\d+)"') == {
        str(change.id) for service in services for change in isp.changes(service)
    }
    assert _all(owner, "/customers", r'/customers/(\d+)"') == {str(service.id) for service in services}
    assert "From the beginning" in owner.get("/changes?state=&after=1")
    pages = _pages(owner, "/audit?event=change")
    assert len(pages) > 2
    assert sum(page.count("change:intent:plan") for page in pages) == sum(len(isp.changes(one)) for one in services)


def _pages(visitor: Visitor, address: str) -> list[str]:
    pages = [visitor.get(address)]
    while (match := re.search(r'rel="next" href="([^"]+)"', pages[-1])) is not None:
        pages.append(visitor.get(match[1].replace("&amp;", "&")))
        assert len(pages) < 20
    return pages


def _all(visitor: Visitor, address: str, pattern: str) -> set[str]:
    found = [key for page in _pages(visitor, address) for key in set(re.findall(pattern, page))]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    "address",
    [
        "/changes?state=nonsense",
        "/changes?kind=nonsense",
        "/changes/99999999999999999999999",
        "/changes/0",
        "/customers/99999999999999999999999",
        f"/customers?search={'x' * 300}",
        "/customers?search=%00",
        "/audit?after=x",
        "/batches?after=x",
        "/batches/0",
        "/batches/99999999999999999999999",
        "/audit?actor=%00",
        "/audit?after=99999999999999999999999",
        "/nothing",
    ],
)
def test_nonsense_in_an_address_is_not_found(owner: Visitor, address: str) -> None:
    """One sentence, status 404, and nothing of the machine."""
    page = owner.get(address, 404)
    assert "There is nothing here" in page
    assert "Traceback" not in page


def test_nonsense_after_a_key_is_refused(owner: Visitor) -> None:
    """The list says what a key is."""
    assert "is no key to go on after" in owner.get("/changes?after=x", 409)
    assert "is not a day" in owner.get("/audit?until=tomorrow")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"'><img src=x>", "{{ 7 * 7 }}", "łódź", "\u202eabc"])
def test_names_are_data(owner: Visitor, isp: Isp, name: str) -> None:
    """Whatever a customer or router is called, it is shown as letters."""
    service = isp.service(name, subscriber=isp.subscriber(name=name))
    isp.review()
    router = isp.router(name)
    isp.online(service, router, isp.fresh(service).authorised_stamp)
    for address in ("/customers", f"/customers/{service.id}", "/changes?state=", "/audit"):
        page = owner.get(address)
        assert str(escape(name)) in page
        assert "<script>alert" not in page
        assert "<img" not in page


def test_an_approval_carries_the_hash_of_the_page(owner: Visitor, isp: Isp) -> None:
    """Another hash, or none, approves nothing."""
    change = waiting(isp, suspensions(isp, 1)[0])
    address = f"/changes/{change.id}"
    assert seen_hash(owner.get(address)) == change.preview_hash
    assert owner.post(f"{address}/approve", address).status_code == 400
    owner.post(f"{address}/approve", address, seen_hash="0" * 64)
    assert "has another preview than the one you approved" in owner.get(address)
    assert owner.client.post(f"{address}/approve", data={"seen_hash": change.preview_hash}).status_code == 400
    assert isp.changes(isp.fresh(_service(isp, change)))[-1].state == "awaiting_approval"


def test_two_people_approve_one_after_the_other(site: Site, owner: Visitor, isp: Isp, database: Database) -> None:
    """The first is told that another must too, and it no longer waits for them; the second authorises."""
    service = suspensions(isp, 1)[0]
    change = waiting(isp, service)
    with database.as_superuser() as connection:
        connection.execute("UPDATE changes SET needs_approvals = 2 WHERE id = %s", (change.id,))
    second = site.signed_in(site.person(isp, "bert", PersonRole.APPROVER))
    address = f"/changes/{change.id}"
    owner.post(f"{address}/approve", address, seen_hash=change.preview_hash)
    assert "another person must approve it too" in owner.get(address)
    assert "Nothing waits" in owner.get("/")
    assert "1 change waits for you" in second.get("/")
    second.post(f"{address}/approve", address, seen_hash=change.preview_hash)
    assert "is approved" in second.get(address)
    assert isp.fresh(service).authorised == change.to_facts


def test_a_decision_that_came_too_late_is_refused(owner: Visitor, isp: Isp) -> None:
    """What somebody else decided meanwhile stands, and the page says so."""
    change = waiting(isp, suspensions(isp, 1)[0])
    address = f"/changes/{change.id}"
    token = owner.token(address)
    with isp.web() as session:
        found = intent.change_by_id(session, isp.operator_id, change.id)
        intent.reject(session, found, by=ACTOR, note="no")
    for verb in ("approve", "reject"):
        owner.client.post(f"{address}/{verb}", data={"csrf_token": token, "seen_hash": change.preview_hash})
        assert "is rejected already" in owner.get(address)


def test_a_note_that_is_too_long_is_not_stored(owner: Visitor, isp: Isp) -> None:
    """The form holds 500 letters; more are refused whole."""
    change = waiting(isp, suspensions(isp, 1)[0])
    address = f"/changes/{change.id}"
    assert owner.post(f"{address}/reject", address, note="x" * 501).status_code == 400
    assert owner.post(f"{address}/reject", address, note="x" * 70_000).status_code == 413
    assert waiting(isp, _service(isp, change)).note == ""


def test_an_approver_sees_no_amounts(site: Site, isp: Isp) -> None:
    """What a customer owes, invoices and payments are left out for an approver, and shown to support."""
    subscriber = isp.subscriber()
    service = isp.service("zofia", subscriber=subscriber)
    isp.review()
    isp.invoice(subscriber, 4321)
    isp.pay(subscriber, 1234)
    for role, shown in ((PersonRole.APPROVER, False), (PersonRole.SUPPORT, True)):
        page = site.signed_in(site.person(isp, role, role)).get(f"/customers/{service.id}")
        assert [amount in page for amount in ("43.21", "12.34", "30.87")] == [shown] * 3


def test_pages_cost_the_same_whatever_the_isp(owner: Visitor, isp: Isp, database: Database) -> None:
    """The number of statements of each page does not grow with rows."""
    services = suspensions(isp, 2)
    change = waiting(isp, services[0])
    addresses = ["/", "/changes", "/changes?state=", f"/changes/{change.id}", "/customers", "/audit"]
    addresses += ["/batches", _batch(isp), f"/customers/{services[0].id}", "/audit?username=user000"]
    few = [_statements(owner, database, address) for address in addresses]
    plan = isp.plan("Another")
    for place in range(20):
        isp.service(f"more{place:03}", plan=plan)
    isp.review()
    many = [_statements(owner, database, address) for address in addresses]
    assert all(later <= before for later, before in zip(many, few, strict=True))
    assert _statements(owner, database, "/static/page.css") == 0
    assert max(few) < 20


def _statements(visitor: Visitor, database: Database, address: str) -> int:
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    engine = database.engine(Role.WEB)
    event.listen(engine, "before_cursor_execute", note)
    try:
        visitor.client.get(address, buffered=True)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(said)


def test_home_says_what_needs_a_look(owner: Visitor, isp: Isp, database: Database) -> None:
    """A stop of all writes and a router that does not answer stand on top."""
    suspensions(isp, 1)
    router = isp.router("tower-9")
    with database.as_superuser() as connection:
        connection.execute("UPDATE operators SET writes_stopped_at = now(), writes_stopped_by = 'jan'")
        connection.execute(
            "INSERT INTO router_health (operator_id, router_id, misses, down_since) VALUES (%s, %s, 9, %s)",
            (isp.operator_id, router.id, datetime.now(UTC) - timedelta(hours=2)),
        )
    page = owner.get("/")
    assert "jan stopped all writes" in page
    assert "tower-9" in page
    assert "2 hours ago" in page


def test_the_database_is_away(site: Site, owner: Visitor, database: Database) -> None:
    """Pages and health say so with 503, in a sentence, and work again by themselves."""
    conninfo = database.server.server.conninfo("postgres", "postgres")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ispagents_web' AND datname = %s",
            (database.name,),
        )
        try:
            assert "The database does not answer" in owner.get("/", 503)
            assert owner.client.get("/health").get_json()["status"] == "down"
        finally:
            connection.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')
    owner.get("/")
    assert owner.client.get("/health").get_json() == {"status": "ok", "problem": None}


def test_every_answer_is_hardened(site: Site, owner: Visitor) -> None:
    """Pages, mishaps, files and redirects load nothing from elsewhere, are framed nowhere and kept in no cache."""
    answers = [owner.client.get(one, buffered=True) for one in ("/", "/nothing", "/health", "/static/page.css")]
    answers.append(site.visitor().client.get("/"))
    for answer in answers:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
    assert "immutable" in owner.client.get("/static/page.css?v=1", buffered=True).headers["Cache-Control"]


def _service(isp: Isp, change: Change) -> Service:
    with isp.worker() as session:
        return session.get_one(Service, change.service_id)


def _batch(isp: Isp) -> str:
    """The address of the only batch."""
    with isp.web() as session:
        return f"/batches/{session.query(Batch).one().id}"


def test_a_batch_is_read_and_approved_together(site: Site, owner: Visitor, isp: Isp) -> None:
    """Counts, money for those who may see it, and one approval that is each change's own."""
    services = suspensions(isp, 3)
    isp.online(services[0], isp.router("tower-1"), isp.fresh(services[0]).authorised_stamp)
    address = _batch(isp)
    page = owner.get(address)
    assert "3 changes wait" in page
    assert "3 × suspend" in page
    assert "45.00 EUR" in page
    assert "45.00" not in site.signed_in(site.person(isp, "bert", PersonRole.APPROVER)).get(address)
    assert address in owner.get("/batches")
    owner.post(f"{address}/approve", address, seen_hash=seen_hash(page))
    page = owner.get(address)
    # The one that came online since then is another preview, and is refused alone.
    assert "2 of 3 changes" in page
    assert "would now do something else" in page
    assert [isp.changes(service)[-1].state for service in services] == ["awaiting_approval", "approved", "approved"]
    assert isp.changes(services[1])[-1].decided_by == "anna"
    owner.post(f"{address}/approve", address, seen_hash=seen_hash(page))
    page = owner.get(address)
    assert "Nothing of it waits any more" in page
    assert "3 changes</a>" in page
    with isp.worker() as session:
        enforce(session, isp.operator_id, [services[0].id], datetime.now(UTC))
    assert "1 step\n" in owner.get(address).replace("</div>", "\n")
    mine = f"/changes?batch={address.rsplit('/', 1)[1]}"
    assert ">approved</span></td>" in owner.get(f"{mine}&state=")
    assert "There is no such change" in owner.get(f"{mine}&state=rejected")


def test_a_batch_that_has_moved_is_refused_whole(owner: Visitor, isp: Isp) -> None:
    """Where a change was decided since, the hash of the page no longer fits and nothing is approved."""
    services = suspensions(isp, 2)
    address = _batch(isp)
    before = seen_hash(owner.get(address))
    isp.approve(waiting(isp, services[0]))
    owner.post(f"{address}/approve", address, seen_hash=before)
    assert "has another preview than the one you approved" in owner.get(address)
    waiting(isp, services[1])


def test_a_batch_is_rejected_with_a_note(owner: Visitor, isp: Isp) -> None:
    """Each change carries the note and the name."""
    services = suspensions(isp, 2)
    address = _batch(isp)
    owner.post(f"{address}/reject", address, note="  not before\nthe holidays ")
    assert "2 of 2 changes" in owner.get(address)
    stored = [isp.changes(service)[-1] for service in services]
    assert {(one.state, one.decided_by, one.note) for one in stored} == {
        ("rejected", "anna", "not before the holidays")
    }


def test_a_long_story_goes_on(owner: Visitor, isp: Isp, database: Database) -> None:
    """Following the older entries shows each one exactly once."""
    service = suspensions(isp, 1)[0]
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO audit_events (operator_id, actor, event, service_id, data) "
            "SELECT %s, 'a test', 'support:note:add', %s, jsonb_build_object('text', 'note ' || number || ' of many') "
            "FROM generate_series(1, 450) AS number",
            (isp.operator_id, service.id),
        )
    pages = _pages(owner, f"/customers/{service.id}")
    assert len(pages) == 3
    notes = [note for page in pages for note in re.findall(r"note \d+ of many", page)]
    assert len(notes) == len(set(notes)) == 450
    assert "is not the key of an entry" in owner.get(f"/customers/{service.id}?before=x", 409)


def test_times_are_the_operators(site: Site) -> None:
    """A page tells its times in the operator's zone, and says so."""
    isp = site.database.isp("Far", time_zone="Pacific/Kiritimati")
    visitor = site.signed_in(site.person(isp, "anna"))
    suspensions(isp, 1)
    page = visitor.get("/audit")
    assert "Times are Pacific/Kiritimati." in page
    assert f"{datetime.now(UTC) + timedelta(hours=14):%Y-%m-%d}" in page
