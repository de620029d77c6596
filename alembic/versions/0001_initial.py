"""Everything that the first release stores, with the default project and the one runner in it."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)

# A person's `UPDATE orchestrator_state SET is_dirty = true` must count where the flag is set already, because it shows
# a cause the orchestrator found (a deferred retraining, say): only the database can tell such an UPDATE from none.
# A migration that rebuilds this table on SQLite must create the trigger again too.
_MARKED = {
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
    op.create_table(
        "alerts",
        sa.Column("cause", sa.String(length=200), nullable=False),
        sa.Column("last_sent_at", _TIME, nullable=False),
        sa.Column("sent_count", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("cause", name=op.f("pk_alerts")),
    )
    op.create_table(
        "backtest_metrics",
        sa.Column("snapshot_id", _ID, nullable=False),
        sa.Column("strategy", sa.String(length=50), nullable=False),
        sa.Column("metric", sa.String(length=50), nullable=False),
        sa.Column("value", sa.Float()),
        sa.PrimaryKeyConstraint("snapshot_id", "strategy", "metric", name=op.f("pk_backtest_metrics")),
    )
    op.create_table(
        "markets",
        sa.Column("market_id", sa.String(length=300), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("symbol", sa.Text()),
        sa.Column("question", sa.Text()),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("end_at", _TIME),
        sa.Column("resolution", sa.Float()),
        sa.Column("resolved_at", _TIME),
        sa.Column("tick_size", sa.Float()),
        sa.Column("interval_seconds", sa.BigInteger()),
        sa.Column("volume", sa.Float()),
        sa.Column("liquidity", sa.Float()),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("market_id", name=op.f("pk_markets")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_markets_source_external_id")),
    )
    op.create_table(
        "orchestrator_state",
        sa.Column("component", sa.String(length=100), nullable=False),
        sa.Column("last_run_at", _TIME),
        sa.Column("is_dirty", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("run_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.String(length=20), server_default="idle", nullable=False),
        sa.Column("dirty_reason", sa.Text()),
        sa.Column("dirty_partitions", sa.JSON()),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("last_failed_at", _TIME),
        sa.Column("next_retry_at", _TIME),
        sa.Column("code_version", sa.String(length=64)),
        sa.Column("code_files", sa.JSON()),
        sa.Column("settings_hash", sa.String(length=64)),
        sa.Column("settings", sa.JSON()),
        sa.Column("libraries", sa.JSON()),
        sa.Column("input_versions", sa.JSON()),
        sa.Column("output_version", sa.String(length=64)),
        sa.Column("output_snapshot_id", _ID),
        sa.Column("output_rows", sa.BigInteger()),
        sa.Column("last_duration_s", sa.Float()),
        sa.Column("lease_owner", sa.String(length=300)),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_taken_at", _TIME),
        sa.Column("lease_expires_at", _TIME),
        sa.PrimaryKeyConstraint("component", name=op.f("pk_orchestrator_state")),
    )
    op.create_table(
        "predictions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("market_id", sa.String(length=300), nullable=False),
        sa.Column("ts", _TIME, nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("price", sa.Float(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("edge", sa.Float(), nullable=False),
        sa.Column("horizon_bars", sa.Integer(), nullable=False),
        sa.Column("horizon_end_at", _TIME, nullable=False),
        sa.Column("realized_return", sa.Float()),
        sa.Column("outcome", sa.Integer()),
        sa.Column("settled_at", _TIME),
        sa.Column("snapshot_id", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
        sa.UniqueConstraint("market_id", "ts", "model_version", name=op.f("uq_predictions_market_id_ts_model_version")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_predictions_ts"), "predictions", ["ts"], unique=False)
    op.create_table(
        "projects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("local_path", sa.Text(), nullable=False),
        sa.Column("settings_file", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runner",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("wanted_state", sa.String(length=20), server_default="stopped", nullable=False),
        sa.Column("state", sa.String(length=20), server_default="stopped", nullable=False),
        sa.Column("interval_minutes", sa.Integer(), server_default="60", nullable=False),
        sa.Column("last_run", _TIME),
        sa.Column("next_run", _TIME),
        sa.Column("cycle_run_id", _ID),
        sa.Column("run_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("total_forecasts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("total_trades", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(length=300)),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runner")),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("next_due_at", _TIME, nullable=False),
        sa.Column("last_started_at", _TIME),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", _ID, nullable=False),
        sa.Column("component", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("watermark", _TIME),
        sa.Column("attempt_id", sa.BigInteger()),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("input_versions", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.String(length=64), nullable=False),
        sa.Column("settings_hash", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_snapshots_component_id"), "snapshots", ["component", "id"], unique=False)
    op.create_index(op.f("ix_snapshots_component_version"), "snapshots", ["component", "version"], unique=False)
    op.create_table(
        "partitions",
        sa.Column("snapshot_id", _ID, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("min_ts", _TIME),
        sa.Column("max_ts", _TIME),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("column_hashes", sa.JSON(), nullable=False),
        sa.Column("file_hash", sa.String(length=64), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("file_mtime_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshots.id"], name=op.f("fk_partitions_snapshot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "key", name=op.f("pk_partitions")),
    )
    op.create_index(op.f("ix_partitions_path"), "partitions", ["path"], unique=False)
    op.create_table(
        "releases",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("snapshot_id", _ID, nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_historical", sa.Boolean(), nullable=False),
        sa.Column("as_of", _TIME),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("git_commit", sa.String(length=64)),
        sa.Column("run_id", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_releases_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("name", name=op.f("uq_releases_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("goal", sa.Text(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("force", sa.JSON(), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("require_approval", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("iteration", sa.Integer(), server_default="0", nullable=False),
        sa.Column("plan", sa.JSON()),
        sa.Column("git_commit", sa.String(length=64)),
        sa.Column("idempotency_key", sa.String(length=200)),
        sa.Column("owner", sa.String(length=300)),
        sa.Column("lease_expires_at", _TIME),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_runs_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_runs_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_runs_status_id"), "runs", ["status", "id"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("answered_by", sa.String(length=200)),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("answered_at", _TIME),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_approvals_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("run_id", name=op.f("uq_approvals_run_id")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("component", sa.String(length=100), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=300), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("input_versions", sa.JSON()),
        sa.Column("output_version", sa.String(length=64)),
        sa.Column("is_cut_off", sa.Boolean()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("recomputed_partitions", sa.Integer()),
        sa.Column("carried_partitions", sa.Integer()),
        sa.Column("seconds", sa.Float()),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_attempts_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_attempts_component_id"), "attempts", ["component", "id"], unique=False)
    op.create_index(op.f("ix_attempts_run_id"), "attempts", ["run_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=30), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_events_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("run_id", "seq", name=op.f("uq_events_run_id_seq")),
    )
    op.execute("INSERT INTO projects (id, name, local_path, created_at) VALUES (0, 'default', '.', CURRENT_TIMESTAMP)")
    op.execute("INSERT INTO runner (id) VALUES (1)")
    for statement in _MARKED[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("attempts")
    op.drop_table("approvals")
    op.drop_table("runs")
    op.drop_table("releases")
    op.drop_table("partitions")
    op.drop_table("snapshots")
    op.drop_table("schedules")
    op.drop_table("runner")
    op.drop_table("projects")
    op.drop_table("predictions")
    op.drop_table("orchestrator_state")
    op.drop_table("markets")
    op.drop_table("backtest_metrics")
    op.drop_table("alerts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION orchestrator_state_marked()")
