"""The type Money on both databases: the same amounts, the same JSON, and nothing that would compare texts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import DatabaseError
from agent.store.column_types import Money
from agent.store.database.engine import open_engine, writing
from agent.store.database.json_columns import to_json

PLAIN = sa.MetaData()
held = sa.Table("held", PLAIN, sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", Money))


@pytest.fixture
def conn(engine: sa.Engine) -> sa.Connection:
    with writing(engine) as conn:
        PLAIN.create_all(conn)
        yield conn


def kept(conn: sa.Connection, value: Decimal | None) -> Decimal | None:
    conn.execute(sa.delete(held))
    conn.execute(sa.insert(held).values(amount=value))
    found: Decimal | None = conn.scalar(sa.select(held.c.amount))
    return found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0", "0"),
        ("-0.01", "-0.01"),
        ("1E-18", "0.000000000000000001"),
        ("1E+2", "100"),
        ("10.50", "10.5"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
def test_an_amount_comes_back_as_it_is(conn: sa.Connection, written: str, said: str) -> None:
    found = kept(conn, Decimal(written))
    assert found == Decimal(written)
    assert to_json([found]) == f'["{said}"]'


def test_null_is_null(conn: sa.Connection) -> None:
    assert kept(conn, None) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.decimals(min_value=-(10**19), max_value=10**19, allow_nan=False, places=18))
def test_no_cent_is_lost_and_json_is_the_same_on_both(conn: sa.Connection, value: Decimal) -> None:
    found = kept(conn, value)
    assert found == value
    text = format(value, "f").rstrip("0").rstrip(".")  # 18 places are written, so there is a point
    assert to_json([found]) == json.dumps([text if value else "0"])


@pytest.mark.parametrize("value", [0.1, True])
def test_a_float_is_refused(conn: sa.Connection, value: object) -> None:
    with pytest.raises(sa.exc.StatementError, match="is no Decimal"):
        kept(conn, value)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 20])
def test_what_postgres_could_not_hold_is_refused_on_both(conn: sa.Connection, value: Decimal) -> None:
    with pytest.raises(sa.exc.StatementError, match=r"no amount|20 digits"):
        kept(conn, value)


def test_sql_does_not_order_or_add(conn: sa.Connection) -> None:
    for ask in (
        lambda: held.c.amount < Decimal(1),
        lambda: held.c.amount.between(Decimal(1), Decimal(2)),
        lambda: held.c.amount + Decimal(1),
        lambda: sa.select(held).order_by(held.c.amount.desc()),
    ):
        with pytest.raises(TypeError, match="SQL does not order or add amounts"):
            ask()
    kept(conn, Decimal("2.50"))
    assert conn.scalar(sa.select(held.c.id).where(held.c.amount == Decimal("2.5"))) is not None


def test_a_word_that_a_person_wrote_into_sqlite_is_named(sqlite_url: str) -> None:
    """PostgreSQL's column takes numbers alone."""
    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        PLAIN.create_all(conn)
        conn.execute(sa.text("INSERT INTO held (amount) VALUES ('ten')"))
        with pytest.raises(DatabaseError, match=r"a column for amounts holds none: 'ten'[\s\S]*fix:   write a plain"):
            conn.scalar(sa.select(held.c.amount))
    engine.dispose()
