"""Records that were set aside, for people: listed, shown, and asked to be taken in again. Edge does that."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from sql.among import among
from sql.errors import NotFound
from sql.models import SpoolReject


def rejects(session: Session, *, before: int | None, limit: int, everything: bool) -> list[SpoolReject]:
    """A page of them, the newest first; those that were taken in later only with `everything`."""
    query = select(SpoolReject).order_by(SpoolReject.id.desc()).limit(limit)
    if before is not None:
        query = query.where(SpoolReject.id < before)
    if not everything:
        query = query.where(SpoolReject.state != "replayed")
    return list(session.scalars(query))


def reject_by_id(session: Session, reject_id: int) -> SpoolReject:
    """One of them. Raises NotFound."""
    found = session.get(SpoolReject, reject_id)
    if found is None:
        raise NotFound(f"There is no record {reject_id} that was set aside; see `ispagents spool rejects`.")
    return found


def ask_again(session: Session, *, ids: Sequence[int], actor: str) -> int:
    """Have these taken in again, or all that were set aside where no ids are given. Returns how many will be."""
    change = update(SpoolReject).where(SpoolReject.state == "aside").values(state="asked", asked_by=actor)
    if ids:
        change = change.where(among(SpoolReject.id, ids))
    return int(session.execute(change).rowcount)  # type: ignore[attr-defined] # an UPDATE's result
