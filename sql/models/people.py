"""People who sign in to the pages, with their roles."""

from __future__ import annotations

from sqlalchemy import Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base, CreatedAt, Key, OperatorId, OptionalMoment, OptionalWord, SortedWord, Word


class Person(Base):
    """Somebody of one operator who may sign in. `password` is a hash; `fs_uniquifier` names the open sessions."""

    __tablename__ = "people"
    __table_args__ = (
        Index("people_login", "login", unique=True),
        Index("people_uniquifier", "fs_uniquifier", unique=True),
        Index("people_operator", "operator_id", "login"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    login: Mapped[SortedWord]
    password: Mapped[Word]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(server_default="true")
    fs_uniquifier: Mapped[Word]
    tf_primary_method: Mapped[OptionalWord]
    tf_totp_secret: Mapped[OptionalWord]
    created_at: Mapped[CreatedAt]
    last_login_at: Mapped[OptionalMoment]
    failed_count: Mapped[int] = mapped_column(server_default="0")
    locked_until: Mapped[OptionalMoment]
