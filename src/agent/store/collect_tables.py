"""Tables of collecting: who may write into the inbox of a source, and what is known of its streams. The inbox is the
truth; these are for people, and for when a stream may be asked again."""

from __future__ import annotations

import sqlalchemy as sa

from agent.store.column_types import PlainText, UtcDateTime
from agent.store.metadata import PROJECT, count, metadata

collectors = sa.Table(
    "collectors",
    metadata,
    sa.Column("source", sa.String(100), primary_key=True, doc="its name in agent.toml"),
    sa.Column("last_pass_at", UtcDateTime, doc="when something was last asked of it, with success or not"),
    sa.Column("last_ok_at", UtcDateTime, doc="its newest reply; of files: when a look found some new or changed"),
    sa.Column("last_error", PlainText, doc="why the newest pass ended early; null: it did not"),
    sa.Column("clock_offset_seconds", sa.Float, doc="how far the venue's clock is ahead of ours"),
    sa.Column("lease_owner", sa.String(300), doc="the process that collects"),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0", doc="only ever grows"),
    sa.Column("lease_taken_at", UtcDateTime),
    sa.Column("lease_expires_at", UtcDateTime, doc="by the database's clock"),
    schema=PROJECT,
    info={"purpose": "One row per remote source, which one process at a time collects, and one for watched files."},
)

streams = sa.Table(
    "streams",
    metadata,
    sa.Column("source", sa.String(100), primary_key=True),
    sa.Column("stream", sa.String(400), primary_key=True, doc="what is asked for: a list of markets, a market's bars"),
    sa.Column("kind", sa.String(20), nullable=False, doc="markets | bars | trades | quotes"),
    sa.Column("cursor", PlainText, doc="where its walk goes on; empty where it has ended"),
    sa.Column("covered_from", UtcDateTime, doc="of the first span that is known"),
    sa.Column("covered_to", UtcDateTime, doc="of the last one"),
    count("holes", doc="spans between those that are not known"),
    sa.Column("last_ok_at", UtcDateTime, doc="when its newest page was asked for"),
    sa.Column("last_error", PlainText, doc="why it failed last; null since a page came"),
    count("failures", doc="in a row"),
    sa.Column("next_try_at", UtcDateTime, doc="it rests until then after failures"),
    sa.Column("pages", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows", sa.BigInteger, nullable=False, server_default="0", doc="taken from its pages, repeats counted"),
    schema=PROJECT,
    info={"purpose": "What is collected of a remote source, as the inbox says: one row per stream."},
)
