"""A chapter without RADIUS: a router's own configuration holds a customer, and billing controls it there."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import func, select

from ispagents.database import secret_box
from ispagents.demo.isp import ACTOR
from ispagents.demo.scene import Scene
from ispagents.wiring.garden import tend_garden
from policy.changes.preview import text as preview_text
from policy.explain import explain
from simulators.routeros.standing import Standing
from sql.customers import add_service, add_subscriber, plan_by_name, router_by_name, service_by_username
from sql.explain import situation
from sql.intent import approve, change_by_id
from sql.models import Change, Service, Step, Subscriber
from sql.money.invoices import issue_invoice
from sql.money.payments import receive_payment
from sql.placing import place_service

PLACE = 1
PRICE_MINOR = 9000
SERVER = "203.0.113.80"


def without_radius(scene: Scene) -> None:
    """A customer with a fixed address: set up, restricted and restored over the RouterOS API, each time read back."""
    scene.chapter("7. Without RADIUS: a router's own configuration is previewed, written, read back and restored")
    router = scene.field.routers[PLACE].name
    garden = tend_garden(
        scene.installation.databases,
        secret_box(scene.installation.state),
        scene.operator_id,
        router,
        remove=False,
        actor=ACTOR,
        ask=lambda plan: bool(plan.changes),
    )
    scene.claim(f"{router} has the walled garden's rules, before everything else", garden is None or not garden.wrong)
    username, address = _set_up(scene, router)
    scene.need(
        f"{username} at {address} is set up on {router}: queue and list, written over its API and read back",
        scene.wait(lambda: _proved(scene, username, 1)),
        _gets(scene, address),
    )
    scene.claim("It has its plan's speed", _standing(scene, address).download_bps == 100_000_000)
    download = scene.field.device(PLACE, lambda device: device.firewall.open(address, SERVER, port=443))
    _owe(scene, username)
    change = scene.need("Its invoice is overdue, and a suspension waits", scene.wait(lambda: _waiting(scene, username)))
    scene.tell(preview_text(change.preview))
    with scene.database() as session:
        found = change_by_id(session, scene.operator_id, change.id)
        approve(session, found, by=ACTOR, seen_hash=change.preview_hash, now=datetime.now(UTC))
    scene.need(
        "Approved, written and read back", scene.wait(lambda: _proved(scene, username, 2)), _gets(scene, address)
    )
    standing = _standing(scene, address)
    scene.claim(
        "It is in the list 'overdue' at walled-garden speed",
        "overdue" in standing.lists and standing.download_bps == 256_000,
    )
    goes_on = scene.field.device(PLACE, lambda device: device.firewall.goes_on(download))
    scene.claim("The download that was open has ended", not goes_on)
    with scene.database() as session:
        said = explain(situation(session, scene.operator_id, username, datetime.now(UTC))).answer
    scene.claim("Support reads why in one sentence", "walled garden" in said, said)
    paid = _pay(scene, username)
    proved = scene.wait(lambda: _proved(scene, username, 3))
    scene.claim(
        "It paid, and is restored by itself",
        proved and _standing(scene, address).download_bps == 100_000_000,
        f"read back {time.time() - paid:.1f} s after the commit; {_gets(scene, address)}",
    )


def _set_up(scene: Scene, router: str) -> tuple[str, str]:
    """Another customer each time that the story is told."""
    with scene.database() as session:
        number = session.scalar(select(func.count()).select_from(Service).where(Service.method == "static")) or 0
        username, address = f"office-{number + 1}", f"10.77.{number // 250}.{number % 250 + 1}"
        owner = add_subscriber(
            session, scene.operator_id, reference=f"OFFICE-{number + 1}", name=f"Office {number + 1}", actor=ACTOR
        )
        service = add_service(
            session,
            scene.operator_id,
            subscriber=owner,
            plan=plan_by_name(session, scene.operator_id, "Business 100"),
            username=username,
            password=None,
            method="static",
            box=secret_box(scene.installation.state),
            actor=ACTOR,
            address=address,
        )
        session.flush()
        place_service(session, service, router_by_name(session, scene.operator_id, router), "", actor=ACTOR)
    return username, address


def _owe(scene: Scene, username: str) -> None:
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, username)
        issue_invoice(
            session,
            session.get_one(Subscriber, service.subscriber_id),
            amount_minor=PRICE_MINOR,
            due_at=datetime.fromtimestamp(time.time() - 10 * 86_400, UTC),
            description="Internet, one month",
            actor=ACTOR,
        )


def _pay(scene: Scene, username: str) -> float:
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, username)
        subscriber = session.get_one(Subscriber, service.subscriber_id)
        receive_payment(session, subscriber, amount_minor=PRICE_MINOR, method="transfer", actor=ACTOR)
    return time.time()


def _waiting(scene: Scene, username: str) -> Change | None:
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, username)
        return session.scalar(
            select(Change).where(Change.service_id == service.id, Change.state == "awaiting_approval")
        )


def _proved(scene: Scene, username: str, steps: int) -> bool:
    """Whether so many steps were proved by reading back."""
    with scene.database() as session:
        service = service_by_username(session, scene.operator_id, username)
        proved = select(func.count()).where(Step.service_id == service.id, Step.proof == "observed")
        return (session.scalar(proved) or 0) >= steps


def _standing(scene: Scene, address: str) -> Standing:
    return scene.field.device(PLACE, lambda device: device.standing(address))


def _gets(scene: Scene, address: str) -> str:
    standing = _standing(scene, address)
    lists = ", ".join(sorted(standing.lists)) or "none"
    return f"{standing.upload_bps} up, {standing.download_bps} down, lists {lists}"
