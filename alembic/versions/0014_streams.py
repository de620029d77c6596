"""What is collected of remote sources, by whom, and how new it was when a release was made.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "collectors",
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("last_pass_at", sa.DateTime(timezone=True)),
        sa.Column("last_ok_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.Column("clock_offset_seconds", sa.Float()),
        sa.Column("lease_owner", sa.String(300)),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_taken_at", sa.DateTime(timezone=True)),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("source", name="pk_collectors"),
    )
    op.create_table(
        "streams",
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("stream", sa.String(400), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("covered_from", sa.DateTime(timezone=True)),
        sa.Column("covered_to", sa.DateTime(timezone=True)),
        sa.Column("holes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_ok_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("pages", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("source", "stream", name="pk_streams"),
    )
    op.add_column("releases", sa.Column("collected_to", sa.JSON()))


def downgrade() -> None:
    """The inbox is the truth: `agent collect` writes the rows again."""
    op.drop_column("releases", "collected_to")
    op.drop_table("streams")
    op.drop_table("collectors")
