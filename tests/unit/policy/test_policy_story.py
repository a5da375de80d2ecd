"""Entries of a timeline in words: each kind, and what holds whatever people and routers wrote."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, names

from policy import wording
from policy.reasons import Reason
from policy.story import Kind, tell

NOTICE = {
    "notice": 3,
    "event": "invoice",
    "channel": "mail",
    "attempts": 1,
    "explanation": "",
    "due_at": "2026-12-01T00:00:00+00:00",
}
MONEY = {"amount_minor": 3000, "currency": "EUR"}
AT = NOW.isoformat()

# What the database gives for a kind, the sentence, and its evidence.
TABLE: list[tuple[Kind, dict[str, Any], str, tuple[str, ...]]] = [
    (
        Kind.INVOICE,
        {**MONEY, "number": 17, "due_at": AT, "description": ""},
        "Invoice 17 over 30.00 EUR, due 2026-11-22 16:00.",
        (),
    ),
    (Kind.INVOICE, {"number": 17, "voided": True}, "Invoice 17 was taken back.", ()),
    (
        Kind.PAYMENT,
        {**MONEY, "method": "bank", "external_id": "B-9", "note": "late"},
        "Payment of 30.00 EUR by bank, known as B-9: late.",
        (),
    ),
    (
        Kind.PAYMENT,
        {**MONEY, "method": "cash", "receipt_number": "R-7", "by": "cli:ewa"},
        "Payment of 30.00 EUR by cash, receipt R-7.",
        ("booked by cli:ewa",),
    ),
    (
        Kind.INCOMING,
        {**MONEY, "source": "bank", "kind": "payment", "external_id": "T-1", "explanation": "Why", "reference": "K-1"},
        "bank told of a payment of 30.00 EUR, known there as T-1: Why.",
        ("reference K-1",),
    ),
    (
        Kind.INCOMING,
        {**MONEY, "source": "bank", "kind": "refund", "external_id": "R", "explanation": "x", "decided_by": "Ewa"},
        "bank told of a refund of 30.00 EUR, known there as R: it waited for a person.",
        (),
    ),
    (
        Kind.INCOMING,
        {"decided": True, "decided_by": "Ewa", "kind": "payment", "incoming": 5},
        "Ewa said whose payment 5 is.",
        (),
    ),
    (Kind.CREDIT, {**MONEY, "kind": "credit", "by": "Ewa", "note": "x"}, "Ewa gave a credit of 30.00 EUR: x.", ()),
    (
        Kind.CREDIT,
        {**MONEY, "kind": "write_off", "by": "Ewa", "number": "2026-1", "note": "gone"},
        "Ewa gave up 30.00 EUR of invoice 2026-1: gone.",
        (),
    ),
    (
        Kind.REVERSAL,
        {**MONEY, "kind": "refund", "payment": 4, "of": "money", "reason": "asked", "by": "Ewa"},
        "30.00 EUR of payment 4 was given back: asked.",
        ("booked by Ewa",),
    ),
    (
        Kind.REVERSAL,
        {**MONEY, "kind": "chargeback", "payment": 4, "of": "money", "reason": "fraud", "by": "provider:stripe"},
        "The payer's bank took back 30.00 EUR of payment 4: fraud.",
        ("booked by provider:stripe",),
    ),
    (
        Kind.REVERSAL,
        {**MONEY, "kind": "correction", "payment": 4, "of": "credit", "reason": "typo", "by": "Ewa"},
        "30.00 EUR of credit 4 was booked wrongly and taken back: typo.",
        ("booked by Ewa",),
    ),
    (Kind.ALLOCATION, {**MONEY, "payment": 4, "number": 17}, "30.00 EUR of payment 4 paid invoice 17.", ()),
    (
        Kind.ALLOCATION,
        {**MONEY, "amount_minor": -3000, "payment": 4, "number": 17},
        "30.00 EUR of invoice 17 is open again; payment 4 paid it.",
        (),
    ),
    (
        Kind.COMPENSATION,
        {"compensation": "storm", "days": 3, "reason": "a storm", "by": "Ewa", "state": "applied", "explanation": ""},
        "Ewa gave 3 days for storm: a storm.",
        (),
    ),
    (
        Kind.COMPENSATION,
        {"compensation": "storm", "by": "Ewa", "state": "stuck", "explanation": "It was used.", "undone": True},
        "Ewa had to leave what was given for storm.",
        ("It was used.",),
    ),
    (Kind.NOTICE, NOTICE | {"state": "sent"}, "Notice (invoice) by mail sent.", ()),
    (
        Kind.NOTICE,
        NOTICE | {"state": "waiting", "attempts": 2, "explanation": "It said no."},
        "Notice (invoice) by mail waits until 2026-12-01 01:00. It said no.",
        ("notice 3, tried 2 times",),
    ),
    (
        Kind.NOTICE,
        NOTICE | {"state": "unknown", "explanation": "The worker ended."},
        "Notice (invoice) by mail may or may not have been sent: The worker ended.",
        (),
    ),
    (Kind.HOLD, {"by": "Ewa", "ended": True}, "The promise of Ewa was taken back.", ()),
    (
        Kind.HOLD,
        {"by": "Ewa", "until": AT, "reason": "wages", "kind": "promise", **MONEY, "number": None},
        "Ewa took a promise to pay 30.00 EUR and not to suspend before 2026-11-22 16:00: wages.",
        (),
    ),
    (
        Kind.HOLD,
        {"by": "Ewa", "until": None, "reason": "the mayor", "kind": "reminders_only", "amount_minor": None},
        "Ewa promised to remind but not to suspend at all: the mayor.",
        (),
    ),
    (
        Kind.HOLD,
        {"by": "Ewa", "until": AT, "settled": "broken"},
        "The promise to pay before 2026-11-22 16:00, which Ewa took, was broken.",
        (),
    ),
    (Kind.OVERRIDE, {"by": "Ewa", "ended": True, "early": False}, "The earlier access that Ewa gave back is over.", ()),
    (
        Kind.OVERRIDE,
        {"by": "Ewa", "until": AT, "reason": "a mistake", "undoes": None},
        "Ewa gave back an earlier access until 2026-11-22 16:00: a mistake.",
        (),
    ),
    (
        Kind.CHANGE,
        {
            "change": 9,
            "kind": "suspend",
            "cause": "Billing says so.",
            "consequence": "The line drops.",
            "requested_by": "Ewa",
            "held_back": "the brake",
            "undoes": 8,
        },
        "Change 9 (suspend, asked for by Ewa, undoing change 8) planned: Billing says so. The line drops.",
        ("no rule approved it: the brake",),
    ),
    (Kind.APPROVAL, {"change": 9, "by": "Ewa", "needs": 1}, "Ewa approved change 9.", ()),
    (Kind.DECISION, {"change": 9, "state": "approved", "rule": "r"}, 'Change 9 approved by the rule "r".', ()),
    (Kind.DECISION, {"change": 9, "state": "expired", "note": "Late"}, "Change 9 expired by the worker. Late.", ()),
    (
        Kind.DECISION,
        {"change": 9, "state": "superseded", "by": "Ewa", "note": "A friend"},
        "Change 9 rejected by Ewa, until that was not wanted any more. A friend.",
        (),
    ),
    (
        Kind.STEP,
        {"step": 12, "route": "next_login", "router": "tower", "why": "It takes no CoA."},
        "Step 12, at the next login on tower, planned. It takes no CoA.",
        (),
    ),
    (
        Kind.PACKET,
        {"step": 12, "attempt": 1, "route": "coa", "router": "tower", "sent": [], "reply": None},
        "CoA to tower: on its way.",
        ("step 12, attempt 1, 0 packets sent",),
    ),
    (
        Kind.PACKET,
        {
            "step": 12,
            "attempt": 2,
            "route": "coa",
            "router": "tower",
            "sent": [["Mikrotik-Rate-Limit", "1M/1M"]],
            "reply": [["Error-Cause", "401"]],
            "packets": 1,
            "explanation": "It said no.",
            "round_trip_ms": 1.25,
        },
        "CoA to tower, 1.2 ms: It said no.",
        ("step 12, attempt 2, 1 packets sent", "sent Mikrotik-Rate-Limit = 1M/1M", "reply Error-Cause = 401"),
    ),
    (
        Kind.PROOF,
        {"step": 12, "state": "unverified", "explanation": "No Stop came.", "router": "tower", "proof": "acknowledged"},
        "Not proved in time: No Stop came.",
        ("step 12 on tower, proof: acknowledged",),
    ),
    (
        Kind.ONLINE,
        {"router": "tower", "acct_session_id": "80", "address": None, "mac": "02:00:00:00:00:01"},
        "Online on tower, session 80, address unknown, device 02:00:00:00:00:01.",
        (),
    ),
    (
        Kind.OFFLINE,
        {
            "router": "tower",
            "acct_session_id": "80",
            "ended_by": "missed_interims",
            "terminate_cause": "",
            "download_bytes": 5_000_000_000,
            "upload_bytes": 1_500_000,
        },
        "Offline on tower: session 80 ended (missed interims), 5.0 GB down, 1.5 MB up.",
        (),
    ),
    (
        Kind.REFUSED,
        {"router": "tower", "times": 1, "reason": "odd", "mac": ""},
        "Login refused on tower, once in this hour: odd.",
        (),
    ),
    (
        Kind.BINDING,
        {"event": "service:binding:learn", "kind": "router", "router_id": 4, "actor": "edge"},
        "Bound to the router number 4 of the first login.",
        (),
    ),
    (
        Kind.BINDING,
        {"event": "service:binding:release", "actor": "Ewa", "mac": "02:00:00:00:00:01"},
        "Ewa released the bindings: mac 02:00:00:00:00:01.",
        (),
    ),
    (Kind.NOTE, {"actor": "Ewa", "text": "one\ntwo"}, "Ewa noted: one.", ("two",)),
    (
        Kind.AUDIT,
        {"actor": "Ewa", "event": "service:line:add", "plan": "Home"},
        "Ewa: service line add.",
        ("plan: Home",),
    ),
]


@pytest.mark.parametrize(("kind", "data", "sentence", "evidence"), TABLE)
def test_each_kind_has_its_words(kind: Kind, data: dict[str, Any], sentence: str, evidence: tuple[str, ...]) -> None:
    """The table above, on a clock in Warsaw."""
    assert tell(kind, data, "Europe/Warsaw") == (sentence, evidence)


def test_every_kind_is_in_the_table() -> None:
    """A kind that is added gets a row above."""
    assert {kind for kind, *_ in TABLE} == set(Kind)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_is_explained(reason: Reason) -> None:
    """Below a refused login stands what its reason means."""
    told = tell(Kind.REFUSED, {"router": "tower", "times": 2, "reason": reason.value, "mac": ""}, "UTC")
    assert len(told.evidence) == 1


@given(st.sampled_from(TABLE), st.text(st.characters(codec="utf-8")))
def test_foreign_text_keeps_to_its_line(row: tuple[Kind, dict[str, Any], str, tuple[str, ...]], odd: str) -> None:
    """Whatever stands where people or routers write: one printable line a sentence and a piece of evidence."""
    kind, data, *_ = row
    written = {
        "router",
        "by",
        "reason",
        "note",
        "text",
        "description",
        "why",
        "explanation",
        "terminate_cause",
        "method",
    }
    told = tell(kind, {name: odd if name in written else value for name, value in data.items()}, "UTC")
    assert told.sentence.isprintable()
    assert all(line.isprintable() for line in told.evidence)


@given(st.integers(-(10**6), 10**9))
def test_a_span_says_enough_and_never_less_than_nothing(seconds: int) -> None:
    """A whole number of one unit, and never off by more than half of what it says."""
    count, unit = wording.span(timedelta(seconds=seconds)).split()
    size = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit.rstrip("s")]
    assert 0 <= max(0, seconds) - int(count) * size < size
    assert int(count) >= 2 or size == 1


@given(names)
def test_a_shell_word_is_one_printable_line(name: str) -> None:
    """Any name at all."""
    assert wording.shell_word(name).isprintable()


def test_a_shell_reads_the_word_back() -> None:
    """bash itself gives back each name byte by byte."""
    import subprocess  # noqa: PLC0415 - only this test starts a shell

    odd = ["no", "0123", "łódź", 'it\'s "odd"', "two\nlines\t", "-x", "x" * 253, "\x1b[31m9", "$(id)`id`", "\u202e\\'a"]
    for name in odd:
        done = subprocess.run(["bash", "-c", f"printf %s {wording.shell_word(name)}"], capture_output=True, check=True)
        # printf takes an option where a name begins with a dash; commands put -- before it.
        assert done.stdout.decode() == name or name.startswith("-")
