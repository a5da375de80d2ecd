"""The timeline: one ordered story, cause before effect, a page at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, Isp, outcome
from sqlalchemy import event, text

from policy.changes.enforcement import Enforcement
from policy.money.incoming import Incoming, IncomingKind
from policy.story import Kind
from sql import customers, holds, intent
from sql.attempts import claim, store_outcomes
from sql.enforcement import enforce
from sql.errors import Refused
from sql.models import Operator, Service, Subscriber
from sql.money import review
from sql.money.incoming import take_in
from sql.money.invoices import invoice_by_number
from sql.money.payments import give_credit, write_off
from sql.notes import NOTE_MAXIMUM_LETTERS, add_note
from sql.roles import Role
from sql.timeline import Entry, before_moment, position, timeline


def _tell(isp: Isp, service: Service, *arguments: Any, **options: Any) -> list[Entry]:
    with isp.web() as session:
        return timeline(session, session.get_one(Service, service.id), *arguments, **options)


def _suspended_and_restored(isp: Isp, service: Service) -> None:
    """Online, an invoice, a suspension with its Disconnect, a payment and the restoration."""
    router = isp.router()
    isp.online(service, router, isp.fresh(service).authorised_stamp)
    isp.invoice(service.subscriber_id, 1234)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    with isp.worker() as session:
        enforce(session, isp.operator_id, [service.id], datetime.now(UTC))
    with isp.worker() as session:
        claimed = claim(session, isp.operator_id, router.id, 10)
    reply = [["Error-Cause", "503"]]
    outcomes = [outcome(one, Enforcement.VERIFIED, session_gone=True, reply=reply) for one in claimed]
    with isp.worker() as session:
        store_outcomes(session, isp.operator_id, outcomes)
    isp.pay(service.subscriber_id, 1234)
    isp.review()


def test_a_customers_story_is_told_in_order(database: Database) -> None:
    """From the opening over invoice, suspension and payment to the router's answer, nothing before its cause."""
    isp = database.isp()
    service = isp.service()
    isp.review()
    _suspended_and_restored(isp, service)
    entries = _tell(isp, service)
    story = [entry.kind for entry in entries if entry.kind != "audit"]
    assert story == [
        *("change", "decision"),
        "online",
        "invoice",
        *("change", "decision"),
        *("step", "packet", "offline", "proof"),
        *("payment", "allocation"),
        *("change", "decision"),
    ]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    said = " ".join(entry.sentence for entry in entries)
    for words in ("12.34 EUR", "approved by a test", 'approved by the rule "payments restore by themselves"', "1.5 ms"):
        assert words in said
    (packet,) = [entry for entry in entries if entry.kind == "packet"]
    assert packet.evidence[0].startswith("step ")
    assert "reply Error-Cause = 503" in packet.evidence


def test_only_the_newest_are_told(database: Database) -> None:
    """A limit keeps the newest entries, still oldest first, and holds are told with who promised."""
    isp = database.isp(time_zone="Asia/Kathmandu")
    service = isp.service()
    isp.review()
    with isp.web() as session:
        found = session.get_one(Service, service.id)
        until = datetime(2150, 1, 1, 12, tzinfo=UTC)
        holds.add_hold(session, found, until=until, reason="pays % on Friday :x", actor=ACTOR)
        (last,) = timeline(session, found, 1)
        assert [entry.kind for entry in timeline(session, found)][-1] == last.kind == "hold"
    assert last.sentence == "a test promised not to suspend before 2150-01-01 17:45: pays % on Friday :x."


def test_another_services_story_is_its_own(database: Database) -> None:
    """Two services of one subscriber share the money, and nothing else."""
    isp = database.isp()
    subscriber = isp.subscriber()
    one, other = isp.service("one", subscriber=subscriber), isp.service("other", subscriber=subscriber)
    isp.invoice(subscriber)
    isp.review()
    first, second = _tell(isp, one), _tell(isp, other)
    assert [entry.kind for entry in first] == [entry.kind for entry in second]
    changes = [{entry.details.get("change") for entry in story if entry.kind == "change"} for story in (first, second)]
    assert not changes[0] & changes[1]


def test_pages_go_back_without_a_gap(database: Database) -> None:
    """Page by page, by the key of each page's oldest entry, the same is told as at once, whatever the page's size."""
    isp = database.isp()
    service = isp.service()
    isp.review()
    _suspended_and_restored(isp, service)
    with isp.web() as session:
        # Several in one and the same moment, which only the rest of the key tells apart.
        for number in range(5):
            add_note(session, session.get_one(Service, service.id), f"note {number}", actor=ACTOR)
        session.execute(
            text(
                "INSERT INTO holds (operator_id, service_id, until, reason, granted_by) "
                "SELECT :operator, :service, now() + interval '1 day', 'r' || number, 'x' "
                "FROM generate_series(1, 7) AS number"
            ),
            {"operator": isp.operator_id, "service": service.id},
        )
    whole = _tell(isp, service)
    assert len({entry.key for entry in whole}) == len(whole)
    for size in (1, 3, 7):
        told: list[Entry] = []
        before = None
        while page := _tell(isp, service, size, before=before):
            told = page + told
            before = position(page[0].key)
        assert told == whole


def test_filters_choose_kinds_and_times(database: Database) -> None:
    """Only some kinds, only since a moment, only before one; a kind that did not happen is an empty story."""
    isp = database.isp()
    service = isp.service()
    isp.review()
    _suspended_and_restored(isp, service)
    whole = _tell(isp, service)
    chosen = _tell(isp, service, kinds=(Kind.PAYMENT, Kind.ONLINE))
    assert chosen == [entry for entry in whole if entry.kind in {"payment", "online"}]
    middle = whole[len(whole) // 2].at
    assert _tell(isp, service, since=middle) == [entry for entry in whole if entry.at >= middle]
    assert _tell(isp, service, before=before_moment(middle)) == [entry for entry in whole if entry.at < middle]
    assert _tell(isp, service, kinds=(Kind.REFUSED,)) == []
    assert _tell(isp, service, kinds=(Kind.PAYMENT,), since=datetime.now(UTC)) == []


@pytest.mark.parametrize(
    "key",
    [
        *("", "x", "2026-11-22", ",,,", "2026-11-22T00:00:00+00:00,invoice", "2026-11-22T00:00:00+00:00,odd,1,0"),
        *("2026-11-22T00:00:00,invoice,1,0", "2026-11-22T00:00:00+00:00,invoice,x,0"),
        "0001-01-01T00:00+14:00,note,1,0",
    ],
)
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """In one sentence that says where to take one from."""
    with pytest.raises(Refused, match="is not the key of an entry"):
        position(key)


def test_everything_that_happens_is_told(database: Database) -> None:
    """Overrides, two people's approvals, refused logins, bindings, notes, voided invoices and other audit events."""
    isp = database.isp()
    service = isp.service(bind_mac=True)
    isp.review()
    isp.invoice(service.subscriber_id, 500)
    isp.review()
    router = isp.router()
    change = isp.changes(service)[-1]
    with isp.worker() as session:
        session.execute(text("UPDATE changes SET needs_approvals = 2 WHERE id = :id"), {"id": change.id})
    for person in ("Ewa", "Piotr"):
        with isp.web() as session:
            found = intent.change_by_id(session, isp.operator_id, change.id)
            intent.approve(session, found, by=person, seen_hash=found.preview_hash, now=datetime.now(UTC))
    with isp.web() as session:
        found = session.get_one(Service, service.id)
        add_note(session, found, "Called.\nWill pay on Friday; \x1b[31m", actor="Ewa")
        customers.unbind(session, found, actor="Ewa")
        values = {"operator": isp.operator_id, "service": service.id, "router": router.id, "change": change.id}
        session.execute(
            text(
                "INSERT INTO overrides (operator_id, service_id, facts, until, reason, granted_by, undoes_change_id, "
                "ended_at) VALUES (:operator, :service, '{}', now() + interval '1 day', 'a mistake', 'Ewa', :change, "
                "now() + interval '1 hour')"
            ),
            values,
        )
    with database.engine(Role.EDGE).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO refused_logins (operator_id, router_id, service_id, username, mac, reason, hour, last_at, "
                "times) VALUES (:operator, :router, :service, 'zofia', '02:00:00:00:00:01', 'wrong_device', "
                "date_trunc('hour', now(), 'UTC'), now(), 3)"
            ),
            values,
        )
        connection.execute(
            text(
                "INSERT INTO audit_events (operator_id, actor, event, service_id, data) VALUES (:operator, 'edge', "
                '\'service:binding:learn\', :service, \'{"kind": "mac", "mac": "02:00:00:00:00:01"}\')'
            ),
            values,
        )
    told: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    for entry in _tell(isp, service):
        told[entry.kind].append(entry.sentence)
    assert told[Kind.APPROVAL] == [f"{who} approved change {change.id}, one of 2 who must." for who in ("Ewa", "Piotr")]
    assert told[Kind.NOTE] == ["Ewa noted: Called."]
    assert told[Kind.REFUSED] == [
        "Login refused on tower, 3 times in this hour: wrong device, device 02:00:00:00:00:01."
    ]
    assert told[Kind.BINDING] == [
        "Ewa released the bindings.",
        "Bound to the device 02:00:00:00:00:01 of the first login.",
    ]
    assert f"undoing change {change.id}: a mistake." in told[Kind.OVERRIDE][0]
    assert told[Kind.OVERRIDE][1] == "The earlier access that Ewa gave back was taken back early."
    assert any("service line add" in one for one in told[Kind.AUDIT])
    assert not any("note" in one or "binding" in one or "change " in one.split(":")[1] for one in told[Kind.AUDIT])
    (note,) = _tell(isp, service, kinds=(Kind.NOTE,))
    assert note.evidence == ("Will pay on Friday; \\x1b[31m",)


def test_money_of_other_systems_is_told(database: Database) -> None:
    """What was told and why it was booked, by whom what waited was decided, what went back and what is open again."""
    isp = database.isp()
    subscriber = isp.subscriber("K-1")
    service = isp.service(subscriber=subscriber)
    bill = isp.invoice(subscriber, 900)
    now = datetime.now(UTC)
    told = [
        Incoming("T-1", 1000, "EUR", now, "card", reference="K-1"),
        Incoming("T-2", 500, "EUR", now, "card", reference="?"),
        Incoming("R-1", 300, "EUR", now, "card", IncomingKind.REFUND, original_external_id="T-1"),
    ]
    for one in told:
        with isp.web() as session:
            take_in(session, session.get_one(Operator, isp.operator_id), [one], "pay", actor="provider:pay")
    with isp.web() as session:
        mine = session.get_one(Subscriber, subscriber.id)
        review.assign(session, isp.operator_id, 2, mine, actor="Ewa")
        give_credit(session, mine, amount_minor=100, reason="an outage", actor="Ewa")
    isp.invoice(subscriber, 5000)
    with isp.web() as session:
        write_off(session, invoice_by_number(session, isp.operator_id, "2026-2"), reason="gone", actor="Ewa")
    kinds = (Kind.INCOMING, Kind.PAYMENT, Kind.CREDIT, Kind.REVERSAL, Kind.ALLOCATION)
    entries = _tell(isp, service, kinds=kinds)
    assert [entry.kind for entry in entries] == [
        *("incoming", "payment", "allocation"),
        "incoming",
        *("incoming", "reversal", "allocation"),
        *("incoming", "payment", "credit", "allocation"),
        *("allocation", "allocation", "credit", "allocation"),
    ], [(entry.kind, entry.sentence) for entry in entries]
    said = " ".join(entry.sentence for entry in entries)
    for words in (
        "pay told of a payment of 10.00 EUR, known there as T-1: One sure match: the reference has the customer number",
        "known there as T-2: it waited for a person.",
        "Ewa said whose payment 2 is.",
        f"2.00 EUR of invoice {bill.number} is open again; payment 1 paid it.",
        "Ewa gave a credit of 1.00 EUR: an outage.",
        "of invoice 2026-2: gone.",
    ):
        assert words in said
    assert _tell(isp, service, 2, kinds=kinds) == entries[-2:]


@contextmanager
def _counted(isp: Isp) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    engine = isp.database.engine(Role.WEB)
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_long_story_costs_no_more_queries(database: Database) -> None:
    """A thousand sessions and notes: as many statements as for an empty story, and one page in memory."""
    isp = database.isp()
    service = isp.service()
    with _counted(isp) as before:
        _tell(isp, service, 50)
    router = isp.router()
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, "
            "started_at, last_seen_at, ended_at, ended_by) SELECT %(operator)s, %(router)s, %(service)s, 'k' || n, "
            "'z', 'a' || n, now() - n * interval '1 minute', now(), now() - n * interval '1 minute', 'stop' "
            "FROM generate_series(1, 1000) AS n",
            {"operator": isp.operator_id, "router": router.id, "service": service.id},
        )
    with _counted(isp) as after:
        page = _tell(isp, service, 50)
    assert len(page) == 50
    assert len(after) == len(before)


@pytest.mark.parametrize(
    "note",
    ["", " \n", "x" * (NOTE_MAXIMUM_LETTERS + 1), "a\0b", "\udcff"],
    ids=["none", "blank", "long", "zero", "bytes"],
)
def test_a_note_that_cannot_be_is_refused(database: Database, note: str) -> None:
    """Empty, too long, or no text: one sentence, and nothing stored."""
    isp = database.isp()
    service = isp.service()
    with pytest.raises(Refused, match="note"), isp.web() as session:
        add_note(session, session.get_one(Service, service.id), note, actor=ACTOR)
    assert _tell(isp, service, kinds=(Kind.NOTE,)) == []


def test_a_note_may_be_long_and_odd(database: Database) -> None:
    """Two thousand letters of any kind, kept as they are."""
    isp = database.isp()
    service = isp.service()
    note = "łódź 'no' \"0123\" \u202e\n" * 100
    with isp.web() as session:
        add_note(session, session.get_one(Service, service.id), note, actor=ACTOR)
    (entry,) = _tell(isp, service, kinds=(Kind.NOTE,), since=datetime.now(UTC) - timedelta(minutes=1))
    assert entry.details["text"] == note
    assert entry.sentence.isprintable()
    assert all(line.isprintable() for line in entry.evidence)
