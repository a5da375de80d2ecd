"""What all models share: the declarative base, PostgreSQL's transaction types, and common columns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType


class Base(DeclarativeBase):
    """Base of all models; `Base.metadata` is held against the migrations by a test."""


class TransactionId(UserDefinedType[str]):
    """xid8: a transaction's 64-bit number, as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "xid8"


class Snapshot(UserDefinedType[str]):
    """pg_snapshot: which transactions a reader could see, as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "pg_snapshot"


NOW = text("now()")
CLOCK = text("clock_timestamp()")

Key = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
OperatorId = Annotated[int, mapped_column(BigInteger, ForeignKey("operators.id"))]
Big = Annotated[int, mapped_column(BigInteger)]
OptionalBig = Annotated[int | None, mapped_column(BigInteger)]
Counter = Annotated[int, mapped_column(BigInteger, server_default="0")]
Word = Annotated[str, mapped_column(Text)]
OptionalWord = Annotated[str | None, mapped_column(Text)]
# Ordered and searched by its bytes: the same on every machine, and a prefix is a range of an index.
SortedWord = Annotated[str, mapped_column(Text(collation="C"))]
EmptyWord = Annotated[str, mapped_column(Text, server_default="")]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
OptionalMoment = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=NOW)]
Document = Annotated[dict[str, Any], mapped_column(JSONB)]
EmptyDocument = Annotated[dict[str, Any], mapped_column(JSONB, server_default="{}")]
OptionalDocument = Annotated[dict[str, Any] | None, mapped_column(JSONB(none_as_null=True))]
Revision = Annotated[str, mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))]
