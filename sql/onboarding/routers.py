"""Routers that are in use: what they hold is stored as a preview first, then taken in, once, page by page.

A row holds no password; whoever applies it looks at the router again, and takes a customer only as he was seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.facts import Method
from policy.inspection.compare import Choices, Comparison, Row, Verdict, compare
from policy.inspection.found import FoundService, Observed, Picture
from policy.inspection.picture import picture
from policy.inspection.services import is_storable
from policy.money.csv_table import Row as FileRow
from policy.routeros.style import read_style
from policy.wording import escaped
from sql import audit, files
from sql.customers import add_plan
from sql.errors import NotFound, Refused
from sql.files import Page
from sql.models import Import, ImportRow, Operator, Plan, Router, Service
from sql.onboarding.known import known
from sql.onboarding.openings import Held, Opened, Opening, open_services, outcome_of, store_outcomes
from sql.router_store import checked_style
from sql.secrets import SecretBox

KIND: Final = "router"
AT_ONCE: Final = 500
HEADER: Final = ("menu", "name", "method", "plan", "address", "comment", "verdict")
_BAD: Final = (Verdict.CONFLICTING, Verdict.PERSON)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person chose for an import; see `policy.inspection.compare.Choices`. `prices`: of new plans, minor units.

    With `keep_style` the router's style stays as it is; else it is set as things are done there, as long as the router
    holds no service.
    """

    lists: tuple[str, ...] = ()
    methods: frozenset[Method] = frozenset(Method)
    plans: Mapping[str, str] | None = None
    default_plan: str = ""
    prices: Mapping[str, int] | None = None
    subscriber: str = ""
    adopt: bool = True
    accept_changes: bool = False
    keep_style: bool = False


class Seen(NamedTuple):
    """A picture of a router, and the items that it was made of, which hold passwords."""

    found: Picture
    observed: Observed

    def __repr__(self) -> str:
        """Never shows an item."""
        return f"Seen({self.found.device!r})"


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do, and what it needs. `style`: what the router's style would become, None: it stays."""

    stored: Import
    rows: tuple[Row, ...]
    new_plans: Mapping[str, dict[str, Any]]
    style: dict[str, Any] | None


class Line(NamedTuple):
    """A row as it is stored."""

    row: FileRow
    problem: str = ""


def preview(session: Session, operator: Operator, router: Router, seen: Seen, wish: Wish, *, actor: str) -> Preview:
    """Compare what was seen with what is stored, and store each row's reading; nothing else changes. Raises Refused."""
    style = None if wish.keep_style or not wish.adopt or _holds_any(session, router) else _fitted(router, seen.found)
    numbers = [wish.subscriber] if wish.subscriber else [one.username for one in seen.found.services]
    there = known(session, operator.id, seen.found.services, numbers)
    for name in (*(wish.plans or {}).values(), *((wish.default_plan,) if wish.default_plan else ())):
        if name not in there.plans:
            raise NotFound(f"There is no plan {name!r}; `ispagents plan list` shows those there are.")
    if wish.subscriber and wish.subscriber not in there.subscribers:
        raise NotFound(f"There is no subscriber with the number {wish.subscriber!r}; add one first.")
    unknown = sorted(set(wish.plans or {}) - {one.name for one in seen.found.plans})
    if unknown:
        raise NotFound(f"The router has no plan {unknown[0]!r}; `ispagents router inspect` shows those it has.")
    choices = Choices(
        router=router.name,
        methods=wish.methods,
        style=read_style(style if style is not None else router.style),
        plans=wish.plans or {},
        default_plan=wish.default_plan,
        subscriber=wish.subscriber,
        adopt=wish.adopt,
        accept_changes=wish.accept_changes,
    )
    compared = compare(seen.found, seen.observed, there, choices)
    return _stored(session, operator, router, compared, wish, style, actor)


def apply_some(
    session: Session,
    operator: Operator,
    import_id: int,
    seen: Seen,
    *,
    after_line: int,
    box: SecretBox,
    actor: str,
) -> tuple[list[Opened], int | None]:
    """Take in the next rows, in one transaction; returns what became of them, and after which line to go on (None: that
    was all, and the import is applied). Cut off anywhere, it may be done again. Raises NotFound and Refused.

    `seen` is the router as it is now, read with the lists of `lists_of`.
    """
    stored = import_by_id(session, operator.id, import_id)
    files.lock_to_apply(session, stored, "its customers are here")
    router = session.get_one(Router, stored.router_id)
    if router.removed_at is not None:
        raise Refused(f"The router {router.name!r} was removed.")
    if after_line == 0:
        _prepare(session, operator, router, stored, actor)
    page = _next_page(session, stored, after_line)
    now = {_key(one): one for one in seen.found.services}
    passwords = {(path, one.id): one.fields.get("password", "") for path, some in seen.observed.items() for one in some}
    openings, results = [], []
    for reading in page.readings:
        one = now.get(tuple(reading["key"]))
        if one is None or _fingerprint(one) != reading["fingerprint"]:
            said = "It has changed on the router since the preview; import the router again."
            results.append(Opened(reading["line"], reading["key"][1], None, refused=said))
            continue
        openings.append(_opening(reading, one, passwords.get((one.menu, one.id), "")))
    held = Held(router.id, router.name) if stored.settings["adopt"] else None
    results += open_services(session, stored, openings, box=box, actor=actor, held=held)
    if results:
        store_outcomes(session, stored, {one.line: outcome_of(one) for one in results})
    if page.after_line is None:
        files.finish(session, stored, "router:import:apply", actor=actor)
    return results, page.after_line


def import_by_id(session: Session, operator_id: int, import_id: int) -> Import:
    """A look at a router that was stored. Raises NotFound."""
    found = files.found(session, operator_id, KIND, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id} of a router; `ispagents router import NAME` makes one.")
    return found


def router_name(session: Session, stored: Import) -> str:
    """The router that an import is of."""
    return session.get_one(Router, stored.router_id).name


def lists_of(stored: Import) -> tuple[str, ...]:
    """The address lists that belonged to what is sold when the router was seen."""
    return tuple(stored.settings["lists"])


def bad_rows(rows: Sequence[Row]) -> list[list[str]]:
    """The rows that need a person or conflict, each with why."""
    bad = (row for row in rows if row.verdict in _BAD)
    return [[*HEADER, "problem"], *([*_fields(row), escaped(row.reason)] for row in bad)]


def see(device: Any, observed: Mapping[str, Sequence[Any] | None], lists: Sequence[str]) -> Seen:
    """What was read of a router, put together."""
    known_menus = {path: items for path, items in observed.items() if items is not None}
    return Seen(picture(device, observed, lists), known_menus)


def counted(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows are what."""
    counts = Counter(row.verdict for row in rows)
    return {verdict.name.lower(): counts[verdict] for verdict in Verdict}


def _stored(
    session: Session,
    operator: Operator,
    router: Router,
    compared: Comparison,
    wish: Wish,
    style: dict[str, Any] | None,
    actor: str,
) -> Preview:
    lines = [(place, row) for place, row in enumerate(compared.rows, start=1)]
    readings = [_reading(place, row) for place, row in lines]
    said = json.dumps([router.id, readings, sorted(compared.new_plans)], sort_keys=True).encode()
    stored = files.store(
        session, operator, KIND, said, file_name=router.name, source=router.name, header=HEADER, actor=actor
    )
    stored.router_id = router.id
    stored.settings = {
        **stored.settings,
        "lists": list(wish.lists),
        "adopt": wish.adopt,
        "style": style,
        "style_now": router.style,
        "plans": compared.new_plans,
        "prices": dict(wish.prices or {}),
    }
    session.flush()
    for start in range(0, len(lines), AT_ONCE):
        some = zip(lines[start : start + AT_ONCE], readings[start : start + AT_ONCE], strict=True)
        files.store_rows(session, stored, [(_line(place, row), reading) for (place, row), reading in some])
    return Preview(stored, compared.rows, compared.new_plans, style)


def _line(place: int, row: Row) -> Line:
    return Line(FileRow(place, tuple(_fields(row))), _safe(row.reason) if row.verdict in _BAD else "")


def _fields(row: Row) -> list[str]:
    one = row.service
    plan = row.plan or one.found_plan
    return [_safe(text) for text in (one.menu, one.username, one.method, plan, one.address, one.comment, row.verdict)]


def _safe(text: str) -> str:
    """A text as it can be stored: what is no UTF-8 is written as escapes."""
    return text if is_storable(text) else "".join(one if is_storable(one) else escaped(one) for one in text)


def _reading(place: int, row: Row) -> dict[str, Any] | None:
    """What is kept of a row; None where a person has to look first."""
    if row.verdict in _BAD:
        return None
    reading: dict[str, Any] = {"verdict": row.verdict.value, "line": place}
    if row.verdict == Verdict.NEW:
        reading |= {
            "key": list(_key(row.service)),
            "fingerprint": _fingerprint(row.service),
            "plan": row.plan,
            "reference": row.subscriber,
            "name": row.name,
        }
    return reading


def _key(one: FoundService) -> tuple[str, str, str]:
    return one.menu, one.username, one.server


def _fingerprint(one: FoundService) -> str:
    """What tells whether a customer is on the router as before; no password is in it."""
    said = json.dumps(one._replace(id=""), default=str)
    return sha256(said.encode()).hexdigest()[:16]


def _next_page(session: Session, stored: Import, after_line: int) -> Page:
    """The next new rows of which nothing has become yet."""
    rows = session.execute(
        select(ImportRow.line, ImportRow.reading)
        .where(
            ImportRow.import_id == stored.id,
            ImportRow.line > after_line,
            ImportRow.outcome.is_(None),
            ImportRow.reading["verdict"].as_string() == Verdict.NEW.value,
        )
        .order_by(ImportRow.line)
        .limit(AT_ONCE)
    ).all()
    return Page([row.reading for row in rows if row.reading], rows[-1].line if len(rows) == AT_ONCE else None)


def _prepare(session: Session, operator: Operator, router: Router, stored: Import, actor: str) -> None:
    """The style and the plans that the services need."""
    settings = stored.settings
    if settings["adopt"] and router.style != settings["style_now"] and router.style != settings["style"]:
        raise Refused(f"The style of {router.name!r} has changed since the preview; import the router again.")
    if settings["style"] is not None and router.style != settings["style"]:
        router.style = settings["style"]
        audit.record(session, operator.id, actor, "router:api:set", name=router.name, style=router.style)
    mine = Plan.operator_id == operator.id
    there = set(session.scalars(select(Plan.name).where(mine)))
    for name, facts in settings["plans"].items():
        if name not in there:
            price = settings["prices"].get(name, 0)
            add_plan(session, operator.id, name=name, facts=facts, price_minor=price, actor=actor)


def _opening(reading: Mapping[str, Any], one: FoundService, password: str) -> Opening:
    options: dict[str, Any] = {"address": one.address, "routes": list(one.routes)}
    if one.mac and one.method in (Method.PPPOE, Method.HOTSPOT):
        options |= {"mac": one.mac, "bind_mac": True}
    device = {"server": one.server, "queue": one.queue}
    options["device"] = {key: value for key, value in device.items() if value}
    return Opening(
        line=reading["line"],
        reference=reading["reference"],
        name=reading["name"],
        plan=reading["plan"],
        username=one.username,
        method=one.method.value,
        password=(password or None) if one.method in (Method.PPPOE, Method.HOTSPOT) else None,
        options=options,
    )


def _holds_any(session: Session, router: Router) -> bool:
    mine = (Service.operator_id == router.operator_id, Service.control_router_id == router.id)
    return bool(session.scalar(select(func.count()).select_from(select(Service.id).where(*mine).limit(1).subquery())))


def _fitted(router: Router, found: Picture) -> dict[str, Any] | None:
    """The router's style with how things are done there; None where it is so already."""
    fitted = checked_style({**router.style, **found.style})
    return fitted if fitted != router.style else None
