"""Quotas and live views on the command line, and that none of them reads raw accounting."""

from typing import Any

import pytest
from fixtures_database import Database, Isp
from sqlalchemy import text

from sql import traffic

GB = 10**9


@pytest.fixture
def metered(isp: Any, database: Database) -> Isp:
    """Anna has 100 GB a month, is online, and has used something."""
    isp.ok("plan", "add", "Fair", "--rate", "10M/50M", "--tier", "month:100G:2M/2M", "--tier", "day:0.5T:stop")
    isp.ok("subscriber", "add", "K-9", "Anna")
    isp.ok(
        "service", "add", "anna9", "--subscriber", "K-9", "--plan", "Fair", "--method", "pppoe", "--generate-password"
    )
    isp.ok("router", "add", "tower-9", "--address", "10.9.0.1", "--generate-secret")
    town = Isp(database, 1)
    town.review()
    with town.worker() as session:
        service = session.execute(text("SELECT id, authorised_stamp FROM services WHERE username = 'anna9'")).one()
        router = session.execute(text("SELECT id FROM routers WHERE name = 'tower-9'")).one()
    with database.as_superuser() as connection:
        for key, by in (("one", "stop"), ("two", None)):
            connection.execute(
                "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, "
                "applied_stamp, started_at, last_seen_at, upload_bytes, download_bytes, ended_by, ended_at, "
                "terminate_cause) VALUES (1, %s, %s, %s, 'anna9', %s, %s, now(), now(), 5, 10, %s, "
                "CASE WHEN %s THEN now() END, 'User-Request')",
                (router.id, service.id, key, key, service.authorised_stamp, by, by is not None),
            )
        values = (service.id, GB, 2 * GB, 3 * GB)
        connection.execute("INSERT INTO usage_days VALUES (1, %s, current_date, %s, %s, %s)", values)
        connection.execute(
            "INSERT INTO usage_hours (operator_id, service_id, hour, upload_bytes, download_bytes, counted_bytes) "
            "VALUES (1, %s, date_trunc('hour', now()), %s, %s, %s)",
            values,
        )
    return town


def test_a_quota_is_shown_and_topped_up(isp: Any, metered: Isp) -> None:
    """Each limit with what is left and how far it can be passed; more is given by name, or sold with an invoice."""
    shown = {row["span"]: row for row in isp.ok("quota", "show", "anna9")}
    assert (shown["month"]["allowed_bytes"], shown["month"]["reached"]) == (100 * GB, 0)
    assert shown["month"]["overshoot_bytes"] == isp.ok("plan", "show", "Fair")["overshoot_bytes"] == 7_500_000 * 305
    assert "by day and month" in isp.refused("quota", "topup", "anna9", "--gb", "10", "--reason", "kind")
    assert "no limit by week" in isp.refused(
        "quota", "topup", "anna9", "--gb", "10", "--reason", "kind", "--span", "week"
    )
    given = isp.ok("quota", "topup", "anna9", "--gb", "10", "--reason", "kind", "--span", "month", "--price", "5.00")
    assert (given["bytes"], given["invoice_id"] is not None) == (10 * GB, True)
    shown = {row["span"]: row for row in isp.ok("quota", "show", "anna9")}
    assert (shown["month"]["allowed_bytes"], shown["day"]["allowed_bytes"]) == (110 * GB, 500 * GB)
    assert given["until"] == shown["month"]["ends_at"]
    assert "month" in isp("quota", "show", "anna9").out
    for nonsense in ("month", "year:1G:1M", "month:1G:fast", "month:-1G:1M", "day:1:1M"):
        assert "is not a tier" in isp.refused("plan", "change", "Fair", "--tier", nonsense)
    assert "is not a share" in isp.refused("plan", "change", "Fair", "--warn-at", "80,x")
    stated = "at most 2.3 GB beyond a limit (2.3 % of the smallest, 100.0 GB): 7.5 MB a second at full speed"
    assert stated in isp.ok("plan", "show", "Fair")["overshoot"]
    assert stated in isp("quota", "show", "anna9").out
    isp.ok("plan", "change", "Fair", "--tier", "none", "--warn-at", "none", "--carry-over-gb", "5")
    facts = isp.ok("plan", "show", "Fair")["facts"]
    assert (facts.get("tiers", []), facts["warn_percents"], facts["carry_over_bytes"]) == ([], [], 5 * GB)
    isp.ok("service", "list")


def test_hours_that_count_for_less_are_said_and_shown(isp: Any) -> None:
    """By hours, days and percent as they are typed again, on the operator's clock; nonsense is refused."""
    (name,) = (one["name"] for one in isp.ok("operator", "list"))
    isp.ok("operator", "set", name, "--time-zone", "Europe/Warsaw")
    rules = ("01:00-06:00=0", "sat-mon 22:00-02:00=0/50", "fri,sat 00:00-24:00=200")
    options = [word for rule in rules for word in ("--usage-rule", rule)]
    made = isp.ok("plan", "add", "Night", "--rate", "10M/50M", "--quota-gb", "100", *options)
    assert made["counts"] == ["01:00-06:00=0", "mon,sat,sun 22:00-02:00=0/50", "fri,sat 00:00-24:00=200"]
    assert (made["counts_by"], made["overshoot_bytes"]) == ("Europe/Warsaw", 15_000_000 * 305)
    assert isp.ok("plan", "show", "Night")["facts"]["time_zone"] == "Europe/Warsaw"
    assert "01:00-06:00=0" in isp("plan", "show", "Night").out
    isp.ok("plan", "add", "Later", "--quota-gb", "100")
    changed = isp.ok("plan", "change", "Later", "--usage-rule", "00:00-24:00=0/100")
    assert (changed["counts"], changed["counts_by"]) == (["00:00-24:00=0/100"], "Europe/Warsaw")
    assert "counts" not in isp.ok("plan", "change", "Later", "--usage-rule", "none")
    for nonsense in ("", "night=0", "01:00-06:00", "25:00-06:00=0", "01:60-06:00=0", "01:00-01:00=0", "24:00-01:00=0",
                     "01:00-24:01=0", "01:00-06:00=1001", "01:00-06:00=-1", "01:00-06:00=0/1/2", "xmas 01:00-06:00=0",
                     "mon- 01:00-06:00=0", ", 01:00-06:00=0", "0١:00-06:00=0"):  # fmt: skip
        said = isp.refused("plan", "change", "Later", "--usage-rule", nonsense)
        assert any(words in said for words in ("is no rule", "has hours", "more than 1000", "has a day")), said
    twice = ("--usage-rule", "01:00-06:00=0", "--usage-rule", "01:00-06:00=50")
    assert "never hold" in isp.refused("plan", "change", "Later", *twice)
    many = [word for one in range(33) for word in ("--usage-rule", f"01:{one:02}-06:00=0")]
    assert "at most 32" in isp.refused("plan", "change", "Later", *many)


def test_what_was_left_is_shown_before_it_matters(isp: Any, metered: Isp, database: Database) -> None:
    """Carried bytes are part of what is allowed from the first day on; the slowest session bounds the overshoot."""
    isp.ok("plan", "change", "Fair", "--carry-over-gb", "30")
    metered.review()
    for change in [one for one in isp.ok("change", "list") if one["username"] == "anna9"]:
        assert "at most 2.3 GB beyond a limit" in isp("change", "show", str(change["id"])).out
    with database.as_superuser() as connection:
        connection.execute("UPDATE services SET created_at = now() - interval '1 year'")
        connection.execute("UPDATE sessions SET interim_interval_s = 600")
    shown = {row["span"]: row for row in isp.ok("quota", "show", "anna9")}
    assert (shown["month"]["allowed_bytes"], shown["day"]["allowed_bytes"]) == (130 * GB, 500 * GB)
    assert shown["month"]["overshoot_bytes"] == 7_500_000 * 605


def test_who_is_online_and_what_was_used(isp: Any, metered: Isp) -> None:
    """By router, plan and state, page by page; with a plot, the heaviest, and why sessions ended."""
    (row,) = isp.ok("online", "--router", "tower-9", "--plan", "Fair", "--state", "granted")
    assert (row["username"], row["rate_limit"], row["state"]) == ("anna9", "10M/50M", "granted")
    assert isp.ok("online", "--state", "quiet") == []
    assert isp.ok("online", "--after", str(row["id"])) == []
    assert "is no key" in isp.refused("online", "--after", "x")
    first, second = isp.ok("sessions", "anna9")
    assert [first["why"], second["why"]] == ["", "the router said User-Request"]
    assert isp.ok("sessions", "anna9", "--after", str(first["id"])) == [second]
    assert "3.0 GB" in isp("usage", "show", "anna9").out
    assert "#" in isp("usage", "show", "anna9", "--by", "hour").out
    assert "neither" in isp.refused("usage", "show", "anna9", "--by", "year")
    assert [one["bytes"] for one in isp.ok("usage", "top")] == [3 * GB]
    assert "anna9" in isp("online").out + isp("usage", "top").out


def test_no_page_reads_raw_accounting(metered: Isp) -> None:
    """Every view is planned over open sessions and roll-ups, by an index, where there are many rows."""
    values = {"operator": 1, "after": 0, "most": 10, "service": 1, "since": "2026-11-01"}
    queries = {
        traffic.ONLINE.format(filters=""): "sessions_online",
        traffic.SESSIONS: "sessions_service",
        traffic.HOURS: "usage_hours_pkey",
        traffic.DAYS: "usage_days",
        traffic.TOP: "usage_days_top",
    }
    with metered.worker() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_bitmapscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        for query, index in queries.items():
            plan = "\n".join(session.execute(text(f"EXPLAIN {query}"), values).scalars())
            assert index in plan, plan
            assert "accounting_records" not in plan
            assert "Seq Scan on sessions" not in plan
            assert "Seq Scan on usage" not in plan
