"""Routers' health, looked at on a simulated one: answers, silence, reboots, and what people read of it."""

import asyncio
import contextlib

import pytest
from fixtures_database import BOX
from held_town import HeldTown, held_town

from network.routeros.keeper import Keeper
from simulators.routeros import Break
from sql.models import Router
from sql.roles import Role
from sql.router_checks import health_rows, hours
from sql.router_store import set_api
from worker.health import HealthWatch


def look(town: HeldTown, times: int = 1) -> None:
    """So many looks, a minute apart."""

    async def turn() -> None:
        async with Keeper() as keeper:
            watch = HealthWatch(town.database.engine(Role.WORKER), keeper, BOX, "here")
            for _ in range(times):
                with town.database.as_superuser() as connection:
                    connection.execute("UPDATE router_checks SET checked_at = checked_at - interval '61 s'")
                watch._looks = 0
                await watch.look()
                await watch.finish()

    asyncio.run(turn())


def health(town: HeldTown) -> dict:
    """What is known of the router."""
    with town.isp.web() as session:
        (row,) = health_rows(session, [session.get_one(Router, town.router.id)])
    return row


def test_a_router_tells_how_it_is(database):
    """State, latency, version, clock and the counters of its RADIUS client; a reboot is noticed."""
    with held_town(database, clock_skew_s=120.0, version="7.16.1") as town:
        assert health(town)["paths"]["api"]["state"] == "unknown"
        look(town)

        row = health(town)
        api = row["paths"]["api"]
        assert (api["state"], api["error"], api["circuit"]) == ("online", "", "closed")
        assert api["latency_ms"] > 0
        assert (row["facts"]["version"], row["facts"]["board"]) == ("7.16.1", "CCR2004-1G-12S+2XS")
        assert abs(row["facts"]["clock_skew_s"] - 120) < 5
        (said,) = row["notes"]
        assert "seconds ahead" in said or "2 minutes ahead" in said

        with database.as_superuser() as connection:
            connection.execute(
                "UPDATE router_checks SET facts = jsonb_set(facts, '{started_at}', '\"2026-01-01T00:00:00+00:00\"') "
                "WHERE path = 'api'"
            )
        look(town)
        assert [one for one in health(town)["notes"] if "started anew" in one]
        with town.isp.web() as session:
            router = session.get_one(Router, town.router.id)
            long_ago = router.created_at.replace(year=2020)
            (hour,) = [one for one in hours(session, router, long_ago) if one["path"] == "api"]
        assert (hour["checks"], hour["failures"]) == (2, 0)


@pytest.mark.parametrize("trouble", ["gone", "password"])
def test_a_router_is_offline_after_three_looks_and_says_why(database, trouble):
    """Degraded, then offline, each with a sentence; back after two answers. Its breaker closes with the first."""
    with held_town(database) as town, contextlib.ExitStack() as stack:
        look(town)
        if trouble == "gone":
            port = town.device.port
            town.device.__exit__(None, None, None)
            stack.callback(town.device.__enter__)
        else:
            port = None
            _api(town, password="another one")
        states = []
        for _ in range(3):
            look(town)
            states.append(health(town)["paths"]["api"]["state"])
        api = health(town)["paths"]["api"]

        assert states == ["online", "degraded", "offline"]
        assert api["error"].startswith("127.0.0.1 port")
        assert ("refused the connection" if trouble == "gone" else "does not let") in api["error"]
        with database.engine(Role.WEB).connect() as connection:
            assert connection.exec_driver_sql("SELECT offline_routers FROM machine_health()").scalar_one() == 1

        if port is not None:
            stack.close()
            _api(town, port=town.device.port)
        else:
            _api(town, password="made-up for the api")
        with database.as_superuser() as connection:
            connection.execute(
                "INSERT INTO router_health (router_id, operator_id, path, misses, left_alone_until) "
                "SELECT id, operator_id, 'api', 3, now() + interval '1 minute' FROM routers"
            )
        look(town)
        assert (health(town)["paths"]["api"]["state"], health(town)["paths"]["api"]["circuit"]) == ("offline", "closed")
        look(town)
        assert health(town)["paths"]["api"]["state"] == "online"
        assert health(town)["facts"]["version"] == "7.16.1"


def test_radius_and_coa_are_judged_by_what_came(database):
    """Open sessions that fall silent make RADIUS offline by and by; CoA goes by its breaker."""
    with held_town(database) as town:
        service = town.isp.service("zofia")
        town.isp.review()
        town.isp.online(service, town.router, None)
        look(town)
        paths = health(town)["paths"]
        assert (paths["radius"]["state"], paths["radius"]["open_sessions"]) == ("online", 1)
        assert paths["coa"]["state"] == "unknown"

        with database.as_superuser() as connection:
            connection.execute("UPDATE sessions SET last_seen_at = now() - interval '1 hour'")
            connection.execute(
                "INSERT INTO router_health (router_id, operator_id, path, misses) "
                "SELECT id, operator_id, 'coa', 3 FROM routers"
            )
        look(town, 3)
        paths = health(town)["paths"]
        assert (paths["radius"]["state"], paths["coa"]["state"]) == ("offline", "offline")
        assert "no accounting has come for 60 minutes" in paths["radius"]["error"]
        assert "radius incoming" in paths["coa"]["error"]


def test_two_workers_do_not_look_at_a_router_twice(database):
    """Who claims it first looks; the other finds nothing due. A router that was just looked at is not due."""
    with held_town(database) as town:
        look(town)
        engine = town.database.engine(Role.WORKER)
        watch = HealthWatch(engine, Keeper(), BOX, "here")
        assert watch._begin(10) == []
        with database.as_superuser() as connection:
            connection.execute("UPDATE router_checks SET checked_at = checked_at - interval '61 s'")
        assert len(watch._begin(10)) == 1
        assert HealthWatch(engine, Keeper(), BOX, "there")._begin(10) == []


def test_the_clock_looks_by_itself(database):
    """Begun with the worker, it has looked at a router within moments, and a router's silence holds up nothing."""
    with held_town(database) as town:
        town.device.break_next("/system/identity", Break.SILENT)

        async def clock() -> None:
            async with Keeper() as keeper:
                task = asyncio.create_task(HealthWatch(town.database.engine(Role.WORKER), keeper, BOX, "here").keep())
                while (await asyncio.to_thread(health, town))["paths"]["radius"]["checked_at"] is None:
                    assert not task.done()
                    await asyncio.sleep(0.02)
                task.cancel()

        asyncio.run(clock())
        assert health(town)["paths"]["api"]["state"] == "unknown"


def test_hours_of_a_quarter_ago_are_forgotten(database):
    """History is kept 90 days and no longer."""
    with held_town(database) as town:
        look(town)
        with database.as_superuser() as connection:
            connection.execute(
                "INSERT INTO router_check_hours (operator_id, router_id, path, hour) "
                "SELECT operator_id, id, 'api', now() - interval '1 day' * number "
                "FROM routers, generate_series(80, 100) AS number"
            )
        look(town)
        with database.as_superuser() as connection:
            (days,) = connection.execute("SELECT max(now() - hour) FROM router_check_hours").fetchone()
        assert days.days == 89


def _api(town: HeldTown, **options) -> None:
    with town.isp.web() as session:
        set_api(session, session.get_one(Router, town.router.id), box=BOX, actor="a test", **options)
