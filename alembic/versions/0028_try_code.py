"""The code that a try computes with, and the grid that it is a cell of.

Revision ID: 0028
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0028"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tries that there are compute with the project's."""
    op.add_column("tries", sa.Column("code", sa.Text(), nullable=True))
    op.add_column("tries", sa.Column("code_commit", sa.String(64), nullable=True))
    op.add_column("tries", sa.Column("grid", sa.String(100), nullable=True))


def downgrade() -> None:
    """Which code a try had is forgotten, and which tries belong together."""
    op.drop_column("tries", "grid")
    op.drop_column("tries", "code_commit")
    op.drop_column("tries", "code")
