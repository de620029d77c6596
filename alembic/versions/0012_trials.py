"""Every set-up that was ever backtested.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("setup", sa.String(64), nullable=False),
        sa.Column("sharpe", sa.Float(), nullable=False),
        sa.Column("periods", sa.BigInteger(), nullable=False),
        sa.Column("skewness", sa.Float(), nullable=False),
        sa.Column("kurtosis", sa.Float(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("setup", name="pk_trials"),
    )


def downgrade() -> None:
    """How much was tried is lost."""
    op.drop_table("trials")
