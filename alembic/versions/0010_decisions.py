"""Predictions carry the decision: net edge, threshold, distance to it, weight, action and reason; and the newest output
that said the same, so that the decisions of a release can be told from expired ones.

Revision ID: 0010
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NUMBERS = ("net_edge", "threshold", "distance", "weight")


def upgrade() -> None:
    with op.batch_alter_table("predictions", table_kwargs={"sqlite_autoincrement": True}) as table:
        for name in _NUMBERS:
            table.add_column(sa.Column(name, sa.Float()))
        table.add_column(sa.Column("action", sa.String(length=10)))
        table.add_column(sa.Column("reason", sa.Text()))
        table.add_column(sa.Column("last_snapshot_id", _ID))


def downgrade() -> None:
    with op.batch_alter_table("predictions", table_kwargs={"sqlite_autoincrement": True}) as table:
        for name in ("last_snapshot_id", "reason", "action", *reversed(_NUMBERS)):
            table.drop_column(name)
