"""Money on the command line: what each command books and says, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from fixtures_database import Database

STATEMENT = """Buchungstag;Verwendungszweck;Auftraggeber;Betrag
20.11.2026;Internet K-1;Zofia Kowalska;15,00
20.11.2026;danke;Adam Nowak;7,50
21.11.2026;Strom;Stadtwerke;-80,00
22.11.2026;K-1;Zofia Kowalska;abc
"""


def test_a_payment_has_a_receipt_and_a_day(isp: Any) -> None:
    """By hand, with the number of the receipt book, which is booked once, and the day on which it came."""
    words = ("payment", "add", "K-1", "--amount", "20", "--receipt-number", "R-7", "--on", "2026-11-01")
    paid = isp.ok(*words)
    assert (paid["receipt_number"], paid["received_at"][:10], paid["balance_minor"]) == ("R-7", "2026-11-01", 2000)
    assert "receipt number" in isp.refused(*words)
    assert "future" in isp.refused("payment", "add", "K-1", "--amount", "1", "--on", "2150-01-01")


def test_moments_and_customers_are_of_the_operators_place(isp: Any) -> None:
    """What is typed and what is printed mean one clock, which is named; what customers read is in its language."""
    isp.ok("operator", "set", "Wave", "--time-zone", "Asia/Kathmandu", "--language", "es")
    added = isp.ok("subscriber", "add", "K-2", "Ana")
    assert (added["language"], added["time_zone"]) == ("es", "Asia/Kathmandu")
    other = isp.ok("subscriber", "add", "K-3", "Bob", "--language", "en")
    assert (other["language"], other["time_zone"]) == ("en", "Asia/Kathmandu")
    words = ("hold", "add", "zofia", "--kind", "vip", "--reason", "a friend", "--until", "2150-12-05")
    assert "2150-12-05 00:00:00+0545" in isp(*words).out
    table = isp("hold", "list").out
    assert "(times of Asia/Kathmandu)" in " ".join(table.split())
    assert "2150-12-05 00:00:00" in table
    assert isp.ok("hold", "list")[0]["until"] == "2150-12-04T18:15:00+00:00"


def test_what_was_paid_goes_back(isp: Any) -> None:
    """A refund, a chargeback and a correction reopen the invoice; never more than is left."""
    isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due-in-days", "3")
    paid = isp.ok("payment", "add", "K-1", "--amount", "15.00")
    back = isp.ok("payment", "refund", str(paid["id"]), "--amount", "4.00", "--reason", "a bad week")
    assert (back["amount_minor"], back["left_minor"]) == (400, 1100)
    assert "More than is left" in isp.refused("payment", "chargeback", "1", "--amount", "11.01", "--reason", "x")
    isp.ok("payment", "chargeback", "1", "--amount", "1.00", "--reason", "the bank says so")
    number = isp.ok("invoice", "list")[0]["number"]
    found = isp.ok("invoice", "show", number)
    assert (found["open_minor"], [one["amount_minor"] for one in found["paid_by"]]) == (500, [1000])
    assert isp.ok("payment", "correct", "1", "--reason", "wrong customer")["left_minor"] == 0
    assert isp.ok("invoice", "show", number)["paid_by"] == []
    assert "Nothing is left" in isp.refused("payment", "refund", "1", "--reason", "x")
    assert isp.ok("payment", "list")[0]["went_back_minor"] == 1500


def test_credits_and_claims_given_up(isp: Any) -> None:
    """A credit pays, a write-off closes what is left, and both are corrected like payments."""
    isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due-in-days", "3", "--description", "November")
    assert isp.ok("credit", "add", "K-1", "--amount", "5", "--reason", "an outage")["left_minor"] == 0
    number = isp.ok("invoice", "list")[0]["number"]
    loss = isp.ok("invoice", "write-off", number, "--reason", "moved away")
    assert loss["amount_minor"] == 1000
    shown = isp("invoice", "show", number).out
    assert "November 15.00 EUR" in shown
    assert "write off" in shown
    assert "Nothing is left" in isp.refused("invoice", "write-off", number, "--reason", "x")
    isp.ok("payment", "correct", str(loss["payment"]), "--reason", "he came back")
    assert isp.ok("invoice", "show", number)["open_minor"] == 1000


def test_a_bank_statement_is_read_then_taken_in(isp: Any, tmp_path: Path) -> None:
    """A preview books nothing; applied, sure rows are booked, unsure ones wait; bad ones are written to be fixed."""
    file, bad = tmp_path / "november.csv", tmp_path / "bad.csv"
    file.write_bytes(STATEMENT.encode("cp1252"))
    read = isp.ok("payment", "import", str(file), "--bad-rows", str(bad))
    assert (read["payments"], read["total_minor"], read["skipped"], read["bad"]) == (2, 2250, 1, 1)
    assert isp.ok("payment", "list") == []
    header, row = bad.read_text().splitlines()
    assert header.endswith(",problem")
    assert "line 5: 'abc' is not an amount of EUR" in row
    done = isp.ok("payment", "apply", str(read["import"]))
    assert (done["booked"], done["review"], done["known"]) == (1, 1, 0)
    assert [one["amount_minor"] for one in isp.ok("payment", "list")] == [1500]
    assert "already" in isp.refused("payment", "apply", str(read["import"]))

    bad.write_text(bad.read_text().replace("abc", "9,99"))
    fixed = isp.ok("payment", "import", str(bad))
    assert isp.ok("payment", "apply", str(fixed["import"]))["booked"] == 1
    file.write_text(STATEMENT.replace("15,00", "15,00 EUR") + "23.11.2026;K-1;Zofia Kowalska;1,00\n")
    again = isp.ok("payment", "import", str(file))
    done = isp.ok("payment", "apply", str(again["import"]))
    assert (done["booked"], done["known"]) == (1, 2)


def test_the_review_is_decided(isp: Any, tmp_path: Path) -> None:
    """Listed with the likeliest customer, shown with reasons, assigned or dropped with a name to it."""
    file = tmp_path / "a.csv"
    file.write_text("date,amount,reference,payer\n2026-11-20,5.00,?,Zofia Kowalska\n2026-11-20,6.00,?,x\n")
    isp.ok("payment", "apply", str(isp.ok("payment", "import", str(file))["import"]))
    first, second = isp.ok("payment", "review", "list")
    assert (first["likeliest"], second["likeliest"]) == ("K-1", None)
    assert "K-1 (Zofia Kowalska): payer and customer have the same name" in isp(
        "payment", "review", "show", str(first["id"])
    ).out.replace("\n", " ")
    assert isp.ok("payment", "review", "assign", str(first["id"]), "K-1")["state"] == "booked"
    assert isp.ok("payment", "review", "drop", str(second["id"]), "--reason", "our own")["state"] == "dropped"
    shown = isp.ok("payment", "review", "show", str(second["id"]))
    assert (shown["state"], shown["decided_by"].startswith("cli:")) == ("dropped", True)
    assert isp.ok("payment", "review", "list") == []
    for number in (first["id"], second["id"]):
        assert "already" in isp.refused("payment", "review", "assign", str(number), "K-1")


def test_providers_and_tokens(isp: Any, database: Database, tmp_path: Path) -> None:
    """A secret from standard input, a file, or made and shown once; ended, the name is free. Nothing is in clear."""
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    isp.ok("provider", "add", "stripe", "--kind", "stripe", "--secret-stdin", typed=b"whsec_typed\n")
    isp.ok("provider", "add", "m-pesa", "--kind", "signed", "--secret-file", str(file))
    made = isp.ok("provider", "add", "till", "--kind", "signed", "--generate-secret")
    assert len(made["secret"]) >= 20
    assert made["address_path"].startswith("/hooks/")
    assert [one["name"] for one in isp.ok("provider", "list")] == ["m-pesa", "stripe", "till"]
    assert "name already" in isp.refused("provider", "add", "till", "--kind", "signed", "--generate-secret")
    isp.ok("provider", "end", "till")
    isp.ok("provider", "add", "till", "--kind", "signed", "--generate-secret")
    token = isp.ok("token", "add", "billing", "--scope", "payments", "--scope", "read")
    assert token["scopes"] == ["payments", "read"]
    assert token["token"].startswith("isp_")
    assert "name already" in isp.refused("token", "add", "billing", "--scope", "read")
    isp.ok("token", "end", "billing")
    assert isp.ok("token", "list")[0]["state"] == "ended"
    with database.as_superuser() as connection:
        stored = str(connection.execute("SELECT p, t FROM payment_providers AS p, api_tokens AS t").fetchall())
        told = str(connection.execute("SELECT data FROM audit_events").fetchall())
    for secret in ("whsec_typed", "from a file", made["secret"], token["token"]):
        assert secret not in stored + told + isp("provider", "list").out + isp("token", "list").out


NONSENSE = [
    ["payment", "refund", "7", "--reason", "x"],
    ["payment", "refund", "0", "--reason", "x"],
    ["payment", "add", "K-1", "--amount", "1", "--receipt-number", ""],
    ["payment", "add", "K-1", "--amount", "1", "--on", "yesterday"],
    *(["payment", "add", "K-1", "--amount", text] for text in ("0", "NaN", "1,50", "1e3", "٣", "9" * 30, "1.005", "")),
    ["credit", "add", "K-1", "--amount", "1", "--reason", " "],
    ["credit", "add", "nobody", "--amount", "1", "--reason", "x"],
    ["invoice", "show", "x"],
    ["invoice", "write-off", "2026-1", "--reason", "x"],
    ["payment", "import", "/nowhere.csv"],
    ["payment", "import", "/"],
    ["payment", "import", "{empty}"],
    ["payment", "import", "{noise}"],
    ["payment", "import", "{good}", "--decimal-comma", "--decimal-point"],
    ["payment", "import", "{good}", "--payer", "Nobody"],
    ["payment", "import", "{good}", "--source", ""],
    ["payment", "import", "{good}", "--source", "s" * 65],
    ["payment", "import", "{good}", "--date-format", "dd.mm"],
    ["payment", "import", "{good}", "--bad-rows", "/nowhere/x"],
    ["payment", "apply", "7"],
    ["payment", "review", "show", "7"],
    ["payment", "review", "assign", "7", "K-1"],
    ["payment", "review", "assign", "7"],
    ["payment", "review", "assign", "7", "K-1", "--payment", "1"],
    ["payment", "review", "drop", "7", "--reason", ""],
    ["provider", "add", "Pay Pal", "--kind", "signed", "--generate-secret"],
    ["provider", "add", "paypal", "--kind", "pigeon", "--generate-secret"],
    ["provider", "add", "paypal", "--kind", "signed"],
    ["provider", "end", "nobody"],
    ["token", "add", "", "--scope", "read"],
    ["token", "add", "x"],
    ["token", "add", "x", "--scope", "everything"],
    ["token", "end", "nobody"],
    ["operator", "add", "x", "--currency", "XXX"],
    ["operator", "add", "x", "--currency", "BTC"],
]


def test_nonsense_is_refused_and_stores_nothing(isp: Any, database: Database, tmp_path: Path) -> None:
    """Each in one sentence; no row of any kind is left behind."""
    files = {"empty": b"", "noise": bytes(range(256)) * 4, "good": b"date,amount\n2026-11-20,5.00\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    before = _counts(database)
    for words in NONSENSE:
        sentence = isp.refused(*(word.format(**{name: tmp_path / name for name in files}) for word in words))
        assert len(sentence) > 15, words
        assert "psycopg" not in sentence, words
    assert _counts(database) == before


def _counts(database: Database) -> list[Any]:
    tables = ("payments", "invoices", "imports", "import_rows", "incoming_payments", "payment_providers", "api_tokens")
    with database.as_superuser() as connection:
        return [connection.execute(f"SELECT count(*) FROM {name}").fetchone() for name in (*tables, "audit_events")]  # noqa: S608 - the names above


@pytest.mark.parametrize(("currency", "amount", "said"), [("JPY", "1500", "1500 JPY"), ("KWD", "1.250", "1.250 KWD")])
def test_each_currency_has_its_own_minor_units(command: Any, currency: str, amount: str, said: str) -> None:
    """Yen have none, dinars three; what is typed is what is shown."""
    command.ok("operator", "add", "Wave", "--currency", currency)
    command.ok("subscriber", "add", "K-1", "x")
    assert command.ok("payment", "add", "K-1", "--amount", amount)["amount"] == said
    assert "decimals" in command.refused("payment", "add", "K-1", "--amount", amount + ("1" if "." in amount else ".5"))
