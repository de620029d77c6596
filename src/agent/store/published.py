"""What runs published, as tables: projections of outputs that people query, and what was promised and tried.

They are a project's own, see agent.store.tables, which says what all tables have in common.
"""

from __future__ import annotations

import sqlalchemy as sa

from agent.store.column_types import PlainText, UtcDateTime
from agent.store.metadata import ID, PROJECT, metadata

markets = sa.Table(
    "markets",
    metadata,
    sa.Column("market_id", sa.String(300), primary_key=True, doc="SOURCE:EXTERNAL_ID"),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("external_id", sa.String(200), nullable=False, doc="its name there"),
    sa.Column("symbol", PlainText),
    sa.Column("question", PlainText, doc="of a binary market"),
    sa.Column("kind", sa.String(20), nullable=False, doc="spot | fx | equity | binary"),
    sa.Column("status", sa.String(20), nullable=False, doc="open | closed | resolved"),
    sa.Column("end_at", UtcDateTime, doc="null where it has no end"),
    sa.Column("resolution", sa.Float, doc="1 yes, 0 no; null while unknown"),
    sa.Column("resolved_at", UtcDateTime, doc="when the resolution became known"),
    sa.Column("tick_size", sa.Float),
    sa.Column("interval", sa.String(20), doc="length of the source's bars: 300s, day, week, month; null for trades"),
    sa.Column("interval_seconds", sa.BigInteger, doc="the same in seconds; null for day, week, month and for trades"),
    sa.Column("timezone", sa.String(100), doc="whose clock days, weeks and months go by"),
    sa.Column("volume", sa.Float),
    sa.Column("liquidity", sa.Float),
    sa.Column("quote_currency", sa.String(20), doc="of its prices; null where it is not known"),
    sa.Column("event_id", sa.String(200), doc="markets of one event share it; null where there is none"),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("source", "external_id"),
    schema=PROJECT,
    info={"purpose": "Projection of the newest markets: one row per market."},
)

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("market_id", sa.String(300), nullable=False),
    sa.Column("ts", UtcDateTime, nullable=False, doc="when it could be made"),
    sa.Column("model_version", sa.String(64), nullable=False, doc="content hash of the model"),
    sa.Column("price", sa.Float, nullable=False, doc="at ts"),
    sa.Column("probability", sa.Float, nullable=False, doc="P(up beyond cost over the horizon), 0..1"),
    sa.Column("confidence", sa.Float, nullable=False, doc="P(net edge above 0), 0..1"),
    sa.Column("edge", sa.Float, nullable=False, doc="expected return of buying after cost, a fraction"),
    sa.Column("net_edge", sa.Float, doc="of the better side, after its own costs; null before they were recorded"),
    sa.Column("threshold", sa.Float, doc="probability at which that side is entered; null where none is"),
    sa.Column("distance", sa.Float, doc="how far the probability lies beyond it, below 0 where it falls short"),
    sa.Column("weight", sa.Float, doc="fraction of equity for a new position"),
    sa.Column("action", sa.String(10), doc="buy | sell | hold"),
    sa.Column("reason", PlainText, doc="why, in words"),
    sa.Column("horizon_bars", sa.Integer, nullable=False, doc="how far ahead"),
    sa.Column("horizon_end_at", UtcDateTime, nullable=False, doc="when the last bar of the horizon closes"),
    sa.Column("realized_return", sa.Float, doc="over the horizon; null while unknown"),
    sa.Column("outcome", sa.Integer, doc="1 up beyond cost, 0 not; null while unknown"),
    sa.Column("settled_at", UtcDateTime),
    sa.Column("snapshot_id", ID, nullable=False, doc="the output of inference that brought it"),
    sa.Column("last_snapshot_id", ID, doc="the newest output of inference that said the same; null: that one"),
    sa.Column("superseded_by", ID, doc="id of the one made later for the same bar; null while it counts"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("market_id", "ts", "model_version", "snapshot_id"),
    sa.Index(None, "ts"),
    sqlite_autoincrement=True,
    schema=PROJECT,
    info={"purpose": "Every prediction ever committed, with what became of it. gc never takes one."},
)

backtest_metrics = sa.Table(
    "backtest_metrics",
    metadata,
    sa.Column("snapshot_id", ID, primary_key=True, doc="the backtest's output"),
    sa.Column(
        "strategy", sa.String(50), primary_key=True, doc="model | buy_and_hold | random_entry (median of its draws)"
    ),
    sa.Column("metric", sa.String(50), primary_key=True, doc="see pipelines/modelling/metrics.py"),
    sa.Column("value", sa.Float, doc="null where it is not defined"),
    schema=PROJECT,
    info={"purpose": "Projection of the backtest's metrics, one row per figure."},
)

forward_record = sa.Table(
    "forward_record",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("release", sa.String(200), nullable=False, doc='its name, or "refused: " and why'),
    sa.Column("sealed_at", sa.String(40), nullable=False, doc="when it was published, ISO 8601, UTC: part of the hash"),
    sa.Column("decisions", sa.Text, nullable=False, doc="decisions.json of the release, as it was"),
    sa.Column("previous_hash", sa.String(64), nullable=False, doc="of the row before; zeros for the first"),
    sa.Column("hash", sa.String(64), nullable=False, doc="SHA-256 over previous_hash, release, sealed_at, decisions"),
    sqlite_autoincrement=True,
    schema=PROJECT,
    info={"purpose": "Decisions as published or refused; rows are only ever added. `agent record verify` checks them."},
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("setup", sa.String(64), primary_key=True, doc="hash over code and settings of all behind the backtest"),
    sa.Column("sharpe", sa.Float, nullable=False, doc="Sharpe ratio per bar of its newest backtest"),
    sa.Column("periods", sa.BigInteger, nullable=False, doc="bars it is over"),
    sa.Column("skewness", sa.Float, nullable=False, doc="of the returns per bar"),
    sa.Column("kurtosis", sa.Float, nullable=False, doc="of the returns per bar; 3 for normal ones"),
    sa.Column("first_at", UtcDateTime, nullable=False, doc="when it was tried first"),
    sa.Column("last_at", UtcDateTime, nullable=False),
    schema=PROJECT,
    info={"purpose": "Every set-up that was ever backtested: what a deflated Sharpe ratio counts. gc never takes one."},
)
