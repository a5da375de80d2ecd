"""Every route with every role, with nobody, and with another operator's numbers."""

from typing import Any

import pytest
from fixtures_database import Isp
from web_site import Site, Visitor
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from sql.models import Change
from sql.people import PersonRole
from web.roles import PUBLIC, RULES

HASH = "0" * 64


def _rules(site: Site) -> list[Rule]:
    return list(site.app.url_map.iter_rules())


def _walk(site: Site, numbers: dict[str, int]) -> list[tuple[str, str, str]]:
    """Each route and method with its address."""
    found = []
    with site.app.test_request_context():
        for rule in _rules(site):
            values: dict[str, Any] = {name: numbers.get(name, "page.css") for name in rule.arguments}
            found += [
                (rule.endpoint, method, rule.build(values)[1])  # type: ignore[index] # every rule here can be built
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
            ]
    return found


def test_every_route_has_a_rule_and_every_rule_a_route(site: Site) -> None:
    """A page without a rule would be refused to everybody; a rule without a page is a leftover."""
    assert {rule.endpoint for rule in _rules(site)} == set(RULES)


def test_a_route_without_a_rule_is_refused(site: Site, isp: Isp) -> None:
    """What somebody adds and forgets is closed, to an owner too."""
    site.app.add_url_rule("/forgotten", "forgotten", lambda: "open")
    assert site.visitor().client.get("/forgotten").status_code == 303
    site.person(isp, "anna")
    site.signed_in("anna").get("/forgotten", 403)


def test_nobody_sees_anything_but_the_public_pages(site: Site, isp: Isp) -> None:
    """Without a sign-in each address leads to the sign-in page, whatever the method, and says nothing else."""
    change = _waiting(isp)
    for endpoint, method, address in _walk(site, {"change_id": change, "service_id": 1, "batch_id": 1}):
        answer = site.visitor().client.open(address, method=method, buffered=True)
        if RULES[endpoint] is PUBLIC:
            # 400: a form without its token; 401 and 404: a program without its own
            assert answer.status_code in {200, 400, 401, 404}, (endpoint, method)
        else:
            assert answer.status_code == 303, (endpoint, method)
            assert answer.headers["Location"].startswith("/sign-in")
            assert "zofia" not in answer.text


@pytest.mark.parametrize("role", PersonRole)
def test_each_role_has_what_the_table_says(site: Site, isp: Isp, role: PersonRole) -> None:
    """A page is shown, a form is taken, exactly where the table names the role; elsewhere nothing moves."""
    change = _waiting(isp)
    site.person(isp, "anna", role)
    visitor = site.signed_in("anna")
    for endpoint, method, address in _walk(site, _numbers(isp, change)):
        if endpoint == "security.logout":
            continue  # the last one, below
        answer = _send(visitor, method, address)
        allowed = RULES[endpoint] is PUBLIC or role in (RULES[endpoint] or ())
        assert (answer.status_code != 403) == allowed, (endpoint, method, answer.status_code)
        assert answer.status_code < 500, (endpoint, method)
    assert _change(isp, change).state == (
        "rejected" if role in (RULES["changes.reject"] or ()) else "awaiting_approval"
    )
    assert visitor.post("/sign-out").headers["Location"] == "/sign-in"


@pytest.mark.parametrize("role", PersonRole)
def test_another_operators_numbers_open_nothing(site: Site, isp: Isp, role: PersonRole) -> None:
    """Whatever the role, another operator's change and customer do not exist, and cannot be decided."""
    other = site.database.isp("Tide")
    change = _waiting(other)
    site.person(isp, "anna", role)
    visitor = site.signed_in("anna")
    for endpoint, method, address in _walk(site, _numbers(other, change)):
        if endpoint in {"static", "health.show"} or endpoint.startswith("security."):
            continue
        answer = _send(visitor, method, address)
        assert "zofia" not in answer.text, endpoint
        if "<" in next(rule.rule for rule in _rules(site) if rule.endpoint == endpoint):
            assert answer.status_code in {403, 404}, (endpoint, method)
    assert _change(other, change).state == "awaiting_approval"


def _send(visitor: Visitor, method: str, address: str) -> TestResponse:
    token = visitor.token() if method == "POST" else ""
    return visitor.client.open(
        address, method=method, data={"csrf_token": token, "seen_hash": HASH} if token else None, buffered=True
    )


def _waiting(isp: Isp) -> int:
    """A change that waits for a person."""
    subscriber = isp.subscriber("K-1")
    service = isp.service("zofia", subscriber=subscriber)
    isp.review()
    isp.invoice(subscriber)
    isp.review()
    return isp.changes(service)[-1].id


def _change(isp: Isp, change: int) -> Change:
    with isp.worker() as session:
        return session.get_one(Change, change)


def _numbers(isp: Isp, change: int) -> dict[str, int]:
    stored = _change(isp, change)
    assert stored.batch_id is not None
    return {"change_id": change, "service_id": stored.service_id, "batch_id": stored.batch_id}
