"""Decisions as they were published, sealed one over the other.

Revision ID: 0011
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "forward_record",
        sa.Column("id", _ID, nullable=False),
        sa.Column("release", sa.String(200), nullable=False),
        sa.Column("sealed_at", sa.String(40), nullable=False),
        sa.Column("decisions", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forward_record"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """The record is lost: nothing can be sealed again later."""
    op.drop_table("forward_record")
