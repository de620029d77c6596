"""Snapshots share the rows of their partitions: one lives from the snapshot that brought it to the one replacing it.

Revision ID: 0009
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FACTS = "path, rows, min_ts, max_ts, content_hash, column_hashes, file_hash, file_size, file_mtime_ns"
_PRESENT = sa.text("replaced_by IS NULL")

# A file is never changed, so that its path says whether two snapshots that follow each other have the same partition.
# `place` numbers the snapshots of a component; in an unbroken row of them place - number is one and the same.
_SHARE = f"""
INSERT INTO partitions (component, key, first_snapshot, replaced_by, {_FACTS})
WITH numbered AS (
    SELECT id, component, ROW_NUMBER() OVER (PARTITION BY component ORDER BY id) AS place,
        LEAD(id) OVER (PARTITION BY component ORDER BY id) AS next_id
    FROM snapshots
), placed AS (
    SELECT s.component, s.place, s.next_id, p.*, s.place - ROW_NUMBER() OVER (
        PARTITION BY s.component, p.key, p.path ORDER BY s.place) AS island
    FROM partitions_before p JOIN numbered s ON s.id = p.snapshot_id
), ends AS (
    SELECT component, key, path, island, MIN(snapshot_id) AS first_id, MAX(snapshot_id) AS last_id
    FROM placed GROUP BY component, key, path, island
)
SELECT e.component, e.key, e.first_id, l.next_id, l.path, l.rows, l.min_ts, l.max_ts, l.content_hash, l.column_hashes,
    l.file_hash, l.file_size, l.file_mtime_ns
FROM ends e JOIN placed l ON l.snapshot_id = e.last_id AND l.key = e.key
"""
_SPREAD = f"""
INSERT INTO partitions (snapshot_id, key, {_FACTS})
SELECT s.id, p.key, p.path, p.rows, p.min_ts, p.max_ts, p.content_hash, p.column_hashes, p.file_hash, p.file_size,
    p.file_mtime_ns
FROM snapshots s JOIN partitions_before p ON p.component = s.component AND p.first_snapshot <= s.id
    AND (p.replaced_by IS NULL OR p.replaced_by > s.id)
"""


def upgrade() -> None:
    _set_aside()
    op.create_table(
        "partitions",
        sa.Column("component", sa.String(100), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("first_snapshot", _ID, nullable=False, autoincrement=False),
        sa.Column("replaced_by", _ID),
        *_facts(),
        sa.PrimaryKeyConstraint("component", "key", "first_snapshot", name="pk_partitions"),
    )
    op.execute(_SHARE)
    op.drop_table("partitions_before")
    op.create_index("ix_partitions_path", "partitions", ["path"])
    op.create_index("ix_partitions_component_replaced_by", "partitions", ["component", "replaced_by"])
    op.create_index(
        "ix_partitions_component_key",
        "partitions",
        ["component", "key"],
        unique=True,
        sqlite_where=_PRESENT,
        postgresql_where=_PRESENT,
    )


def downgrade() -> None:
    _set_aside()
    op.create_table(
        "partitions",
        sa.Column("snapshot_id", _ID, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        *_facts(),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshots.id"], name="fk_partitions_snapshot_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "key", name="pk_partitions"),
    )
    op.execute(_SPREAD)
    op.drop_table("partitions_before")
    op.create_index("ix_partitions_path", "partitions", ["path"])


def _set_aside() -> None:
    """Keep the rows as `partitions_before`; a table that is renamed would keep the names of its constraints."""
    op.execute("CREATE TABLE partitions_before AS SELECT * FROM partitions")
    op.drop_table("partitions")


def _facts() -> list[sa.Column[object]]:
    return [
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("min_ts", sa.DateTime(timezone=True)),
        sa.Column("max_ts", sa.DateTime(timezone=True)),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("column_hashes", sa.JSON(), nullable=False),
        sa.Column("file_hash", sa.String(64), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("file_mtime_ns", sa.BigInteger(), nullable=False),
    ]
