"""The paper platform's own books: orders, fills and cash as a platform keeps them.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_MONEY = sa.Numeric(38, 18).with_variant(sa.Text(), "sqlite")
_TIME = sa.DateTime(timezone=True)
# Amounts, which are floats in a view of each table, for people's SQL.
_AMOUNTS = {
    "paper_orders": ("quantity", "limit_price", "filled"),
    "paper_fills": ("quantity", "price", "fee"),
    "paper_movements": ("amount",),
}


def upgrade() -> None:
    """Nobody has traded on paper yet: there are no rows to bring along."""
    op.create_table(
        "paper_orders",
        *_key("client_order_id", 40),
        sa.Column("platform_order_id", sa.String(80), nullable=False),
        *_what(),
        sa.Column("quantity", _MONEY, nullable=False),
        sa.Column("limit_price", _MONEY, nullable=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("filled", _MONEY, nullable=False, server_default="0"),
        sa.Column("placed_at", _TIME, nullable=False),
        sa.Column("looked_to", _TIME, nullable=False),
        _check("side IN ('buy', 'sell')", "ck_paper_orders_side"),
        _check("status IN ('open', 'filled', 'cancelled')", "ck_paper_orders_status"),
        _check("CAST(quantity AS REAL) > 0", "ck_paper_orders_quantity_sign"),
        _check("CAST(limit_price AS REAL) > 0", "ck_paper_orders_limit_price_sign"),
        sa.PrimaryKeyConstraint("account_ref", "client_order_id", name="pk_paper_orders"),
        sa.UniqueConstraint(
            "account_ref", "platform_order_id", name=op.f("uq_paper_orders_account_ref_platform_order_id")
        ),
    )
    op.create_table(
        "paper_fills",
        *_key("fill_id", 200),
        sa.Column("client_order_id", sa.String(40), nullable=False),
        *_what(),
        sa.Column("quantity", _MONEY, nullable=False),
        sa.Column("price", _MONEY, nullable=False),
        sa.Column("fee", _MONEY, nullable=False),
        sa.Column("ts", _TIME, nullable=False),
        _check("side IN ('buy', 'sell')", "ck_paper_fills_side"),
        _check("CAST(quantity AS REAL) > 0", "ck_paper_fills_quantity_sign"),
        sa.PrimaryKeyConstraint("account_ref", "fill_id", name="pk_paper_fills"),
    )
    op.create_table(
        "paper_movements",
        *_key("external_id", 200),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("market_id", sa.String(300), nullable=True),
        sa.Column("outcome", sa.String(50), nullable=True),
        sa.Column("ts", _TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        _check("kind IN ('deposit', 'settlement')", "ck_paper_movements_kind"),
        sa.PrimaryKeyConstraint("account_ref", "external_id", name="pk_paper_movements"),
    )
    number = "REAL" if op.get_bind().dialect.name == "sqlite" else "DOUBLE PRECISION"
    for name, amounts in _AMOUNTS.items():
        columns = [one["name"] for one in sa.inspect(op.get_bind()).get_columns(name)]
        shown = [f'CAST("{one}" AS {number}) AS "{one}"' if one in amounts else f'"{one}"' for one in columns]
        op.execute(f"CREATE VIEW {name}_view AS SELECT {', '.join(shown)} FROM {name}")


def downgrade() -> None:
    """What the paper platform knew is lost; the agent's own books stay."""
    for name in _AMOUNTS:
        op.execute(f"DROP VIEW {name}_view")
        op.drop_table(name)


def _key(name: str, length: int) -> list[sa.Column[str]]:
    return [
        sa.Column("account_ref", sa.String(64), nullable=False),
        sa.Column(name, sa.String(length), nullable=False),
    ]


def _what() -> list[sa.Column[str]]:
    return [
        sa.Column("market_id", sa.String(300), nullable=False),
        sa.Column("outcome", sa.String(50), nullable=False),
        sa.Column("side", sa.String(10), nullable=False),
    ]


def _check(condition: str, name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))
