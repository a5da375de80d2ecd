"""The demo as a whole: the ISP is loaded, the routers started, the story told and checked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text
from sqlalchemy import func, select

from ispagents.database import secret_box
from ispagents.demo import chapters, held, isp
from ispagents.demo.field import Field, FieldRouter
from ispagents.demo.isp import Customer
from ispagents.demo.scene import Failed, Scene
from ispagents.errors import Problem
from ispagents.installation import Installation
from simulators.settings import RadiusServer
from sql.models import Change, Node, Service
from sql.roles import Role

TOWN = 40
READY_S = 60.0


@contextmanager
def scene(installation: Installation, console: Console, *, fixed_addresses: bool) -> Iterator[Scene]:
    """The loaded ISP with its running routers. Raises Problem."""
    engine = installation.databases.engine(Role.WEB, pool=4)
    box = secret_box(installation.state)
    operator_id = isp.load(engine, box)
    settings = installation.settings
    radius = RadiusServer(settings.radius_address, settings.radius_auth_port, settings.radius_acct_port)
    # Two demos at once must not meet: a run of its own takes routers' addresses by chance.
    network = "127.0.0" if fixed_addresses else f"127.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}"
    field = Field(
        [
            FieldRouter("tower-1", f"{network}.11", coa_address_list=True, radius=radius),
            FieldRouter("tower-2", f"{network}.12", coa_address_list=False, radius=radius),
        ]
    )
    try:
        field.start()
        isp.register(engine, operator_id, box, field.routers)
        # FreeRADIUS's timestamps are whole seconds.
        began = datetime.now(UTC) - timedelta(seconds=1)
        stage = Scene(installation, field, engine, operator_id, [], console, began)
        _await_replica(stage)
        stage.customers = isp.customers(engine, operator_id, box)
        yield stage
    finally:
        field.stop()
        engine.dispose()


def tell(stage: Scene) -> bool:
    """Tell the whole story; returns whether every claim held."""
    began = time.monotonic()
    people = _cast(stage)
    rest = [one for one in stage.customers if one not in people.values()][:TOWN]
    parts: list[Callable[[], None]] = [
        lambda: chapters.logins(stage, people),
        lambda: chapters.town(stage, [people["coa"], people["disconnect"], people["upgrade"], *rest]),
        lambda: chapters.suspension(stage, people["coa"], people["disconnect"]),
        lambda: chapters.payment(stage, people["coa"], people["disconnect"]),
        lambda: chapters.upgrade(stage, people["upgrade"]),
        lambda: chapters.outage(stage, people["early"], people["late"]),
        lambda: held.without_radius(stage),
        lambda: chapters.story_of(stage, people["coa"]),
    ]
    for part in parts:
        try:
            part()
        except Failed:
            stage.tell("The rest of this chapter stands on that, so it is left out.")
    stage.console.print()
    took = f"{time.monotonic() - began:.0f} s"
    if stage.failures:
        stage.console.print(
            Text(f"{len(stage.failures)} of {stage.claims} claims did not hold ({took}):", style="bold red")
        )
        for failure in stage.failures:
            stage.tell(failure)
        return False
    stage.console.print(Text(f"All {stage.claims} claims held, in {took}.", style="bold green"))
    return True


def _cast(stage: Scene) -> dict[str, Customer]:
    """Customers that nothing was decided on yet but their opening, so that the story can be told again and again."""
    with stage.database() as session:
        fresh = set(
            session.scalars(
                select(Service.username)
                .join(Change, Change.service_id == Service.id)
                .group_by(Service.username)
                .having(func.count() == 1)
            )
        )
    free = [one for one in stage.customers if one.username in fresh and one.method == "pppoe"]
    cast: dict[str, Customer] = {}
    wishes = {"coa": 0, "disconnect": 1, "upgrade": 0, "pap": 0, "chap": 1, "mschapv2": 0, "early": 0, "late": 1}
    for name, router in wishes.items():
        found = next(
            (
                one
                for one in free
                if one.router == router
                and one not in cast.values()
                and not (name == "upgrade" and one.plan == "Business 100")
            ),
            None,
        )
        if found is None:
            raise Problem(
                "The demo's customers have all played their parts; stop it, remove its state folder and start anew."
            )
        cast[name] = found
    return cast


def _await_replica(stage: Scene) -> None:
    """Until every service is authorised and in the replica; the first start takes a few seconds."""

    def ready() -> bool:
        with stage.database() as session:
            missing = session.scalar(select(func.count()).select_from(Service).where(Service.authorised.is_(None)))
            wanted = session.scalar(select(func.count()).select_from(Service)) or 0
            node = session.scalar(select(Node.services).where(Node.name == stage.installation.settings.node_name))
            return missing == 0 and (node or 0) >= wanted

    if not stage.wait(ready, READY_S):
        raise Problem(
            f"The demo's services did not reach the replica within {READY_S:.0f} s; see the logs of worker and edge "
            f"in {stage.installation.state.log}."
        )
