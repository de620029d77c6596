"""The quote currency of each market, and the event that markets share.

Revision ID: 0017
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("markets", sa.Column("quote_currency", sa.String(20)))
    op.add_column("markets", sa.Column("event_id", sa.String(200)))


def downgrade() -> None:
    """The next run of `markets` writes them again."""
    op.drop_column("markets", "event_id")
    op.drop_column("markets", "quote_currency")
