"""People who sign in: adding and changing them, and what a sign-in reads and counts.

The session token that a browser's cookie carries begins with the operator's number, so that a page finds its person
without looking across operators; the rest of it is random.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Engine, case, func, select, text, update
from sqlalchemy.orm import Session

from sql import audit
from sql.errors import NotFound, Refused
from sql.listing import PAGE
from sql.models import Person
from sql.sessions import acting_for

FAILURES_MAXIMUM = 10  # wrong passwords in a row; then nobody signs in as this person for a while
LOCKED_FOR = timedelta(minutes=15)  # with the limit above 40 tries an hour at most (ASVS 2.2.1 allows 100)
TOKEN_BYTES = 32

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,199}")
_TOKEN = re.compile(r"([0-9]{1,18})-[0-9a-f]{64}")


class PersonRole(StrEnum):
    """What somebody is to an operator. What each may do stands in `web.roles`."""

    OWNER = "owner"
    OPERATOR = "operator"
    APPROVER = "approver"
    FINANCE = "finance"
    SUPPORT = "support"
    AUDITOR = "auditor"


def check_login(login: str) -> None:
    """Raises Refused for what cannot be a login name."""
    if _LOGIN.fullmatch(login) is None:
        raise Refused(
            f"{login[:60]!r} is no login name; use small letters, digits and . _ @ + -, beginning with a letter or "
            "digit, at most 200."
        )


def add_person(
    session: Session, operator_id: int, *, login: str, password_hash: str, roles: list[PersonRole], actor: str
) -> Person:
    """A new person who may sign in. Raises Refused for a name that cannot be one, or is somebody's already."""
    check_login(login)
    if session.execute(_WHERE, {"login": login}).first() is not None:
        raise Refused(f"The login name {login!r} is taken on this installation; choose another.")
    person = Person(
        operator_id=operator_id,
        login=login,
        password=password_hash,
        roles=_distinct(roles),
        fs_uniquifier=_new_token(operator_id),
    )
    session.add(person)
    session.flush()
    audit.record(session, operator_id, actor, "person:account:add", person=login, roles=person.roles)
    return person


def people(session: Session, operator_id: int, *, after: str = "", limit: int = PAGE) -> list[Person]:
    """An operator's people by login name."""
    return list(
        session.scalars(
            select(Person)
            .where(Person.operator_id == operator_id, Person.login > after)
            .order_by(Person.login)
            .limit(limit)
        )
    )


def person_named(session: Session, operator_id: int, login: str) -> Person:
    """The person of this login name, locked. Raises NotFound."""
    found = session.scalar(
        select(Person)
        .where(Person.operator_id == operator_id, Person.login == login)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(f"There is no person {login[:200]!r}; `ispagents person list` shows those there are.")
    return found


def set_active(session: Session, person: Person, *, active: bool, actor: str) -> None:
    """Let somebody sign in again, or no longer: then every open session ends too."""
    if person.active == active:
        return
    person.active = active
    if not active:
        person.fs_uniquifier = _new_token(person.operator_id)
    session.flush()
    event = "person:account:enable" if active else "person:account:disable"
    audit.record(session, person.operator_id, actor, event, person=person.login)


def set_roles(session: Session, person: Person, roles: list[PersonRole], *, actor: str) -> None:
    """Other roles, from the next page on."""
    before, person.roles = person.roles, _distinct(roles)
    session.flush()
    audit.record(
        session,
        person.operator_id,
        actor,
        "person:roles:change",
        person=person.login,
        before=before,
        after=person.roles,
    )


def set_password_hash(session: Session, person: Person, password_hash: str, *, actor: str) -> None:
    """A new password: ends every open session and a lock."""
    person.password = password_hash
    person.fs_uniquifier = _new_token(person.operator_id)
    person.failed_count, person.locked_until = 0, None
    session.flush()
    audit.record(session, person.operator_id, actor, "person:password:change", person=person.login)


def find_by_login(engine: Engine, login: str) -> Person | None:
    """Whoever signs in by this name, at whichever operator; letters count as small ones."""
    if _LOGIN.fullmatch(login.lower()) is None:
        return None
    with engine.connect() as connection:
        place = connection.execute(_WHERE, {"login": login.lower()}).one_or_none()
    if place is None:
        return None
    with acting_for(engine, place.operator_id) as session:
        return session.get(Person, place.person_id)


def find_by_token(engine: Engine, token: str) -> Person | None:
    """Whose open session this is."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    operator_id = int(match[1])
    with acting_for(engine, operator_id) as session:
        return session.scalar(select(Person).where(Person.operator_id == operator_id, Person.fs_uniquifier == token))


def record_sign_in(session: Session, operator_id: int, login: str, *, address: str) -> None:
    """Somebody has signed in: the wrong passwords before are forgotten."""
    session.execute(
        update(Person)
        .where(Person.operator_id == operator_id, Person.login == login)
        .values(last_login_at=func.now(), failed_count=0, locked_until=None)
    )
    audit.record(session, operator_id, login, "person:session:begin", address=address)


def record_sign_out(session: Session, operator_id: int, login: str) -> None:
    """Somebody has signed out, everywhere: a copied cookie opens nothing any more."""
    session.execute(
        update(Person)
        .where(Person.operator_id == operator_id, Person.login == login)
        .values(fs_uniquifier=_new_token(operator_id))
    )
    audit.record(session, operator_id, login, "person:session:end")


def record_failure(session: Session, operator_id: int, login: str, now: datetime, *, address: str) -> None:
    """A wrong password: after `FAILURES_MAXIMUM` in a row the person is locked for `LOCKED_FOR`."""
    full = Person.failed_count + 1 >= FAILURES_MAXIMUM
    locked = session.execute(
        update(Person)
        .where(Person.operator_id == operator_id, Person.login == login)
        .values(
            failed_count=func.least(Person.failed_count + 1, FAILURES_MAXIMUM) % FAILURES_MAXIMUM,
            locked_until=case((full, now + LOCKED_FOR), else_=Person.locked_until),
        )
        .returning(Person.locked_until)
    ).scalar_one_or_none()
    event = "person:session:refuse" if locked is None or locked <= now else "person:account:lock"
    audit.record(session, operator_id, login, event, address=address)


def replace_hash(session: Session, operator_id: int, login: str, password_hash: str) -> None:
    """The same password, hashed by newer means."""
    session.execute(
        update(Person).where(Person.operator_id == operator_id, Person.login == login).values(password=password_hash)
    )


_WHERE = text("SELECT operator_id, person_id FROM person_by_login(:login)")


def _new_token(operator_id: int) -> str:
    return f"{operator_id}-{secrets.token_hex(TOKEN_BYTES)}"


def _distinct(roles: list[PersonRole]) -> list[str]:
    if not roles:
        raise Refused(f"A person has at least one role: {', '.join(PersonRole)}.")
    return [role.value for role in PersonRole if role in roles]
