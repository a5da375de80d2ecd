"""The preview of many changes together, and what its hash binds."""

from hashlib import sha256

from policy.changes.batch import NAMES_SHOWN, UNUSUAL_SHOWN, BatchRow, batch_hash, batch_preview, batch_text

ANNA = BatchRow(1, "suspend", "anna", "Home", "It drops.", (("tower 1", "disconnect"),), ("Odd.", "Odder."), 500, "a1")
BERT = BatchRow(2, "suspend", "bert", "Home", "It stays.", (("tower 2", "coa"),), ("Odd.",), 700, "b2")
CARL = BatchRow(3, "plan", "carl", "Office", "It waits.", (("tower 1", "coa"), ("tower 3", "next_login")), (), 0, "c3")
DORA = BatchRow(4, "suspend", "dora", "Attic", "Nobody.", (), ("Odd.",), 900, "d4")


def numbered(count, **changes):
    """So many rows that differ in their number."""
    return [ANNA._replace(change_id=number, **changes) for number in range(count)]


def test_a_batch_is_counted_and_the_most_unusual_come_first():
    """By kind, action, router and plan with the largest first; of equally odd ones who owes more comes first."""
    assert batch_preview([ANNA, BERT, CARL, DORA]) == {
        "changes": 4,
        "hash": batch_hash([ANNA, BERT, CARL, DORA]),
        "by_kind": {"suspend": 3, "plan": 1},
        "by_action": {"coa": 2, "disconnect": 1, "next_login": 1},
        "nobody_online": 1,
        "by_router": {"tower 1": 2, "tower 2": 1, "tower 3": 1},
        "by_plan": {"Home": 2, "Attic": 1, "Office": 1},
        "owed_minor": 2100,
        "drops": 1,
        "stays_up": 2,
        "unreachable": 1,
        "unusual": [
            {
                "change": 1,
                "username": "anna",
                "why": ["Odd.", "Odder."],
                "consequence": "It drops.",
                "owed_minor": 500,
            },
            {"change": 4, "username": "dora", "why": ["Odd."], "consequence": "Nobody.", "owed_minor": 900},
            {"change": 2, "username": "bert", "why": ["Odd."], "consequence": "It stays.", "owed_minor": 700},
        ],
        "unusual_more": 0,
    }


def test_the_largest_count_comes_first_and_equal_ones_by_name():
    """Whatever order the rows have."""
    rows = [ANNA._replace(plan=plan) for plan in ("B", "C", "A", "C")]
    assert list(batch_preview(rows)["by_plan"].items()) == [("C", 2), ("A", 1), ("B", 1)]


def test_equally_odd_ones_that_owe_the_same_come_in_the_order_of_the_changes():
    """So that a person finds them again."""
    shown = batch_preview([*reversed(numbered(UNUSUAL_SHOWN + 3))])
    assert [one["change"] for one in shown["unusual"]] == list(range(UNUSUAL_SHOWN))
    assert shown["unusual_more"] == 3


def test_a_batch_reads_as_lines():
    """What will happen to whom, and what to look at first."""
    assert batch_text(batch_preview([ANNA, BERT, CARL, DORA]), "21.00 EUR").split("\n") == [
        "4 changes: 3 suspend, 1 plan. Owed by these customers: 21.00 EUR.",
        "  1 connections drop once, 2 change and stay up, 1 wait for the next login, 1 have nobody online.",
        "  by router: 2 tower 1, 1 tower 2, 1 tower 3",
        "  by plan:   2 Home, 1 Attic, 1 Office",
        "  look at these first:",
        "    change 1 of 'anna': Odd. Odder.",
        "    change 4 of 'dora': Odd.",
        "    change 2 of 'bert': Odd.",
    ]


def test_a_batch_without_sessions_and_oddities_reads_as_lines_too():
    """Nothing is said of what is not there."""
    assert batch_text(batch_preview([DORA._replace(odd=())]), "9.00 EUR").split("\n") == [
        "1 changes: 1 suspend. Owed by these customers: 9.00 EUR.",
        "  0 connections drop once, 0 change and stay up, 0 wait for the next login, 1 have nobody online.",
        "  by router: none",
        "  by plan:   1 Attic",
    ]


def test_long_lists_end_with_how_many_more():
    """Of plans, and of the unusual."""
    rows = [row._replace(plan=f"plan {row.change_id:02}") for row in numbered(NAMES_SHOWN + 2)]
    lines = batch_text(batch_preview(rows), "").split("\n")
    assert lines[3].endswith(", 1 plan 19 and 2 more")
    assert lines[-1] == "    and 12 more that are unusual"
    for count, end in ((NAMES_SHOWN, ", 1 plan 19"), (NAMES_SHOWN + 1, ", 1 plan 19 and 1 more")):
        assert batch_text(batch_preview(rows[:count]), "").split("\n")[3].endswith(end)


def test_the_hash_binds_which_changes_and_each_preview():
    """In any order; it is the same for good, since approvals that wait over an update were given by it."""
    assert batch_hash([ANNA, BERT]) == batch_hash([BERT, ANNA])
    assert batch_hash([ANNA]) != batch_hash([ANNA, BERT])
    assert batch_hash([ANNA]) != batch_hash([ANNA._replace(preview_hash="a2")])
    assert batch_hash([ANNA]) != batch_hash([ANNA._replace(change_id=9)])
    assert batch_hash([ANNA]) == batch_hash([ANNA._replace(open_minor=1, odd=())])
    assert batch_hash([ANNA, BERT]) == sha256(b'[[1, "a1"], [2, "b2"]]').hexdigest()
