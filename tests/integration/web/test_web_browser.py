"""The pages in a real browser, served by the real web process."""

import re
from collections.abc import Iterator

import pytest
from fixtures_database import ACTOR, BOX, Database, DatabaseServer, Isp, new_database
from playwright.sync_api import Browser, Page, expect
from web_browser import chromium, served, tab
from web_site import PASSWORD

from sql import people
from sql.models import Change, Router, Service
from sql.people import PersonRole
from sql.placing import place_service
from sql.router_store import set_api


@pytest.fixture(scope="module")
def database(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all tests of this file; each has an operator of its own."""
    with new_database(database_server) as found:
        yield found


@pytest.fixture(scope="module")
def address(database: Database) -> Iterator[str]:
    """Where the web process answers."""
    with served(database) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this file."""
    with chromium() as found:
        yield found


@pytest.fixture
def isp(database: Database, password_hash: str, request: pytest.FixtureRequest) -> Isp:
    """An operator with an owner and a support agent, whose names end in the test's."""
    found = database.isp(request.node.name)
    with found.web() as session:
        for role in (PersonRole.OWNER, PersonRole.SUPPORT):
            people.add_person(
                session,
                found.operator_id,
                login=f"{role}{found.operator_id}",
                password_hash=password_hash,
                roles=[role],
                actor=ACTOR,
            )
    return found


def sign_in(page: Page, isp: Isp, role: PersonRole = PersonRole.OWNER) -> None:
    """Sign in as somebody of an operator."""
    page.goto("/")
    page.get_by_label("Name").fill(f"{role}{isp.operator_id}")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def overdue(isp: Isp, username: str) -> Change:
    """A customer whose suspension waits, online on a router."""
    subscriber = isp.subscriber()
    service = isp.service(username, subscriber=subscriber, plan=isp.plan("Home 50", address_lists=["paid"]))
    isp.review()
    router = isp.router("tower-1", coa_address_list=True)
    isp.online(service, router, isp.fresh(service).authorised_stamp)
    isp.invoice(subscriber)
    isp.review()
    return isp.changes(service)[-1]


@pytest.mark.parametrize("javascript", [True, False])
def test_somebody_signs_in_and_out(browser: Browser, address: str, isp: Isp, javascript: bool) -> None:
    """A wrong password is refused in one sentence, the right one leads to the page that was wanted; out is out."""
    with tab(browser, address, javascript=javascript) as page:
        page.goto("/customers")
        expect(page).to_have_url(re.compile("/sign-in"))
        page.get_by_label("Name").fill(f"owner{isp.operator_id}")
        page.get_by_label("Password").fill("something else")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Customers")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.goto("/customers")
        expect(page).to_have_url(re.compile("/sign-in"))


@pytest.mark.parametrize("javascript", [True, False])
def test_a_change_is_read_and_approved(browser: Browser, address: str, isp: Isp, javascript: bool) -> None:
    """From home to the change: before, after, who drops; approving authorises it in the name of who signed in."""
    change = overdue(isp, "zofia")
    with tab(browser, address, javascript=javascript) as page:
        sign_in(page, isp)
        expect(page.get_by_role("heading", name="1 change waits for you")).to_be_visible()
        page.get_by_role("link", name="zofia").click()
        table = page.get_by_role("table")
        expect(table.get_by_role("row", name="Mikrotik-Rate-Limit")).to_contain_text("10M/50M")
        expect(table.get_by_role("row", name="Mikrotik-Rate-Limit")).to_contain_text("256k/256k")
        expect(page.get_by_text("Nobody drops.")).to_be_visible()
        page.get_by_role("button", name="Approve exactly this").click()
        expect(page.get_by_role("status")).to_contain_text(f"Change {change.id} is approved")
    stored = isp.changes(_service(isp, change))[-1]
    assert (stored.state, stored.decided_by) == ("approved", f"owner{isp.operator_id}")
    assert isp.fresh(_service(isp, change)).authorised == stored.to_facts


def test_a_stale_approval_is_refused_with_what_changed(browser: Browser, address: str, isp: Isp) -> None:
    """Where the plan moved while the page was open, nothing is approved, and the new preview is shown."""
    change = overdue(isp, "zofia")
    with tab(browser, address) as page:
        sign_in(page, isp)
        page.goto(f"/changes/{change.id}")
        _end_sessions(isp)
        page.get_by_role("button", name="Approve exactly this").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(f"Change {change.id} would now do something else")
        expect(alert).to_contain_text("Way to the network: was CoA")
        expect(page.get_by_text("Nobody was online")).to_be_visible()
        assert isp.changes(_service(isp, change))[-1].state == "awaiting_approval"
        page.get_by_role("button", name="Approve exactly this").click()
        expect(page.get_by_role("status")).to_contain_text("is approved")


def test_a_change_is_rejected_with_a_note(browser: Browser, address: str, isp: Isp) -> None:
    """The note and who said it stand on the page and in the truth; the list no longer has it among those waiting."""
    change = overdue(isp, "zofia")
    with tab(browser, address, phone=True) as page:
        sign_in(page, isp)
        page.goto(f"/changes/{change.id}")
        page.get_by_label("Why not").fill("She pays <b>tomorrow</b>.")
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("status")).to_contain_text("is rejected")
        expect(page.get_by_text("She pays <b>tomorrow</b>.")).to_be_visible()
        page.get_by_role("link", name="Changes").click()
        expect(page.get_by_text("Nothing waits for a person")).to_be_visible()
    stored = isp.changes(_service(isp, change))[-1]
    assert (stored.state, stored.note) == ("rejected", "She pays <b>tomorrow</b>.")


def test_support_reads_a_change_and_cannot_decide(browser: Browser, address: str, isp: Isp) -> None:
    """There is no button, and no menu entry for the audit."""
    change = overdue(isp, "zofia")
    with tab(browser, address) as page:
        sign_in(page, isp, PersonRole.SUPPORT)
        page.goto(f"/changes/{change.id}")
        expect(page.get_by_text("An owner, an operator or an approver decides.")).to_be_visible()
        expect(page.get_by_role("button", name="Approve exactly this")).to_have_count(0)
        expect(page.get_by_role("link", name="Audit")).to_have_count(0)


def test_a_customer_is_found_and_the_story_told(browser: Browser, address: str, isp: Isp) -> None:
    """Typing finds by prefix without a click; the page tells money, decision and packet."""
    change = overdue(isp, "zofia")
    isp.service("maria")
    isp.approve(change)
    with tab(browser, address) as page:
        sign_in(page, isp)
        page.get_by_role("link", name="Customers").click()
        expect(page.get_by_role("link", name="maria")).to_be_visible()
        page.get_by_label("User name, or how it begins").press_sequentially("zo")
        expect(page.get_by_role("link", name="maria")).to_have_count(0)
        page.get_by_role("link", name="zofia").click()
        expect(page.get_by_text(re.compile("Invoice [0-9]{4}-1 over 15.00 EUR")).first).to_be_visible()
        expect(page.get_by_text(f"Change {change.id} approved by").first).to_be_visible()
        expect(page.get_by_text("tower-1 since")).to_be_visible()


def test_the_audit_is_filtered(browser: Browser, address: str, isp: Isp) -> None:
    """Filters by event and person leave those; one without a match says so."""
    overdue(isp, "zofia")
    with tab(browser, address) as page:
        sign_in(page, isp)
        page.get_by_role("link", name="Audit").click()
        expect(page.get_by_text("change:intent:plan").first).to_be_visible()
        page.get_by_label("Event begins with").fill("person:session")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("person:session:begin")).to_have_count(1)
        expect(page.get_by_text("change:intent:plan")).to_have_count(0)
        page.get_by_label("Who").fill("nobody")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("No event matches")).to_be_visible()


def _service(isp: Isp, change: Change) -> Service:
    with isp.worker() as session:
        return session.get_one(Service, change.service_id)


def _end_sessions(isp: Isp) -> None:
    with isp.database.as_superuser() as connection:
        connection.execute(
            "UPDATE sessions SET ended_at = now(), ended_by = 'stop' WHERE operator_id = %s", (isp.operator_id,)
        )


def test_commands_to_a_router_are_read_before_they_are_approved(browser: Browser, address: str, isp: Isp) -> None:
    """A service that a router's own configuration holds: what would be typed there, and what takes it back."""
    service = isp.service("office", plan=isp.plan("Business"), method="static", address="10.5.0.7")
    with isp.web() as session:
        hill = session.get_one(Router, isp.router("hill").id)
        set_api(session, hill, box=BOX, actor=ACTOR, username="api", password="made-up", security="plain")
        place_service(session, session.get_one(Service, service.id), hill, "", actor=ACTOR)
    isp.review()
    isp.invoice(service.subscriber_id)
    isp.review()
    with tab(browser, address) as page:
        sign_in(page, isp)
        page.goto(f"/changes/{isp.changes(service)[-1].id}")
        expect(page.get_by_role("heading", name="What is written to hill")).to_be_visible()
        expect(page.locator(".commands").first).to_contain_text('/ip firewall address-list add list="overdue"')
        page.get_by_text("What takes it back").click()
        expect(page.locator(".commands").last).to_contain_text("remove [find")
        page.get_by_role("link", name="Part of batch").click()
        expect(page.get_by_text("1 × written to the router and read back")).to_be_visible()
        expect(page.get_by_text("1 changes and stays up")).to_be_visible()
        page.get_by_role("link", name="Look at it").click()
        expect(page.get_by_role("heading", name="Changes of batch")).to_be_visible()
        expect(page.get_by_role("link", name="office")).to_be_visible()
