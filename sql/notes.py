"""Notes of support on a customer: audit events, so that they can be neither changed nor lost."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sql import audit
from sql.errors import Refused
from sql.models import Service

NOTE_MAXIMUM_LETTERS = 2000
NOTE_EVENT = "support:note:add"


def add_note(session: Session, service: Service, note: str, *, actor: str) -> None:
    """Write a note on a service; the timeline tells it. Raises Refused where it is empty, too long or no text."""
    letters = len(note)
    if not note.strip():
        raise Refused("The note must not be empty.")
    if letters > NOTE_MAXIMUM_LETTERS:
        raise Refused(f"The note has {letters} letters; {NOTE_MAXIMUM_LETTERS} are the most that it may have.")
    if "\0" in note or any("\ud800" <= letter <= "\udfff" for letter in note):
        raise Refused("The note may hold any letters, but no zero byte and nothing that is not valid UTF-8.")
    audit.record(
        session,
        service.operator_id,
        actor,
        NOTE_EVENT,
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        text=note,
    )
    session.flush()
