"""Results are found again.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was computed before is not found: nobody noted what it depended on."""
    op.create_table(
        "results",
        sa.Column("component", sa.String(100), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("component", "fingerprint", name="pk_results"),
    )
    op.create_index("ix_results_last_used_at", "results", ["last_used_at"])
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("reused_from", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """What was found is an output like any other: nothing is lost but the finding."""
    with op.batch_alter_table("attempts") as table:
        table.drop_column("reused_from")
    op.drop_table("results")
