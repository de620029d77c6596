"""The tables as data. People query and edit them by hand: names and meanings are an interface.

Every database holds all of them. The control tables (projects, runs, attempts, events, runner) count in the default
database alone; a project other than the default keeps its own state, catalog and projections in a database (SQLite) or
schema (PostgreSQL) of its own. Times are UTC. A released migration is never edited: see alembic/versions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC instants on both databases; a naive one is refused, since it would be read as another time."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(sa.types.TypeDecorator[str]):
    """Text as both databases can hold it. Error messages quote what a broken file contains: NUL bytes, which
    PostgreSQL refuses, and lone surrogates, which no UTF-8 has, become a replacement character."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for INTEGER, and gives a deleted row's number again unless told
# `sqlite_autoincrement`: attempts name files and snapshots name inputs, so theirs must never come back.
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# A Python None is stored as SQL's NULL, not as JSON's null: people write `WHERE plan IS NULL`.
_Json = sa.JSON(none_as_null=True)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


# --- a project's state -----------------------------------------------------------------------------------------

orchestrator_state = sa.Table(
    "orchestrator_state",
    metadata,
    sa.Column("component", sa.String(100), primary_key=True),
    sa.Column("last_run_at", UtcDateTime),  # last success
    sa.Column("is_dirty", sa.Boolean, nullable=False, server_default=sa.true()),
    _count("run_count"),  # successful attempts
    _count("failure_count"),  # failed attempts
    sa.Column("status", sa.String(20), nullable=False, server_default="idle"),  # idle | running | failed
    sa.Column("dirty_reason", PlainText),  # every reason, in words; null while clean
    sa.Column("dirty_partitions", _Json),  # keys a person marked; null means the whole component
    _count("consecutive_failures"),
    sa.Column("last_error", PlainText),
    sa.Column("last_failed_at", UtcDateTime),
    sa.Column("next_retry_at", UtcDateTime),
    sa.Column("code_version", sa.String(64)),
    sa.Column("code_files", _Json),  # module -> {definition: hash}, the evidence behind code_version
    sa.Column("settings_hash", sa.String(64)),
    sa.Column("settings", _Json),  # the values behind settings_hash, secrets left out
    sa.Column("libraries", _Json),  # package -> major.minor
    # upstream (or "source:NAME") -> {"snapshot_id", "version" (whole), "read_version" (declared columns)}
    sa.Column("input_versions", _Json),
    sa.Column("output_version", sa.String(64)),
    sa.Column("output_snapshot_id", _Id),
    sa.Column("output_rows", sa.BigInteger),
    sa.Column("last_duration_s", sa.Float),
    sa.Column("lease_owner", sa.String(300)),  # host/boot/pidns/pid/start, see agent.store.leases
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0"),  # only ever grows
    sa.Column("lease_taken_at", UtcDateTime),
    sa.Column("lease_expires_at", UtcDateTime),
)

# --- a project's catalog ---------------------------------------------------------------------------------------

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("component", sa.String(100), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("watermark", UtcDateTime),
    sa.Column("attempt_id", sa.BigInteger),
    sa.Column("token", sa.BigInteger, nullable=False),  # the lease's, so that history shows who committed
    sa.Column("input_versions", _Json, nullable=False),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("settings_hash", sa.String(64), nullable=False),
    sa.Column("settings", _Json, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "component", "id"),
    sa.Index(None, "component", "version"),
    sqlite_autoincrement=True,
)

partitions = sa.Table(
    "partitions",
    metadata,
    sa.Column("snapshot_id", _Id, sa.ForeignKey("snapshots.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("path", PlainText, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("min_ts", UtcDateTime),
    sa.Column("max_ts", UtcDateTime),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("column_hashes", _Json, nullable=False),
    sa.Column("file_hash", sa.String(64), nullable=False),
    sa.Column("file_size", sa.BigInteger, nullable=False),
    sa.Column("file_mtime_ns", sa.BigInteger, nullable=False),
    sa.Index(None, "path"),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True),  # its folder below releases/
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("snapshot_id", _Id, sa.ForeignKey("snapshots.id"), nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_historical", sa.Boolean, nullable=False),
    sa.Column("as_of", UtcDateTime),  # newest tick behind it
    sa.Column("versions", _Json, nullable=False),  # component -> {version, snapshot_id, code_version, settings_hash}
    sa.Column("metrics", _Json, nullable=False),
    sa.Column("git_commit", sa.String(64)),
    sa.Column("run_id", sa.BigInteger),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# --- projections: what people query ------------------------------------------------------------------------------

markets = sa.Table(
    "markets",
    metadata,
    sa.Column("market_id", sa.String(300), primary_key=True),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("external_id", sa.String(200), nullable=False),
    sa.Column("symbol", PlainText),
    sa.Column("question", PlainText),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("end_at", UtcDateTime),
    sa.Column("resolution", sa.Float),
    sa.Column("resolved_at", UtcDateTime),
    sa.Column("tick_size", sa.Float),
    sa.Column("interval_seconds", sa.BigInteger),
    sa.Column("volume", sa.Float),
    sa.Column("liquidity", sa.Float),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("source", "external_id"),
)

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("market_id", sa.String(300), nullable=False),
    sa.Column("ts", UtcDateTime, nullable=False),  # when it could be made
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("price", sa.Float, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),  # P(up beyond cost over the horizon), 0..1
    sa.Column("confidence", sa.Float, nullable=False),  # 0..1
    sa.Column("edge", sa.Float, nullable=False),  # expected return after cost, a fraction
    sa.Column("horizon_bars", sa.Integer, nullable=False),
    sa.Column("horizon_end_at", UtcDateTime, nullable=False),
    sa.Column("realized_return", sa.Float),
    sa.Column("outcome", sa.Integer),  # 1 up beyond cost, 0 not; null while unknown
    sa.Column("settled_at", UtcDateTime),
    sa.Column("snapshot_id", _Id, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("market_id", "ts", "model_version"),
    sa.Index(None, "ts"),
    sqlite_autoincrement=True,
)

backtest_metrics = sa.Table(
    "backtest_metrics",
    metadata,
    sa.Column("snapshot_id", _Id, primary_key=True),
    sa.Column("strategy", sa.String(50), primary_key=True),  # model | buy_and_hold | random_entry
    sa.Column("metric", sa.String(50), primary_key=True),
    sa.Column("value", sa.Float),
)

# --- control -----------------------------------------------------------------------------------------------------

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", _Id, primary_key=True),  # 0 is the default project
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("local_path", PlainText, nullable=False),
    sa.Column("settings_file", PlainText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("project_id", _Id, sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("goal", PlainText, nullable=False),
    sa.Column("targets", _Json, nullable=False),  # component names; what lies upstream is included
    sa.Column("force", _Json, nullable=False),  # component names
    sa.Column("trigger", sa.String(20), nullable=False),  # schedule | person | api | queue
    sa.Column("status", sa.String(20), nullable=False),  # see agent.core.lifecycle
    sa.Column("require_approval", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    _count("iteration"),  # components evaluated so far
    sa.Column("plan", _Json),
    sa.Column("git_commit", sa.String(64)),
    sa.Column("idempotency_key", sa.String(200), unique=True),
    sa.Column("owner", sa.String(300)),  # process that executes it
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("error", PlainText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "status", "id"),
    sqlite_autoincrement=True,
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("run_id", _Id, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("component", sa.String(100), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # 1 for the first try in this run
    sa.Column("status", sa.String(20), nullable=False),  # running | succeeded | failed | crashed | cancelled
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(300), nullable=False),
    sa.Column("reasons", _Json, nullable=False),
    sa.Column("input_versions", _Json),
    sa.Column("output_version", sa.String(64)),
    sa.Column("is_cut_off", sa.Boolean),  # succeeded with the version it had before
    sa.Column("rows", sa.BigInteger),
    sa.Column("recomputed_partitions", sa.Integer),
    sa.Column("carried_partitions", sa.Integer),
    sa.Column("seconds", sa.Float),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.Column("error", PlainText),
    sa.Column("traceback", PlainText),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "run_id"),
    sa.Index(None, "component", "id"),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("run_id", _Id, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),  # 1, 2, 3 … within a run
    sa.Column("type", sa.String(30), nullable=False),
    sa.Column("payload", _Json, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("run_id", "seq"),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("run_id", _Id, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("status", sa.String(20), nullable=False),  # waiting | approved | rejected | expired
    sa.Column("answered_by", sa.String(200)),
    sa.Column("reason", PlainText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("answered_at", UtcDateTime),
)

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # always 1: one runner a database
    sa.Column("wanted_state", sa.String(20), nullable=False, server_default="stopped"),  # stopped | running | paused
    sa.Column("state", sa.String(20), nullable=False, server_default="stopped"),  # and error
    sa.Column("interval_minutes", sa.Integer, nullable=False, server_default="60"),
    sa.Column("last_run", UtcDateTime),
    sa.Column("next_run", UtcDateTime),
    sa.Column("cycle_run_id", _Id),  # the newest cycle; while that run is RUNNING no other one may begin
    _count("run_count"),
    _count("error_count"),
    sa.Column("last_error", PlainText),
    _count("total_forecasts"),
    _count("total_trades"),
    sa.Column("lease_owner", sa.String(300)),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_expires_at", UtcDateTime),
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),  # one row a schedule; the orchestrator's is "orchestrator"
    sa.Column("rule", sa.String(200), nullable=False),  # "interval 3600" or "cron 0 * * * *"
    sa.Column("next_due_at", UtcDateTime, nullable=False),
    sa.Column("last_started_at", UtcDateTime),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("cause", sa.String(200), primary_key=True),  # at most one message a cause a period
    sa.Column("last_sent_at", UtcDateTime, nullable=False),
    _count("sent_count"),
)
