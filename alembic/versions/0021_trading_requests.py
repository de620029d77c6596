"""Changes of a trader that were asked for over HTTP, each with its key.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A new table; no row there is changes."""
    op.create_table(
        "trading_requests",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_trading_requests"),
    )


def downgrade() -> None:
    """Keys are forgotten: a change that is asked for again is done again."""
    op.drop_table("trading_requests")
