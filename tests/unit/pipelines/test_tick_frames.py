"""Ticks from bars and from parts: unfolding, keys of partitions, contributions, merging."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, Batch, frame_schema
from pipelines.tick_parts.frames import contribution, finish, merge, ranked, unfinish, unfold_bars

START = datetime(2013, 3, 1, tzinfo=UTC)
FIELDS = ("open", "high", "low", "close")


def universe(seconds: int | None = None, names: str = "ab", partition: Any = "auto") -> pl.DataFrame:
    """Markets of one letter each, all with the same interval."""
    frame = pl.DataFrame({"market_id": list(names), "interval_seconds": [seconds] * len(names)})
    return ranked(frame.cast({"interval_seconds": pl.Int64}), partition)


def bars(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{"market_id": "a", **row} for row in rows], schema=frame_schema(BAR_COLUMNS))


def bare(rows: list[dict[str, Any]]) -> Batch:
    """Single ticks; what a row does not say is null, its market `a`, its price 1."""
    schema = {name: kind for name, kind in frame_schema(TICK_COLUMNS).items() if name != "synthetic"}
    return Batch("ticks", pl.DataFrame([{"market_id": "a", "price": 1.0, **row} for row in rows], schema=schema))


def merged(*parts: Batch, markets: pl.DataFrame | None = None) -> pl.DataFrame:
    """The ticks that parts amount to, in the order of the parts, whatever their partition."""
    known = universe() if markets is None else markets
    rows = [
        contribution(part, known).rows.drop("_key").with_columns(pl.lit(n, pl.UInt32).alias("_part"))
        for n, part in enumerate(parts)
    ]
    return finish(merge(pl.concat(rows)), known)


@st.composite
def _real_bars(draw: st.DrawFn) -> list[dict[str, Any]]:
    price = st.floats(1e-6, 1e6)
    rows = []
    for number in range(draw(st.integers(1, 8))):
        low, high = sorted((draw(price), draw(price)))
        inside = st.floats(low, high)
        row = {"open": draw(inside), "high": high, "low": low, "close": draw(inside)}
        volume = draw(st.none() | st.floats(0, 1e9))
        quotes = {}
        if draw(st.booleans()):
            spread = draw(st.floats(0, 1e-3))
            quotes = {f"bid_{name}": row[name] for name in FIELDS}
            quotes |= {f"ask_{name}": row[name] * (1 + spread) for name in FIELDS}
        rows.append({"ts": START + timedelta(minutes=number), "volume": volume, **row, **quotes})
    return rows


@given(_real_bars())
@settings(max_examples=60, deadline=None)
def test_unfolded_bars_fold_back_to_the_same(rows: list[dict[str, Any]]) -> None:
    frame = bars(rows).with_columns(interval_seconds=pl.lit(60, pl.Int64))
    ticks = unfold_bars(frame).sort("ts", "seq")
    folded = ticks.group_by(pl.col("ts").dt.truncate("1m"), maintain_order=True).agg(
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.when(pl.col("size").count() > 0).then(pl.col("size").sum()),
        spread=(pl.col("ask") - pl.col("bid")).last(),
    )
    mid = {name: (pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2 for name in FIELDS}
    wanted = frame.select(
        "ts",
        *(pl.coalesce(mid[name], name).alias(name) for name in FIELDS),
        "volume",
        spread=pl.col("ask_close") - pl.col("bid_close"),
    )
    assert folded.equals(wanted)
    assert ticks.get_column("synthetic").to_list() == [1, 2, 3, 4] * len(rows)
    assert ticks.get_column("seq").to_list() == [0, 1, 2, 3] * len(rows)


@pytest.mark.parametrize(
    ("seconds", "partition", "key"),
    [
        (86_400, "auto", "2013"),
        (7 * 86_400, "auto", "2013"),
        (3_600, "auto", "2013-03"),
        (86_399, "auto", "2013-03"),
        (300, "auto", "2013-03-01"),
        (None, "auto", "2013-03-01"),
        (None, "year", "2013"),
        (86_400, "day", "2013-03-01"),
        (300, "month", "2013-03"),
    ],
)
def test_span_of_a_partition_follows_the_interval(seconds: int | None, partition: str, key: str) -> None:
    known = universe(seconds, partition=partition)
    prices = dict.fromkeys(FIELDS, 1.0)
    batch = bare([{"ts": START}]) if seconds is None else Batch("bars", bars([{"ts": START, **prices}]))
    keys = set(contribution(batch, known).groups.get_column("key").to_list())
    assert key in keys


def test_ticks_of_a_bar_across_midnight_go_to_the_day_of_their_own_time() -> None:
    known = universe(3_600, partition="day")
    batch = Batch("bars", bars([{"ts": START - timedelta(minutes=30), **dict.fromkeys(FIELDS, 1.0)}]))
    groups = contribution(batch, known).groups
    assert dict(groups.select("key", "length").iter_rows()) == {"2013-02-28": 2, "2013-03-01": 2}


def test_a_later_row_corrects_an_earlier_one_and_a_later_part_both() -> None:
    ticks = merged(
        bare([{"ts": START, "seq": 7, "price": 1.0}, {"ts": START, "seq": 7, "price": 2.0}]),
        bare([{"ts": START, "seq": 7, "price": 3.0}, {"ts": START, "seq": 8, "price": 9.0}]),
    )
    assert ticks.select("seq", "price").rows() == [(7, 3.0), (8, 9.0)]


def test_rows_without_id_are_numbered_within_their_instant_and_exact_repeats_dropped() -> None:
    three, one = {"ts": START, "price": 3.0}, {"ts": START, "price": 1.0}
    second = [one, {"ts": START, "price": 2.0}, {"ts": START + timedelta(1), "price": 3.0}]
    ticks = merged(bare([three, one, three]), bare(second))
    assert ticks.select("seq", "price").rows() == [(0, 3.0), (1, 1.0), (2, 2.0), (0, 3.0)]


def test_rows_without_id_come_after_those_that_have_one() -> None:
    ticks = merged(bare([{"ts": START, "price": 5.0}, {"ts": START, "seq": 4, "price": 1.0}]))
    assert ticks.select("seq", "price").rows() == [(4, 1.0), (5, 5.0)]


def test_merged_ticks_are_sorted_by_market_time_and_number() -> None:
    rows = [{"market_id": m, "ts": START + timedelta(n), "seq": s} for n in (1, 0) for m in "ba" for s in (2, 1)]
    ticks = merged(bare(rows))
    keys = ticks.select("market_id", "ts", "seq").rows()
    assert keys == sorted(keys)
    assert len(keys) == 8


def test_the_hash_of_a_contribution_knows_value_order_and_market() -> None:
    one, two = {"ts": START, "price": 1.0}, {"ts": START, "price": 2.0}
    batches = [[one, two], [two, one], [one], [{**one, "size": 0.0}, two], [{**one, "side": "buy"}, two]]
    hashes = [contribution(bare(batch), universe()).hashes["2013-03-01", "a"] for batch in batches]
    assert len(set(hashes)) == len(hashes)
    other = contribution(bare([{**row, "market_id": "b"} for row in (one, two)]), universe())
    assert list(other.hashes) == [("2013-03-01", "b")]


def test_the_hash_of_a_contribution_is_that_of_its_own_group_alone() -> None:
    mine: list[dict[str, Any]] = [{"ts": START, "price": 1.0}]
    others: list[dict[str, Any]] = [{"ts": START, "market_id": "b"}, {"ts": START - timedelta(5)}]
    alone, together = (contribution(bare(rows), universe()).hashes for rows in (mine, [*others, *mine]))
    assert alone["2013-03-01", "a"] == together["2013-03-01", "a"]


def test_picking_pairs_gives_their_rows_by_partition() -> None:
    rows = [{"ts": START + timedelta(day), "market_id": m} for day in (0, 1) for m in "ab"]
    found = contribution(bare(rows), universe())
    picked = found.pick({("2013-03-01", "b"), ("2013-03-02", "a"), ("2013-03-02", "b")})
    assert [(key, part.get_column("_market").to_list()) for key, part in picked] == [
        ("2013-03-01", [1]),
        ("2013-03-02", [0, 1]),
    ]
    assert found.pick(set()) == []


def test_finish_and_unfinish_are_each_others_reverse() -> None:
    ticks = merged(bare([{"ts": START, "side": "sell", "bid": 1.0}, {"ts": START, "market_id": "b", "size": 2.0}]))
    assert dict(ticks.schema) == frame_schema(TICK_COLUMNS)
    assert finish(unfinish(ticks, universe()), universe()).equals(ticks)
    only_b = universe().filter(pl.col("market_id") == "b")
    assert unfinish(ticks, only_b).height == 1
