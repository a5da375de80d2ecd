"""Batches, undo and brakes on the command line."""

from typing import Any

import pytest
from fixtures_database import Database, Isp


@pytest.fixture
def waiting(isp: Any, database: Database) -> int:
    """A batch of three suspensions that wait; its number."""
    for number in (1, 2, 3):
        isp.ok("subscriber", "add", f"S-{number}", f"Customer {number}")
        isp.ok(
            "service", "add", f"s{number}", "--subscriber", f"S-{number}", "--plan", "Home 50", "--generate-password"
        )
    wave = Isp(database, 1)
    wave.review()
    for number in (1, 2, 3):
        isp.ok("invoice", "add", f"S-{number}", "--amount", "15.00", "--due", "2026-01-01")
    wave.review()
    (batch,) = isp.ok("batch", "list")
    assert (batch["waiting"], batch["approved"]) == (3, 0)
    return int(batch["id"])


def test_a_batch_is_looked_at_and_approved(isp: Any, database: Database, waiting: int) -> None:
    """By its hash; a second look finds nothing that waits."""
    found = isp.ok("batch", "show", str(waiting))
    assert (found["changes"], found["by_kind"], found["owed_minor"]) == (3, {"suspend": 3}, 4500)
    said = isp("batch", "show", str(waiting))
    assert "3 changes: 3 suspend. Owed by these customers: 45.00 EUR." in said.out
    assert "--yes" in isp.refused("batch", "approve", str(waiting))
    assert "another preview" in isp.refused("batch", "approve", str(waiting), "--hash", "0" * 64)
    done = isp.ok("batch", "approve", str(waiting), "--hash", found["hash"])
    assert (done["approved"], done["refused"]) == (3, [])
    assert isp.ok("batch", "list")[0]["approved"] == 3
    assert "waits any more" in isp("batch", "show", str(waiting)).out
    mine = isp.ok("change", "list", "--batch", str(waiting))
    assert [one["state"] for one in mine] == ["approved"] * 3
    assert isp.ok("change", "list", "--batch", str(waiting + 1)) == []


def test_a_batch_is_rejected(isp: Any, waiting: int) -> None:
    """With a note that every change of it keeps."""
    assert isp.ok("batch", "reject", str(waiting), "--note", "the invoices were wrong")["rejected"] == 3
    assert {one["note"] for one in isp.ok("change", "list", "--state", "rejected")} == {"the invoices were wrong"}


def test_a_batch_is_undone_and_overrides_are_ended(isp: Any, database: Database, waiting: int) -> None:
    """Each of its changes gets an override with an end; ended early, billing's word counts again."""
    isp.ok("batch", "approve", str(waiting), "--yes")
    words = ("--until", "2150-01-01", "--reason", "a wrong import")
    assert isp.ok("batch", "undo", str(waiting), *words)["undone"] == 3
    overrides = isp.ok("override", "list")
    assert [one["state"] for one in overrides] == ["holds"] * 3
    Isp(database, 1).review()
    assert len(isp.ok("change", "list", "--kind", "restore", "--state", "approved")) == 3
    assert "is not the last one" in isp.refused("change", "undo", str(overrides[0]["undoes_change"]), *words)
    assert isp.ok("override", "end", str(overrides[0]["id"]))["state"] == "ended"
    Isp(database, 1).review()
    assert len(isp.ok("change", "list", "--kind", "suspend", "--state", "awaiting_approval")) == 1


def test_two_people_and_brakes_are_settings(isp: Any, database: Database) -> None:
    """What is set is what `operator list` shows, and a change says whom it waits for."""
    rules = '[{"name": "four eyes", "kinds": ["suspend"], "people": 2}]'
    isp.ok("operator", "set", "Wave", "--approval-rules", rules, "--brake-free", "7", "--payment-feed-hours", "48")
    (found,) = isp.ok("operator", "list")
    assert (found["approval_rules"][0]["people"], found["brake_free"], found["payment_feed_hours"]) == (2, 7, 48)
    isp.ok("operator", "set", "Wave", "--payment-feed-hours", "0")
    assert isp.ok("operator", "list")[0]["payment_feed_hours"] is None
    isp.ok("subscriber", "add", "S-1", "Customer")
    isp.ok("service", "add", "s1", "--subscriber", "S-1", "--plan", "Home 50", "--generate-password")
    wave = Isp(database, 1)
    wave.review()
    isp.ok("invoice", "add", "S-1", "--amount", "15.00", "--due", "2026-01-01")
    wave.review()
    (change,) = isp.ok("change", "list", "--state", "awaiting_approval")
    assert "Two different people must approve it" in isp("change", "show", str(change["id"])).out
    said = isp("change", "approve", str(change["id"]), "--yes")
    assert (said.code, said.err) == (0, "")
    assert "another person must do so too" in said.out
    assert "cli:" in isp("change", "show", str(change["id"])).out
    said = isp("change", "approve", str(change["id"]), "--yes")
    assert said.code == 2
    assert "You have approved" in said.err
