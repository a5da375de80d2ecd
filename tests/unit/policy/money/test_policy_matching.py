"""Whose payment: one sure match or a person's decision, whatever the order in which clues are found."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.money.creditor_reference import creditor_reference, creditor_references, written_in_groups
from policy.money.incoming import Incoming
from policy.money.matching import Clue, Hit, match, phone_digits, wanted

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ANNA, ADAM = 1, 2


def _paid(reference: str = "", **more: Any) -> Incoming:
    values: dict[str, Any] = {"amount_minor": 1500, "currency": "EUR", "occurred_at": NOW, "method": "bank"}
    return Incoming("x", reference=reference, **(values | more))


def _number(found: str, whose: int = ANNA) -> Hit:
    return Hit(whose, Clue.NUMBER, found)


SURE = [
    (_paid("invoice november K-1042, thanks"), [_number("K-1042")]),
    (_paid("k-1042"), [_number("K-1042")]),
    (_paid("7"), [_number("7")]),
    (_paid("for 104200"), [_number("104200")]),
    (_paid("Konto 12 AB 7"), [_number("12 AB 7")]),
    (_paid("RF92 A104 2"), [_number("A1042")]),
    (_paid("2026-417"), [Hit(ANNA, Clue.INVOICE, "2026-417")]),
    (_paid("pays 2026-11"), [Hit(ANNA, Clue.INVOICE, "2026-11"), Hit(ANNA, Clue.AMOUNT, "2026-11")]),
    (_paid(username="anna"), [Hit(ANNA, Clue.USERNAME, "anna")]),
    (_paid("line anna.77"), [Hit(ANNA, Clue.USERNAME, "anna.77")]),
    (_paid(phone="+48 600-100-200"), [Hit(ANNA, Clue.PHONE, "600100200")]),
    # who it is for goes before who paid
    (_paid("K-1042", phone="600100200"), [_number("K-1042"), Hit(ADAM, Clue.PHONE, "600100200")]),
    (
        _paid(payer="Nowak (PL61 1090 1014)"),
        [Hit(ANNA, Clue.PAYER, "x"), Hit(ANNA, Clue.AMOUNT, "2026-3"), Hit(ADAM, Clue.AMOUNT, "2026-4")],
    ),
]


@pytest.mark.parametrize(("one", "hits"), SURE)
def test_one_sure_match(one: Incoming, hits: list[Hit]) -> None:
    """It is whose number, invoice, user name, phone, or account and amount it is; and the explanation says why."""
    found = match(one, hits)
    assert found.subscriber_id == ANNA, found
    assert found.explanation.startswith("One sure match: ")
    assert found.candidates[0].subscriber_id == ANNA or one.phone


UNSURE = [
    (_paid("thanks"), [], "Nothing in it belongs to any customer."),
    (_paid("K-1042 and K-2000"), [_number("K-1042"), _number("K-2000", ADAM)], "more than one customer"),
    (_paid("flat 7"), [_number("7")], "Nothing in it is sure."),
    (_paid("number 150"), [_number("150")], "Nothing in it is sure."),
    (_paid("year 2026"), [_number("2026")], "Nothing in it is sure."),
    (_paid("paid 1500.00", amount_minor=150000), [_number("1500")], "Nothing in it belongs to any"),
    (_paid("paid 1500", amount_minor=150000), [_number("1500")], "Nothing in it is sure."),
    (_paid("November 2026-11"), [Hit(ANNA, Clue.INVOICE, "2026-11")], "Nothing in it is sure."),
    (_paid("internet for home"), [Hit(ANNA, Clue.USERNAME, "home")], "Nothing in it is sure."),
    (_paid(), [Hit(ANNA, Clue.AMOUNT, "2026-3")], "Nothing in it is sure."),
    (_paid(payer="Anna Nowak"), [Hit(ANNA, Clue.NAME, "Anna Nowak")], "Nothing in it is sure."),
    (_paid(payer="Anna Nowak"), [Hit(ANNA, Clue.PAYER, "x"), Hit(ANNA, Clue.AMOUNT, "2026-3")], "Nothing in it is"),
    (
        _paid(payer="PL61109010140000"),
        [
            *(Hit(who, Clue.PAYER, "x") for who in (ANNA, ADAM)),
            *(Hit(who, Clue.AMOUNT, "2026-3") for who in (ANNA, ADAM)),
        ],
        "Nothing in it is sure.",
    ),
    (_paid(phone="600100200"), [Hit(who, Clue.PHONE, "600100200") for who in (ANNA, ADAM)], "more than one customer"),
    (_paid("flat 22", phone="600100200"), [Hit(ANNA, Clue.PHONE, "600100200"), _number("22", ADAM)], "sure"),
    (_paid("K-1042", username="nobody"), [_number("K-1042")], "user name that nobody has"),
]


@pytest.mark.parametrize(("one", "hits", "says"), UNSURE)
def test_what_is_unsure_waits(one: Incoming, hits: list[Hit], says: str) -> None:
    """Two customers, words that stand there by chance, only an amount, only a name: candidates with reasons."""
    found = match(one, hits)
    assert found.subscriber_id is None, found
    assert says in found.explanation
    assert all(one.reasons for one in found.candidates)


def test_the_likeliest_comes_first() -> None:
    """More and stronger clues before fewer and weaker ones, each with its reasons."""
    one = _paid("flat 7", payer="Anna Nowak")
    hits = [
        Hit(ADAM, Clue.AMOUNT, "2026-9"),
        Hit(ANNA, Clue.NAME, "Anna Nowak"),
        Hit(ANNA, Clue.AMOUNT, "2026-3"),
        Hit(3, Clue.NUMBER, "7"),
    ]
    found = match(one, hits).candidates
    assert [candidate.subscriber_id for candidate in found] == [3, ANNA, ADAM]
    assert found[1].reasons == (
        "exactly this amount is open on invoice 2026-3",
        "payer and customer have the same name",
    )


words = st.sampled_from(
    ["K-1042", "K-2000", "7", "home", "anna.77", "2026", "2026-11", "2026-417", "600100200", "1500"]
)
payments = st.builds(
    lambda said, username, phone, payer: _paid(" ".join(said), username=username, phone=phone, payer=payer),
    st.lists(words, max_size=4),
    st.sampled_from(["", "home", "nobody"]),
    st.sampled_from(["", "+48600100200", "x"]),
    st.sampled_from(["", "Anna Nowak", "PL61109010140000"]),
)
hits = st.lists(st.builds(Hit, st.integers(1, 4), st.sampled_from(Clue), words), max_size=8)


@given(payments, hits, st.randoms(use_true_random=False))
def test_the_order_in_which_clues_are_found_means_nothing(one: Incoming, found: list[Hit], random: Any) -> None:
    """Shuffled and doubled clues end in the same match, and a chosen customer has a reason."""
    said = match(one, found)
    again = found + found[:2]
    random.shuffle(again)
    assert match(one, again) == said
    if said.subscriber_id is not None:
        assert said.subscriber_id in {hit.subscriber_id for hit in found}
        assert not {hit.clue for hit in found if hit.subscriber_id == said.subscriber_id} <= {Clue.AMOUNT, Clue.NAME}


@given(payments, hits)
def test_a_second_sure_customer_makes_it_unsure(one: Incoming, found: list[Hit]) -> None:
    """Whoever it seemed to be from: with another customer's number in the reference, a person decides."""
    both = _paid(f"{one.reference} K-7777 K-8888", username=one.username, phone=one.phone, payer=one.payer)
    more = [*found, _number("K-7777", 77), _number("K-8888", 88)]
    assert match(both, more).subscriber_id is None


@given(st.text(max_size=200), st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_asked_about(reference: str, phone: str, payer: str) -> None:
    """What to look for is bounded, and never a mishap."""
    asked = wanted(_paid(reference, phone=phone, payer=payer))
    assert len(asked.words) <= 64 * 36
    assert all(len(end) == 8 for end in asked.phone_ends)


def test_creditor_references_are_checked() -> None:
    """ISO 11649's own example, also in groups; a wrong check digit is no reference."""
    assert list(creditor_references("RF18539007547034")) == ["539007547034"]
    assert "539007547034" in list(creditor_references("please: rf18 5390 0754 7034"))
    assert list(creditor_references("RF19539007547034 RF RF18")) == []


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+48 600-100-200", "48600100200"),
        ("0048 600 100 200", "48600100200"),
        ("(0)600.100.200", "600100200"),
        ("112", ""),
        ("K-600100200", ""),
        ("6" * 20, ""),
        ("٦٠٠١٠٠٢٠٠", ""),
    ],
)
def test_phones_are_compared_by_their_digits(text: str, digits: str) -> None:
    """Without what is only dialled first; what is no phone number is none."""
    assert phone_digits(text) == digits


@given(st.from_regex("[0-9A-Z]{1,21}", fullmatch=True))
def test_what_is_printed_on_an_invoice_is_found_again(number: str) -> None:
    """The customer number, from its reference in groups and without; the standard's own example."""
    reference = creditor_reference(number)
    for text in (reference, f"ref. {written_in_groups(reference).lower()}"):
        assert number in list(creditor_references(text))
    assert creditor_reference("539007547034") == "RF18539007547034"
    assert [creditor_reference(other) for other in ("K-1", "k1", "", "A" * 22, "١")] == [""] * 5
