"""Leases of one form: when it was taken and a token for runs, when it was taken for the runner.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("runs", sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("lease_taken_at", _TIME, nullable=True))
    op.add_column("runner", sa.Column("lease_taken_at", _TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("runner", "lease_taken_at")
    op.drop_column("runs", "lease_taken_at")
    op.drop_column("runs", "lease_token")
