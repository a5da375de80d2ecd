"""Flask-Security's datastore on `sql.people`. A request works on a copy of the person's row; only sign-ins write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import request
from flask_security import RoleMixin, UserMixin
from flask_security.datastore import UserDatastore
from sqlalchemy import Engine

from sql import people
from sql.models import Person
from sql.sessions import acting_for


@dataclass(frozen=True)
class HeldRole(RoleMixin):
    """A role as Flask-Security wants it."""

    name: str


@dataclass(kw_only=True)
class SignedIn(UserMixin):
    """A person as this request knows them. `password` is a hash and never shown."""

    id: int
    operator_id: int
    login: str
    password: str = field(repr=False)
    fs_uniquifier: str = field(default="", repr=False)  # Flask-Security looks for it on the class
    active: bool
    roles: list[RoleMixin]
    locked_until: datetime | None
    store: PeopleStore = field(repr=False)

    @property
    def role_names(self) -> list[str]:
        """The roles by their names."""
        return [role.name for role in self.roles]

    def is_locked_now(self) -> bool:
        """Whether too many wrong passwords keep this person out at this moment."""
        return self.locked_until is not None and self.locked_until > datetime.now(UTC)

    def track_failed_authn(self, auth_type: str, tfa: bool = False) -> None:
        """Flask-Security's word that a password was wrong."""
        super().track_failed_authn(auth_type, tfa)
        self.store.failed(self)


class PeopleStore(UserDatastore):
    """Finds people across operators by login name or open session, and by nothing else."""

    def __init__(self, engine: Engine) -> None:
        """The web role's engine."""
        super().__init__(SignedIn, HeldRole)
        self._engine = engine

    def find_user(self, case_insensitive: bool = False, **kwargs: Any) -> SignedIn | None:  # noqa: ARG002 - names do not depend on case
        """The person of a `login` or `fs_uniquifier`; None for everything else."""
        match kwargs:
            case {"login": str(login)}:
                return self._known(people.find_by_login(self._engine, login))
            case {"fs_uniquifier": str(token)}:
                return self._known(people.find_by_token(self._engine, token))
        return None

    def find_role(self, role: str) -> HeldRole | None:
        """A role of the fixed list."""
        return HeldRole(role) if role in set(people.PersonRole) else None

    def put(self, model: SignedIn) -> SignedIn:
        """Store what Flask-Security changes by itself: a hash made by newer means."""
        with acting_for(self._engine, model.operator_id) as session:
            people.replace_hash(session, model.operator_id, model.login, model.password)
        return model

    def commit(self) -> None:
        """Nothing waits: each change is a transaction of its own."""

    def signed_in(self, person: SignedIn) -> None:
        """Note a sign-in."""
        with acting_for(self._engine, person.operator_id) as session:
            people.record_sign_in(session, person.operator_id, person.login, address=request.remote_addr or "")

    def signed_out(self, person: SignedIn) -> None:
        """End every session of a person."""
        with acting_for(self._engine, person.operator_id) as session:
            people.record_sign_out(session, person.operator_id, person.login)

    def failed(self, person: SignedIn) -> None:
        """Count a wrong password."""
        with acting_for(self._engine, person.operator_id) as session:
            people.record_failure(
                session, person.operator_id, person.login, datetime.now(UTC), address=request.remote_addr or ""
            )

    def _known(self, person: Person | None) -> SignedIn | None:
        if person is None:
            return None
        return SignedIn(
            id=person.id,
            operator_id=person.operator_id,
            login=person.login,
            password=person.password,
            fs_uniquifier=person.fs_uniquifier,
            active=person.active,
            roles=[HeldRole(name) for name in person.roles],
            locked_until=person.locked_until,
            store=self,
        )
