"""What ends by its name: nothing is removed, and the name may be given again."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sql.models import ApiToken, PaymentProvider

Named = TypeVar("Named", ApiToken, PaymentProvider)


def end_named(session: Session, model: type[Named], operator_id: int, name: str) -> Named | None:
    """End the one of this name that has not ended, from now on; None where there is none."""
    mine = (model.operator_id == operator_id, model.name == name, model.ended_at.is_(None))
    found = session.scalar(select(model).where(*mine))
    if found is not None:
        found.ended_at = func.now()
        session.flush()
    return found
