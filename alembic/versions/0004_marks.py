"""A person's mark in columns of its own; `dirty_reason` and `is_dirty` show, and no decision reads them.

Before, `dirty_reason` held a person's words and what an evaluation had found in one text, and an empty list in
`dirty_partitions` meant that nobody had asked.

Revision ID: 0004
Revises: 0002
Create Date: 2026-11-26
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")
_FOUND = "[auto] "  # began what an evaluation had found

_rows = sa.table(
    "orchestrator_state",
    *(sa.column(name) for name in ("component", "is_dirty", "dirty_reason", "output_snapshot_id", "code_version")),
    *(sa.column(name) for name in ("marked_by", "marked_reason")),
    sa.column("marked_at", _TIME),
    sa.column("marked_partitions", sa.JSON(none_as_null=True)),
)

# is_dirty is true where there is a mark or a reason. The program writes those two and never names is_dirty; whoever
# does name it in an UPDATE is a person, also where the value stays as it was. A migration that makes this table again
# on SQLite must make the triggers again too.
#
# On SQLite the flag is corrected by an UPDATE within a trigger (`shown`, and only there), which the triggers of a
# person's UPDATE must not take for one: it leads from a flag that disagrees with mark and reason to one that agrees.
# Triggers of one statement run in any order there.
_AGREES = "{0}.is_dirty IS ({0}.marked_at IS NOT NULL OR {0}.dirty_reason IS NOT NULL)"
_IS_CORRECTION = f"(NOT {_AGREES.format('OLD')} AND {_AGREES.format('NEW')})"
_IS_SET = "(NEW.is_dirty OR lower(NEW.is_dirty) IN ('true', 't', 'yes', 'y', 'on'))"  # no type refuses a text there
_TRIGGERS = {
    "sqlite": (
        f"""CREATE TRIGGER orchestrator_state_marked AFTER UPDATE OF is_dirty ON orchestrator_state
            WHEN {_IS_SET} AND NOT {_IS_CORRECTION}
            BEGIN
                UPDATE orchestrator_state SET
                    marked_at = CASE WHEN NEW.marked_at IS NOT OLD.marked_at AND NEW.marked_at IS NOT NULL
                        THEN NEW.marked_at ELSE strftime('%Y-%m-%d %H:%M:%f000', 'now') END,
                    marked_by = CASE WHEN NEW.marked_by IS NOT OLD.marked_by AND NEW.marked_by IS NOT NULL
                        THEN NEW.marked_by ELSE 'SQL' END,
                    marked_reason = CASE
                        WHEN NEW.marked_reason IS NOT OLD.marked_reason THEN NEW.marked_reason
                        WHEN NEW.dirty_reason IS NOT OLD.dirty_reason AND NEW.dirty_reason IS NOT NULL
                            THEN NEW.dirty_reason
                        WHEN OLD.marked_at IS NULL THEN NULL
                        WHEN OLD.marked_by LIKE 'SQL%' OR OLD.marked_by IS NULL THEN OLD.marked_reason
                        ELSE OLD.marked_by || ': ' || OLD.marked_reason END,
                    marked_partitions = CASE WHEN NEW.marked_partitions IS NOT OLD.marked_partitions
                        THEN NEW.marked_partitions END,
                    dirty_reason = CASE WHEN NEW.dirty_reason IS NOT NULL THEN OLD.dirty_reason END
                WHERE component = NEW.component;
            END""",
        f"""CREATE TRIGGER orchestrator_state_unmarked AFTER UPDATE OF is_dirty ON orchestrator_state
            WHEN NOT {_IS_SET} AND NOT {_IS_CORRECTION}
            BEGIN
                UPDATE orchestrator_state SET
                    marked_at = NULL, marked_by = NULL, marked_reason = NULL, marked_partitions = NULL
                WHERE component = NEW.component;
            END""",
        f"""CREATE TRIGGER orchestrator_state_shown AFTER UPDATE OF marked_at, dirty_reason ON orchestrator_state
            WHEN NOT {_AGREES.format("NEW")}
            BEGIN
                UPDATE orchestrator_state SET is_dirty = (marked_at IS NOT NULL OR dirty_reason IS NOT NULL)
                WHERE component = NEW.component AND NOT {_AGREES.format("orchestrator_state")};
            END""",
    ),
    "postgresql": (
        """CREATE FUNCTION orchestrator_state_marked() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               IF NEW.is_dirty THEN
                   NEW.marked_reason = CASE
                       WHEN NEW.marked_reason IS DISTINCT FROM OLD.marked_reason THEN NEW.marked_reason
                       WHEN NEW.dirty_reason IS DISTINCT FROM OLD.dirty_reason AND NEW.dirty_reason IS NOT NULL
                           THEN NEW.dirty_reason
                       WHEN OLD.marked_at IS NULL THEN NULL
                       WHEN OLD.marked_by LIKE 'SQL%' OR OLD.marked_by IS NULL THEN OLD.marked_reason
                       ELSE OLD.marked_by || ': ' || OLD.marked_reason END;
                   IF NEW.marked_at IS NOT DISTINCT FROM OLD.marked_at OR NEW.marked_at IS NULL THEN
                       NEW.marked_at = clock_timestamp();
                   END IF;
                   IF NEW.marked_by IS NOT DISTINCT FROM OLD.marked_by OR NEW.marked_by IS NULL THEN
                       NEW.marked_by = 'SQL as ' || current_user;
                   END IF;
                   IF NEW.marked_partitions::text IS NOT DISTINCT FROM OLD.marked_partitions::text THEN
                       NEW.marked_partitions = NULL;
                   END IF;
                   IF NEW.dirty_reason IS NOT NULL THEN
                       NEW.dirty_reason = OLD.dirty_reason;
                   END IF;
               ELSE
                   NEW.marked_at = NULL;
                   NEW.marked_by = NULL;
                   NEW.marked_reason = NULL;
                   NEW.marked_partitions = NULL;
               END IF;
               NEW.is_dirty = NEW.marked_at IS NOT NULL OR NEW.dirty_reason IS NOT NULL;
               RETURN NEW;
           END $$""",
        """CREATE TRIGGER orchestrator_state_marked BEFORE UPDATE OF is_dirty ON orchestrator_state
           FOR EACH ROW EXECUTE FUNCTION orchestrator_state_marked()""",
        """CREATE FUNCTION orchestrator_state_shown() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               NEW.is_dirty = NEW.marked_at IS NOT NULL OR NEW.dirty_reason IS NOT NULL;
               RETURN NEW;
           END $$""",
        # Triggers of one table fire in the order of their names: after the one above.
        """CREATE TRIGGER orchestrator_state_shown BEFORE UPDATE OF marked_at, dirty_reason ON orchestrator_state
           FOR EACH ROW EXECUTE FUNCTION orchestrator_state_shown()""",
    ),
}
_TRIGGER_BEFORE = {
    "sqlite": (
        """CREATE TRIGGER orchestrator_state_marked AFTER UPDATE OF is_dirty ON orchestrator_state
           WHEN NEW.is_dirty AND OLD.is_dirty
           BEGIN
               UPDATE orchestrator_state SET dirty_partitions = NULL, dirty_reason = NULL
               WHERE component = NEW.component;
           END""",
    ),
    "postgresql": (
        """CREATE FUNCTION orchestrator_state_marked() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               NEW.dirty_partitions = NULL;
               NEW.dirty_reason = NULL;
               RETURN NEW;
           END $$""",
        """CREATE TRIGGER orchestrator_state_marked BEFORE UPDATE OF is_dirty ON orchestrator_state
           FOR EACH ROW WHEN (NEW.is_dirty AND OLD.is_dirty) EXECUTE FUNCTION orchestrator_state_marked()""",
    ),
}


def upgrade() -> None:
    _drop_triggers("marked")
    op.execute("ALTER TABLE orchestrator_state RENAME COLUMN dirty_partitions TO marked_partitions")
    op.add_column("orchestrator_state", sa.Column("marked_at", _TIME))
    op.add_column("orchestrator_state", sa.Column("marked_by", sa.String(length=200)))
    op.add_column("orchestrator_state", sa.Column("marked_reason", sa.Text()))
    for row in _all_rows():
        _write(row, _split(row))
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    _drop_triggers("marked", "unmarked", "shown")
    for row in _all_rows():
        _write(row, _joined(row))
    for name in ("marked_at", "marked_by", "marked_reason"):
        op.drop_column("orchestrator_state", name)
    op.execute("ALTER TABLE orchestrator_state RENAME COLUMN marked_partitions TO dirty_partitions")
    for statement in _TRIGGER_BEFORE[op.get_bind().dialect.name]:
        op.execute(statement)


def _split(row: sa.RowMapping) -> dict[str, Any]:
    """What was one flag and one text, as a mark and a reason. When a mark was set is not on record: it is now."""
    words, _, found = (row["dirty_reason"] or "").partition(_FOUND)
    words = words.removesuffix("; ").strip()
    has_run = row["output_snapshot_id"] is not None and row["code_version"] is not None
    nobody = row["keys"] == "[]" or (not has_run and row["dirty_reason"] is None)
    if not row["is_dirty"]:
        return {"dirty_reason": None, "marked_partitions": None}
    if nobody:
        return {"dirty_reason": found or words or "it has not been looked at yet", "marked_partitions": None}
    return {"dirty_reason": found or None, "marked_reason": words or None, "marked_at": sa.func.current_timestamp()}


def _joined(row: sa.RowMapping) -> dict[str, Any]:
    found = f"{_FOUND}{row['dirty_reason']}" if row["dirty_reason"] else ""
    if row["marked_at"] is None:
        return {"dirty_reason": found or None, "marked_partitions": [] if row["is_dirty"] else None}
    named = row["marked_by"] is not None and not row["marked_by"].startswith("SQL")
    words = ": ".join(part for part in (row["marked_by"] if named else None, row["marked_reason"]) if part)
    return {"dirty_reason": "; ".join(part for part in (words, found) if part) or None}


def _all_rows() -> list[sa.RowMapping]:
    keys = sa.cast(_rows.c.marked_partitions, sa.Text).label("keys")
    columns = [column for column in _rows.c if column.name != "marked_partitions"]
    return list(op.get_bind().execute(sa.select(*columns, keys)).mappings())


def _write(row: sa.RowMapping, values: dict[str, Any]) -> None:
    op.get_bind().execute(sa.update(_rows).where(_rows.c.component == row["component"]).values(**values))


def _drop_triggers(*names: str) -> None:
    for name in names:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER orchestrator_state_{name}")
        elif name != "unmarked":  # one function does both there
            op.execute(f"DROP TRIGGER orchestrator_state_{name} ON orchestrator_state")
            op.execute(f"DROP FUNCTION orchestrator_state_{name}()")
