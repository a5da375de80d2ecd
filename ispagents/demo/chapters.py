"""The chapters of the story; each stands on the real processes and says what it saw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from ispagents.demo.isp import Customer
from ispagents.demo.scene import ACTOR, Scene
from policy.changes.preview import text as preview_text
from sql.customers import plan_by_name, service_by_username
from sql.intent import approve, change_by_id
from sql.models import Evidence, PlanVersion, Session, Step
from sql.money.plan_changes import change_plan_of
from sql.timeline import timeline

PRICE_MINOR = 2500


def logins(scene: Scene, people: dict[str, Customer]) -> None:
    """PAP, CHAP and MS-CHAPv2 each get the plan's rate limit."""
    scene.chapter("1. Logins through the real FreeRADIUS get what their plan says")
    for protocol, name in (("pap", "PAP"), ("chap", "CHAP"), ("mschapv2", "MS-CHAPv2")):
        customer = people[protocol]
        result = scene.online(customer, protocol)
        rate = (result.all("Mikrotik-Rate-Limit") or ("none",))[0]
        scene.claim(
            f"{name}: {customer.username} ({customer.plan}) is let in with the plan's rate limit",
            result.accepted and rate == _plan_rate(scene, customer),
            f"Mikrotik-Rate-Limit = {rate}, lists {', '.join(result.all('Mikrotik-Address-List'))}, "
            f"answered in {result.round_trip_ms:.1f} ms{' - ' + result.problem if result.problem else ''}",
        )
    wrong = people["pap"]._replace(password="wrong")  # noqa: S106 - the point is that it is none
    refused = scene.online(wrong, redials=False)
    scene.claim("A wrong password is refused, with an answer", not refused.accepted and not refused.timed_out)


def town(scene: Scene, others: list[Customer]) -> None:
    """The rest of the town comes online; sessions appear from accounting."""
    scene.chapter("2. The town comes online, and accounting shows it")
    accepted = [scene.online(customer).accepted for customer in others]
    at_routers = _live_at_routers(scene)
    scene.claim(
        f"{sum(accepted)} more customers are online, PPPoE, Hotspot and MAC logins",
        all(accepted),
        f"{at_routers} live sessions at the routers",
    )

    seen = scene.wait(lambda: scene.open_sessions() == at_routers)
    scene.claim(
        "Each of them is an open session in PostgreSQL, through spool and edge", seen, f"{scene.open_sessions()} open"
    )


def suspension(scene: Scene, by_coa: Customer, by_disconnect: Customer) -> None:
    """An overdue service is previewed, approved and restricted while online."""
    scene.chapter("3. An overdue service is previewed, approved, and restricted while it is online")
    for customer, word in ((by_coa, "CoA"), (by_disconnect, "Disconnect")):
        router = scene.field.routers[customer.router].name
        before = scene.live(customer)
        scene.overdue_invoice(customer, PRICE_MINOR)
        change = scene.need(
            f"{customer.username}: the invoice is ten days overdue, and a suspension waits for a person",
            scene.wait(lambda who=customer: scene.waiting_change(who)),  # type: ignore[misc] # mypy cannot type it
        )
        scene.tell(preview_text(change.preview))
        still = scene.live(customer)
        scene.claim("Nothing has happened yet", still is not None and "overdue" not in still.address_lists)
        since = datetime.now(UTC).timestamp()
        with scene.database() as session:
            approve(
                session,
                change_by_id(session, scene.operator_id, change.id),
                by=ACTOR,
                seen_hash=change.preview_hash,
                now=datetime.now(UTC),
            )
        restricted = scene.wait(lambda who=customer: _in_list(scene, who, "overdue"))  # type: ignore[misc] # as above
        packet = scene.packet_after(customer, since)
        scene.need(f"Approved; {router} was told by {word}", packet and packet[1] == word, _evidence(scene, customer))
        scene.claim(
            f"{customer.username} is online in the list 'overdue' at walled-garden speed",
            restricted and restricted.rate_limit == "256k/256k",
            restricted and f"lists {', '.join(restricted.address_lists)}, rate {restricted.rate_limit}",
        )
        same = restricted is before
        scene.claim("The session stayed up" if word == "CoA" else "It redialled by itself", same == (word == "CoA"))
    live = scene.live(by_coa)
    if live is not None:
        scene.field.call(scene.field.routers[by_coa.router].running.logout(live))
    again = scene.online(by_coa)
    lists = again.all("Mikrotik-Address-List")
    scene.claim("The next login lands in the address list too", again.accepted and lists == ("overdue",), f"{lists}")


def payment(scene: Scene, by_coa: Customer, by_disconnect: Customer) -> None:
    """A payment restores, by a named rule, at once."""
    scene.chapter("4. A payment restores the service by itself")
    for customer in (by_coa, by_disconnect):
        committed = scene.pay(customer, PRICE_MINOR)
        packet = scene.wait(lambda who=customer, since=committed: scene.packet_after(who, since - 0.05))  # type: ignore[misc] # as above
        scene.claim(
            f"{customer.username} paid; the router was told",
            packet,
            packet and f"{packet[1]} on the wire {max(0.0, (packet[0] - committed)) * 1000:.0f} ms after the commit",
        )
        restored = scene.wait(lambda who=customer: _in_list(scene, who, "paid"))  # type: ignore[misc] # as above
        rate = _plan_rate(scene, customer)
        scene.claim(
            "Back to the plan's speed, and in the list of those who paid",
            restored and restored.rate_limit == rate and "overdue" not in restored.address_lists,
            restored and f"lists {', '.join(restored.address_lists)}, rate {restored.rate_limit}",
        )


def upgrade(scene: Scene, customer: Customer) -> None:
    """An upgrade changes a live session's rate by CoA."""
    scene.chapter("5. An upgrade reaches the live session")
    before = scene.need(f"{customer.username} is online with {customer.plan}", scene.live(customer))
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, customer.username)
        plan = plan_by_name(session, scene.operator_id, "Business 100")
        change_plan_of(session, service, plan, at_period_end=False, actor=ACTOR)
    rate = scene.wait(lambda: _has_rate(scene, customer, "100M/100M"))
    scene.claim(
        "Its speed is the new plan's, by CoA, and the session stayed up",
        rate is before,
        f"Mikrotik-Rate-Limit = {before.rate_limit}. {_evidence(scene, customer)}",
    )


def outage(scene: Scene, early: Customer, late: Customer) -> None:
    """PostgreSQL goes away; logins go on; accounting waits and arrives whole."""
    scene.chapter("6. PostgreSQL goes away")
    supervisor = scene.installation.supervisor
    embedded = not scene.installation.settings.has_database
    if not embedded:
        scene.tell("The database is a configured one, which the demo does not stop; this chapter is left out.")
        return
    supervisor.stop_child("postgresql")
    scene.claim("PostgreSQL is stopped", supervisor.status()["children"]["postgresql"]["state"] == "stopped")
    first = scene.online(early)
    scene.claim("A login still works", first.accepted, f"in {first.round_trip_ms:.1f} ms {first.problem}")
    supervisor.restart_child("freeradius")
    second = scene.online(late)
    scene.claim("FreeRADIUS was restarted, and a login still works", second.accepted, second.problem)
    watched = [scene.need("Both are online", scene.live(one)) for one in (early, late)]
    for one, who in zip(watched, (early, late), strict=True):
        scene.field.read(lambda one=one: one.add_traffic(5_000_000_000, 7_000_000_000))  # type: ignore[misc] # as above
        scene.field.call(scene.field.routers[who.router].running.interim(one))
    scene.field.call(scene.field.routers[0].running.idle())
    spool = scene.installation.state.spool
    waiting = sum(path.stat().st_size for path in (spool / "accounting").glob("detail*"))
    scene.claim("Their accounting was acknowledged and waits in the spool", waiting > 0, f"{waiting} bytes")
    supervisor.start_child("postgresql")
    arrived = scene.wait(lambda: _counted(scene, [early, late]), patience_s=40)
    wanted = {one.session_id: (one.upload_octets, one.download_octets) for one in watched}
    scene.claim(
        "PostgreSQL is back and everything that waited has arrived, nothing lost, nothing doubled",
        arrived and all(arrived.get(key, ((0, 0), 0))[1] == 1 for key in wanted) and _covered(arrived, wanted),
        arrived and f"{len(arrived)} sessions, above 4 GiB each, by Gigawords",
    )
    at_routers = _live_at_routers(scene)
    open_now = scene.wait(lambda: scene.open_sessions() == at_routers)
    scene.claim("Open sessions in the database are those at the routers", open_now, f"{at_routers} sessions")


def story_of(scene: Scene, customer: Customer) -> None:
    """The customer's timeline shows all of it."""
    scene.chapter(f"8. The timeline of {customer.username}")
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, customer.username)
        entries = timeline(session, service)
    for entry in entries:
        scene.tell(f"{entry.at:%H:%M:%S.%f}"[:-3] + f"  {entry.kind:<11}{entry.sentence}")
    kinds = {entry.kind for entry in entries}
    wanted = {"invoice", "change", "decision", "packet", "payment", "online", "offline"}
    scene.claim("It holds money, decisions, approvals, packets and sessions", wanted <= kinds, ", ".join(sorted(kinds)))


def _plan_rate(scene: Scene, customer: Customer) -> str:
    service = scene.service(customer)
    with scene.database() as session:
        version = session.get_one(PlanVersion, (service.authorised or {})["plan_version_id"])
        return str(version.facts["rate_limit"])


def _in_list(scene: Scene, customer: Customer, name: str) -> Any:
    session = scene.live(customer)
    return session if session is not None and session.address_lists == (name,) else None


def _has_rate(scene: Scene, customer: Customer, rate: str) -> Any:
    session = scene.live(customer)
    return session if session is not None and session.rate_limit == rate else None


def _evidence(scene: Scene, customer: Customer) -> str:
    """The newest attempt's evidence, once its outcome is stored."""
    service = scene.service(customer)

    def ended() -> tuple[Step, Evidence] | None:
        with scene.database() as session:
            row = session.execute(
                select(Step, Evidence)
                .join(Evidence, Evidence.step_id == Step.id)
                .where(Step.service_id == service.id)
                .order_by(Evidence.id.desc())
                .limit(1)
            ).first()
            return (row[0], row[1]) if row is not None and row[1].ended_at is not None else None

    found = scene.wait(ended)
    if found is None:
        return "no evidence"
    step, proof = found
    return f"{step.why} {proof.outcome} in {proof.round_trip_ms or 0:.1f} ms, {proof.packets} packet(s)."


def _live_at_routers(scene: Scene) -> int:
    return sum(scene.field.read(lambda one=router: len(one.running.sessions)) for router in scene.field.routers)  # type: ignore[misc] # as above


def _counted(scene: Scene, people: list[Customer]) -> dict[str, tuple[tuple[int, int], int]] | None:
    """Bytes and rows of these customers' open sessions, by Acct-Session-Id, once all have traffic."""
    try:
        with scene.database() as session:
            rows = session.scalars(
                select(Session).where(
                    Session.username.in_([one.username for one in people]),
                    Session.ended_at.is_(None),
                    Session.started_at >= scene.began,
                )
            ).all()
    except OperationalError:
        return None
    if len(rows) < len(people) or any(row.upload_bytes < 5_000_000_000 for row in rows):
        return None
    found: dict[str, tuple[tuple[int, int], int]] = {}
    for row in rows:
        count = found.get(row.acct_session_id, ((0, 0), 0))[1] + 1
        found[row.acct_session_id] = ((row.upload_bytes, row.download_bytes), count)
    return found


def _covered(arrived: dict[str, tuple[tuple[int, int], int]], wanted: dict[str, tuple[int, int]]) -> bool:
    """Counters are those of the last interim: at least what was added, and never more than the session has."""
    return all(
        5_000_000_000 <= arrived[key][0][0] <= up and 7_000_000_000 <= arrived[key][0][1] <= down
        for key, (up, down) in wanted.items()
    )
