"""Markets say what their bars go by; a prediction made again for the same bar supersedes the earlier one."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OLD_KEY, _NEW_KEY = ("market_id", "ts", "model_version"), ("market_id", "ts", "model_version", "snapshot_id")


def upgrade() -> None:
    with op.batch_alter_table("markets") as table:
        table.add_column(sa.Column("interval", sa.String(length=20)))
        table.add_column(sa.Column("timezone", sa.String(length=100)))
    op.execute("UPDATE markets SET interval = interval_seconds || 's' WHERE interval_seconds IS NOT NULL")
    with op.batch_alter_table("predictions", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("superseded_by", _ID))
        table.drop_constraint(op.f("uq_predictions_market_id_ts_model_version"), type_="unique")
        table.create_unique_constraint(op.f("uq_predictions_market_id_ts_model_version_snapshot_id"), list(_NEW_KEY))
    # What another model had said of the same bar before counts no more once the newer one has spoken.
    op.execute(
        """UPDATE predictions SET superseded_by = (
               SELECT min(newer.id) FROM predictions AS newer
               WHERE newer.market_id = predictions.market_id AND newer.ts = predictions.ts AND newer.id > predictions.id
           )"""
    )


def downgrade() -> None:
    """The earlier of two predictions by one model for one bar is lost: there was no room for both."""
    op.execute(
        """DELETE FROM predictions WHERE EXISTS (
               SELECT 1 FROM predictions AS newer
               WHERE newer.market_id = predictions.market_id AND newer.ts = predictions.ts
                 AND newer.model_version = predictions.model_version AND newer.id > predictions.id
           )"""
    )
    with op.batch_alter_table("predictions", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(op.f("uq_predictions_market_id_ts_model_version_snapshot_id"), type_="unique")
        table.create_unique_constraint(op.f("uq_predictions_market_id_ts_model_version"), list(_OLD_KEY))
        table.drop_column("superseded_by")
    with op.batch_alter_table("markets") as table:
        table.drop_column("timezone")
        table.drop_column("interval")
