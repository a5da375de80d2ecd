"""Each noun of the command line: what it stores, and what it says."""

from pathlib import Path
from typing import Any

import pytest
from fixtures_database import Database, Isp

PAGES = ("plan", "subscriber", "service", "router", "invoice", "payment", "hold", "change", "operator")


def _isp(database: Database) -> Isp:
    """What the worker knows of the one operator."""
    return Isp(database, 1)


def test_empty_lists_say_what_to_do_first(command: Any) -> None:
    """Without an operator, and then with one: each list says in one line what comes first."""
    for noun in PAGES:
        said = command(noun, "list")
        assert "ispagents operator add" in said.out + said.err, noun
    command.ok("operator", "add", "Wave", "--currency", "EUR")
    for noun in PAGES[:-1]:
        said = command(noun, "list")
        assert (said.code, said.err) == (0, "")
        assert said.out.count("\n") == 1, noun
        assert f"ispagents {noun} add" in said.out or noun == "change"


def test_tables_fit_a_hundred_columns(isp: Any) -> None:
    """Whatever the names: no line is wider, and no letter steers the terminal."""
    odd = "\x1b[31m\u202e" + "ł" * 90
    isp.ok("subscriber", "add", odd, odd + "\nsecond line\t")
    isp.ok("plan", "add", odd)
    isp.ok("service", "add", odd, "--subscriber", odd, "--plan", odd, "--generate-password")
    isp.ok("router", "add", odd, "--address", "10.1.1.1", "--generate-secret")
    isp.ok("invoice", "add", odd, "--amount", "15.00", "--due", "2026-12-01", "--description", odd)
    isp.ok("payment", "add", odd, "--amount", "1", "--note", odd, "--external-id", odd)
    isp.ok("hold", "add", odd, "--until", "2150-01-01", "--reason", odd)
    for noun in PAGES:
        said = isp(noun, "list")
        assert said.code == 0
        assert max(len(line) for line in said.out.splitlines()) <= 100, noun
        assert said.out.replace("\n", "").isprintable(), noun
    for words in (("service", "show", odd), ("subscriber", "show", odd), ("timeline", odd), ("plan", "show", odd)):
        assert isp(*words).out.replace("\n", "").isprintable(), words


def test_a_plan_gets_versions(isp: Any) -> None:
    """An edit keeps what is not named; the looks of a suspended service are edited one by one."""
    first = isp.ok("plan", "show", "Home 50")
    assert (first["version"], first["rate_limit"], first["price"]) == (1, "10M/50M", "15.00 EUR")
    isp.ok("plan", "change", "Home 50", "--suspended-list", "walled", "--quota-gb", "0.5")
    isp.ok("plan", "change", "Home 50", "--suspended-rate", "64k/64k", "--price", "0")
    found = isp.ok("plan", "show", "Home 50")
    assert (found["version"], found["price_minor"]) == (3, 0)
    look = found["facts"]["suspended"]
    assert (look["look"], look["address_list"], look["rate_limit"]) == ("restrict", "walled", "64k/64k")
    assert found["facts"]["quota_bytes"] == 500_000_000
    assert found["facts"]["address_lists"] == ["online"]
    isp.ok(
        "plan",
        "change",
        "Home 50",
        "--address-list",
        "",
        "--facts",
        '{"tiers": [{"from_bytes": 9, "rate_limit": "1M"}]}',
    )
    found = isp.ok("plan", "show", "Home 50")
    assert "address_lists" not in found["facts"]
    tier = {"span": "period", "action": "throttle", "from_bytes": 9, "rate_limit": "1M/1M"}
    assert found["facts"]["tiers"] == [tier]


def test_a_subscriber_is_found(isp: Any) -> None:
    """By the beginning of the number or of the name, page by page; show has services, invoices and the balance."""
    for number in range(5):
        isp.ok(
            "subscriber", "add", f"K-2{number}", f"Adam {number}", "--language", "pl", "--time-zone", "Europe/Warsaw"
        )
    page = isp.ok("subscriber", "list", "--search", "adam", "--limit", "2")
    assert [row["reference"] for row in page] == ["K-20", "K-21"]
    said = isp("subscriber", "list", "--search", "adam", "--limit", "2", "--after", "K-21")
    assert "--after K-23" in said.out
    isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due-in-days", "-3")
    isp.ok("payment", "add", "K-1", "--amount", "5")
    found = isp.ok("subscriber", "show", "K-1")
    assert (found["balance_minor"], len(found["services"]), len(found["open_invoices"])) == (-1000, 1, 1)
    assert "-10.00 EUR" in isp("subscriber", "show", "K-1").out


@pytest.mark.parametrize("way", ["stdin", "file", "generate"])
def test_a_password_comes_by_any_way_but_an_argument(isp: Any, tmp_path: Path, way: str, database: Database) -> None:
    """Standard input, a file, or made and printed once; it is stored sealed and never shown again."""
    file = tmp_path / "password"
    file.write_text("from a file\n")
    options = {
        "stdin": ["--password-stdin"],
        "file": ["--password-file", str(file)],
        "generate": ["--generate-password"],
    }
    words = ["--subscriber", "K-1", "--plan", "Home 50", *options[way]]
    said = isp.ok("service", "add", "adam", *words, typed=b"from stdin\r\n")
    password = {"stdin": "from stdin", "file": "from a file"}.get(way) or said["password"]
    assert ("password" in said) == (way == "generate")
    assert len(password) >= 10
    for noun in ("show",):
        assert password not in isp("service", noun, "adam").out
    with database.as_superuser() as connection:
        assert password not in str(connection.execute("SELECT * FROM services").fetchall())
    again = isp.ok("service", "password", "adam", *options[way], typed=b"another\n")
    assert again.get("password") != password


def test_a_service_without_password_is_a_mac(isp: Any) -> None:
    """--no-password is for MAC logins; without any way to a password nothing is added and nothing is asked."""
    words = ("--subscriber", "K-1", "--plan", "Home 50", "--method", "dhcp")
    isp.ok("service", "add", "00:11:22:33:44:55", *words, "--no-password")
    assert "MAC" in isp.refused("service", "add", "adam", *words, "--no-password")
    assert "--generate-password" in isp.refused("service", "add", "adam", *words)
    assert "not both" in isp.refused("service", "add", "adam", *words, "--no-password", "--password-stdin")
    assert "one way" in isp.refused("service", "add", "adam", *words, "--generate-password", "--password-stdin")
    assert len(isp.ok("service", "list")) == 2


def test_a_service_tells_its_story(isp: Any, database: Database) -> None:
    """From `not authorised yet` over online to a waiting suspension, each with why and what to do next."""
    found = isp.ok("service", "show", "zofia")
    assert found["access"] is None
    assert "ispagents up" in found["why"] + found["next"][0]
    worker = _isp(database)
    worker.review()
    found = isp.ok("service", "show", "zofia")
    assert (found["access"], found["authorised_plan"]) == ("grant", "Home 50, version 1")
    with worker.web() as session:
        service = listing_service(session)
    worker.online(service, worker.router(), service.authorised_stamp)
    isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due-in-days", "-30")
    worker.review()
    found = isp.ok("service", "show", "zofia")
    assert [one["in_line"] for one in found["sessions"]] == [True]
    assert found["waiting_changes"][0]["kind"] == "suspend"
    text = isp("service", "show", "zofia").out
    assert "The service has what its plan gives." in text
    assert f"ispagents change show {found['waiting_changes'][0]['id']}" in text
    isp.ok("change", "approve", str(found["waiting_changes"][0]["id"]), "--yes")
    found = isp.ok("service", "show", "zofia")
    assert (found["access"], found["sessions"][0]["in_line"]) == ("restrict", False)
    assert any("ispagents payment add K-1" in one for one in found["next"])


def listing_service(session: Any) -> Any:
    """The one service."""
    from sql.customers import service_by_username  # noqa: PLC0415 - beside its only use

    return service_by_username(session, 1, "zofia")


def test_what_is_wanted_of_a_service_changes(isp: Any) -> None:
    """Plan, address, routes and prepaid time are set and taken away again; bindings are released."""
    isp.ok("plan", "add", "Office", "--rate", "50M/50M")
    row = isp.ok(
        *("service", "set", "zofia", "--plan", "Office", "--address", "10.3.3.3", "--route", "10.4.0.0/24"),
        *("--prepaid-until", "2027-01-01", "--ipv6-prefix", "2001:db8::/64", "--bind-mac"),
    )
    assert (row["plan"], row["address"], row["routes"]) == ("Office", "10.3.3.3", ["10.4.0.0/24"])
    row = isp.ok("service", "set", "zofia", "--address", "", "--route", "", "--prepaid-until", "none")
    assert (row["address"], row["routes"], row["prepaid_until"]) == ("", [], None)
    assert "released_mac" in isp.ok("service", "unbind", "zofia")
    closed = isp.ok("service", "close", "zofia", "--give-back")
    assert (closed["standing"], closed["given_back"]) == ("closed", "0.00 EUR")
    assert "is closed" in isp.refused("service", "set", "zofia", "--plan", "Office")


def test_routers_come_and_go(isp: Any) -> None:
    """Added with a secret that is printed once, changed, and removed; its name is free again."""
    row = isp.ok("router", "add", "tower", "--address", "10.1.1.1", "--generate-secret", "--coa-port", "1700")
    assert len(row["secret"]) == 32
    assert "secret" not in isp.ok("router", "show", "tower")
    row = isp.ok("router", "set", "tower", "--coa-address-list", "--no-require-message-authenticator")
    assert (row["coa_address_list"], row["require_message_authenticator"], row["coa_port"]) == (True, False, 1700)
    isp.ok("router", "set", "tower", "--secret-stdin", typed=b"long enough\n")
    isp.ok("router", "remove", "tower")
    assert isp.ok("router", "list") == []
    isp.ok("router", "add", "tower", "--address", "10.1.1.1", "--generate-secret")
    assert "no RADIUS node" in isp.refused("router", "set", "tower", "--node", "nowhere")


def test_money_comes_and_is_told(isp: Any) -> None:
    """An invoice, a payment that is reported twice, and an invoice that is taken back."""
    first = isp.ok("invoice", "add", "K-1", "--amount", "15.00", "--due", "2026-12-01")
    second = isp.ok("invoice", "add", "K-1", "--amount", "0.01", "--due", "2026-12-01T10:00+01:00")
    assert (second["number"], second["due_at"]) == (f"{first['number'][:4]}-2", "2026-12-01T09:00:00+00:00")
    assert first["due_on"] == second["due_on"] == "2026-12-01"
    words = ("payment", "add", "K-1", "--amount", "10", "--external-id", "bank 1", "--method", "bank")
    assert [isp.ok(*words)["new"], isp.ok(*words)["new"]] == [True, False]
    assert "not booked twice" in isp(*words).out
    assert [row["state"] for row in isp.ok("invoice", "list")][-1] in {"open", "overdue"}
    assert isp.ok("invoice", "void", second["number"])["state"] == "void"
    assert isp.ok("invoice", "void", first["number"], "--reason", "a mistake")["state"] == "void"
    assert [row["open_minor"] for row in isp.ok("invoice", "list", "--subscriber", "K-1")] == [0, 0]
    assert [row["amount_minor"] for row in isp.ok("payment", "list")] == [1000]


def test_holds_are_promised_and_ended(isp: Any) -> None:
    """A hold says who promised; it can be ended early."""
    row = isp.ok("hold", "add", "zofia", "--until", "2150-01-01", "--reason", "pays on Friday")
    assert row["granted_by"].startswith("cli:")
    isp.ok("hold", "end", str(row["id"]))
    assert [one["state"] for one in isp.ok("hold", "list")] == ["ended"]
    assert "future" in isp.refused("hold", "add", "zofia", "--until", "2020-01-01", "--reason", "x")


def _awaiting(isp: Any, database: Database, count: int) -> list[int]:
    for number in range(count):
        isp.ok("subscriber", "add", f"S-{number}", "x")
        isp.ok(
            "service", "add", f"s{number}", "--subscriber", f"S-{number}", "--plan", "Home 50", "--generate-password"
        )
    _isp(database).review()
    for number in range(count):
        isp.ok("invoice", "add", f"S-{number}", "--amount", "1", "--due-in-days", "-30")
    _isp(database).review()
    return [row["id"] for row in isp.ok("change", "list", "--state", "awaiting_approval")]


def test_changes_are_shown_and_approved(isp: Any, database: Database) -> None:
    """The preview is printed before; each change is decided by itself; a refused one makes the exit code 2."""
    first, second, third = _awaiting(isp, database, 3)
    shown = isp.ok("change", "show", str(first))
    assert "suspend 's2'" in isp("change", "show", str(first)).out
    said = isp("change", "approve", str(first), "--hash", shown["preview_hash"])
    assert (said.code, said.err) == (0, "")
    assert "before: grant" in said.out
    assert f"Change {first} is approved." in said.out
    said = isp("change", "approve", str(first), "999", str(second), "--yes")
    assert said.code == 2
    assert f"Change {first} is approved already" in said.err
    assert "There is no change 999" in said.err
    assert f"Change {second} is approved." in said.out
    assert isp.ok("change", "reject", str(third), "--note", "a friend")["state"] == "rejected"
    states = {row["id"]: (row["state"], row["decided_by"]) for row in isp.ok("change", "list", "--kind", "suspend")}
    assert {state for state, _ in states.values()} == {"approved", "rejected"}
    assert all(by.startswith("cli:") for _, by in states.values())


def test_all_that_wait_are_approved(isp: Any, database: Database) -> None:
    """Narrowed by kind, without a question where --yes was said."""
    _awaiting(isp, database, 3)
    assert isp.ok("change", "approve", "--all-waiting", "--kind", "close", "--yes") == []
    found = isp.ok("change", "approve", "--all-waiting", "--kind", "suspend", "--yes")
    assert [one["approved"] for one in found] == [True] * 3
    assert "No change waits" in isp("change", "approve", "--all-waiting", "--yes").out


def test_an_approval_needs_a_terminal_or_a_word(isp: Any, database: Database) -> None:
    """Without a terminal, --yes or a hash nothing is approved; another hash is refused."""
    (change,) = _awaiting(isp, database, 1)
    assert "--yes" in isp.refused("change", "approve", str(change))
    said = isp("change", "approve", str(change), "--hash", "0" * 64)
    assert (said.code, "another preview" in said.err) == (2, True)
    for words in ([], ["--all-waiting", str(change)], ["--hash", "x", "1", "2"], ["--kind", "suspend", "1"]):
        isp.refused("change", "approve", *words)
    assert isp.ok("change", "show", str(change))["state"] == "awaiting_approval"


def test_on_a_terminal_it_asks(isp: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preview, then the question; anything but yes leaves the change as it is."""
    (change,) = _awaiting(isp, database, 1)
    for answer, state in ((b"\n", "awaiting_approval"), (b"n\n", "awaiting_approval"), (b"y\n", "approved")):
        said = isp_on_terminal(isp, monkeypatch, str(change), answer)
        assert said.code == 0
        assert "Approve? [y/N]" in said.out
        assert isp.ok("change", "show", str(change))["state"] == state


def isp_on_terminal(isp: Any, monkeypatch: pytest.MonkeyPatch, change: str, answer: bytes) -> Any:
    """Approve with an answer typed on what claims to be a terminal."""
    monkeypatch.setattr("ispagents.cli.change.sys", _Terminal())
    return isp("change", "approve", change, typed=answer)


class _Terminal:
    """The real streams, with a terminal on standard input."""

    class stdin:  # noqa: N801 - stands for sys.stdin
        """Claims to be a terminal."""

        @staticmethod
        def isatty() -> bool:
            """Say yes."""
            return True

    def __getattr__(self, name: str) -> Any:
        import sys  # noqa: PLC0415 - the real one, at the moment of the call

        return getattr(sys, name)


def test_a_stale_preview_is_renewed(isp: Any, database: Database) -> None:
    """The customer logs in after the person looked: refused, renewed, and then it can be approved."""
    (change,) = _awaiting(isp, database, 1)
    seen = isp.ok("change", "show", str(change))["preview_hash"]
    worker = _isp(database)
    with worker.web() as session:
        from sql.customers import service_by_username  # noqa: PLC0415 - beside its only use

        service = service_by_username(session, 1, "s0")
    worker.online(service, worker.router(), service.authorised_stamp)
    said = isp("change", "approve", str(change), "--hash", seen)
    assert (said.code, "look at it again" in said.err) == (2, True)
    renewed = isp.ok("change", "show", str(change))
    assert renewed["preview_hash"] != seen
    isp.ok("change", "approve", str(change), "--hash", renewed["preview_hash"])


def test_the_timeline_reads_as_lines(isp: Any, database: Database) -> None:
    """One line an entry with its time, or JSON."""
    _awaiting(isp, database, 1)
    lines = isp("timeline", "s0").out.splitlines()
    assert any("invoice" in line and "1.00 EUR" in line for line in lines)
    assert [row["kind"] for row in isp.ok("timeline", "s0", "--limit", "1")] != []


def test_the_schema_is_told_and_brought_up_to_date(command: Any) -> None:
    """Migrating twice is harmless, and status says that it is what is needed."""
    assert command.ok("db", "status")["up_to_date"] is True
    found = command.ok("db", "migrate")
    assert found["before"] == found["after"] == command.ok("db", "status")["revision"]
