"""What a paper account holds, kept as it changes, and indexes by which a fill costs the same however many there are.

Revision ID: 0023
Revises: 0021
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Context, Decimal

import sqlalchemy as sa

from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

_MONEY = sa.Numeric(38, 18).with_variant(sa.Text(), "sqlite")
_EXACT = Context(prec=80)
_INDEXES = {
    "fills": ("platform", "account_ref", "market_id", "outcome", "ts"),
    "orders": ("agent_id", "first_sent_at"),
    "paper_fills": ("account_ref", "ts"),
    "paper_orders": ("account_ref", "status"),
}


def upgrade() -> None:
    """Balances follow from the fills and the cash that are there."""
    op.create_table(
        "paper_balances",
        sa.Column("account_ref", sa.String(64), nullable=False),
        sa.Column("market_id", sa.String(300), nullable=False),
        sa.Column("outcome", sa.String(50), nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.PrimaryKeyConstraint("account_ref", "market_id", "outcome", name="pk_paper_balances"),
    )
    number = "REAL" if op.get_bind().dialect.name == "sqlite" else "DOUBLE PRECISION"
    shown = f'"account_ref", "market_id", "outcome", CAST("amount" AS {number}) AS "amount"'
    op.execute(f"CREATE VIEW paper_balances_view AS SELECT {shown} FROM paper_balances")
    for table, columns in _INDEXES.items():
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))
    _fill()


def downgrade() -> None:
    """What follows from fills and cash is made again by the next upgrade."""
    for table, columns in _INDEXES.items():
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
    op.execute("DROP VIEW paper_balances_view")
    op.drop_table("paper_balances")


def _fill() -> None:
    conn = op.get_bind()
    found: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)

    def add(key: tuple[str, str, str], amount: Decimal) -> None:
        found[key] = _EXACT.add(found[key], amount)

    for account, market, outcome, side, *figures in conn.execute(
        sa.text("SELECT account_ref, market_id, outcome, side, quantity, price, fee FROM paper_fills")
    ):
        quantity, price, fee = (Decimal(str(one)) for one in figures)
        signed = quantity if side == "buy" else quantity.copy_negate()
        notional = _EXACT.multiply(signed, price).quantize(Decimal(1).scaleb(-18), context=_EXACT)
        add((account, market, outcome), signed)
        add((account, "", ""), _EXACT.add(notional, fee).copy_negate())
    settled = []
    for account, market, outcome, kind, amount in conn.execute(
        sa.text("SELECT account_ref, market_id, outcome, kind, amount FROM paper_movements")
    ):
        add((account, "", ""), Decimal(str(amount)))
        if kind == "settlement":
            settled.append((account, market, outcome or ""))
    for key in settled:
        found[key] = Decimal(0)
    table = sa.table("paper_balances", *(sa.column(name) for name in ("account_ref", "market_id", "outcome")))
    table.append_column(sa.column("amount", _MONEY))
    sqlite = conn.dialect.name == "sqlite"
    for (account, market, outcome), amount in sorted(found.items()):
        plain = format(amount, "f")
        text = plain.rstrip("0").rstrip(".") if "." in plain else plain
        row = {"account_ref": account, "market_id": market, "outcome": outcome}
        conn.execute(sa.insert(table).values(amount=(text or "0") if sqlite else amount, **row))
