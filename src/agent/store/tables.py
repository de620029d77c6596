"""The tables as data. People query and edit them by hand: names and meanings are an interface.

Every database holds all of them. The control tables (projects, runs, attempts, events, runner) count in the default
database alone; a project other than the default keeps its own state, catalog and projections in a schema (PostgreSQL)
or database (SQLite) of its own. A project's tables therefore carry the symbolic schema PROJECT, which each engine maps
to the real one (see agent.store.database.engine): a statement that reaches a connection without it fails, instead of
finding the table of the same name next door. Times are UTC. A released migration is never edited: see alembic/versions.

`doc` of a column and `purpose` of a table are what docs/reference/tables.md says of them (`make docs`).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from agent.store import collect_tables as collect_tables  # whoever has the tables has those, too
from agent.store import published as published
from agent.store.column_types import PlainText, UtcDateTime
from agent.store.metadata import ID, JSON, count, rows_where
from agent.store.metadata import PROJECT as PROJECT
from agent.store.metadata import metadata as metadata


def _of_component() -> list[sa.Column[Any]]:
    """The columns of a component's state, whoever keeps it."""
    return [
        sa.Column("last_run_at", UtcDateTime, doc="last success"),
        count("run_count", doc="successful attempts, those that took an earlier result among them"),
        count("failure_count", doc="failed attempts"),
        sa.Column("status", sa.String(20), nullable=False, server_default="idle", doc="idle | running | failed"),
        sa.Column("dirty_reason", PlainText, doc="what the last evaluation found, for people who look; null: nothing"),
        sa.Column("marked_at", UtcDateTime, doc="when a person asked for a recompute; null: nobody does"),
        sa.Column("marked_by", sa.String(200), doc="who asked; SQL: an UPDATE of is_dirty"),
        sa.Column("marked_reason", PlainText, doc="their words"),
        sa.Column("marked_partitions", JSON, doc="keys they asked for; null: the whole component"),
        count("consecutive_failures", doc="failures since the last success"),
        sa.Column("last_error", PlainText, doc="of the newest failure"),
        sa.Column("last_failed_at", UtcDateTime),
        sa.Column("next_retry_at", UtcDateTime, doc="scheduled runs leave a failing component alone until then"),
        sa.Column("code_version", sa.String(64), doc="hash of the code of the last success"),
        sa.Column("code_files", JSON, doc="module -> {definition: hash}, the evidence behind code_version"),
        sa.Column("settings_hash", sa.String(64), doc="of its own section"),
        sa.Column("settings", JSON, doc="the values behind settings_hash, secrets left out"),
        sa.Column("libraries", JSON, doc="package -> major.minor"),
        sa.Column("input_versions", JSON, doc="input -> {snapshot_id, version, read_version: over declared columns}"),
        sa.Column("output_version", sa.String(64), doc="version of its newest output"),
        sa.Column("output_snapshot_id", ID, doc="that output in `snapshots`"),
        sa.Column("output_rows", sa.BigInteger),
        sa.Column("last_duration_s", sa.Float, doc="of the last success that computed"),
        sa.Column("lease_owner", sa.String(300), doc="host/boot/pidns/pid/start, see agent.identity"),
        sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0", doc="only ever grows"),
        sa.Column("lease_taken_at", UtcDateTime),
        sa.Column("lease_expires_at", UtcDateTime, doc="by the database's clock"),
    ]


# --- a project's state -----------------------------------------------------------------------------------------

orchestrator_state = sa.Table(
    "orchestrator_state",
    metadata,
    sa.Column("component", sa.String(100), primary_key=True, doc="its name"),
    sa.Column("is_dirty", sa.Boolean, nullable=False, server_default=sa.true(), doc="a mark or a reason; see above"),
    *_of_component(),
    schema=PROJECT,
    info={
        "purpose": "One row per component: what it last did, and whether it must run again. May be edited by hand: an "
        "UPDATE that sets `is_dirty`, also where it is true already, marks the component; one that clears it removes "
        "the mark."
    },
)

# --- tries: changes beside production ----------------------------------------------------------------------------

tries = sa.Table(
    "tries",
    metadata,
    sa.Column("id", ID, primary_key=True, doc="names its files; 0 is production, which has no row"),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("settings", JSON, nullable=False, doc="what it sets otherwise, as sections of agent.toml"),
    sa.Column("targets", JSON, nullable=False, doc="component names; none: all"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("code", sa.Text, doc="folder or git ref of own modules; NULL: the project's"),
    sa.Column("code_commit", sa.String(64), doc="what the ref meant when it was computed last"),
    sa.Column("grid", sa.String(100), doc="the grid that it is a cell of"),
    sqlite_autoincrement=True,
    schema=PROJECT,
    info={"purpose": "Changes that are computed beside production. `agent drop` removes a row with its state."},
)

try_state = sa.Table(
    "try_state",
    metadata,
    sa.Column("try_id", ID, sa.ForeignKey(tries.c.id), primary_key=True, autoincrement=False),
    sa.Column("component", sa.String(100), primary_key=True, doc="its name"),
    *_of_component(),
    schema=PROJECT,
    info={
        "purpose": "One row per component and try, as in orchestrator_state, copied from there when the try began. Its "
        "lease and its tokens are its own; nobody marks it, and what shows is `dirty_reason`."
    },
)

# --- a project's catalog ---------------------------------------------------------------------------------------

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("component", sa.String(100), nullable=False, doc="who made it"),
    count("try_id", doc="of the try that it was made in; 0: production"),
    sa.Column("version", sa.String(64), nullable=False, doc="hash over its content; equal data, equal version"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("watermark", UtcDateTime, doc="newest event time in it"),
    sa.Column("attempt_id", sa.BigInteger, doc="the attempt that made it"),
    sa.Column("token", sa.BigInteger, nullable=False, doc="the lease's, so that history shows who committed"),
    sa.Column("input_versions", JSON, nullable=False, doc="as in orchestrator_state"),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("settings_hash", sa.String(64), nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "component", "id"),
    sa.Index(None, "component", "version"),
    sqlite_autoincrement=True,
    schema=PROJECT,
    info={"purpose": "The catalog: one row per output. Immutable."},
)

partitions = sa.Table(
    "partitions",
    metadata,
    sa.Column("component", sa.String(100), primary_key=True, doc="whose snapshots it is in"),
    count("try_id", doc="of these snapshots, as there"),
    sa.Column("key", sa.String(200), primary_key=True, doc="logical name, such as features/2013"),
    sa.Column("first_snapshot", ID, primary_key=True, autoincrement=False, doc="the first one that it is in"),
    sa.Column("replaced_by", ID, doc="the first one after that without it; null: it is in the newest"),
    sa.Column("path", PlainText, nullable=False, doc="below lake/"),
    sa.Column("rows", sa.BigInteger, nullable=False, doc="0 for what is no table"),
    sa.Column("min_ts", UtcDateTime, doc="oldest event time"),
    sa.Column("max_ts", UtcDateTime, doc="newest event time"),
    sa.Column("content_hash", sa.String(64), nullable=False, doc="over values, not bytes"),
    sa.Column("column_hashes", JSON, nullable=False, doc="column -> hash, behind declared columns"),
    sa.Column("file_hash", sa.String(64), nullable=False, doc="over bytes, for integrity"),
    sa.Column("file_size", sa.BigInteger, nullable=False, doc="bytes, as written"),
    sa.Column("file_mtime_ns", sa.BigInteger, nullable=False, doc="as written"),
    sa.Index(None, "path"),
    sa.Index(None, "component", "replaced_by"),
    schema=PROJECT,
    info={
        "purpose": "The files of each snapshot. A row is in all snapshots of its component and try from "
        "`first_snapshot` up to, and without, `replaced_by`."
    },
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("component", sa.String(100), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True, doc="hash over all that the output may depend on"),
    sa.Column("snapshot_id", ID, nullable=False, doc="the output in `snapshots`"),
    sa.Column("attempt_id", sa.BigInteger, nullable=False, doc="the attempt that computed it"),
    sa.Column("run_id", sa.BigInteger, nullable=False, doc="its run"),
    sa.Column("last_used_at", UtcDateTime, nullable=False, doc="computed or taken; gc goes by it"),
    sa.Index(None, "last_used_at"),
    schema=PROJECT,
    info={
        "purpose": "What was computed from which ingredients, so that it is found again. Rows may be deleted by hand: "
        "what is not found is computed."
    },
)

result_leases = sa.Table(
    "result_leases",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True, doc="COMPONENT:FINGERPRINT, as in results"),
    sa.Column("lease_owner", sa.String(300), doc="who computes it now; null: nobody"),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_taken_at", UtcDateTime),
    sa.Column("lease_expires_at", UtcDateTime, doc="by the database's clock"),
    schema=PROJECT,
    info={"purpose": "Who is computing what `results` will have, so that production and tries compute it once."},
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True, doc="its folder below releases/"),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("snapshot_id", ID, sa.ForeignKey(snapshots.c.id), nullable=False, doc="its files in the catalog"),
    sa.Column("is_current", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_historical", sa.Boolean, nullable=False, doc="true: its data ended long ago, its now is `as_of`"),
    sa.Column("as_of", UtcDateTime, doc="newest tick behind it"),
    sa.Column("versions", JSON, nullable=False, doc="component -> its version, snapshot, code and settings"),
    sa.Column("metrics", JSON, nullable=False, doc="metrics.json"),
    sa.Column("collected_to", JSON, doc="remote source -> up to when it was collected; null: there was none"),
    sa.Column("git_commit", sa.String(64), doc="of the project's folder"),
    sa.Column("run_id", sa.BigInteger),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
    schema=PROJECT,
    info={"purpose": "What publish brought out. One is current."},
)


# --- control -----------------------------------------------------------------------------------------------------

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", ID, primary_key=True, doc="0 is the default project"),
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("local_path", PlainText, nullable=False),
    sa.Column("settings_file", PlainText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
    info={"purpose": "Folders that the server runs."},
)

lake_identity = sa.Table(
    "lake_identity",
    metadata,
    sa.Column("id", ID, primary_key=True, doc="1"),
    sa.Column("identity", sa.String(64), nullable=False, doc="stands in the file `.owner` of the lake"),
    schema=PROJECT,
    info={"purpose": "Which lake is this database's: deletions and commits are refused in any other."},
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", ID, sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("goal", PlainText, nullable=False, doc="what was asked, in words"),
    sa.Column("targets", JSON, nullable=False, doc="component names; what lies upstream is included"),
    sa.Column("force", JSON, nullable=False, doc="component names"),
    sa.Column("trigger", sa.String(20), nullable=False, doc="schedule | person | api | queue | try"),
    sa.Column("status", sa.String(20), nullable=False, doc="see agent.core.lifecycle"),
    count("priority", doc="of those that wait, the highest goes first"),
    sa.Column("retry_of", sa.BigInteger, doc="run that this one repeats"),
    count("try_id", doc="the try that it is about; 0: production"),
    sa.Column("require_approval", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false(), doc="by a person"),
    count("iteration", doc="components evaluated so far"),
    sa.Column("plan", JSON, doc="as decided at its start; `agent runs` and `agent explain` show it"),
    sa.Column("git_commit", sa.String(64), doc="of the project's folder"),
    sa.Column("idempotency_key", sa.String(200), unique=True, doc="of POST /runs: the same key gives the same run"),
    sa.Column("owner", sa.String(300), doc="process that executes it"),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0", doc="only ever grows"),
    sa.Column("lease_taken_at", UtcDateTime),
    sa.Column("lease_expires_at", UtcDateTime, doc="by the database's clock"),
    sa.Column("error", PlainText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "status", "id"),
    sqlite_autoincrement=True,
    info={"purpose": "A row a run: queued, running or ended."},
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("run_id", ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("component", sa.String(100), nullable=False),
    sa.Column("number", sa.Integer, nullable=False, doc="1 for the first try in this run"),
    sa.Column("status", sa.String(20), nullable=False, doc="running | succeeded | failed | crashed | cancelled"),
    sa.Column("token", sa.BigInteger, nullable=False, doc="of the lease it ran under"),
    sa.Column("owner", sa.String(300), nullable=False, doc="process that made it"),
    sa.Column("reasons", JSON, nullable=False, doc="why it ran, with evidence"),
    sa.Column("reused_from", sa.BigInteger, doc="the attempt whose output it took; null: it computed one itself"),
    sa.Column("input_versions", JSON, doc="input -> version that it read"),
    sa.Column("output_version", sa.String(64)),
    sa.Column("is_cut_off", sa.Boolean, doc="succeeded with the version it had before"),
    sa.Column("rows", sa.BigInteger, doc="of the output"),
    sa.Column("recomputed_partitions", sa.Integer, doc="0 where it took an earlier result"),
    sa.Column("carried_partitions", sa.Integer, doc="taken over from the output before"),
    sa.Column("seconds", sa.Float),
    sa.Column("peak_memory_bytes", sa.BigInteger, doc="of its process"),
    sa.Column("error", PlainText),
    sa.Column("traceback", PlainText),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "run_id"),
    sa.Index(None, "component", "id"),
    sqlite_autoincrement=True,
    info={"purpose": "A row a try of one component in a run."},
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("run_id", ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False, doc="1, 2, 3 … within a run"),
    sa.Column("type", sa.String(30), nullable=False, doc="RUN_CREATED, PLAN_GENERATED, EXECUTING, …"),
    sa.Column("payload", JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("run_id", "seq"),
    info={"purpose": "The log of each run; rows are only ever added."},
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("run_id", ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("status", sa.String(20), nullable=False, doc="waiting | approved | rejected | expired"),
    sa.Column("answered_by", sa.String(200)),
    sa.Column("reason", PlainText, doc="of a rejection"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("answered_at", UtcDateTime),
    info={"purpose": "Runs that wait for a person's word, and the answers."},
)

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, doc="always 1: one runner a database"),
    sa.Column("wanted_state", sa.String(20), nullable=False, server_default="stopped", doc="stopped, running, paused"),
    sa.Column("state", sa.String(20), nullable=False, server_default="stopped", doc="what it is; also error"),
    sa.Column("interval_minutes", sa.Integer, nullable=False, server_default="60", doc="between cycles"),
    sa.Column("last_run", UtcDateTime),
    sa.Column("next_run", UtcDateTime),
    sa.Column("cycle_run_id", ID, doc="the newest cycle until it is counted; none other begins while it is RUNNING"),
    count("run_count", doc="finished cycles, failed or not"),
    count("error_count", doc="failed cycles"),
    sa.Column("last_error", PlainText, doc="the newest"),
    count("total_forecasts", doc="predictions made by its cycles"),
    count("total_trades", doc="0 as long as nothing trades"),
    sa.Column("lease_owner", sa.String(300), doc="the server that runs it"),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_taken_at", UtcDateTime),
    sa.Column("lease_expires_at", UtcDateTime),
    info={"purpose": "The background runner: one row."},
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True, doc="orchestrator: scheduled runs; upkeep: hourly retention"),
    sa.Column("rule", sa.String(200), nullable=False, doc='"interval 3600" or "cron 0 * * * *"'),
    sa.Column("next_due_at", UtcDateTime, nullable=False),
    sa.Column("last_started_at", UtcDateTime),
    info={"purpose": "When scheduled runs and upkeep are due, so that a time missed while nothing ran is caught up."},
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("cause", sa.String(200), primary_key=True, doc="at most one message per cause and period"),
    sa.Column("last_sent_at", UtcDateTime, nullable=False),
    count("sent_count"),
    info={"purpose": "When each alert was last sent."},
)


def in_one_schema() -> sa.MetaData:
    """All tables as one database has them, without the symbolic schema: what migrations make and are compared with."""
    # The trading agent's; a run with nothing to do must not pay for them.
    from agent.store import ledger_tables as ledger_tables
    from agent.store import paper_tables as paper_tables
    from agent.store import trading_tables

    plain = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(plain, schema=None, referred_schema_fn=_no_schema)  # type: ignore[arg-type]  # None is right
    now = plain.tables["partitions"].c  # a key once per snapshot; here, since it has SQLAlchemy load both dialects
    sa.Index(
        "ix_partitions_component_try_id_key",
        now.component,
        now.try_id,
        now.key,
        unique=True,
        **rows_where("replaced_by IS NULL"),
    )
    trading_tables.index_some_rows(plain)
    return plain


def _no_schema(*_: object) -> Any:
    return sa.BLANK_SCHEMA
