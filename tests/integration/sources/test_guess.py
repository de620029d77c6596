"""What is made of files as brokers, exchanges and programs write them: settings that read them, and what is unsure."""

from __future__ import annotations

import json
import tomllib
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import Guesses, guess, guess_preset
from pipelines.errors import BadInput
from tests.integration.sources.test_files import source

TWO = datetime(2024, 1, 2, tzinfo=UTC)
NINE = datetime(2024, 1, 2, 9, tzinfo=UTC)


def write(base: Path, name: str, text: str) -> None:
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", text)
    else:
        path.write_text(text, encoding="utf-8")


def read(base: Path, found: Guesses) -> tuple[dict[str, pl.DataFrame], list[dict[str, Any]]]:
    """What the guessed settings, written as TOML and read again, give: market -> rows; and the settings."""
    datasets = tomllib.loads(toml_text(found))["sources"]["files"]["datasets"]
    files = source(base, *datasets)
    universe = set(files.markets()["external_id"])
    batches = [files.fetch(part) for part in files.probe().parts]
    assert not any(one.quarantined is not None and one.quarantined.height for one in batches)
    rows: dict[str, list[pl.DataFrame]] = {}
    for batch in batches:
        for (market,), frame in batch.frame.group_by("market_id", maintain_order=True):
            rows.setdefault(str(market).removeprefix("files:"), []).append(frame)
    assert rows.keys() <= universe
    return {market: pl.concat(frames, how="diagonal") for market, frames in rows.items()}, datasets


def days(form: str, count: int = 12) -> list[str]:
    """Working days, so that neither day nor month stands still."""
    at = [TWO + timedelta(days=n) for n in range(0, count * 3, 3)]
    return [f"{one:{form}}" for one in at]


ISO = days("%Y-%m-%d")
TABLES = {
    # A German broker's: semicolons, decimal commas, words of its own.
    "german": "Datum;Erster;Hoch;Tief;Schlusskurs;Volumen\n"
    + "\n".join(f"{day};1.234,5;1.250,0;1.230,25;1.240,75;1.000" for day in days("%d.%m.%Y")),
    "metatrader": "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
    + "\n".join(f"{day}\t00:00\t1234.5\t1250\t1230.25\t1240.75\t1000" for day in days("%Y.%m.%d")),
    "investing": '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    + "\n".join(f'"{day}","1,240.75","1,234.50","1,250.00","1,230.25","1.00K","1%"' for day in days("%m/%d/%Y")),
    "alphavantage": "timestamp,1. open,2. high,3. low,4. close,5. volume\n"
    + "\n".join(f"{day},1234.5,1250,1230.25,1240.75,1000" for day in ISO),
    "no header": "\n".join(f"{day},1234.5,1250,1230.25,1240.75,1000" for day in ISO),
    "epoch": "time,open,high,low,close,volume\n"
    + "\n".join(
        f"{int((TWO + timedelta(days=3 * n)).timestamp())},1234.5,1250,1230.25,1240.75,1000" for n in range(12)
    ),
    "basic": "date,open,high,low,close,volume\n"
    + "\n".join(f"{day},1234.5,1250,1230.25,1240.75,1000" for day in days("%Y%m%d")),
    "words": "Date|Open|High|Low|Close/Last|Volume\n"
    + "\n".join(f"{day}|1234.5|1250|1230.25|1240.75|1000" for day in days("%b %d, %Y")),
    "newest first": "date,open,high,low,close,volume\n"
    + "\n".join(f"{day},1234.5,1250,1230.25,1240.75,1000" for day in ISO[::-1]),
}


@pytest.mark.parametrize("name", TABLES)
def test_daily_bars_as_they_are_written_elsewhere(tmp_path: Path, name: str) -> None:
    write(tmp_path, "data/ACME.csv", TABLES[name])
    rows, (dataset,) = read(tmp_path, guess(tmp_path, [tmp_path / "data"]))
    frame = rows["ACME"].sort("start")
    assert dataset["interval"] == "day"
    assert frame["start"].to_list() == [TWO + timedelta(days=3 * n) for n in range(12)]
    assert frame.select("open", "high", "low", "close").unique().rows() == [(1234.5, 1250.0, 1230.25, 1240.75)]
    assert frame["volume"].unique().to_list() == [None if name == "investing" else 1000.0]


@pytest.mark.parametrize(
    ("step", "form", "expected"),
    [
        (timedelta(minutes=1), "%Y-%m-%d %H:%M:%S", {"interval_seconds": 60}),
        (timedelta(minutes=5), "%Y-%m-%dT%H:%M:%SZ", {"interval_seconds": 300}),
        (timedelta(hours=4), "%d/%m/%Y %H:%M", {"interval_seconds": 14_400}),
        (timedelta(days=7), "%Y-%m-%d", {"interval": "week"}),
        (timedelta(seconds=1), "%Y-%m-%d %H:%M:%S", {"interval_seconds": 1}),
    ],
)
def test_the_length_of_a_bar(tmp_path: Path, step: timedelta, form: str, expected: dict[str, Any]) -> None:
    # With gaps, as after a night or a quiet minute.
    times = [NINE + step * n for n in range(100) if n % 7]
    write(tmp_path, "a.csv", "ts,open,high,low,close\n" + "\n".join(f"{one:{form}},1,2,0.5,1.5" for one in times))
    rows, (dataset,) = read(tmp_path, guess(tmp_path, [tmp_path / "a.csv"]))
    assert expected.items() <= dataset.items()
    assert [one.replace(hour=9) for one in rows["a"]["start"]] == [one.replace(hour=9) for one in times]


def test_months_and_days_of_another_zone(tmp_path: Path) -> None:
    months = "\n".join(f"2024-{month:02}-01,1,2,0.5,1.5" for month in range(1, 13))
    write(tmp_path, "months.csv", "date,open,high,low,close\n" + months)
    # Midnight in New York, written in UTC, over the change of the clocks.
    nights = [datetime(2024, 3, day, 5 if day <= 10 else 4, tzinfo=UTC) for day in range(4, 20)]
    write(tmp_path, "days.csv", "ts,open,high,low,close\n" + "\n".join(f"{n.isoformat()},1,2,0.5,1.5" for n in nights))
    _, datasets = read(tmp_path, guess(tmp_path, [tmp_path]))
    found = {one["path"]: (one["interval"], one["timezone"]) for one in datasets}
    assert found == {"days.csv": ("day", "America/New_York"), "months.csv": ("month", "UTC")}


def test_a_session_without_a_zone_is_said_to_be_unsure(tmp_path: Path) -> None:
    times = [
        datetime(2024, 1, day, 9, 30, tzinfo=UTC) + timedelta(minutes=30 * n) for day in (2, 3, 4) for n in range(13)
    ]
    write(tmp_path, "IBM.csv", "time,open,high,low,close\n" + "\n".join(f"{one:%F %T},1,2,0.5,1.5" for one in times))
    found = guess(tmp_path, [tmp_path])
    rows, (dataset,) = read(tmp_path, found)
    assert dataset["timezone"] == "America/New_York"
    assert rows["IBM"]["start"][0] == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    assert any("sessions begin at 9:30" in one for one in found.datasets[0].unsure)


BAR = "date,open,high,low,close\n2024-01-02,1,2,0.5,1.5\n2024-01-03,1,2,0.5,1.5\n"


@pytest.mark.parametrize(
    ("files", "markets"),
    [
        (["AAPL.csv", "BRK.B.csv", "BRK.A.csv"], {"AAPL", "BRK.A", "BRK.B"}),
        (["AAPL/2022.csv", "AAPL/2023.csv", "IBM/2023.csv"], {"AAPL", "IBM"}),
        (["symbol=AAPL/data.csv", "symbol=IBM/data.csv"], {"AAPL", "IBM"}),
        (["eurusd_d1_2022.csv", "eurusd_d1_2023.csv", "gbpusd_d1_2023.csv"], {"eurusd", "gbpusd"}),
        (["AAPL-2024-01.csv", "AAPL-2024-02.csv", "IBM-2024-01.csv"], {"AAPL", "IBM"}),
        (["nyse/AA.csv", "lse/AA.csv"], {"nyse/AA", "lse/AA"}),
        (["BTCUSDT-1d.csv"], {"BTCUSDT"}),
    ],
)
def test_the_market_in_a_path(tmp_path: Path, files: list[str], markets: set[str]) -> None:
    for number, name in enumerate(files):
        write(tmp_path, f"data/{name}", BAR.replace("2024-01-", f"20{10 + number}-01-"))
    rows, _ = read(tmp_path, guess(tmp_path, [tmp_path / "data"]))
    assert rows.keys() == markets


def test_the_market_in_a_column(tmp_path: Path) -> None:
    for name in ("Name", "Ticker", "Symbol", "instrument"):
        write(
            tmp_path,
            "all.csv",
            BAR.replace("date", f"{name},date").replace("2024-", "AA,2024-") + "BB,2024-01-02,1,2,1,2\n",
        )
        rows, _ = read(tmp_path, guess(tmp_path, [tmp_path / "all.csv"]))
        assert rows.keys() == {"AA", "BB"}


def test_trades_quotes_and_books(tmp_path: Path) -> None:
    write(
        tmp_path,
        "trades/ETHBTC.csv",
        "tradeId,timestamp,price,quantity,side\n7,1704189600000,0.05,2,BUY\n8,1704189600000,0.06,1,SELL\n",
    )
    write(
        tmp_path,
        "quotes/EURUSD.csv",
        "Gmt time,Bid,Ask\n02.01.2024 09:00:00.123,1.1,1.2\n02.01.2024 09:00:01.000,1.1,1.2\n"
        "13.01.2024 09:00:02.500,1.1,1.2\n",
    )
    books = [{"t": 1704189600000 + n, "symbol": "BTC_USDT", "bids": [1.0, 0.9], "asks": [1.1, 1.2]} for n in range(3)]
    write(tmp_path, "books/all.jsonl", "\n".join(map(json.dumps, books)))
    rows, datasets = read(tmp_path, guess(tmp_path, [tmp_path]))
    assert rows["ETHBTC"].select("seq", "price", "size", "side").rows() == [
        (7, 0.05, 2.0, "buy"),
        (8, 0.06, 1.0, "sell"),
    ]
    assert rows["EURUSD"]["ts"][0] == NINE + timedelta(microseconds=123_000)
    assert rows["BTC_USDT"].select("bid", "ask").row(0) == (1.0, 1.1)
    assert {one["path"]: one["kind"] for one in datasets} == {
        "trades/ETHBTC.csv": "spot",
        "quotes/EURUSD.csv": "fx",
        "books/all.jsonl": "spot",
    }


def test_day_and_month_that_cannot_be_told_apart_are_unsure(tmp_path: Path) -> None:
    text = "date,open,high,low,close\n" + "\n".join(f"{day:02}/02/2024,1,2,0.5,1.5" for day in range(1, 12))
    write(tmp_path, "a.csv", text)
    found = guess(tmp_path, [tmp_path / "a.csv"])
    rows, _ = read(tmp_path, found)
    assert rows["a"]["start"][1] == datetime(2024, 2, 2, tzinfo=UTC), "a day apart is likelier than a month"
    assert any("day and month cannot be told apart" in one for one in found.datasets[0].unsure)


def test_what_is_no_market_data_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", BAR)
    write(tmp_path, "people.csv", "name,age\nAnn,3\n")
    write(tmp_path, "empty.csv", "")
    write(tmp_path, "notes.txt", "Bought on Monday\n")
    found = guess(tmp_path, [tmp_path])
    assert [one.settings["path"] for one in found.datasets] == ["a.csv"]
    reasons = {path.name: why for path, why in found.passed_over}
    assert reasons["empty.csv"] == "the file is empty"
    assert reasons["people.csv"] == "no bars, trades or quotes in columns name, age"
    assert reasons.keys() == {"people.csv", "empty.csv", "notes.txt"}
    with pytest.raises(BadInput, match="no file of a known format"):
        guess(tmp_path, [tmp_path / ".git"]) if (tmp_path / ".git").mkdir() is None else None


def test_rows_that_break_a_rule_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", BAR + "2024-01-04,1,2,0.5,-1\n")
    (found,) = guess(tmp_path, [tmp_path]).datasets
    assert any(
        "1 rows of a.csv break a rule, the first: line 4 of a.csv: close is not above zero" in one
        for one in found.unsure
    )


def klines(start: int, unit: int = 1) -> str:
    return "\n".join(f"{(start + 60_000 * n) * unit},1,2,0.5,1.5,10,0,15,3,5,7,0" for n in range(4))


def test_binance_dumps_over_the_change_of_their_unit(tmp_path: Path) -> None:
    write(tmp_path, "BTCUSDT-1m-2024-12.zip", klines(1733011200000))
    write(tmp_path, "BTCUSDT-1m-2025-01.zip", klines(1735689600000, 1000))
    write(
        tmp_path,
        "ETHUSDT-aggTrades-2024-01.zip",
        "7,1.5,10,1,1,1704186000000,True,True\n8,1.5,10,1,1,1704186000001,True,True",
    )
    write(
        tmp_path,
        "ETHUSDT-trades-2024-01.zip",
        "1,1.5,10,15,1704186000000,True,True\n2,1.5,9,15,1704186000001,False,True",
    )
    rows, _ = read(tmp_path, guess_preset(tmp_path, "binance", tmp_path))
    assert rows["BTCUSDT"]["start"].to_list()[::4] == [
        datetime(2024, 12, 1, tzinfo=UTC),
        datetime(2025, 1, 1, tzinfo=UTC),
    ]
    assert rows["BTCUSDT"].select("open", "high", "low", "close", "volume").row(0) == (1.0, 2.0, 0.5, 1.5, 10.0)
    later = NINE + timedelta(milliseconds=1)
    # The side is the taker's: where the buyer had been waiting, it was sold.
    assert rows["ETHUSDT-aggTrades"].select("ts", "seq", "size", "side").row(0) == (NINE, 7, 10.0, "sell")
    assert rows["ETHUSDT-trades"].select("ts", "seq", "size", "side").row(1) == (later, 2, 9.0, "buy")


def test_binance_dumps_with_a_header(tmp_path: Path) -> None:
    head = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote,ignore\n"
    )
    write(tmp_path, "BTCUSDT-1m-2024-12.csv", head + klines(1733011200000))
    rows, _ = read(tmp_path, guess_preset(tmp_path, "binance", tmp_path))
    assert rows["BTCUSDT"].select("start", "close", "volume").row(0) == (datetime(2024, 12, 1, tzinfo=UTC), 1.5, 10.0)


def test_freqtrade(tmp_path: Path) -> None:
    bars = [[1704186000000 + 300_000 * n, 1.0, 2, 0.5, 1.5, 10] for n in range(4)]
    trades = [[1704186000000 + n, str(n), None, "buy", 1.5, 10, 15] for n in range(4)]
    write(tmp_path, "BTC_USDT-5m.json", json.dumps(bars))
    write(tmp_path, "futures/BTC_USDT_USDT-1h-funding_rate.json", json.dumps(bars))
    write(tmp_path, "ETH_USDT-trades.json", json.dumps(trades))
    frame = pl.DataFrame(bars, schema=["date", "open", "high", "low", "close", "volume"], orient="row")
    for pair in ("ETH", "XRP"):
        frame.with_columns(pl.col("date").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")).write_ipc(
            tmp_path / f"{pair}_USDT-5m.feather"
        )
    found = guess_preset(tmp_path, "freqtrade", tmp_path)
    rows, _ = read(tmp_path, found)
    assert [file.name for file, _ in found.passed_over] == ["BTC_USDT_USDT-1h-funding_rate.json"]
    assert len(rows) == 4
    for market, frame in rows.items():
        if "trades" in market or market == "ETH_USDT-trades":
            assert frame.select("ts", "seq", "price", "size", "side").row(0) == (NINE, 0, 1.5, 10.0, "buy")
        else:
            assert frame.select("start", "close", "volume").row(0) == (NINE, 1.5, 10.0)


def test_lean(tmp_path: Path) -> None:
    bar = "136300,162500,135000,162500,6315000"
    for folder in ("daily", "hour"):
        hours = [f"199801{5 + n:02} 00:00" if folder == "daily" else f"19980105 {9 + n:02}:00" for n in range(4)]
        write(tmp_path, f"equity/usa/{folder}/aapl.zip", "\n".join(f"{one},{bar}" for one in hours))
    minutes = "\n".join(f"{34_200_000 + 60_000 * n},6463700,6463900,6463100,6463500,100" for n in range(3))
    quotes = "\n".join(f"{34_200_000 + 60_000 * n},10,13,9,12,5,11,14,10,13,5" for n in range(3))
    for day in ("20140605", "20140606"):
        write(tmp_path, f"equity/usa/minute/aapl/{day}_trade.zip", minutes)
        write(tmp_path, f"forex/oanda/minute/eurusd/{day}_quote.zip", quotes)
    write(
        tmp_path, "crypto/coinbase/daily/btcusd_trade.zip", "20151202 00:00,1,2,0.5,1.5,7\n20151203 00:00,1,2,0.5,1.5,7"
    )
    write(tmp_path, "equity/usa/map_files/aapl.csv", "19980102,aapl\n20501231,aapl")
    rows, _ = read(tmp_path, guess_preset(tmp_path, "lean", tmp_path))
    by_length = {market: frame.select("start", "open", "volume").row(0) for market, frame in rows.items()}
    assert by_length == {
        "aapl-day": (datetime(1998, 1, 5, 5, tzinfo=UTC), 13.63, 6315000.0),
        "aapl-3600s": (datetime(1998, 1, 5, 14, tzinfo=UTC), 13.63, 6315000.0),
        "aapl-60s-trade": (datetime(2014, 6, 5, 13, 30, tzinfo=UTC), 646.37, 100.0),
        "eurusd": (datetime(2014, 6, 5, 9, 30, tzinfo=UTC), 10.5, None),
        "btcusd": (datetime(2015, 12, 2, tzinfo=UTC), 1.0, 7.0),
    }
    assert rows["eurusd"].select("bid_close", "ask_close").row(0) == (12.0, 13.0)
    assert rows["aapl-60s-trade"].height == 6


def test_files_of_one_name_are_no_silent_market(tmp_path: Path) -> None:
    lines = ["date,open,high,low,close", *(f"2024-01-0{day},1,2,0.5,1.5" for day in range(2, 6))]
    write(tmp_path, "AA.csv", "\n".join(lines))
    write(tmp_path, "AA.tsv", "\n".join(lines).replace(",", "\t"))
    write(tmp_path, "BB.csv", "\n".join(lines))
    first, second = guess(tmp_path, [tmp_path]).datasets
    said = [text for text in (*first.unsure, *second.unsure) if "names the same market" in text]
    assert len(said) == 1
    assert said[0].startswith("AA.tsv names the same market as AA.csv: a run stops there until market_pattern")


def test_single_ticks_of_lean(tmp_path: Path) -> None:
    trades = "34200000.367,1374500,100,D,1,0\n34200500,1374600,200,D,1,1\n34201000,1374700,300,D,1,0"
    for day in ("20131007", "20131008"):
        write(tmp_path, f"equity/usa/tick/bac/{day}_trade.zip", trades)
        write(tmp_path, f"equity/usa/tick/bac/{day}_quote.zip", "34200000,137450,100,0,0,D,1,0")
        write(tmp_path, f"crypto/coinbase/tick/btcusd/{day}_trade.zip", "86400,232.4,93.1\n86401,232.5,1")
        write(tmp_path, f"crypto/coinbase/tick/ethusd/{day}_quote.zip", "86400,232.40,20392.0,232.42,8059.5")
        write(tmp_path, f"forex/oanda/tick/eurusd/{day}_quote.zip", "92000,10.38,10.40")
    found = guess_preset(tmp_path, "lean", tmp_path)
    rows, _ = read(tmp_path, found)
    day = datetime(2013, 10, 7, tzinfo=UTC)
    assert {market: frame.select("ts", "price", "size", "bid", "ask").row(0) for market, frame in rows.items()} == {
        "bac": (day + timedelta(hours=13, minutes=30, microseconds=367), pytest.approx(137.45), 100.0, None, None),
        "btcusd": (day + timedelta(milliseconds=86_400), 232.4, 93.1, None, None),
        "ethusd": (day + timedelta(milliseconds=86_400), 232.41, None, 232.4, 232.42),
        "eurusd": (day + timedelta(milliseconds=92_000), 10.39, None, 10.38, 10.4),
    }
    assert rows["bac"].get_column("price").to_list() == pytest.approx(
        [137.45, 137.47] * 2
    )  # without what is flagged as suspicious
    assert {why for _, why in found.passed_over} == {
        "each row of a share's quote ticks has one side alone, so that there is no mid: take its quote bars"
    }


def test_yahoo_is_adjusted(tmp_path: Path) -> None:
    head = "Date,Open,High,Low,Close,Adj Close,Volume\n"
    for name in ("AAPL", "BRK-B", "^GSPC", "VOD.L"):
        write(tmp_path, f"{name}.csv", head + "2024-01-02,10,12,9,11,5.5,100\n2024-01-03,10,12,9,12,6,100\n")
    rows, (dataset,) = read(tmp_path, guess_preset(tmp_path, "yahoo", tmp_path))
    assert rows.keys() == {"AAPL", "BRK-B", "^GSPC", "VOD.L"}
    assert dataset["adjusted_close"] == "Adj Close"
    frame = rows["VOD.L"].select("start", "open", "high", "low", "close", "volume")
    assert frame.row(0) == (datetime(2024, 1, 2, 5, tzinfo=UTC), 5.0, 6.0, 4.5, 5.5, 100.0)
    plain = guess(tmp_path, [tmp_path])
    assert any('adjusted_close = "Adj Close" would do it' in one for one in plain.datasets[0].unsure)


def test_a_folder_that_is_not_of_the_layout(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", BAR)
    with pytest.raises(BadInput, match="no file is of the layout 'binance'") as caught:
        guess_preset(tmp_path, "binance", tmp_path)
    assert "agent sources guess" in caught.value.fix


def test_many_files_are_looked_at_by_sample_and_differences_found(tmp_path: Path) -> None:
    for number in range(40):
        unit = 1 if number < 20 else 1000
        lines = [f"{(1704186000000 + 60_000 * n) * unit},1,2,0.5,1.5" for n in range(3)]
        write(tmp_path, f"M{number:02}.csv", "\n".join(["ts,open,high,low,close", *lines]))
    rows, datasets = read(tmp_path, guess(tmp_path, [tmp_path]))
    assert len(rows) == 40
    assert {frame["start"][0] for frame in rows.values()} == {NINE}
    assert sorted(one["ts_unit"] for one in datasets) == ["ms", "us"]
