"""Tries: changes that are computed beside production.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PRESENT = sa.text("replaced_by IS NULL")
_INDEX, _BEFORE = "ix_partitions_component_try_id_key", "ix_partitions_component_key"


def upgrade() -> None:
    """All that there is belongs to production, whose number is 0."""
    op.create_table(
        "tries",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tries"),
        sa.UniqueConstraint("name", name="uq_tries_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "try_state",
        sa.Column("try_id", _ID, nullable=False, autoincrement=False),
        sa.Column("component", sa.String(100), nullable=False),
        *_of_component(),
        sa.PrimaryKeyConstraint("try_id", "component", name="pk_try_state"),
        sa.ForeignKeyConstraint(["try_id"], ["tries.id"], name="fk_try_state_try_id"),
    )
    op.create_table(
        "result_leases",
        sa.Column("name", sa.String(200), nullable=False),
        *_of_lease(),
        sa.PrimaryKeyConstraint("name", name="pk_result_leases"),
    )
    for table in ("snapshots", "partitions", "runs"):  # at the end of the table: no row is written again
        op.add_column(table, sa.Column("try_id", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index(_BEFORE, "partitions")
    _index(_INDEX, "component", "try_id", "key")


def downgrade() -> None:
    """Tries go, with what was made in them; their files are for gc."""
    op.execute("DELETE FROM results WHERE snapshot_id IN (SELECT id FROM snapshots WHERE try_id <> 0)")
    op.execute("DELETE FROM partitions WHERE try_id <> 0")
    op.execute("DELETE FROM snapshots WHERE try_id <> 0")
    op.execute("DELETE FROM runs WHERE try_id <> 0")
    op.drop_index(_INDEX, "partitions")
    for table in ("runs", "partitions", "snapshots"):
        op.drop_column(table, "try_id")
    _index(_BEFORE, "component", "key")
    for table in ("result_leases", "try_state", "tries"):
        op.drop_table(table)


def _index(name: str, *columns: str) -> None:
    op.create_index(name, "partitions", list(columns), unique=True, sqlite_where=_PRESENT, postgresql_where=_PRESENT)


def _of_component() -> list[sa.Column[object]]:
    """As orchestrator_state has them, without `is_dirty`."""
    counts = ("run_count", "failure_count")
    return [
        sa.Column("last_run_at", sa.DateTime(timezone=True)),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in counts),
        sa.Column("status", sa.String(20), nullable=False, server_default="idle"),
        sa.Column("dirty_reason", sa.Text()),
        sa.Column("marked_at", sa.DateTime(timezone=True)),
        sa.Column("marked_by", sa.String(200)),
        sa.Column("marked_reason", sa.Text()),
        sa.Column("marked_partitions", sa.JSON()),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text()),
        sa.Column("last_failed_at", sa.DateTime(timezone=True)),
        sa.Column("next_retry_at", sa.DateTime(timezone=True)),
        sa.Column("code_version", sa.String(64)),
        sa.Column("code_files", sa.JSON()),
        sa.Column("settings_hash", sa.String(64)),
        sa.Column("settings", sa.JSON()),
        sa.Column("libraries", sa.JSON()),
        sa.Column("input_versions", sa.JSON()),
        sa.Column("output_version", sa.String(64)),
        sa.Column("output_snapshot_id", _ID),
        sa.Column("output_rows", sa.BigInteger()),
        sa.Column("last_duration_s", sa.Float()),
        *_of_lease(),
    ]


def _of_lease() -> list[sa.Column[object]]:
    return [
        sa.Column("lease_owner", sa.String(300)),
        sa.Column("lease_token", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("lease_taken_at", sa.DateTime(timezone=True)),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
    ]
