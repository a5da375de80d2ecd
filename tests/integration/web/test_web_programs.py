"""What programs use: webhooks of payment providers and the API, through the real application and database."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, BOX, Isp
from stripe import WebhookSignature
from web_site import Site
from werkzeug.test import TestResponse

from sql.api_tokens import Scope, add_token, end_token
from sql.models import ApiToken, Feed, IncomingPayment, Payment, PaymentReversal
from sql.money.providers import add_provider, end_provider
from web import programs
from web.hooks import signed

SECRET = "made-up provider secret"
PAID = {"id": "T-1", "amount": "15.00", "currency": "EUR", "reference": "K-1"}


def _provider(isp: Isp, kind: str = "signed", name: str = "pay") -> str:
    with isp.web() as session:
        provider = add_provider(session, isp.operator_id, name=name, kind=kind, secret=SECRET, box=BOX, actor=ACTOR)
        return f"/hooks/{provider.token}"


def _send(site: Site, address: str, document: Any, at: datetime | None = None, **headers: str) -> TestResponse:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    said = {signed.HEADER: signed.header(body, SECRET, at or datetime.now(UTC)), **headers}
    return site.visitor().client.post(address, data=body, headers=said)


def _count(isp: Isp, model: Any) -> int:
    with isp.web() as session:
        return session.query(model).count()


def test_a_signed_webhook_books_and_restores(site: Site, isp: Isp) -> None:
    """An approved suspension is lifted by the webhook alone; sent again it is answered alike and counts once."""
    subscriber = isp.subscriber("K-1")
    service = isp.service("zofia", subscriber=subscriber)
    isp.review()
    isp.invoice(subscriber)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    address = _provider(isp)
    first = _send(site, address, PAID)
    assert (first.status_code, first.json) == (200, {"payments": [{"id": "T-1", "outcome": "booked"}]})
    again = _send(site, address, PAID)
    assert (again.status_code, again.json) == (200, {"payments": [{"id": "T-1", "outcome": "known"}]})
    assert _count(isp, Payment) == 1
    isp.review()
    assert (isp.changes(service)[-1].kind, isp.changes(service)[-1].state) == ("restore", "approved")
    with isp.web() as session:
        (payment,) = session.query(Payment)
        assert (payment.external_id, payment.booked_by) == ("pay/T-1", "provider:pay")


def test_webhooks_that_are_not_taken_say_why_and_store_nothing(site: Site, isp: Isp, caplog: Any) -> None:
    """Unsigned, stale, cut off, negative, of the future, too large, to nowhere, by GET: each with its status."""
    isp.subscriber("K-1")
    address = _provider(isp)
    now = datetime.now(UTC)
    client = site.visitor().client
    late = (now + timedelta(days=3)).isoformat()
    answers = [
        (client.post(address, json=PAID), 401),
        (_send(site, address, PAID, **{signed.HEADER: "t=1,v1=00"}), 401),
        (_send(site, address, PAID, now - timedelta(minutes=6)), 401),
        (_send(site, address, PAID, now + timedelta(minutes=6)), 401),
        (_send(site, address, json.dumps(PAID).encode()[:-3]), 400),
        (_send(site, address, {**PAID, "amount": "-15.00"}), 400),
        (_send(site, address, {**PAID, "at": late}), 422),
        (_send(site, address, b"x" * (256 * 1024 + 1)), 413),
        (_send(site, "/hooks/" + "x" * 32, PAID), 404),
        (_send(site, "/hooks/%00%ff" + "x" * 32, PAID), 404),
        (client.get(address), 405),
    ]
    for number, (answer, status) in enumerate(answers):
        assert answer.status_code == status, (number, answer.text)
        assert SECRET not in answer.text
        if status != 405:
            assert answer.json is not None, number
            said = answer.json.get("problem") or answer.json["payments"][0]["problem"]
            assert said.endswith("."), said
    assert (_count(isp, IncomingPayment), _count(isp, Payment)) == (0, 0)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/payments", 405),
        ("DELETE", "/hooks/" + "x" * 32, 405),
        ("GET", "/api/nothing", 404),
        ("POST", "/hooks/", 404),
        ("POST", "/hooks/a/b", 404),
    ],
)
def test_programs_are_never_answered_with_a_page(site: Site, method: str, path: str, status: int) -> None:
    """The wrong way to an address, and an address that is none: the same form as every other answer."""
    answer = site.visitor().client.open(path, method=method)
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["problem"].endswith(".")


def test_stripe_is_taken_in_by_its_own_signature(site: Site, isp: Isp) -> None:
    """An intent without a customer waits; the session that names one books it; a refund and a dispute take it back."""
    subscriber = isp.subscriber("K-1")
    isp.invoice(subscriber, 1500)
    address = _provider(isp, "stripe", "stripe")
    intent = {"id": "pi_1", "amount_received": 1500, "currency": "eur"}
    session_of = {
        "id": "cs_1",
        "payment_status": "paid",
        "payment_intent": "pi_1",
        "amount_total": 1500,
        "currency": "eur",
        "client_reference_id": "K-1",
    }
    charge = {"id": "ch_1", "payment_intent": "pi_1", "currency": "eur", "amount_refunded": 600}
    dispute = {"id": "dp_1", "payment_intent": "pi_1", "currency": "eur", "amount": 1500}
    events = [
        ("payment_intent.succeeded", intent, "review"),
        ("checkout.session.completed", session_of, "booked"),
        ("payment_intent.succeeded", intent, "known"),
        ("charge.refunded", charge, "booked"),
        ("charge.refunded", charge, "known"),
        ("charge.dispute.created", dispute, "booked"),
    ]
    for kind, found, outcome in events:
        event = {
            "object": "event",
            "type": kind,
            "created": int(datetime.now(UTC).timestamp()),
            "data": {"object": found},
        }
        body = json.dumps(event)
        header = WebhookSignature.generate_signature_header(body, SECRET)
        answer = site.visitor().client.post(address, data=body, headers={"Stripe-Signature": header})
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        assert [one["outcome"] for one in answer.json["payments"]] == [outcome], kind
    with isp.web() as session:
        (payment,) = session.query(Payment)
        assert (payment.reversed_minor, session.query(PaymentReversal).count()) == (1500, 2)


def test_an_ended_provider_and_another_operators_are_apart(site: Site, isp: Isp) -> None:
    """Its address is gone; each operator's webhooks find their own customers alone."""
    other = site.database.isp("Tide")
    other.subscriber("K-1")
    address = _provider(isp)
    answer = _send(site, address, PAID)
    assert answer.json == {"payments": [{"id": "T-1", "outcome": "review"}]}
    with isp.web() as session:
        end_provider(session, isp.operator_id, "pay", actor=ACTOR)
    assert _send(site, address, PAID).status_code == 404


def test_who_guesses_is_stopped_and_who_signs_is_not(site: Site, isp: Isp, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many failures a minute; what was taken in counts for nothing."""
    isp.subscriber("K-1")
    address = _provider(isp)
    for number in range(programs.FAILURES_A_MINUTE + 10):
        assert _send(site, address, {**PAID, "id": f"T-{number}"}).status_code == 200
    client = site.visitor().client
    codes = [client.post(address, json=PAID).status_code for _ in range(programs.FAILURES_A_MINUTE + 1)]
    assert codes == [401] * programs.FAILURES_A_MINUTE + [429]


def _token(isp: Isp, *scopes: Scope) -> str:
    with isp.web() as session:
        return add_token(session, isp.operator_id, name="billing", scopes=scopes, actor=ACTOR)[1]


def test_a_program_tells_of_payments_with_its_token(site: Site, isp: Isp) -> None:
    """Good and bad ones in one breath: each is answered, with the reason; the token knows when it was used."""
    isp.subscriber("K-1")
    shown = _token(isp, Scope.PAYMENTS)
    client = site.visitor().client
    future = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    told = {"payments": [PAID, {**PAID, "id": "T-2", "at": future}, {**PAID, "id": "T-3", "reference": "?"}]}
    answer = client.post("/api/payments", json=told, headers={"Authorization": f"Bearer {shown}"})
    assert answer.status_code == 200
    assert answer.json is not None
    assert [one["outcome"] for one in answer.json["payments"]] == ["booked", "refused", "review"]
    assert "in the future" in answer.json["payments"][1]["explanation"]
    with isp.web() as session:
        token = session.query(ApiToken).one()
        assert token.last_used_at is not None
        assert shown.encode() not in token.hash
    bad = client.post("/api/payments", json={**PAID, "amount": "1,50"}, headers={"Authorization": f"Bearer {shown}"})
    assert (bad.status_code, "two ways" in bad.text) == (400, True)


def test_a_program_says_standings(site: Site, isp: Isp) -> None:
    """Of services and of customers; a row of nonsense is told, a document of nonsense refused."""
    isp.service("zofia", subscriber=isp.subscriber("K-1"))
    shown = _token(isp, Scope.STANDINGS)
    client = site.visitor().client
    head = {"Authorization": f"Bearer {shown}"}
    rows = [{"username": "zofia", "standing": "suspended"}, {"customer": "K-9", "standing": "current"}]
    document = {"as_of": datetime.now(UTC).isoformat(), "standings": rows}
    answer = client.post("/api/standings", json=document, headers=head)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert [one["outcome"] for one in answer.json["standings"]] == ["applied", "unknown"]
    for bad in (
        {},
        [],
        {"standings": rows},
        {"as_of": "x", "standings": rows},
        {**document, "standings": [{"x": "y"}]},
    ):
        assert client.post("/api/standings", json=bad, headers=head).status_code == 400, bad


def test_who_has_nothing_new_is_not_silent(site: Site, isp: Isp) -> None:
    """An empty list is a sign of life, of payments and of standings."""
    head = {"Authorization": f"Bearer {_token(isp, Scope.STANDINGS, Scope.PAYMENTS)}"}
    for name in ("payments", "standings"):
        answer = site.visitor().client.post(f"/api/{name}", json={name: []}, headers=head)
        assert (answer.status_code, answer.json) == (200, {name: []})
        with isp.web() as session:
            assert session.query(Feed).filter_by(kind=name).count() == 1


def test_tokens_open_what_they_are_for(site: Site, isp: Isp) -> None:
    """None, a wrong one, one for something else, an ended one: refused with what to do."""
    shown = _token(isp, Scope.STANDINGS)
    client = site.visitor().client
    for value, status in (
        ("", 401),
        ("Bearer x", 401),
        ("Bearer isp_x", 401),
        (f"Basic {shown}", 401),
        (f"Bearer {shown}", 403),
    ):
        answer = client.post("/api/payments", json=PAID, headers={"Authorization": value})
        assert (answer.status_code, "ispagents token add" in answer.text) == (status, True), value
    with isp.web() as session:
        end_token(session, isp.operator_id, "billing", actor=ACTOR)
    assert client.post("/api/standings", json={}, headers={"Authorization": f"Bearer {shown}"}).status_code == 401
    assert _count(isp, IncomingPayment) == 0


def test_a_database_that_is_down_is_told_to_programs(site: Site, isp: Isp) -> None:
    """A provider hears 503 and sends again; nothing of the database's own words is told."""
    address = _provider(isp)
    with site.database.as_superuser() as connection:
        connection.execute("ALTER TABLE incoming_payments RENAME TO gone")
    answer = _send(site, address, PAID)
    assert (answer.status_code, answer.json) == (500, {"problem": programs.OTHER})
