"""The files source on files made for the purpose: formats, names, filters, and what a bad file says."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pipelines.errors import BadInput, SettingsError
from pipelines.settings import Faults, build
from pipelines.sources.files import FilesSource, Settings

CSV = "ts,open,high,low,close,volume\n2020-01-01T00:00:00Z,2,3,1,2.5,10\n2020-01-01T00:05:00Z,2.5,4,2,3,\n"
BARS = {"kind": "spot", "interval_seconds": 300}


def source(base: Path, *datasets: dict[str, Any]) -> FilesSource:
    """A files source with these datasets, checked as agent.toml is."""
    faults = Faults("agent.toml")
    settings: Settings = build(Settings, {"datasets": list(datasets)}, "sources.files", faults)
    faults.raise_if_any()
    return FilesSource(settings, base)


def table() -> pl.DataFrame:
    return pl.read_csv(CSV.encode(), try_parse_dates=True)


def _zstd(data: bytes) -> bytes:
    compressed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return compressed


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text(CSV),
    "a.CSV": lambda path: path.write_text(CSV),
    "a.tsv": lambda path: path.write_text(CSV.replace(",", "\t")),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "a.csv.bz2": lambda path: path.write_bytes(bz2.compress(CSV.encode())),
    "a.csv.zst": lambda path: path.write_bytes(_zstd(CSV.encode())),
    "a.parquet": lambda path: table().write_parquet(path),
    "a.feather": lambda path: table().write_ipc(path),
    "a.arrow": lambda path: table().write_ipc(path, compression="zstd"),
    "a.jsonl": lambda path: table().write_ndjson(path),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(table().write_ndjson().encode())),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    naive = {"timezone": "UTC"} if name.startswith("a.jsonl") else {}
    files = source(tmp_path, {"path": name, **BARS, **naive})
    batch = files.fetch(name)
    assert batch.frame.select("market_id", "start", "open", "high", "low", "close", "volume").rows() == [
        ("files:a", datetime(2020, 1, 1, tzinfo=UTC), 2.0, 3.0, 1.0, 2.5, 10.0),
        ("files:a", datetime(2020, 1, 1, 0, 5, tzinfo=UTC), 2.5, 4.0, 2.0, 3.0, None),
    ]
    assert batch.quarantined is not None
    assert batch.quarantined.is_empty()


def test_folders_and_globs_pass_over_other_files(tmp_path: Path) -> None:
    for name in ("x/b.csv", "x/deep/a.csv", "y/c.csv", ".tidemill/lake/d.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CSV)
    (tmp_path / "x" / "README.md").write_text("no data")
    for path, parts in {
        "x": ["x/b.csv", "x/deep/a.csv"],
        "*/*.csv": ["x/b.csv", "y/c.csv"],
        "**/*": ["x/b.csv", "x/deep/a.csv", "y/c.csv"],
        ".": ["x/b.csv", "x/deep/a.csv", "y/c.csv"],
        str(tmp_path / "y" / "*"): ["y/c.csv"],
    }.items():
        assert list(source(tmp_path, {"path": path, **BARS}).probe().parts) == parts


def test_the_token_changes_with_the_file_and_with_the_settings_of_its_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    token = source(tmp_path, {"path": "a.csv", **BARS}).probe().parts["a.csv"]
    assert source(tmp_path, {"path": "a.csv", **BARS}).probe().parts["a.csv"] == token
    other = source(tmp_path, {"path": "a.csv", **BARS, "ts_is": "end"}).probe().parts["a.csv"]
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    touched = source(tmp_path, {"path": "a.csv", **BARS}).probe().parts["a.csv"]
    assert len({token, other, touched}) == 3


def test_two_datasets_may_take_the_same_file(tmp_path: Path) -> None:
    rows = "ts,side,bid,ask\n2020-01-01T00:00:00Z,UP,0.4,0.5\n2020-01-01T00:00:00Z,DOWN,0.5,0.6\n"
    (tmp_path / "a.csv").write_text(rows)
    both = [
        {"path": "a.csv", "kind": "binary", "content": "quotes", "where": {"side": side}, "market": side}
        for side in ("UP", "DOWN")
    ]
    files = source(tmp_path, *both)
    assert list(files.probe().parts) == ["a.csv", "a.csv #2"]
    assert files.fetch("a.csv #2").frame.select("market_id", "price").rows() == [("files:DOWN", 0.55)]
    assert files.markets().get_column("market_id").to_list() == ["files:DOWN", "files:UP"]


def test_markets_come_from_a_column_or_a_template_or_the_file_name(tmp_path: Path) -> None:
    (tmp_path / "eur-1m.csv").write_text("ts,symbol,leg,price\n2020-01-01T00:00:00Z,EUR,2,1.5\n")
    common = {"path": "eur-1m.csv", "kind": "fx", "content": "trades"}
    for more, name in (
        ({}, "EUR"),
        ({"columns": {"market": "leg"}}, "2"),
        ({"columns": {"market": "{symbol}/{leg}"}}, "EUR/2"),
        ({"market": "one"}, "one"),
        ({"market_pattern": r"(?P<market>[a-z]+)-\d+m"}, "eur"),
    ):
        files = source(tmp_path, common | more)
        assert files.markets().get_column("external_id").to_list() == [name]
        assert files.fetch("eur-1m.csv").frame.get_column("market_id").to_list() == [f"files:{name}"]


def test_bars_by_their_end_and_shifted_prices(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    end = source(tmp_path, {"path": "a.csv", **BARS, "ts_is": "end"}).fetch("a.csv").frame
    assert end.get_column("start")[0] == datetime(2019, 12, 31, 23, 55, tzinfo=UTC)
    assert end.get_column("end")[0] == datetime(2020, 1, 1, tzinfo=UTC)
    later = source(tmp_path, {"path": "a.csv", **BARS, "ts_shift_seconds": 60}).fetch("a.csv").frame
    assert later.get_column("start")[0] == datetime(2020, 1, 1, 0, 1, tzinfo=UTC)


def test_list_positions_empty_books_and_the_end_of_a_market(tmp_path: Path) -> None:
    books = pl.DataFrame(
        {
            "t": [1000, 2000, 3000, 4000],
            "m": ["x"] * 4,
            "bids": [[0.4, 0.3], [], [0.5], [0.9]],
            "asks": [[0.6], [0.7], [0.7], [0.95]],
        }
    )
    books.write_parquet(tmp_path / "books.parquet")
    (tmp_path / "markets.csv").write_text("m,q,end,won,known\nx,Will it?,4,1,5\ny,Other,9,,\n")
    dataset = {
        "path": "books.parquet",
        "kind": "binary",
        "content": "quotes",
        "columns": {"ts": "t", "market": "m", "bid": "bids[0]", "ask": "asks[0]"},
        "ts_unit": "ms",
        "markets": {
            "path": "markets.csv",
            "id": "m",
            "question": "q",
            "end": "end",
            "outcome": "won",
            "resolved_at": "known",
            "ts_unit": "s",
        },
    }
    files = source(tmp_path, dataset)
    assert files.fetch("books.parquet").frame.select("price", "bid", "ask").rows() == [(0.5, 0.4, 0.6), (0.6, 0.5, 0.7)]
    assert files.fetch("markets.csv").frame.is_empty()
    assert files.markets().select("external_id", "question", "status", "resolution").rows() == [
        ("x", "Will it?", "resolved", 1.0),
        ("y", "Other", "open", None),
    ]
    assert source(tmp_path, dataset | {"stop_at_end": False}).fetch("books.parquet").frame.height == 3


def test_what_prices_are_in_and_which_event_is_said_for_all_or_by_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_text(CSV)
    common = {**BARS, "path": "*.csv", "market_pattern": r"(?P<market>\w+)\.csv"}
    said = source(tmp_path, common | {"quote_currency": "USDT"}).markets()
    assert said.select("external_id", "quote_currency", "event_id").rows() == [("a", "USDT", None), ("b", "USDT", None)]
    assert source(tmp_path, common).markets().get_column("quote_currency").to_list() == [None, None]
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "m.csv").write_text("m,paid_in,of\na,EUR,cup\nb,,cup\n")
    table = {"path": "known/m.csv", "id": "m", "quote_currency": "paid_in", "event": "of"}
    told = source(tmp_path, common | {"quote_currency": "USD", "markets": table}).markets()
    assert told.select("external_id", "quote_currency", "event_id").rows() == [("a", "EUR", "cup"), ("b", "USD", "cup")]


def test_where_filters_by_value_and_list_and_type(tmp_path: Path) -> None:
    rows = pl.DataFrame({"ts": [datetime(2020, 1, 1, tzinfo=UTC)] * 3, "price": [1.0, 2.0, 3.0], "n": [1, 2, 3]})
    rows.with_columns(live=pl.col("n") > 1, s=pl.col("n").cast(pl.String)).write_parquet(tmp_path / "a.parquet")
    common = {"path": "a.parquet", "kind": "spot", "content": "trades"}
    for where, prices in (
        ({"live": True}, [2.0, 3.0]),
        ({"n": 2}, [2.0]),
        ({"s": ["1", "3"]}, [1.0, 3.0]),
        ({"live": True, "s": "3"}, [3.0]),
    ):
        assert source(tmp_path, common | {"where": where}).fetch("a.parquet").frame["price"].to_list() == prices
    with pytest.raises(BadInput, match="where: n = 'two' does not fit"):
        source(tmp_path, common | {"where": {"n": "two"}}).fetch("a.parquet")
    with pytest.raises(BadInput, match="there is no column 'liv'") as caught:
        source(tmp_path, common | {"where": {"liv": True}}).fetch("a.parquet")
    assert "did you mean 'live'" in caught.value.fix


def test_a_row_that_breaks_a_rule_is_named_by_its_line(tmp_path: Path) -> None:
    lines = [
        "ts,price,id",
        "2020-01-01T00:00:00Z,1.5,1",
        "2020-01-01T00:00:01Z,-1,2",
        "2020-01-01T00:00:02Z,abc,3",
        "2020-01-01 00:00:03,1.5,4",
        ",1.5,5",
        "2020-01-01T00:00:05Z,nan,6",
        "2020-01-01T00:00:06Z,,7",
        "2020-01-01T00:00:07Z,1.5,x7",
        "2020-01-01T00:00:08Z",
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    batch = source(tmp_path, {"path": "a.csv", "kind": "spot", "content": "trades"}).fetch("a.csv")
    assert batch.frame.height == 1
    assert batch.quarantined is not None
    assert batch.quarantined.select("where", "rule").rows() == [
        ("line 3 of a.csv", "price is not above zero"),
        ("line 4 of a.csv", "price is not a number"),
        ("line 5 of a.csv", "timestamp without zone"),
        ("line 6 of a.csv", "time is missing"),
        ("line 7 of a.csv", "price is not a finite number"),
        ("line 8 of a.csv", "price is missing"),
        ("line 9 of a.csv", "trade id is not a whole number"),
        ("line 10 of a.csv", "price is missing"),
    ]
    assert '"price":"abc"' in batch.quarantined.get_column("row")[1]


def test_mixed_types_in_json_are_bad_rows_not_a_bad_file(tmp_path: Path) -> None:
    lines = ['{"ts":"2020-01-01T00:00:00Z","price":1.5}', '{"ts":"2020-01-01T00:00:01Z","price":"oops"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    batch = source(tmp_path, {"path": "a.jsonl", "kind": "spot", "content": "trades"}).fetch("a.jsonl")
    assert batch.frame.get_column("price").to_list() == [1.5]
    assert batch.quarantined is not None
    assert batch.quarantined.select("where", "rule").rows() == [("line 2 of a.jsonl", "price is not a number")]


def test_records_inside_messages(tmp_path: Path) -> None:
    lines = [
        '{"t":1000,"data":{"trades":[{"p":1.5,"q":2},{"p":1.6,"q":1}]}}',
        '{"t":2000,"data":{"trades":[]}}',
        '{"t":3000,"type":"hello"}',
        '{"t":4000,"data":{"trades":[{"p":1.7,"q":3}]}}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    dataset = {
        "path": "a.jsonl",
        "kind": "spot",
        "content": "trades",
        "records": "data.trades[]",
        "columns": {"ts": "t", "price": "data.trades.p", "size": "data.trades.q"},
        "ts_unit": "ms",
    }
    frame = source(tmp_path, dataset).fetch("a.jsonl").frame
    assert frame.select(pl.col("ts").dt.epoch("ms"), "price", "size").rows() == [
        (1000, 1.5, 2.0),
        (1000, 1.6, 1.0),
        (4000, 1.7, 3.0),
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n \n", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.parquet", b"PAR1 no", "the file cannot be read"),
        ("a.feather", b"garbage here", "the file cannot be read"),
        ("a.jsonl", b'{"a": 1}\n{"a": ', "the file cannot be read"),
        ("a.csv.gz", b"not gzip", "the file cannot be read"),
        ("a.csv", CSV.encode() + b"2020-01-01T00:10:00Z,1,2,1,1,1,9,9\n", "line 4 has 8 fields, the header has 6"),
        ("a.csv", CSV.replace("close", "cloze").encode(), "there is no column 'close'"),
        ("a.csv", CSV.replace("Z", "").encode(), "timestamp without zone"),
    ],
)
def test_a_bad_file_is_named_with_the_fix(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        source(tmp_path, {"path": name, **BARS}).fetch(name)
    assert what in caught.value.what
    assert name in caught.value.where
    assert caught.value.fix


def test_a_missing_column_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV.replace("close", "cloze"))
    with pytest.raises(BadInput) as caught:
        source(tmp_path, {"path": "a.csv", **BARS}).fetch("a.csv")
    assert "there are ts, open, high, low, cloze, volume" in caught.value.what
    assert "did you mean 'cloze'" in caught.value.fix


def test_no_file_and_unknown_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("hello")
    (tmp_path / "licence.txt").write_text("a text in a folder is no table")
    for path, what in (("nothing/*.csv", "no file matches"), ("notes.md", "cannot be read"), (".", "no file matches")):
        with pytest.raises(BadInput, match=what):
            source(tmp_path, {"path": path, **BARS}).probe()


def test_a_side_without_its_partner_is_an_error(tmp_path: Path) -> None:
    for name in ("EUR-bid.csv", "GBP-bid.csv", "EUR-ask.csv"):
        (tmp_path / name).write_text(CSV)
    pattern = r"(?P<market>[A-Z]+)-(bid|ask)"
    both = {"path": "*-bid.csv", "ask_path": "*-ask.csv", **BARS, "market_pattern": pattern}
    with pytest.raises(BadInput, match="GBP"):
        source(tmp_path, both).probe()
    (tmp_path / "GBP-ask.csv").write_text(CSV)
    files = source(tmp_path, both)
    assert files.markets().get_column("external_id").to_list() == ["EUR", "GBP"]
    assert list(files.probe().parts) == ["EUR-bid.csv", "GBP-bid.csv"]


def test_two_intervals_of_one_market_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    files = source(tmp_path, {"path": "a.csv", **BARS}, {"path": "a.csv", **BARS, "interval_seconds": 60})
    with pytest.raises(BadInput, match="files:a"):
        files.markets()


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        ({"path": "a.csv", "kind": "spot"}, "interval_seconds (or interval = 'day', 'week', 'month') is missing"),
        ({"path": "a.csv", **BARS, "interval": "day"}, "interval and interval_seconds are both given"),
        ({"path": "a.csv", **BARS, "known_after": "16:30"}, "known_after is for interval = 'day' only"),
        ({"path": "a.csv", "kind": "fx", "interval": "day", "known_after": "4pm"}, "no time of day such as 16:30"),
        ({"kind": "spot"}, "path is missing"),
        ({"path": "a.csv", **BARS, "columns": {"opn": "x"}}, "there is no 'opn'"),
        ({"path": "a.csv", **BARS, "market_pattern": "[a-z]+"}, "(?P<market>"),
        ({"path": "a.csv", **BARS, "market_pattern": "("}, "not a regular expression"),
        ({"path": "a.csv", **BARS, "market_pattern": "(?P<market>a)", "market": "b"}, "both given"),
        ({"path": "a.csv", **BARS, "price_is": "decimal_odds"}, "for trades only"),
        ({"path": "a.csv", **BARS, "content": "trades"}, "interval_seconds is for bars only"),
        ({"path": "a.csv", **BARS, "tz": "UTC"}, "unknown setting 'tz'"),
        ({"kind": "binary", "markets": {"path": "m.csv", "id": "x", "outcome": "o"}}, "resolved_at go together"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, dataset: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        source(tmp_path, dataset)
    assert fault in caught.value.what


@pytest.mark.parametrize(
    ("rows", "what"),
    [("m,won,at\nx,2,2020-01-01T00:00:00Z\n", "the outcome '2'"), ("m,won,at\nx,1,soon\n", "time cannot be read")],
)
def test_a_bad_table_of_markets_is_named_by_its_line(tmp_path: Path, rows: str, what: str) -> None:
    (tmp_path / "m.csv").write_text(rows)
    table = {"path": "m.csv", "id": "m", "outcome": "won", "resolved_at": "at"}
    with pytest.raises(BadInput, match=what) as caught:
        source(tmp_path, {"kind": "binary", "markets": table}).markets()
    assert "line 2" in caught.value.where


def test_rows_of_a_market_seen_at_different_times_are_its_states(tmp_path: Path) -> None:
    """The newest row is the market; what each earlier one said is what was known then."""
    (tmp_path / "q.csv").write_text(
        "id,end,seen\nA,2026-03-01,2026-01-05\nA,2026-02-01,2026-01-01\nB,2026-05-01,2026-01-02\n", encoding="utf-8"
    )
    described = {"path": "q.csv", "id": "{id}", "end": "end", "known_at": "seen", "timezone": "UTC"}
    one = source(tmp_path, {"kind": "binary", "markets": described})
    markets = dict(one.markets().select("external_id", "end_at").rows())
    assert markets["A"] == datetime(2026, 3, 1, tzinfo=UTC)
    states = one.market_history().filter(pl.col("market_id") == "files:A").sort("known_at")
    assert states["end_at"].to_list() == [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
    plain = {key: value for key, value in described.items() if key != "known_at"}
    assert source(tmp_path, {"kind": "binary", "markets": plain}).market_history().is_empty()
