"""Processes are killed at any moment of a thousand changes; when it is calm again everything is as it was approved."""

import re
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from killed_world import KILLED, World, kills, world
from machine import command, eventually
from psycopg import sql
from sqlalchemy import text

from ispagents.database import embedded
from ispagents.demo import isp
from ispagents.settings import DATABASE

CUSTOMERS = 500
STAY_SUSPENDED = 20
PLAN_CHANGES = 60
CHANGES = 1000  # of 500 suspensions, 480 restorations and these; where some become one change, more plans are changed
APPROVED = "SELECT count(*) FROM changes WHERE state = 'approved' AND kind <> 'open'"
KILLS_EACH = 5  # more would make the supervisor wait longer and longer, as it should
HAPPENINGS = 1600  # of some 2,000, so that the last kill comes before it is calm
AT_ONCE = 100
DEADLINE_S = 600.0  # generous, as that of all waiting


@pytest.mark.timeout(900)  # on a machine as slow as ten of ours; it takes about a minute
def test_nothing_approved_is_lost_or_done_twice_whatever_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions have what was approved, nobody was thrown out twice, every byte is counted once, the audit is whole."""
    monkeypatch.setattr(isp, "SUBSCRIBERS", CUSTOMERS)
    seed = secrets.randbelow(10**9)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    with world(seed) as one:
        one.kills = kills(one.chance, KILLS_EACH, HAPPENINGS)
        a_thousand_changes(one)
        eventually(lambda: not one.approve_all() and not one.wrong(), lambda: f"seed {seed}: {one.wrong()[:20]}")

        assert set(one.killed) == set(KILLED), f"seed {seed}: {one.killed}"
        assert not one.kills, f"seed {seed}: {one.kills} were left when it was calm"
        assert one.count(APPROVED) >= CHANGES, f"seed {seed}"
        assert one.count("SELECT count(*) FROM steps WHERE state = 'refused'") == 0, f"seed {seed}"
        nobody_is_thrown_out_twice(one)
        bytes_are_counted_once(one)
        the_audit_is_whole(one)
        secrets_stay_where_they_belong(one)


def a_thousand_changes(one: World) -> None:
    """Everybody owes; whoever is restricted pays a while later; some want another plan meanwhile."""
    names = [customer.username for customer in one.customers]
    paying = set(one.chance.sample(names, CUSTOMERS - STAY_SUSPENDED))
    changing = one.chance.sample(names, PLAN_CHANGES)
    for start in range(0, CUSTOMERS, AT_ONCE):
        one.owe(one.customers[start : start + AT_ONCE])

    def all_have_paid() -> bool:
        one.approve_all()
        restricted = sorted(name for name, (suspended, *_) in one.authorised().items() if suspended)
        can = [name for name in restricted if name in paying - one.paid]
        for name in one.chance.sample(can, min(len(can), 60)):
            one.pay(name)
            if changing and one.chance.random() < 0.2:
                one.change_plan(changing.pop())
        return one.paid == paying

    eventually(all_have_paid, lambda: f"seed {one.seed}: {len(one.paid)} have paid", DEADLINE_S)
    for name in changing:
        one.change_plan(name)

    def are_enough() -> bool:
        # A change of plan that meets a payment under way becomes one change with it: how often is up to the machine.
        one.approve_all()
        missing = CHANGES - one.count(APPROVED)
        if missing > 0:
            one.change_plan(one.chance.choice(names))
        return missing <= 0

    eventually(are_enough, lambda: f"seed {one.seed}: {one.count(APPROVED)} changes", DEADLINE_S)


def nobody_is_thrown_out_twice(one: World) -> None:
    """A customer dials again only after a change of theirs, and once for each at most, however often it was sent."""
    query = "SELECT username, count(*) FROM changes JOIN services ON services.id = service_id WHERE state = 'approved'"
    rows = one.insist(lambda session: session.execute(text(f"{query} GROUP BY 1")).all())
    changes = dict(map(tuple, rows))
    sessions = Counter(result.session.client.login_name for result in one.field.logins if result.session is not None)
    # The opening is one of the changes, and the first dialling belongs to it.
    assert [name for name, count in sessions.items() if count > changes[name]] == [], f"seed {one.seed}"


def bytes_are_counted_once(one: World) -> None:
    """Every session that ever was is one row with its own counters, and usage is their sum."""
    for router in one.field.routers:
        sessions = one.field.read(lambda router=router: list(router.running.sessions))  # type: ignore[misc] # mypy cannot type it
        one.field.all([router.running.interim(session) for session in sessions])
        one.field.call(router.running.idle())
    query = "SELECT username, acct_session_id, upload_bytes, download_bytes FROM sessions"

    def stored() -> Counter[tuple[Any, ...]]:
        return Counter(map(tuple, one.insist(lambda session: session.execute(text(query)).all())))

    def uncounted() -> list[str]:
        rows = {row[:2]: row[2:] for row in stored()}
        said = [
            (result.session.client.login_name, result.session.session_id, result.session)
            for result in one.field.logins
            if result.session is not None
        ]
        assert len(said) >= CUSTOMERS
        wrong = [f"{len(rows)} rows for {len(said)} sessions"] if len(rows) != len(said) else []
        for name, session_id, session in said:
            up, down = rows.get((name, session_id), (-1, -1))
            # A session that is up goes on counting; what it had said before is what must be there.
            enough = up > 0 if session.online else (up, down) == (session.upload_octets, session.download_octets)
            if not enough or up > session.upload_octets or down > session.download_octets:
                wrong.append(f"{name} {session_id}: {up}, {down} of {session.upload_octets}, {session.download_octets}")
        return wrong

    eventually(lambda: not uncounted(), lambda: f"seed {one.seed}: {uncounted()[:20]}")
    assert max(stored().values()) == 1
    both = "SELECT sum(upload_bytes + download_bytes) FROM"
    assert one.count(f"{both} usage_hours") == one.count(f"{both} sessions")
    assert one.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == len(one.live())


def the_audit_is_whole(one: World) -> None:
    """`ispagents audit verify` finds nothing altered, missing or moved, and everything is sealed in the end."""
    verify = ("--state", str(one.machine.state.path), "audit", "verify")

    def sealed() -> bool:
        process = command(*verify)
        said, error = process.communicate()
        assert process.returncode == 0, f"seed {one.seed}: {said}{error}"
        return "wait to be sealed" not in said

    eventually(sealed)


def secrets_stay_where_they_belong(one: World) -> None:
    """No file but the replica and no row of the database holds a password or a router's secret in clear."""
    passwords = {customer.password.encode() for customer in one.customers if customer.password}
    routers = [router.secret.encode() for router in one.field.routers]
    form = re.compile(rb"demo-\d{9}")  # all at once: looking for each of 500 takes longer than everything else
    assert all(form.fullmatch(password) for password in passwords)

    def leaks(content: bytes) -> bool:
        return not passwords.isdisjoint(form.findall(content)) or any(secret in content for secret in routers)

    state = one.machine.state
    files = (path for path in state.path.rglob("*") if path.is_file() and state.replica not in path.parents)
    assert [str(path.relative_to(state.path)) for path in files if leaks(read(path))] == []
    server = embedded(state).running_server()
    assert server is not None
    with psycopg.connect(server.conninfo(DATABASE, "postgres"), autocommit=True) as superuser:
        tables = superuser.execute("SELECT schemaname, relname FROM pg_stat_user_tables").fetchall()
        assert len(tables) > 20
        for schema, table in tables:
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(schema, table))
            with superuser.cursor().copy(query) as copy:
                assert not leaks(b"\n".join(bytes(block) for block in copy)), table


def read(path: Path) -> bytes:
    """A file's bytes; one that was removed meanwhile has none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
