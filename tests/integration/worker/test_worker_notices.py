"""Customers are told through a real gateway on loopback: once for each event, outside quiet hours, whatever dies."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from fixtures_database import ACTOR, BOX
from gateway import running_gateway
from sqlalchemy import text
from town import eventually

from policy.standing import HoldKind
from sql import notice_settings
from sql.customers import set_operator
from sql.holds import add_hold
from sql.money.invoices import void_invoice
from sql.money.payments import payment_by_id, reverse_payment
from sql.notice_settings import add_channel
from sql.roles import Role
from worker import notices
from worker.notices import Teller, keep_told

# Loading Apprise's plugins is the first use of modules that Python will drop; the library knows.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

ALL = ("invoice", "reminder", "restricted", "restored", "receipt")


@pytest.fixture
def gateway():
    """A gateway that takes everything."""
    with running_gateway() as found:
        yield found


@pytest.fixture
def isp(database, gateway, monkeypatch):
    """An operator with one channel for everything, and a worker that rests for no time."""
    monkeypatch.setattr(notices, "REST_S", 0.0)
    isp = database.isp(legal_name="Wave Sp. z o.o.", payment_details="IBAN PL00 1111")
    channel(isp, gateway.url)
    return isp


def channel(isp, url, name="mail", events=ALL):
    """A new channel."""
    with isp.web() as session:
        add_channel(session, isp.operator_id, name=name, url=url, events=events, box=BOX, actor=ACTOR)


def customer(isp, email="zofia@example.net", language="en", name="Zofia Kowalska"):
    """A subscriber who can be reached."""
    found = isp.subscriber(name=name)
    with isp.web() as session:
        session.execute(
            text("UPDATE subscribers SET email = :email, language = :language WHERE id = :id"),
            {"email": email, "language": language, "id": found.id},
        )
    return found


def tell(isp):
    """What the worker's clock does once. Returns how many were taken or tried."""
    return Teller(isp.database.engine(Role.WORKER), BOX).look()


def deliveries(isp):
    """Each delivery's event, state, attempts and explanation, in order."""
    with isp.worker() as session:
        return session.execute(
            text(
                "SELECT event, state, attempts, explanation FROM notice_deliveries JOIN notices ON id = notice_id "
                "ORDER BY notice_id, channel_id"
            )
        ).all()


def remind(session, isp, invoice):
    """A reminder of an invoice waits to be told."""
    notices_put = "INSERT INTO notices (operator_id, event, key, subscriber_id, invoice_id)"
    session.execute(
        text(f"{notices_put} VALUES (:operator, 'reminder', :key, :subscriber, :invoice)"),
        {
            "operator": isp.operator_id,
            "key": f"r{invoice.id}",
            "subscriber": invoice.subscriber_id,
            "invoice": invoice.id,
        },
    )


def late(isp, minutes):
    """Let everything on its way be due so many minutes earlier."""
    with isp.worker() as session:
        session.execute(
            text("UPDATE notice_deliveries SET due_at = due_at - make_interval(mins => :minutes)"), {"minutes": minutes}
        )


def test_money_is_told_in_the_customers_language(isp, gateway):
    """Invoice and receipt reach the customer once, with the operator's name and money as it is written there."""
    anna = customer(isp)
    maria = customer(isp, "maria@example.net", "es", "María {name} <b>")
    for subscriber in (anna, maria):
        isp.invoice(subscriber, 123456)
        isp.pay(subscriber, 1000, external_id=f"bank-{subscriber.id}")
        isp.pay(subscriber, 1000, external_id=f"bank-{subscriber.id}")
    assert tell(isp) > 0
    assert tell(isp) == 0
    assert {(one.event, one.state, one.attempts) for one in deliveries(isp)} == {
        ("invoice", "sent", 1),
        ("receipt", "sent", 1),
    }
    told = {(one["to"], one["title"]): one["message"] for one in gateway.messages}
    assert len(told) == len(gateway.messages) == 4
    english = next(body for (to, title), body in told.items() if to == "zofia@example.net" and "Invoice" in title)
    assert "Hello Zofia Kowalska," in english
    assert "€1,234.56" in english
    assert "IBAN PL00 1111" in english
    spanish = next(body for (to, title), body in told.items() if to == "maria@example.net" and "Factura" in title)
    assert "Hola, María {name} <b>:" in spanish
    assert "1.234,56\xa0€" in spanish


def test_operators_words_beat_ours(isp, gateway):
    """A template of the operator's is filled, in the customer's language or else the operator's."""
    with isp.web() as session:
        for language, body in (("en", "Pay {open} {{soon}}"), ("pl", "Do zapłaty: {open}")):
            notice_settings.set_template(
                session, isp.operator_id, event="invoice", language=language, subject="{number}", body=body, actor=ACTOR
            )
    for language in ("pl", "de"):
        isp.invoice(customer(isp, language=language), 500)
    tell(isp)
    assert {one["message"] for one in gateway.messages} == {"Do zapłaty: €5.00", "Pay €5.00 {soon}"}


def test_restricted_and_restored_are_told_once_they_are_so(isp, gateway):
    """Not before the network was told, and not at all when the opposite has come meanwhile."""
    subscriber = customer(isp)
    service = isp.service("zofia", subscriber=subscriber)
    isp.review()
    isp.invoice(subscriber, 2000)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    tell(isp)
    assert [one.event for one in deliveries(isp)] == ["invoice"]
    with isp.database.as_superuser() as connection:
        connection.execute("UPDATE notices SET created_at = created_at - interval '11 seconds'")
    tell(isp)
    assert [(one.event, one.state) for one in deliveries(isp)] == [("invoice", "sent"), ("restricted", "sent")]
    assert "because €20.00 are overdue" in gateway.messages[-1]["message"]
    isp.pay(subscriber, 2000)
    isp.review()
    isp.invoice(subscriber, 700)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    with isp.database.as_superuser() as connection:
        connection.execute("UPDATE notices SET created_at = created_at - interval '11 seconds'")
    tell(isp)
    story = [(one.event, one.state) for one in deliveries(isp) if one.event.startswith("rest")]
    assert story == [("restricted", "sent"), ("restored", "skipped"), ("restricted", "sent")]


def test_nobody_is_told_of_a_restoration_that_restores_nothing(isp, gateway):
    """The invoice is paid, but the prepaid time has run out meanwhile."""
    subscriber = customer(isp)
    service = isp.service("zofia", subscriber=subscriber, prepaid_until=datetime.now(UTC) + timedelta(days=1))
    isp.review()
    isp.invoice(subscriber, 2000)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    with isp.database.as_superuser() as connection:
        connection.execute("UPDATE services SET prepaid_until = now() - interval '1 hour'")
        connection.execute(
            "UPDATE services SET authorised = jsonb_set(authorised, '{prepaid_until}', to_jsonb(prepaid_until))"
        )
    isp.pay(subscriber, 2000)
    isp.review()
    assert (isp.changes(service)[-1].kind, isp.changes(service)[-1].state) == ("restore", "approved")
    with isp.database.as_superuser() as connection:
        connection.execute("UPDATE notices SET created_at = created_at - interval '11 seconds'")
    tell(isp)
    assert [one.event for one in deliveries(isp) if one.event.startswith("rest")] == ["restricted"]


def test_what_needs_no_telling_is_skipped(isp, gateway):
    """A void invoice, a reminder of what is paid, a payment taken back, whom no address reaches: with a sentence."""
    anna, nobody, crowd = customer(isp), customer(isp, ""), customer(isp, "a@example.net,b@example.net")
    void, paid = isp.invoice(anna, 100), isp.invoice(anna, 200)
    payment, _ = isp.pay(nobody, 5)
    isp.invoice(nobody, 300)
    isp.invoice(crowd, 300)
    with isp.web() as session:
        remind(session, isp, paid)
        void_invoice(session, isp.operator_id, void.number, actor=ACTOR)
        reverse_payment(
            session, payment_by_id(session, isp.operator_id, payment.id), kind="refund", reason="x", actor=ACTOR
        )
    isp.pay(anna, 200)
    tell(isp)
    said = [(one.event, one.state, one.explanation) for one in deliveries(isp)]
    assert sorted(said) == sorted(
        [
            ("invoice", "skipped", "The invoice was taken back before this was sent."),
            ("invoice", "sent", "The gateway took it."),
            ("receipt", "skipped", "The payment was taken back before this was sent."),
            ("invoice", "skipped", "The customer has no e-mail address."),
            ("invoice", "skipped", "The customer has no e-mail address, or more than one."),
            ("reminder", "skipped", "The invoice was paid before this was sent."),
            ("receipt", "sent", "The gateway took it."),
        ]
    )
    assert len(gateway.messages) == 2


def test_who_promised_since_is_not_reminded(isp, gateway):
    """A reminder that waited for the end of quiet hours is not sent after a promise, or a dispute of that invoice."""
    anna, adam = customer(isp), customer(isp)
    promised, disputed, other = isp.invoice(anna, 100), isp.invoice(adam, 200), isp.invoice(adam, 300)
    services = [isp.service(name, subscriber=one) for name, one in (("anna", anna), ("adam", adam))]
    later = datetime.now(UTC) + timedelta(days=1)
    with isp.web() as session:
        for invoice in (promised, disputed, other):
            remind(session, isp, invoice)
        said = {"until": later, "reason": "x", "actor": ACTOR}
        add_hold(session, services[0], kind=HoldKind.PROMISE, **said)
        add_hold(session, services[1], kind=HoldKind.DISPUTE, invoice=disputed, **said)
    tell(isp)
    states = [one.state for one in deliveries(isp) if one.event == "reminder"]
    assert states == ["skipped", "skipped", "sent"]


def test_quiet_hours_are_kept(isp, gateway):
    """Nothing is sent in them, by the operator's clock, also what became due before they were set; then all is."""
    isp.invoice(customer(isp), 100)
    clock = datetime.now(UTC)
    quiet = {"quiet_from": _clock(clock, -60), "quiet_until": _clock(clock, 60)}
    with isp.web() as session:
        set_operator(session, isp.operator_id, actor=ACTOR, **quiet)
    tell(isp)
    assert [(one.state, one.attempts) for one in deliveries(isp)] == [("waiting", 0)]
    late(isp, 120)
    tell(isp)  # due, but still night: moved to the morning again
    assert gateway.messages == []
    with isp.worker() as session:
        due_at = session.execute(text("SELECT due_at FROM notice_deliveries")).scalar_one()
    assert due_at.astimezone(UTC).time() == quiet["quiet_until"]
    with isp.web() as session:
        set_operator(session, isp.operator_id, actor=ACTOR, quiet_from=None, quiet_until=None)
    late(isp, 120)
    tell(isp)
    assert len(gateway.messages) == 1


def _clock(moment: datetime, minutes: int) -> time:
    return (moment + timedelta(minutes=minutes)).time().replace(second=0, microsecond=0)


def test_failures_are_tried_again_and_end_somewhere(isp, gateway, database):
    """With more and more time between; then it failed for all to see, with the gateway's reason and no secret."""
    gateway.status = 500
    isp.invoice(customer(isp), 100)
    tell(isp)
    ((_, state, attempts, explanation),) = deliveries(isp)
    assert (state, attempts) == ("waiting", 1)
    assert "error=500" in explanation
    for secret in ("made-up-token", "made-up-user", "zofia"):
        assert secret not in explanation
    assert tell(isp) == 0
    for _ in range(7):
        late(isp, 24 * 60)
        tell(isp)
    assert [(one.state, one.attempts) for one in deliveries(isp)] == [("failed", 7)]
    assert len(gateway.messages) == 7
    with database.engine(Role.WEB).connect() as connection:
        assert connection.execute(text("SELECT * FROM notice_health()")).one() == (1, 0, 0)
    gateway.status = 200
    with isp.web() as session:
        assert notice_settings.try_again(session, isp.operator_id, states=["failed"], actor=ACTOR) == 1
    tell(isp)
    assert [(one.state, one.attempts) for one in deliveries(isp)] == [("sent", 8)]


def test_one_dead_gateway_keeps_nothing_back(isp, gateway):
    """Nor does an operator whose channel cannot be opened: others are told in the same breath."""
    other = isp.database.isp()
    channel(other, "json://127.0.0.1:1/")
    with isp.web() as session:
        session.execute(text("UPDATE notice_channels SET name = 'moved'"))
    channel(isp, gateway.url, "sms", ("receipt",))
    isp.pay(customer(isp), 100)
    other.pay(other.subscriber(), 100)
    tell(isp)
    assert [one.state for one in deliveries(isp)] == ["waiting", "sent"]
    assert "cannot be opened" in deliveries(isp)[0].explanation
    assert [one.state for one in deliveries(other)] == ["waiting"]


KILLED = """
import os, sys
from sqlalchemy import make_url
from sql.secrets import SecretBox
from sql.sessions import make_engine
from worker.notices import Teller
Teller(make_engine(make_url(os.environ["URL"])), SecretBox([bytes(range(32))])).look()
"""


def test_a_killed_worker_leaves_unknown_and_nothing_is_said_twice(isp, gateway, database):
    """Killed while the gateway was asked: people see it, no worker sends it again by itself, and a person may."""
    gateway.held = threading.Event()
    isp.invoice(customer(isp), 100)
    url = database.databases.urls[Role.WORKER].render_as_string(hide_password=False)
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED], env={**os.environ, "URL": url}, cwd=Path(__file__).parents[3]
    )
    try:
        assert gateway.came.wait(60)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    gateway.held.set()
    tell(isp)
    assert [(one.state, one.attempts) for one in deliveries(isp)] == [("sending", 1)]
    late(isp, 3)
    tell(isp)
    tell(isp)
    ((_, state, attempts, explanation),) = deliveries(isp)
    assert (state, attempts, len(gateway.messages)) == ("unknown", 1, 1)
    assert explanation == "The worker ended while it asked the gateway, so nobody knows whether this was sent."
    with isp.web() as session:
        (told,) = notice_settings.notices(session, isp.operator_id, failed=True)
        assert (told.delivery.state, told.channel) == ("unknown", "mail")
        assert notice_settings.try_again(session, isp.operator_id, states=["unknown"], actor=ACTOR) == 1
    gateway.held = None
    tell(isp)
    assert [(one.state, one.attempts) for one in deliveries(isp)] == [("sent", 2)]


def test_two_workers_share_the_work(isp, gateway):
    """Nothing is told twice by two at once."""
    for _ in range(20):
        isp.pay(customer(isp), 100)
    threads = [threading.Thread(target=tell, args=(isp,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.state for one in deliveries(isp)} == {"sent"}
    assert len(gateway.messages) == 20


def test_the_clock_tells_by_itself(isp, gateway, monkeypatch):
    """As the worker's process runs it."""
    monkeypatch.setattr(notices, "LOOK_EVERY_S", 0.01)

    async def story():
        task = asyncio.create_task(keep_told(isp.database.engine(Role.WORKER), BOX))
        isp.pay(customer(isp), 100)
        await eventually(lambda: len(gateway.messages) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
