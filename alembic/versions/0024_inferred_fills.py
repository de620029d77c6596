"""Fills that nobody listed are found without reading the others: each new fill asks for them.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_NAME, _COLUMNS = "ix_fills_inferred", ["platform", "account_ref", "market_id", "outcome"]


def upgrade() -> None:
    """An index of the few."""
    inferred = sa.text("inferred")
    op.create_index(op.f(_NAME), "fills", _COLUMNS, sqlite_where=inferred, postgresql_where=inferred)


def downgrade() -> None:
    """The rows stay."""
    op.drop_index(op.f(_NAME), table_name="fills")
