"""Rows from parts: keys of partitions, contributions, merging, bars that overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.data.tick_parts.frames import contribution, ranked
from pipelines.data.tick_parts.merging import finish, merge, overlap, unfinish
from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, Batch, frame_schema

START = datetime(2013, 3, 1, tzinfo=UTC)
BARS = frame_schema(BAR_COLUMNS)
SCHEMA = {"market_id": pl.String, "kind": pl.String, "interval_seconds": pl.Int64, "interval": pl.String}
FIELDS = ("open", "high", "low", "close")


def universe(seconds: int | None = None, names: str = "ab", partition: Any = "auto") -> pl.DataFrame:
    """Markets of one letter each, all with the same interval."""
    interval = None if seconds is None else f"{seconds}s"
    facts = {"kind": "spot", "interval_seconds": seconds, "interval": interval}
    frame = pl.DataFrame([{"market_id": name, **facts} for name in names], schema=SCHEMA)
    return ranked(frame, partition)


def bars(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Bars of a market of hours; what a row does not say is null, its market `a`, its prices 1."""
    known = [{"market_id": "a", **dict.fromkeys(FIELDS, 1.0), **row} for row in rows]
    return pl.DataFrame([{"end": row["start"] + timedelta(hours=1), **row} for row in known], schema=BARS)


def bare(rows: list[dict[str, Any]]) -> Batch:
    """Single ticks; what a row does not say is null, its market `a`, its price 1."""
    schema = frame_schema(TICK_COLUMNS)
    return Batch("ticks", pl.DataFrame([{"market_id": "a", "price": 1.0, **row} for row in rows], schema=schema))


def merged(*parts: Batch, markets: pl.DataFrame | None = None) -> pl.DataFrame:
    """The ticks that parts amount to, in the order of the parts, whatever their partition."""
    known = universe() if markets is None else markets
    rows = [
        contribution(part, known, pl.Series([n] * part.frame.height, dtype=pl.UInt32)).rows.drop("_key")
        for n, part in enumerate(parts)
    ]
    return finish(merge(pl.concat(rows), parts[0].kind), known, parts[0].kind)


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
    batch = bare([{"ts": START}]) if seconds is None else Batch("bars", bars([{"start": START}]))
    table = "trades" if seconds is None else "bars"
    assert contribution(batch, known).groups.get_column("key").to_list() == [f"{table}/{key}"]


def test_days_weeks_and_months_come_in_years() -> None:
    frame = pl.DataFrame([{"market_id": "a", "kind": "spot", "interval": "week"}], schema=SCHEMA)
    assert ranked(frame, "auto").get_column("grain").item() == 2


def test_a_bar_across_midnight_lies_whole_where_it_starts() -> None:
    batch = Batch("bars", bars([{"start": START - timedelta(minutes=30)}]))
    groups = contribution(batch, universe(3_600, partition="day")).groups
    assert dict(groups.select("key", "length").iter_rows()) == {"bars/2013-02-28": 1}


def test_a_later_bar_corrects_an_earlier_one_and_a_later_part_both() -> None:
    one, two = {"start": START, "open": 2.0}, {"start": START + timedelta(hours=1), "open": 5.0}
    parts = [[one, two, {**one, "open": 3.0}], [{**one, "open": 4.0}]]
    found = merged(*(Batch("bars", bars(part)) for part in parts), markets=universe(3_600))
    assert found.select("start", "open").rows() == [(START, 4.0), (START + timedelta(hours=1), 5.0)]
    assert dict(found.schema) == frame_schema(BAR_COLUMNS)


@pytest.mark.parametrize(("minutes", "is_over"), [(59, True), (60, False), (61, False)])
def test_bars_that_overlap_are_found_with_their_rows(minutes: int, is_over: bool) -> None:
    rows = [{"start": START, "market_id": "b"}, {"start": START}, {"start": START + timedelta(minutes=minutes)}]
    known = universe(3_600)
    found = merge(contribution(Batch("bars", bars(rows)), known, pl.Series([4] * 3, dtype=pl.UInt32)).rows, "bars")
    pair = overlap(found, known)
    assert (pair is not None) == is_over
    if pair is not None:
        assert [(one.market, one.part, one.row) for one in pair] == [("a", 4, 1), ("a", 4, 2)]


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
    hashes = [contribution(bare(batch), universe()).hashes[0]["trades/2013-03-01", "a"] for batch in batches]
    assert len(set(hashes)) == len(hashes)
    other = contribution(bare([{**row, "market_id": "b"} for row in (one, two)]), universe())
    assert list(other.hashes[0]) == [("trades/2013-03-01", "b")]


def test_the_hash_of_bars_knows_quotes_and_ends() -> None:
    bar: dict[str, Any] = {"start": START}
    rows = [bar, {**bar, "end": START + timedelta(minutes=9)}, {**bar, "bid_low": 0.5}, {**bar, "ask_low": 0.5}]
    known = universe(3_600, partition="day")
    hashes = {contribution(Batch("bars", bars([row])), known).hashes[0]["bars/2013-03-01", "a"] for row in rows}
    assert len(hashes) == len(rows)
    other = {"start": START, "market_id": "b", "bid_open": 1.0}
    together = contribution(Batch("bars", bars([other, bar])), known).hashes[0]
    assert together["bars/2013-03-01", "a"] in hashes, "whatever quotes another market has"


def test_parts_that_come_together_contribute_what_each_does_alone() -> None:
    parts = [
        [{"ts": START + timedelta(days=n % 2), "market_id": m, "price": 1.0 + n} for n in range(count) for m in "ba"]
        for count in (2, 0, 1, 3)
    ]
    numbers = pl.Series([n for n, part in enumerate(parts) for _ in part], dtype=pl.UInt32)
    together = contribution(bare([row for part in parts for row in part]), universe(), numbers)
    for n, part in enumerate(parts):
        alone = contribution(bare(part), universe(), pl.Series([n] * len(part), dtype=pl.UInt32))
        assert together.hashes.get(n) == alone.hashes.get(n)
        rows = together.rows.filter(pl.col("_part") == n)
        assert rows.equals(alone.rows)
        picked = pl.concat(
            [rows for _, rows in together.pick({n: set(alone.hashes.get(n, {}))})] or [rows.drop("_key")]
        )
        assert picked.equals(alone.rows.drop("_key"))


def test_the_hash_of_a_contribution_is_that_of_its_own_group_alone() -> None:
    mine: list[dict[str, Any]] = [{"ts": START, "price": 1.0}]
    others: list[dict[str, Any]] = [{"ts": START, "market_id": "b"}, {"ts": START - timedelta(5)}]
    alone, together = (contribution(bare(rows), universe()).hashes[0] for rows in (mine, [*others, *mine]))
    assert alone["trades/2013-03-01", "a"] == together["trades/2013-03-01", "a"]


def test_picking_pairs_gives_their_rows_by_partition() -> None:
    rows = [{"ts": START + timedelta(day), "market_id": m} for day in (0, 1) for m in "ab"]
    found = contribution(bare(rows), universe())
    picked = found.pick({0: {("trades/2013-03-01", "b"), ("trades/2013-03-02", "a"), ("trades/2013-03-02", "b")}})
    assert [(key, part.get_column("_market").to_list()) for key, part in picked] == [
        ("trades/2013-03-01", [1]),
        ("trades/2013-03-02", [0, 1]),
    ]
    assert found.pick({}) == []


def test_finish_and_unfinish_are_each_others_reverse() -> None:
    ticks = merged(bare([{"ts": START, "side": "sell", "bid": 1.0}, {"ts": START, "market_id": "b", "size": 2.0}]))
    assert dict(ticks.schema) == frame_schema(TICK_COLUMNS)
    assert finish(unfinish(ticks, universe(), "ticks"), universe(), "ticks").equals(ticks)
    only_b = universe().filter(pl.col("market_id") == "b")
    assert unfinish(ticks, only_b, "ticks").height == 1
