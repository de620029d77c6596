"""What was known of a market at a bar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.facts import encode, with_facts
from pipelines.source import MARKET_HISTORY, frame_schema

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def states(*rows: tuple[int, int | None]) -> pl.DataFrame:
    """(day on which it was seen, day on which it would end) of market m."""
    values = [("m", day(seen), "binary", "open", None if end is None else day(end)) for seen, end in rows]
    return pl.DataFrame(values, schema=frame_schema(MARKET_HISTORY), orient="row")


def table(history: pl.DataFrame, **newest: Any) -> pl.DataFrame:
    row = {"market_id": "m", "kind": "binary", "end_at": None} | newest
    markets = pl.DataFrame([row], schema={"market_id": pl.String, "kind": pl.String, "end_at": INSTANT})
    return markets.join(encode(history), on="market_id", how="left")


def bars(*days: int) -> pl.DataFrame:
    return pl.DataFrame({"market_id": ["m"] * len(days), "ts": pl.Series([day(n) for n in days], dtype=INSTANT)})


def test_an_end_that_was_put_off_is_not_known_before() -> None:
    history = states((1, 10), (5, 20), (5, 20), (7, None))
    got = with_facts(bars(0, 1, 4, 5, 6, 8), table(history, end_at=day(99)))
    assert got["end_at"].to_list() == [None, day(10), day(10), day(20), day(20), None]
    assert got["kind"].to_list() == ["binary"] * 6
    assert got.columns == ["market_id", "ts", "kind", "end_at"]


def test_without_a_history_the_newest_state_counts() -> None:
    got = with_facts(bars(0, 8), table(states(), end_at=day(9)))
    assert got["end_at"].to_list() == [day(9), day(9)]
    assert table(states()).select(pl.col("history").is_null().all()).item()


@given(
    st.lists(st.tuples(st.integers(0, 20), st.none() | st.integers(0, 50)), max_size=8, unique_by=lambda row: row[0]),
    st.integers(1, 19),
)
def test_what_becomes_known_later_changes_nothing_before(rows: list[tuple[int, int | None]], cut: int) -> None:
    early = [row for row in rows if row[0] <= cut]
    if not early:
        return
    mine = bars(*range(cut + 1))
    assert with_facts(mine, table(states(*rows))).equals(with_facts(mine, table(states(*early))))
    _, end = max(early)
    got = with_facts(bars(cut), table(states(*rows)))["end_at"].to_list()
    assert got == [None if end is None else day(end)]
