"""Files of subscribers and their services: read and compared first, taken in afterwards, once, page by page.

Passwords are sealed where the row's reading is kept, with the place that the service's own will have; the copy of the
row has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.facts import Method
from policy.money.csv_table import Columns, Row, find_columns, plain, read_table
from policy.wording import short
from sql import files
from sql.among import among
from sql.customers import new_service, new_subscriber
from sql.errors import NotFound, Refused
from sql.models import Import, ImportRow, Operator, Plan, Service, Subscriber
from sql.onboarding.openings import Opened, Opening, checked_start, open_services, outcome_of, store_outcomes
from sql.secrets import SecretBox, service_password_place

KIND: Final = "subscribers"
AT_ONCE: Final = 500
READ_AT_ONCE: Final = 5000
HIDDEN: Final = "***"
CONTACT: Final = ("email", "phone", "language", "area", "address", "tax_number")
KNOWN: Final = {
    "number": ("number", "customer number", "customer", "reference", "account", "client"),
    "name": ("name", "customer name", "full name", "subscriber"),
    "email": ("email", "e mail", "mail"),
    "phone": ("phone", "telephone", "mobile"),
    "language": ("language",),
    "area": ("area", "village", "town"),
    "address": ("address", "street address", "postal address", "street"),
    "tax_number": ("tax number", "vat number"),
    "plan": ("plan", "tariff", "package", "profile"),
    "username": ("username", "user name", "login", "user", "pppoe user"),
    "password": ("password", "secret"),
    "method": ("method", "type", "service"),
    "ip": ("ip", "ip address", "fixed ip", "static ip"),
    "mac": ("mac", "mac address", "caller id"),
    "starts_on": ("starts on", "start", "start day", "start date"),
}


class Verdict(StrEnum):
    """What a row is."""

    NEW = "new"
    SAME = "same"
    CONFLICTING = "conflicting"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a file is to be read: other names of columns, and what counts where it says nothing."""

    columns: Mapping[str, str]
    plan: str = ""
    method: str = Method.PPPOE
    date_format: str = ""


class Line(NamedTuple):
    """A row of the file: what it says (a document without a clear password), or what is wrong with it."""

    row: Row
    verdict: Verdict
    said: dict[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do: its rows by what they are, and those to be looked at."""

    stored: Import
    header: tuple[str, ...]
    counts: Mapping[str, int]
    subscribers: int
    bad: tuple[Line, ...]


def preview(
    session: Session,
    operator: Operator,
    data: bytes,
    *,
    file_name: str,
    terms: Terms,
    box: SecretBox,
    actor: str,
) -> Preview:
    """Read a file and store what each row says; nobody is made. Raises TableError, or Refused."""
    files.checked_name(file_name)
    unknown = sorted(set(terms.columns) - set(KNOWN))
    if unknown:
        raise Refused(f"There is no column {short(unknown[0])!r} to be named; there are {', '.join(KNOWN)}.")
    columns = find_columns(read_table(data), KNOWN, (("number",), ("name",)), terms.columns)
    if not columns.data:
        raise Refused("The file has a header and no rows below it.")
    header = columns.header.fields
    stored = files.store(session, operator, KIND, data, file_name=file_name, source="file", header=header, actor=actor)
    reader = _Reader(session, operator, columns, terms, box)
    counts: Counter[str] = Counter()
    bad: list[Line] = []
    for start in range(0, len(columns.data), READ_AT_ONCE):
        lines = reader.read(columns.data[start : start + READ_AT_ONCE])
        files.store_rows(session, stored, [(_without_password(one, columns), one.said) for one in lines])
        counts.update(one.verdict.value for one in lines)
        bad += [one for one in lines if one.problem]
    return Preview(stored, header, {one.value: counts[one] for one in Verdict}, reader.new_subscribers, tuple(bad))


def apply_some(
    session: Session, operator: Operator, import_id: int, *, after_line: int, box: SecretBox, actor: str
) -> tuple[list[Opened], int | None]:
    """Take in the next rows, in one transaction; returns what became of them, and after which line to go on (None: that
    was all, and the file is applied). Cut off anywhere, it may be done again.

    Raises NotFound, or Refused when the very file was applied before.
    """
    stored = import_by_id(session, operator.id, import_id)
    files.lock_to_apply(session, stored, "its customers are here")
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
    openings = [_opening(row.line, row.reading, operator.id, box) for row in rows if row.reading]
    results = open_services(session, stored, openings, box=box, actor=actor)
    if results:
        store_outcomes(session, stored, {one.line: outcome_of(one) for one in results})
    if len(rows) == AT_ONCE:
        return results, rows[-1].line
    files.finish(session, stored, "subscriber:file:apply", actor=actor)
    return results, None


def import_by_id(session: Session, operator_id: int, import_id: int) -> Import:
    """A file that was read. Raises NotFound."""
    found = files.found(session, operator_id, KIND, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id} of subscribers; `ispagents subscriber import FILE` makes one.")
    return found


class _Stored(NamedTuple):
    """A service that is there, as far as a row says something of it."""

    reference: str
    plan: str
    method: str
    address: str


class _There(NamedTuple):
    """What is stored of the customers, services and addresses that some rows name."""

    people: Mapping[str, Mapping[str, str]]
    services: Mapping[str, _Stored]
    owners: Mapping[str, str]


class _Reader:
    """Reads rows and compares them, with the rows before them and with what is stored."""

    def __init__(self, session: Session, operator: Operator, columns: Columns, terms: Terms, box: SecretBox) -> None:
        self._session = session
        self._operator = operator
        self._columns = columns
        self._terms = terms
        self._box = box
        self._plans = set(session.scalars(select(Plan.name).where(Plan.operator_id == operator.id)))
        self._names: dict[str, int] = {}
        self._addresses: dict[str, str] = {}
        self._people: dict[str, dict[str, str]] = {}
        self.new_subscribers = 0

    def read(self, rows: Sequence[Row]) -> list[Line]:
        """What these rows say; a fixed number of queries."""
        said: list[tuple[Row, dict[str, Any] | str]] = []
        for row in rows:
            try:
                said.append((row, self._said(row)))
            except Refused as error:
                said.append((row, str(error)))
        good = [one for _, one in said if isinstance(one, dict)]
        people = self._subscribers({one["reference"] for one in good})
        services = self._services({one["username"] for one in good if one["username"]})
        owners = self._owners({one["options"]["address"] for one in good if one["options"].get("address")})
        there = _There(people, services, owners)
        return [
            Line(row, Verdict.BAD, problem=one) if isinstance(one, str) else self._judged(row, one, there)
            for row, one in said
        ]

    def _said(self, row: Row) -> dict[str, Any]:
        """What a row says, checked as if it were stored. Raises Refused."""
        contact = {name: text for name in CONTACT if (text := self._columns.text(row, name))}
        places = self._columns.places
        if places.get("address") == places.get("ip"):
            contact.pop("address", None)  # it was said that these are the services' own
        if _is_address(contact.get("address", "")):
            raise Refused(
                f"{contact['address']} is no postal address; if that column holds the fixed IP addresses, say so with "
                "--map ip=HEADER."
            )
        reference, name = self._columns.text(row, "number"), self._columns.text(row, "name")
        new_subscriber(self._operator.id, reference=reference, name=name, **contact)
        said: dict[str, Any] = {"reference": reference, "name": name, "contact": contact, "options": {}}
        return said | {"username": ""} if not self._columns.text(row, "username") else said | self._service(row)

    def _service(self, row: Row) -> dict[str, Any]:
        text = self._columns.text
        username, plan = text(row, "username"), text(row, "plan") or self._terms.plan
        if not plan:
            raise Refused("It names no plan; give one with --plan for all rows without.")
        if plan not in self._plans:
            raise Refused(f"There is no plan {short(plan)!r}.")
        method = plain(text(row, "method")) or self._terms.method
        options: dict[str, Any] = {"address": text(row, "ip")}
        if mac := text(row, "mac"):
            options |= {"mac": mac, "bind_mac": True}
        # Blanks at its ends are the password's.
        password = self._raw(row, "password")
        made = new_service(
            self._operator.id, username=username, password=password or None, method=method, box=self._box, **options
        )
        starts_on = self._day(text(row, "starts_on"))
        checked_start(self._operator, starts_on)
        return {
            "username": username,
            "plan": plan,
            "method": method,
            "password": made.password.hex() if made.password is not None else None,
            "options": {**options, "address": str(made.address or "")},
            "starts_on": starts_on.isoformat() if starts_on is not None else None,
        }

    def _raw(self, row: Row, column: str) -> str:
        place = self._columns.places.get(column)
        return row.fields[place] if place is not None and place < len(row.fields) else ""

    def _day(self, text: str) -> date | None:
        if not text:
            return None
        try:
            if self._terms.date_format:
                return datetime.strptime(text, self._terms.date_format).date()  # noqa: DTZ007 - a day has no zone
            return date.fromisoformat(text)
        except ValueError as error:
            said = f"{short(text)!r} is not a day; write 2026-12-05, or say --date-format."
            raise Refused(said) from error

    def _judged(self, row: Row, said: dict[str, Any], there: _There) -> Line:
        who = there.people.get(said["reference"])
        if who is not None and (why := _differs(who, said)):
            return Line(row, Verdict.CONFLICTING, problem=f"Customer {short(said['reference'])!r} is there with {why}.")
        before = self._people.get(said["reference"])
        if before is not None and before["name"] != said["name"]:
            return Line(row, Verdict.BAD, problem=f"An earlier row has this number for {short(before['name'])!r}.")
        username = said["username"]
        if username in self._names:
            problem = f"Line {self._names[username]} has the same user name."
            return Line(row, Verdict.BAD, problem=problem)
        stored = there.services.get(username)
        if stored is not None:
            return self._known(row, said, stored)
        address = said["options"].get("address")
        if address and (owner := there.owners.get(address) or self._addresses.get(address)):
            return Line(row, Verdict.CONFLICTING, problem=f"The address {address} belongs to {short(owner)!r}.")
        if who is not None and not username:
            return Line(row, Verdict.SAME, {"verdict": Verdict.SAME.value})
        if before is not None and not username:
            return Line(row, Verdict.BAD, problem="An earlier row has this customer, and this one has no user name.")
        self._remember(row, said, is_new=who is None and before is None)
        return Line(row, Verdict.NEW, {**said, "verdict": Verdict.NEW.value})

    def _remember(self, row: Row, said: dict[str, Any], *, is_new: bool) -> None:
        self.new_subscribers += is_new
        self._people.setdefault(said["reference"], said)
        if said["username"]:
            self._names[said["username"]] = row.line
        if address := said["options"].get("address"):
            self._addresses[address] = said["username"]

    @staticmethod
    def _known(row: Row, said: dict[str, Any], stored: _Stored) -> Line:
        wanted = _Stored(said["reference"], said["plan"], said["method"], said["options"]["address"])
        names = ("customer", "plan", "method", "address")
        other = [
            f"{name} {short(was or 'none')!r}"
            for name, was, now in zip(names, stored, wanted, strict=True)
            if was != now and (now or name != "address")
        ]
        if other:
            problem = f"The service {short(said['username'])!r} is there with {', '.join(other)}."
            return Line(row, Verdict.CONFLICTING, problem=problem)
        return Line(row, Verdict.SAME, {"verdict": Verdict.SAME.value})

    def _subscribers(self, numbers: set[str]) -> dict[str, dict[str, str]]:
        mine = (Subscriber.operator_id == self._operator.id, among(Subscriber.reference, numbers))
        return {
            one.reference: {"name": one.name, **{name: getattr(one, name) for name in CONTACT}}
            for one in self._session.scalars(select(Subscriber).where(*mine))
        }

    def _services(self, names: set[str]) -> dict[str, _Stored]:
        rows = self._session.execute(
            select(Service.username, Subscriber.reference, Plan.name, Service.method, Service.address)
            .join(Subscriber, Subscriber.id == Service.subscriber_id)
            .join(Plan, Plan.id == Service.plan_id)
            .where(Service.operator_id == self._operator.id, among(Service.username, names))
        )
        return {row[0]: _Stored(row[1], row[2], row[3], str(row[4] or "")) for row in rows}

    def _owners(self, addresses: set[str]) -> dict[str, str]:
        rows = self._session.execute(
            select(Service.address, Service.username).where(
                Service.operator_id == self._operator.id, among(Service.address, addresses), Service.closed_at.is_(None)
            )
        )
        return {str(row[0]): row[1] for row in rows}


def _is_address(text: str) -> bool:
    """Whether a text is an IP address and nothing else."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _differs(who: Mapping[str, str], said: Mapping[str, Any]) -> str:
    """What a stored customer has otherwise than a row says, or ""; what the row does not say counts for nothing."""
    told = {"name": said["name"], **said["contact"]}
    return ", ".join(
        f"{name.replace('_', ' ')} {short(who[name] or 'none')!r}" for name, text in told.items() if who[name] != text
    )


def _without_password(one: Line, columns: Columns) -> Line:
    """The row as it is kept: who reads it learns no password."""
    place = columns.places.get("password")
    if place is None or place >= len(one.row.fields) or not one.row.fields[place]:
        return one
    fields = (*one.row.fields[:place], HIDDEN, *one.row.fields[place + 1 :])
    return one._replace(row=Row(one.row.line, fields))


def _opening(line: int, said: Mapping[str, Any], operator_id: int, box: SecretBox) -> Opening:
    password = None
    if said.get("password"):
        password = box.open(bytes.fromhex(said["password"]), service_password_place(operator_id, said["username"]))
    return Opening(
        line=line,
        reference=said["reference"],
        name=said["name"],
        contact=said["contact"],
        plan=said.get("plan", ""),
        username=said["username"],
        method=said.get("method", ""),
        password=password,
        options=said["options"],
        starts_on=date.fromisoformat(said["starts_on"]) if said.get("starts_on") else None,
    )
