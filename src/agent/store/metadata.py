"""What the tables are made with: their registry, the symbolic schema of a project's own ones, and shared columns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

PROJECT = "project"  # symbolic schema of a project's own tables; those without a schema are the control tables

# SQLite numbers rows by itself only for INTEGER, and gives a deleted row's number again without
# `sqlite_autoincrement`: attempts name files and snapshots name inputs, so theirs must never come back.
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# A Python None is stored as SQL's NULL, not as JSON's null: people write `WHERE plan IS NULL`.
JSON = sa.JSON(none_as_null=True)


def count(name: str, *, doc: str = "") -> sa.Column[int]:
    """A column that counts from 0."""
    return sa.Column(name, sa.Integer, nullable=False, server_default="0", doc=doc)


def rows_where(condition: str) -> dict[str, Any]:
    """For an index of some rows alone."""
    return {f"{dialect}_where": sa.text(condition) for dialect in ("sqlite", "postgresql")}


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """A check that a column says one of these words."""
    return sa.CheckConstraint(f"{column} IN ({', '.join(repr(one) for one in values)})", name=column)


def sign_of(column: str, comparison: str = "> 0") -> sa.CheckConstraint:
    """A check of an amount's sign. Through a float: SQLite has amounts as text, and the sign of none is lost."""
    return sa.CheckConstraint(f"CAST({column} AS REAL) {comparison}", name=f"{column}_sign")


def between_amounts(condition: str, *, name: str) -> sa.CheckConstraint:
    """A check between amounts, on PostgreSQL alone: SQLite would compare texts. The dataclasses hold it on both."""
    return sa.CheckConstraint(condition, name=name).ddl_if(dialect="postgresql")
