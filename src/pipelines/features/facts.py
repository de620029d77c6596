"""What was known of a market at a bar: never what became known later.

Sources that have seen a market more than once tell what they saw when (`market_history`, MARKET_HISTORY). The table of
markets keeps that in one column, `history`, as JSON: a list of [known_at in microseconds, kind, status, end_at in
microseconds or null], oldest first; null where only the newest state is known, which then counts for every bar.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def encode(history: pl.DataFrame) -> pl.DataFrame:
    """market_id and `history` of rows of MARKET_HISTORY; states that repeat the one before are left out."""
    import polars as pl

    facts = ["kind", "status", "end_at"]
    seen = history.sort("market_id", "known_at", maintain_order=True).unique(
        ["market_id", "known_at"], keep="last", maintain_order=True
    )
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in facts)
    is_first = pl.col("market_id").ne_missing(pl.col("market_id").shift(1))
    changed = seen.filter(is_first | ~same).with_columns(pl.col("known_at", "end_at").dt.epoch("us"))
    found: dict[str, list[tuple[object, ...]]] = {}
    for market, *state in changed.select("market_id", "known_at", *facts).iter_rows():
        found.setdefault(market, []).append(tuple(state))
    return pl.DataFrame(
        {"market_id": list(found), "history": [json.dumps(states) for states in found.values()]},
        schema={"market_id": pl.String, "history": pl.String},
    )


def with_facts(bars: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """`bars` (market_id, ts), in order, with `kind` and `end_at` as they were known at each bar's `ts`. Before anything
    was known of a market with a history its end is not known, and its kind is the first that was."""
    import polars as pl

    newest = bars.join(markets.select("market_id", "kind", "end_at"), on="market_id", how="left", maintain_order="left")
    told = markets.filter(pl.col("history").is_not_null()) if "history" in markets.columns else markets.clear()
    if told.is_empty():
        return newest
    rows = [
        (market, known_at, kind, end_at)
        for market, text in told.select("market_id", "history").iter_rows()
        for known_at, kind, _, end_at in json.loads(text)
    ]
    instant = pl.Datetime("us", "UTC")
    schema = {"market_id": pl.String, "known_at": pl.Int64, "_kind": pl.String, "_end_at": pl.Int64}
    states = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("known_at", "_end_at").cast(instant))
    first = states.group_by("market_id").agg(pl.col("_kind").first().alias("_first"))
    found = (
        newest.with_row_index("_row")
        .sort("ts", maintain_order=True)
        .join_asof(states.sort("known_at"), left_on="ts", right_on="known_at", by="market_id", check_sortedness=False)
        .join(first, on="market_id", how="left", maintain_order="left")
        .sort("_row")
    )
    has_history = pl.col("_first").is_not_null()
    return found.with_columns(
        kind=pl.when(has_history).then(pl.coalesce("_kind", "_first")).otherwise("kind"),
        end_at=pl.when(has_history).then("_end_at").otherwise("end_at"),
    ).select(newest.columns)
