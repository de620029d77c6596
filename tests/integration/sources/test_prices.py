"""Prices at their bounds, quotes that are crossed, splits: what is taken, what is left out, and what is said."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.ticks import Settings as TickSettings
from pipelines.costs import CostSettings
from pipelines.data.tick_parts.jumps import JUMPS_KEY, all_jumps, load, warnings
from pipelines.errors import BadInput, SettingsError
from tests.integration.sources.test_doors import BARS, TRADES, read
from tests.integration.sources.test_files import source
from tests.integration.ticks.mill import Mill
from tests.paths import SHARED_DATA, needs_shared_data

QUOTES: dict[str, Any] = {"kind": "spot", "content": "quotes"}
TS = "2020-01-02T09:00:0{}Z"


def trades(*prices: float, head: str = "ts,price") -> str:
    return "\n".join([head, *(f"{TS.format(n)},{price}" for n, price in enumerate(prices))]) + "\n"


def rules(frame: pl.DataFrame | None) -> list[tuple[str, str]]:
    return [] if frame is None else frame.select("where", "rule").rows()


def test_a_binary_price_of_zero_and_of_one_is_a_price(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(trades(0, 1, 0.5, 1.01, -0.1))
    batch = read(tmp_path, {**TRADES, "kind": "binary"})
    assert batch.frame["price"].to_list() == [0.0, 1.0, 0.5]
    assert rules(batch.quarantined) == [
        ("line 5 of a.csv", "price of a binary market is above 1"),
        ("line 6 of a.csv", "price of a binary market is below 0"),
    ]


def test_binary_bars_and_quotes_at_their_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "ts,open,high,low,close\n2020-01-02T09:00:00Z,0,1,0,1\n2020-01-02T10:00:00Z,0,1.5,0,1\n"
    )
    batch = read(tmp_path, {**BARS, "kind": "binary"})
    assert batch.frame.select("open", "high", "low", "close").rows() == [(0.0, 1.0, 0.0, 1.0)]
    assert rules(batch.quarantined) == [("line 3 of a.csv", "high of a binary market is above 1")]
    (tmp_path / "a.csv").write_text("ts,bid,ask\n2020-01-02T09:00:00Z,0,0.01\n2020-01-02T09:00:01Z,0.99,1\n")
    assert read(tmp_path, {**QUOTES, "kind": "binary"}).frame["price"].to_list() == [0.005, 0.995]


@pytest.mark.parametrize("kind", ["spot", "fx", "equity", "future"])
def test_other_prices_are_above_zero(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.csv").write_text(trades(1, 0, -37.63))
    batch = read(tmp_path, {**TRADES, "kind": kind})
    assert batch.frame["price"].to_list() == [1.0]
    assert [rule for _, rule in rules(batch.quarantined)] == ["price is not above zero"] * 2


def test_a_future_may_be_allowed_any_price(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(trades(1, 0, -37.63, float("inf")))
    batch = read(tmp_path, {**TRADES, "kind": "future", "allow_nonpositive_price": True})
    assert batch.frame["price"].to_list() == [1.0, 0.0, -37.63]
    assert rules(batch.quarantined) == [("line 5 of a.csv", "price is not a finite number")]
    with pytest.raises(
        SettingsError, match="allow_nonpositive_price is for kind = 'future' only: equity has prices above"
    ):
        read(tmp_path, {**TRADES, "kind": "equity", "allow_nonpositive_price": True})


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ({"kind": "binary", "interval_seconds": 300}, "0,1,0,1"),
        ({"kind": "future", "interval_seconds": 300, "allow_nonpositive_price": True}, "1,2,-40,-37.63"),
    ],
)
def test_such_bars_come_through_ticks_and_features(tmp_path: Path, dataset: dict[str, Any], text: str) -> None:
    from pipelines.component import perform
    from pipelines.components.features import Settings, build_features

    mill = Mill(tmp_path, [{"path": "*.csv", "market": "M", **dataset}])
    mill.costs = MarketSettings({"future": CostSettings(fee_bps=1.0, half_spread_bps=1.0, slippage_bps=1.0)})
    mill.write(
        "a.csv", "\n".join(["ts,open,high,low,close", *(f"2020-01-02T09:{n:02}:00Z,{text}" for n in range(0, 60, 5))])
    )
    ticks = mill.run()
    assert mill.table(ticks).select("open", "high", "low", "close").unique().rows() == [
        tuple(map(float, text.split(",")))
    ]
    assert mill.markets is not None
    features = perform(
        build_features, Settings(), {"ticks": ticks, "markets": mill.markets}, lake=mill.lake, attempt="f"
    )
    assert features.rows == 24


def test_a_crossed_quote_has_no_mid_and_is_left_out(tmp_path: Path) -> None:
    rows = [f"{TS.format(0)},1,2", f"{TS.format(1)},2,1", f"{TS.format(2)},2,2"]
    (tmp_path / "a.csv").write_text("\n".join(["ts,bid,ask", *rows]))
    (tmp_path / "b.csv").write_text("\n".join(["ts,bid,ask", *rows[:2]]))
    batch = read(tmp_path, QUOTES)
    assert batch.frame.select("bid", "ask", "price").rows() == [(1.0, 2.0, 1.5), (2.0, 2.0, 2.0)]
    assert (batch.read, batch.place(1)) == (3, "line 4 of a.csv")
    bulk = next(iter(source(tmp_path, {"path": "*.csv", **QUOTES}).fetch_many(["a.csv", "b.csv"])))
    assert (bulk.lengths, bulk.read) == ((2, 1), (3, 2))


def test_sides_that_are_swapped_are_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["ts,bid,ask", *(f"{TS.format(n)},2,1" for n in range(4))]))
    with pytest.raises(BadInput, match="every row has its bid above its ask") as caught:
        read(tmp_path, QUOTES)
    assert "columns = { bid = …, ask = … }" in caught.value.fix
    for side, price in (("bid", 2), ("ask", 1)):
        lines = [f"2020-01-02T{9 + n:02}:00:00Z,{price},{price},{price},{price}" for n in range(4)]
        (tmp_path / f"{side}.csv").write_text("\n".join(["ts,open,high,low,close", *lines]))
    with pytest.raises(BadInput, match="every row has its bid_close above its ask_close"):
        read(tmp_path, {**BARS, "ask_path": "ask.csv", "market": "A"}, "bid.csv")


def test_a_crossed_bar_stays_and_has_no_spread(tmp_path: Path) -> None:
    from pipelines.features.bars import look_at

    names = ",".join(f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close"))
    (tmp_path / "a.csv").write_text(
        f"ts,{names}\n2020-01-02T09:00:00Z,2,2,2,2,1,1,1,1\n2020-01-02T10:00:00Z,1,1,1,1,2,2,2,2\n"
    )
    frame = read(tmp_path, BARS).frame
    assert frame["close"].to_list() == [1.5, 1.5]
    assert look_at(frame)["spread"].to_list() == [None, 2 / 3]


SPLIT = (
    "date,open,high,low,close,volume\n"
    "2020-08-28,504,505,498,499.2,40\n2020-08-31,127,131,126,129.6,160\n2020-09-01,132,135,130,134,150\n"
)
SHARES: dict[str, Any] = {"kind": "equity", "interval": "day", "timezone": "America/New_York"}


@pytest.mark.parametrize("ratio", ["4", "4.0", "4:1", "4/1", "4 for 1"])
def test_splits_adjust_what_came_before(tmp_path: Path, ratio: str) -> None:
    (tmp_path / "AAPL.csv").write_text(SPLIT)
    (tmp_path / "splits.csv").write_text(f"market,date,ratio\nAAPL,2020-08-31,{ratio}\nIBM,2020-08-31,2\n")
    batch = read(tmp_path, {**SHARES, "splits": "splits.csv"}, "AAPL.csv")
    assert batch.frame.select("open", "close", "volume").rows()[:2] == [(126.0, 124.8, 160.0), (127.0, 129.6, 160.0)]
    assert batch.place(1) == "line 3 of AAPL.csv"


def test_several_splits_multiply_and_a_reverse_one_divides(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(SPLIT)
    (tmp_path / "splits.csv").write_text("Symbol,Date,Ratio\nAAPL,2020-09-01,1:10\nAAPL,2020-08-31,4:1\n")
    frame = read(tmp_path, {**SHARES, "splits": "splits.csv"}, "AAPL.csv").frame
    assert frame["close"].to_list() == [pytest.approx(1248.0), pytest.approx(1296.0), 134.0]


def test_a_table_of_splits_that_is_wrong_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(SPLIT)
    for text, message in (
        ("market,date\nAAPL,2020-08-31\n", "the table of splits has no column 'ratio'"),
        ("market,date,ratio\nAAPL,2020-08-31,four\n", "the ratio 'four' is no split"),
        ("market,date,ratio\nAAPL,someday,4\n", "time cannot be read"),
        ("market,date,ratio\nAAPL,2020-08-31,0\n", "the ratio '0' is no split"),
    ):
        (tmp_path / "splits.csv").write_text(text)
        with pytest.raises(BadInput, match=message):
            read(tmp_path, {**SHARES, "splits": "splits.csv"}, "AAPL.csv")


def test_a_table_of_splits_that_changes_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(SPLIT)
    (tmp_path / "splits.csv").write_text("market,date,ratio\n")
    files = source(tmp_path, {"path": "AAPL.csv", "splits": "splits.csv", **SHARES})
    before = files.probe()
    assert files.fetch("AAPL.csv").frame["close"][0] == 499.2
    (tmp_path / "splits.csv").write_text("market,date,ratio\nAAPL,2020-08-31,4\n")
    os.utime(tmp_path / "splits.csv", ns=(1, 1))
    assert files.probe() != before
    assert files.fetch("AAPL.csv").frame["close"][0] == 124.8


def test_bars_are_scaled_to_the_adjusted_close(tmp_path: Path) -> None:
    text = (
        "Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-02,10,12,9,11,5.5,100\n2020-01-03,0.3,0.3,0.1,0.3,0.1,7\n"
    )
    (tmp_path / "a.csv").write_text(text)
    batch = read(tmp_path, {**SHARES, "adjusted_close": "Adj Close"})
    assert batch.quarantined is not None
    assert batch.quarantined.is_empty(), "rounding breaks no rule: what equals the close stays equal to it"
    names = ("open", "high", "low", "close", "volume")
    assert batch.frame.select(names).row(0) == (5.0, 6.0, 4.5, 5.5, 100.0)
    assert batch.frame.select("open", "high", "close").row(1) == (0.1, 0.1, 0.1)
    with pytest.raises(BadInput, match="there is no column 'Adjusted'"):
        read(tmp_path, {**SHARES, "adjusted_close": "Adjusted"})
    with pytest.raises(SettingsError, match="prices would be adjusted twice"):
        read(tmp_path, {**SHARES, "adjusted_close": "Adj Close", "splits": "x.csv"})


ADJUSTS = 'splits = "FILE" (or adjusted_close, where the data has it) adjusts earlier prices'


def jumps(mill: Mill) -> list[tuple[str, str, str]]:
    assert mill.ticks is not None
    found = all_jumps(load(mill.lake.read_bytes(mill.ticks.by_key[JUMPS_KEY])))
    return [(jump.market, jump.at[:10], jump.ratio) for jump in found]


def test_possible_splits_are_found_inside_partitions_and_between_them(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{"path": "*.csv", **SHARES}])
    mill.settings = TickSettings(partition="month")
    mill.write("AAPL.csv", SPLIT)
    mill.write(
        "CALM.csv", "date,open,high,low,close\n" + "\n".join(f"2020-08-{n},1,2,1,{1 + n / 100}" for n in range(10, 20))
    )
    mill.run()
    assert jumps(mill) == [("files:AAPL", "2020-08-31", "3.85:1")]
    assert warnings(all_jumps(load(mill.lake.read_bytes(mill.ticks.by_key[JUMPS_KEY])))) == [  # type: ignore[union-attr]
        "files:AAPL: a possible split of about 3.85:1 on 2020-08-31 (499.2 to 129.6); where it is one, " + ADJUSTS
    ]
    # One ten times as dear in the next month, whose file alone is read: found between the partitions.
    mill.write("AAPL2.csv", "date,market,open,high,low,close\n2020-10-01,X,1300,1350,1300,1340\n")
    mill.datasets = [{"path": "AAPL*.csv", "market": "AAPL", **SHARES}]
    mill.run()
    assert jumps(mill)[1:] == [("files:AAPL", "2020-10-01", "1:10")]
    found = jumps(mill)
    mill.ticks = mill.run(fresh=True)
    assert jumps(mill) == found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((100, 10), (50, 20), True),  # 2:1
        ((100, 10), (33.5, 5), True),  # near 3:1, at another turnover
        ((10, 10), (100, 1), True),  # ten became one
        ((100, 10), (57, 17), True),  # more than 40 % at the same turnover
        ((100, 10), (48, 100), False),  # half, at five times the turnover: a crash
        ((100, 10), (57, 90), False),  # a fall, at eight times the turnover
        ((100, 10), (65, 15), False),
        ((100, 10), (140, 7), False),
        ((100, 10), (145, 7), True),
    ],
)
def test_what_looks_like_a_split(before: tuple[float, float], after: tuple[float, float], expected: bool) -> None:
    from pipelines.data.tick_parts.jumps import is_like_a_split

    turnover = after[0] * after[1] / (before[0] * before[1])
    assert is_like_a_split(before[0], after[0], turnover) is expected


@needs_shared_data
def test_the_splits_of_apple(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{"path": str(SHARED_DATA / "lean-equity" / "*-1d-trade.parquet"), **SHARES}])
    mill.run()
    apple = [(at, ratio) for market, at, ratio in jumps(mill) if market == "files:AAPL-1d-trade"]
    assert {at for at, _ in apple} >= {"2000-06-21", "2005-02-28", "2014-06-09", "2020-08-31"}
    assert not [one for one in jumps(mill) if one[0].startswith("files:SPY")]


def test_times_that_count_from_the_day_in_the_name(tmp_path: Path) -> None:
    (tmp_path / "20240310_trade.csv").write_text("34200000,1\nx,2\n")
    dataset = {
        **TRADES,
        "header": False,
        "market": "A",
        "timezone": "America/New_York",
        "ts_unit": "ms",
        "day_pattern": r"(?P<day>\d{8})_",
        "columns": {"ts": "column_1", "price": "column_2"},
        "price_factor": 0.5,
    }
    batch = read(tmp_path, dataset, "20240310_trade.csv")
    # The clocks were set forward that night: 9:30 is 9:30.
    assert batch.frame.select("ts", "price").rows() == [(datetime(2024, 3, 10, 13, 30, tzinfo=UTC), 0.5)]
    assert rules(batch.quarantined) == [("line 2 of 20240310_trade.csv", "time is missing")]
    (tmp_path / "99_trade.csv").write_text("34200000,1\n")
    with pytest.raises(BadInput, match="finds no day in the file's name"):
        read(tmp_path, dataset, "99_trade.csv")


def test_a_list_of_paths_and_a_json_array(tmp_path: Path) -> None:
    rows = [[1577955600000, 1.5, "x"], [1577955601000, 2.5]]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json").write_text(json.dumps([{"ts": "2020-01-02T09:00:00Z", "price": 3}]))
    (tmp_path / "bad.json").write_text('{"price": 1}')
    arrays = {**TRADES, "ts_unit": "ms", "columns": {"ts": "column_1", "price": "column_2"}}
    assert read(tmp_path, arrays, "a.json").frame["price"].to_list() == [1.5, 2.5]
    assert read(tmp_path, TRADES, "b.json").frame["price"].to_list() == [3.0]
    with pytest.raises(BadInput, match="it is no array of rows"):
        read(tmp_path, TRADES, "bad.json")
    (tmp_path / "c.csv").write_text(trades(1))
    (tmp_path / "d.csv").write_text(trades(1))
    (tmp_path / "e.csv").write_text(trades(1))
    files = source(tmp_path, {**TRADES, "path": ["d.csv", "c*.csv"]})
    assert list(files.probe().parts) == ["c.csv", "d.csv"]
    with pytest.raises(BadInput, match="no file matches"):
        source(tmp_path, {**TRADES, "path": ["d.csv", "x*.csv"]}).probe()
    assert list(source(tmp_path, {**TRADES, "path": "."}).probe().parts) == ["c.csv", "d.csv", "e.csv"]
