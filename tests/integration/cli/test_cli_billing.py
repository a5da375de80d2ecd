"""The billing cycle on the command line: plans, periods, runs, discounts, fees, plan changes and top-ups."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

TODAY = datetime.now(UTC).date()
NOTHING_SOLD = ("billing", "discount", "fee")


@pytest.fixture
def shop(isp: Any) -> Any:
    """An ISP that charges, with a customer whose first period begins today."""
    isp.ok("plan", "change", "Home 50", "--period", "28 days", "--tax", "20", "--setup", "10.00")
    isp.ok("billing", "start")
    return isp


def test_a_month_of_billing(shop: Any) -> None:
    """Preview, run, run again; the invoice has the period, the setup fee, the discount and the fee, each once."""
    discount = shop.ok("discount", "add", "zofia", "--percent", "50", "--periods", "1", "--reason", "welcome")
    fee = shop.ok("fee", "add", "zofia", "--amount", "5", "--description", "a visit")
    assert (discount["less"], fee["tax_basis_points"]) == ("50 %", 2000)
    preview = shop.ok("billing", "preview")
    assert (preview["invoices"], preview["amount_minor"], preview["odd"][0]["why"]) == (1, 2250, "its first invoice")
    for _ in range(2):
        run = shop.ok("billing", "run")
        assert (run["state"], run["invoices"], run["amount_minor"], run["problems"]) == ("finished", 1, 2250, 0)
    assert shop.ok("billing", "preview")["invoices"] == 0
    assert [one["amount_minor"] for one in shop.ok("invoice", "list")] == [2250]
    assert shop.ok("discount", "list")[0]["state"] == "ended"
    assert shop.ok("fee", "list")[0]["state"] == "invoiced"
    assert "invoiced already" in shop.refused("fee", "cancel", "1")
    assert shop.ok("billing", "list")[0]["day"] == TODAY.isoformat()
    assert shop.ok("billing", "problems") == []
    assert "could be billed" in shop("billing", "problems").out


def test_a_plan_change_is_shown_before_it_is_done(shop: Any) -> None:
    """The preview changes nothing; done, it costs just that; at the end of the period it costs nothing now."""
    shop.ok("billing", "run")
    shop.ok("plan", "add", "Home 100", "--price", "30.00", "--period", "28 days", "--tax", "20")
    shown = shop.ok("service", "plan", "zofia", "Home 100", "--now", "--preview")
    assert (shown["given_back_minor"], shown["charged_minor"], shown["to_pay"]) == (1500, 3000, "15.00 EUR")
    assert shop.ok("service", "list")[0]["plan"] == "Home 50"
    later = shop.ok("service", "plan", "zofia", "Home 100", "--at-period-end")
    assert (later["on"], later["to_pay_minor"]) == ((TODAY + timedelta(days=28)).isoformat(), 0)
    assert later["next_period_on"] == later["on"] == shown["next_period_on"]
    assert shop.ok("service", "plan", "zofia", "Home 50", "--at-period-end")["state"] == "done"
    done = shop.ok("service", "plan", "zofia", "Home 100", "--now")
    assert {**done, "state": "preview"} == shown
    assert len(shop.ok("invoice", "list")) == 2


def test_prepaid_time_on_the_command_line(shop: Any) -> None:
    """A payment after the end renews by itself, a top-up prolongs from credit, and without credit it is refused."""
    shop.ok("plan", "add", "Day", "--billing", "prepaid", "--period", "48 hours", "--price", "2")
    words = ("--subscriber", "K-1", "--plan", "Day", "--generate-password")
    shop.ok("service", "add", "adam", *words)
    assert "2.00 EUR" in shop.refused("service", "topup", "adam")
    shop.ok("payment", "add", "K-1", "--amount", "7")
    first = shop.ok("service", "topup", "adam", "--periods", "2")
    assert (first["amount_minor"], first["invoice"][:4]) == (400, str(TODAY.year))
    until = datetime.fromisoformat(first["prepaid_until"])
    assert timedelta(hours=143) < until - datetime.now(UTC) <= timedelta(hours=144)
    assert "not prepaid" in shop.refused("service", "topup", "zofia")
    assert "stays prepaid" in shop.refused("plan", "change", "Day", "--billing", "recurring", "--period", "1 day")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "add", "x", "--period", "1 year"), "30 days"),
        (("plan", "add", "x", "--period", "12 hours"), "prepaid"),
        (("plan", "add", "x", "--period", "2 weeks", "--anchor-day", "3"), "anchor"),
        (("plan", "add", "x", "--anchor-day", "32"), "1 to 31"),
        (("plan", "add", "x", "--tax", "100.01"), "percentage"),
        (("plan", "add", "x", "--tax", "-1"), "percentage"),
        (("plan", "add", "x", "--setup", "1.234"), "decimals"),
        (("service", "plan", "zofia", "Home 50"), "--now or by --at-period-end"),
        (("service", "plan", "zofia", "Home 50", "--now"), "already"),
        (("service", "topup", "nobody"), "no service"),
        (("discount", "add", "zofia", "--reason", "x"), "one of the two"),
        (("discount", "add", "zofia", "--percent", "0", "--reason", "x"), "is none"),
        (("discount", "add", "zofia", "--amount", "1", "--until", "2020-01-01", "--reason", "x"), "future"),
        (("discount", "end", "7"), "no discount 7"),
        (("fee", "add", "zofia", "--amount", "0", "--description", "x"), "more than zero"),
        (("fee", "cancel", "7"), "no fee 7"),
        (("billing", "run", "--day", "2199-01-01"), "has not come"),
        (("billing", "run", "--day", "tomorrow"), "2026-12-05"),
        (("billing", "start", "--from", "1999-01-01"), "2000"),
    ],
)
def test_nonsense_is_refused(isp: Any, words: tuple[str, ...], said: str) -> None:
    """In one sentence that says what would be right."""
    assert said in isp.refused(*words)


def test_before_anything_is_charged(isp: Any) -> None:
    """Empty lists say what comes first, and a price of one's own needs a cycle that charges."""
    for noun in ("discount", "fee"):
        assert f"ispagents {noun} add" in isp(noun, "list").out
    assert "ispagents billing run" in isp("billing", "list").out
    assert "ispagents billing start" in isp("billing", "preview").out
    words = ("service", "add", "adam", "--subscriber", "K-1", "--plan", "Home 50", "--generate-password")
    assert "billing start" in isp.refused(*words, "--price", "9")
    isp.ok("billing", "start", "--from", (TODAY + timedelta(days=3)).isoformat())
    isp.ok(*words, "--price", "9", "--starts-on", (TODAY + timedelta(days=1)).isoformat())
    found = isp.ok("billing", "preview", "--day", (TODAY + timedelta(days=3)).isoformat())
    assert (found["invoices"], found["amount_minor"]) == (2, 2400)
    assert isp.ok("billing", "stop")
    assert isp.ok("billing", "run")["invoices"] == 0
