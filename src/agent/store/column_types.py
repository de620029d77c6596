"""Types of columns that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators

from agent.amounts import DIGITS, PLACES, exact, parsed, plain
from agent.errors import DatabaseError


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC instants on both databases; a naive one is refused, since it would be read as another time."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(sa.types.TypeDecorator[str]):
    """Text as both databases can hold it. Error messages quote what a broken file contains: NUL bytes, which
    PostgreSQL refuses, and lone surrogates, which no UTF-8 has, become a replacement character."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


class _AsEqual(sa.types.TypeDecorator.Comparator[Decimal]):
    """What SQL may ask of an amount: whether it equals another. As text on SQLite '9' comes after '10'."""

    _ALLOWED = frozenset({operators.eq, operators.ne, operators.is_, operators.is_not, operators.in_op})

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Raises TypeError for what orders amounts or reckons with them."""
        if op not in self._ALLOWED:
            raise TypeError(f"SQL does not order or add amounts ({op.__name__}): do it in Python, with Decimal")
        return super().operate(op, *other, **kwargs)


class Money(sa.types.TypeDecorator[Decimal]):
    """Amounts of money, prices and quantities, exact on both databases: NUMERIC(38,18) on PostgreSQL; on SQLite text in
    plain notation, since its numbers are floats and lose cents. At most 18 places, no trailing zeros."""

    impl = sa.Numeric(DIGITS, PLACES)
    cache_ok = True
    comparator_factory = _AsEqual

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else sa.Numeric(DIGITS, PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Raises TypeError for a float, ValueError for NaN, infinities and what has too many digits."""
        if value is None:
            return None
        return plain(value) if dialect.name == "sqlite" else exact(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Raises DatabaseError where a person wrote into SQLite what is no amount."""
        if value is None:
            return None
        try:
            return parsed(str(value))
        except ValueError as error:
            raise DatabaseError(
                f"a column for amounts holds none: {error}",
                where="the database's tables of the trading agent",
                fix="write a plain decimal number there, such as 12.5; or restore a backup",
            ) from error
