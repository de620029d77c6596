"""Ways in which tables are written, one small file each: the right result, or a message that says what to do."""

from __future__ import annotations

import gzip
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.errors import BadInput, SettingsError
from pipelines.source import Batch
from tests.integration.sources.test_files import source

TRADES: dict[str, Any] = {"kind": "spot", "content": "trades"}
BARS: dict[str, Any] = {"kind": "spot", "interval_seconds": 3600}
NINE = datetime(2020, 1, 2, 9, tzinfo=UTC)


def read(base: Path, dataset: dict[str, Any], part: str = "a.csv") -> Batch:
    return source(base, {"path": part, **dataset}).fetch(part)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
def test_times_in_json_keep_their_zone_also_with_whole_seconds(tmp_path: Path, name: str, zone: str) -> None:
    text = '{"ts":"2020-01-02T09:00:00Z","price":1.5,"more":{"at":["2020-01-02T09:00:00+02:00"]}}\n'
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read(tmp_path, {**TRADES, "timezone": zone}, name).frame["ts"].to_list() == [NINE]


def test_a_time_in_two_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("date,time,price\n2020-01-02,04:00:00,1\n20200102,04:00:00,1\n")
    columns = {"ts": "{date} {time}"}
    batch = read(tmp_path, {**TRADES, "columns": columns, "timezone": "America/New_York"})
    assert batch.frame["ts"].to_list()[0] == NINE


@pytest.mark.parametrize("folder", ["symbol=AA", "Symbol=AA/year=2020", "ticker=AA"])
def test_a_folder_may_say_the_market(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "data.csv").write_text("ts,price\n2020-01-02T09:00:00Z,1\n")
    files = source(tmp_path, {"path": ".", **TRADES})
    assert files.markets()["external_id"].to_list() == ["AA"]
    assert files.fetch(f"{folder}/data.csv").frame["market_id"].to_list() == ["files:AA"]


def test_a_pattern_may_look_at_folders(tmp_path: Path) -> None:
    for folder in ("AA", "BB"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "2020.csv").write_text("ts,price\n2020-01-02T09:00:00Z,1\n")
    pattern = r"(?P<market>[A-Z]+)/\d+\.csv$"
    files = source(tmp_path, {"path": ".", **TRADES, "market_pattern": pattern})
    assert files.markets()["external_id"].to_list() == ["AA", "BB"]


def test_one_name_in_two_folders_is_never_one_market_by_silence(tmp_path: Path) -> None:
    for folder in ("nyse", "lse"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "AA.csv").write_text("ts,price\n2020-01-02T09:00:00Z,1\n")
    with pytest.raises(BadInput, match="two files in different folders would both be market 'AA'") as caught:
        source(tmp_path, {"path": ".", **TRADES}).markets()
    assert "market_pattern" in caught.value.fix
    one = source(tmp_path, {"path": ".", **TRADES, "market_pattern": "(?P<market>[^/.]+)[.][^/]*$"})
    assert one.markets()["external_id"].to_list() == ["AA"]
    two = source(tmp_path, {"path": ".", **TRADES, "market_pattern": "(?P<market>[^/]+/[^/.]+)[.]csv$"})
    assert two.markets()["external_id"].to_list() == ["lse/AA", "nyse/AA"]


@pytest.mark.parametrize("name", ["name", "Name", "ticker", "Ticker", "symbol"])
def test_usual_names_of_the_market(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"ts,{name},price\n2020-01-02T09:00:00Z,AA,1\n")
    assert read(tmp_path, TRADES).frame["market_id"].to_list() == ["files:AA"]


@pytest.mark.parametrize("wanted", [{"ok": True}, {"n": 1}, {"n": 1.0}, {"s": "x"}, {"s": ["x", "z"]}])
def test_where_in_a_table_of_text(tmp_path: Path, wanted: dict[str, Any]) -> None:
    rows = ["True,1,x,1", "true,1.0,x,2", "False,2,y,3", "0,3,y,4"]
    (tmp_path / "a.csv").write_text("\n".join(["ok,n,s,price,ts", *(f"{one},2020-01-02T09:00:00Z" for one in rows)]))
    assert read(tmp_path, {**TRADES, "where": wanted}).frame["price"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("wanted", [{"ok": True}, {"n": 1}, {"c": "x"}, {"c": ["x"]}, {"e": "x"}])
def test_where_in_a_typed_table(tmp_path: Path, wanted: dict[str, Any]) -> None:
    frame = pl.DataFrame({"ts": [NINE] * 2, "price": [1.0, 2.0], "ok": [True, False], "n": [1.0, 2.0], "c": ["x", "y"]})
    frame = frame.with_columns(pl.col("c").cast(pl.Categorical), e=pl.col("c").cast(pl.Enum(["x", "y"])))
    frame.write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path, {**TRADES, "where": wanted}, "a.parquet").frame["price"].to_list() == [1.0]


def test_separator_decimal_and_thousands(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts;price;size\n2020-01-02T09:00:00Z;1.234,5;2,25\n")
    batch = read(tmp_path, {**TRADES, "separator": ";", "decimal": ",", "thousands": "."})
    assert batch.frame.select("price", "size").row(0) == (1234.5, 2.25)
    with pytest.raises(SettingsError, match="separator = ';;' is not a single sign"):
        read(tmp_path, {**TRADES, "separator": ";;"})
    with pytest.raises(SettingsError, match=r"thousands and decimal are both '\.'"):
        read(tmp_path, {**TRADES, "thousands": "."})


def test_another_separator_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts;price\n2020-01-02T09:00:00Z;1,5\n")
    with pytest.raises(BadInput, match="line 2 has 2 fields, the header has 1") as caught:
        read(tmp_path, TRADES)
    assert 'separator = ";"' in caught.value.fix


def test_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1577955600000,1,2,0.5,1.5,10\n")
    names = ("ts", "open", "high", "low", "close", "volume")
    columns = {name: f"column_{n}" for n, name in enumerate(names, 1)}
    batch = read(tmp_path, {**BARS, "header": False, "columns": columns, "ts_unit": "ms"})
    assert batch.frame.select("start", "close", "volume").row(0) == (NINE, 1.5, 10.0)
    assert batch.place(0) == "line 1 of a.csv"


@pytest.mark.parametrize("name", ["a.zip", "a.csv.zip"])
def test_a_zip_with_one_table(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("inner.csv", "ts,price\n2020-01-02T09:00:00Z,1.5\n")
    assert read(tmp_path, TRADES, name).frame["price"].to_list() == [1.5]
    with zipfile.ZipFile(tmp_path / name, "a") as archive:
        archive.writestr("other.csv", "x")
    with pytest.raises(BadInput, match=r"the archive holds 2 files: inner\.csv, other\.csv"):
        read(tmp_path, TRADES, name)


def test_a_text_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ts\tprice\n2020-01-02T09:00:00Z\t1.5\n")
    assert read(tmp_path, {**TRADES, "separator": "\t"}, "a.txt").frame["price"].to_list() == [1.5]


def test_line_ends_and_encodings(tmp_path: Path) -> None:
    text = "ts,price\r2020-01-02T09:00:00Z,1.5\r2020-01-02T09:00:01Z,2.5\r"
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read(tmp_path, TRADES).frame["price"].to_list() == [1.5, 2.5]
    (tmp_path / "a.csv").write_bytes(text.replace("\r", "\n").encode("utf-16"))
    with pytest.raises(BadInput, match="the file is UTF-16 text"):
        read(tmp_path, TRADES)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_with_its_mark_and_without(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("ts,price\n2020-01-02T09:00:00Z,1.5\n".encode(encoding))
    with pytest.raises(BadInput, match="the file is UTF-16 text"):
        read(tmp_path, TRADES)


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        "ts,price,n\n2020-01-02T09:00:00Z,1,e\n2020-01-02T09:00:00Z,1,é\n".encode("latin-1")
    )
    with pytest.raises(BadInput, match="line 3 is not UTF-8 text"):
        read(tmp_path, TRADES)
    (tmp_path / "a.csv").write_text("ts,price,n\n2020-01-02T09:00:00Z,1,é\n", encoding="utf-8")
    assert read(tmp_path, TRADES).frame.height == 1


def test_a_row_is_named_by_the_line_it_begins_at(tmp_path: Path) -> None:
    rows = ['2020-01-02T09:00:00Z,1,"a\nb\nc"', "2020-01-02T09:00:01Z,-1,d", '2020-01-02T09:00:02Z,x,"e"']
    (tmp_path / "a.csv").write_text("\n".join(["ts,price,n", *rows]))
    batch = read(tmp_path, TRADES)
    assert batch.quarantined is not None
    assert batch.quarantined["where"].to_list() == ["line 5 of a.csv", "line 6 of a.csv"]
    assert batch.place(0) == "line 2 of a.csv"


@pytest.mark.parametrize("end", ["\n\n", "\n,,,,,\n", "\n , , , , , \n\n"])
def test_blank_rows_at_the_end_are_no_rows(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.csv").write_text("ts,open,high,low,close,volume\n2020-01-02T09:00:00Z,1,2,0.5,1.5,10" + end)
    batch = read(tmp_path, BARS)
    assert batch.frame.height == 1
    assert batch.quarantined is not None
    assert batch.quarantined.is_empty()


def test_an_optional_column_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,open,high,low,close,volume\n2020-01-02T09:00:00Z,1,2,0.5,1.5,n/a\n")
    assert read(tmp_path, {**BARS, "columns": {"volume": ""}}).frame["volume"].to_list() == [None]


@pytest.mark.parametrize(
    "names",
    [("AA.csv", "AA.tsv"), ("AA.csv", "AA.csv.gz"), ("AA.2020.csv", "AA.2020.txt"), ("BRK.A.csv", "BRK.B.csv")],
)
def test_two_files_are_never_one_market_by_silence(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        data = b"ts\tprice\n2020-01-02T09:00:00Z\t1\n" if ".tsv" in name else b"ts,price\n2020-01-02T09:00:00Z,1\n"
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    market = names[0].partition(".")[0]
    with pytest.raises(BadInput, match=f"two files would both be market '{market}'") as caught:
        source(tmp_path, {"path": list(names), **TRADES}).markets()
    patterns = re.findall("'([^']+)'", caught.value.fix)
    apart, one = (source(tmp_path, {"path": list(names), **TRADES, "market_pattern": each}) for each in patterns)
    assert apart.markets().height == 2
    assert one.markets()["external_id"].to_list() == [market]


def test_nor_are_files_of_two_datasets(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "AA.csv").write_text("ts,price,bid,ask\n2020-01-02T09:00:00Z,1,1,2\n")
    quotes = {**TRADES, "content": "quotes"}
    assert source(tmp_path, {"path": "one", **TRADES}, {"path": "two", **quotes}).markets().height == 1  # go together
    with pytest.raises(BadInput, match="two files in different folders would both be market 'AA'"):
        source(tmp_path, {"path": "one", **TRADES}, {"path": "two", **TRADES}).markets()


def test_numbered_files_are_parts_of_a_market(tmp_path: Path) -> None:
    for name in ("AA.2020.csv", "AA.2021-01.csv", "AA.03.csv", "AA.04.tsv"):
        sign = "\t" if name.endswith("tsv") else ","
        (tmp_path / name).write_text(f"ts{sign}price\n2020-01-02T09:00:00Z{sign}1\n")
    assert source(tmp_path, {"path": ".", **TRADES}).markets()["external_id"].to_list() == ["AA"]


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    (elsewhere / "AA.csv").write_text("ts,price\n2020-01-02T09:00:00Z,1\n")
    (data / "linked").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(data)
    assert list(source(tmp_path, {"path": "data", **TRADES}).probe().parts) == ["data/linked/AA.csv"]


def test_one_rule_that_every_row_breaks_is_a_setting(tmp_path: Path) -> None:
    rows = [f"{day}/12/2019 16:00,1.5" for day in (29, 30, 31)]
    (tmp_path / "a.csv").write_text("\n".join(["ts,price", *rows]))
    with pytest.raises(BadInput, match="every row breaks one rule: time cannot be read") as caught:
        read(tmp_path, TRADES)
    assert "ts_format" in caught.value.fix
    assert "29/12/2019" in caught.value.what
    good = {**TRADES, "ts_format": "%d/%m/%Y %H:%M", "timezone": "UTC"}
    assert read(tmp_path, good).frame.height == 3


def test_a_library_that_gives_up_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.data.file_tables import rows

    class PanicException(BaseException):
        """As Rust's libraries raise it."""

    real = rows.to_utc

    def to_utc(raw: pl.Series, *more: Any) -> Any:
        if (raw == "2020-01-02T09:00:03Z").any():
            raise PanicException("index out of bounds")
        return real(raw, *more)

    monkeypatch.setattr(rows, "to_utc", to_utc)
    lines = [f"2020-01-02T09:00:0{n}Z,1" for n in range(8)]
    (tmp_path / "a.csv").write_text("\n".join(["ts,price", *lines]))
    (tmp_path / "b.csv").write_text("\n".join(["ts,price", *lines[:3]]))
    files = source(tmp_path, {"path": "*.csv", **TRADES})
    with pytest.raises(BadInput, match="the values of line 5 cannot be worked with: index out of bounds") as caught:
        list(files.fetch_many(["b.csv", "a.csv"]))
    assert caught.value.where.endswith("a.csv, line 5")


AUTUMN = ["00:00", "01:00", "01:00", "02:00"]  # of the clock in New York, on the day when it is set back at two


@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("markets", [("A",), ("A", "B")], ids=["one market", "two side by side"])
def test_both_bars_of_an_hour_that_comes_twice_are_kept(tmp_path: Path, step: int, markets: tuple[str, ...]) -> None:
    """Bars of an hour show the same time twice: nothing goes back, and none of them corrects the other."""
    closes = {one: [number + 10 * place for number in range(1, 5)] for place, one in enumerate(markets)}
    rows = [(shown, one, closes[one][n]) for n, shown in enumerate(AUTUMN) for one in markets]
    text = "".join(f"2020-11-01 {shown},{one},{p},{p},{p},{p},1\n" for shown, one, p in rows[::step])
    (tmp_path / "a.csv").write_text("ts,market,open,high,low,close,volume\n" + text)
    frame = read(tmp_path, {**BARS, "timezone": "America/New_York"}).frame.sort("market_id", "start")
    for one in markets:
        mine = frame.filter(pl.col("market_id") == f"files:{one}")
        assert mine["start"].to_list() == [datetime(2020, 11, 1, hour, tzinfo=UTC) for hour in (4, 5, 6, 7)]
        assert mine["close"].to_list() == closes[one]


def test_a_bar_of_minutes_that_is_repeated_is_no_second_hour(tmp_path: Path) -> None:
    """Only what is as long as the hour that comes twice can show one time for two bars without going back."""
    shown = ["00:30", "01:00", "01:00", "01:30", "01:00", "01:30", "02:00"]
    text = "".join(f"2020-11-01 {one},1,1,1,1,1\n" for one in shown)
    (tmp_path / "a.csv").write_text("ts,open,high,low,close,volume\n" + text)
    starts = read(tmp_path, {**BARS, "interval_seconds": 1800, "timezone": "America/New_York"}).frame["start"]
    assert [f"{one:%H:%M}" for one in starts] == ["04:30", "05:00", "05:00", "05:30", "06:00", "06:30", "07:00"]


@pytest.mark.parametrize("others", [0, 2], ids=["alone", "read together"])
def test_a_column_that_comes_twice_is_not_chosen_by_silence(tmp_path: Path, others: int) -> None:
    names = ["a.csv", *(f"b{number}.csv" for number in range(others))]
    for name in names:
        (tmp_path / name).write_text("ts,price,size,price\n2020-01-02T09:00:00Z,1,5,2\n")
    files = source(tmp_path, {"path": ".", **TRADES})
    with pytest.raises(BadInput, match="there are two columns 'price'") as caught:
        list(files.fetch_many(names)) if others else files.fetch("a.csv")
    assert "'price_duplicated_0'" in caught.value.fix
    second = source(tmp_path, {"path": ".", **TRADES, "columns": {"price": "price_duplicated_0"}})
    assert second.fetch("a.csv").frame["price"].to_list() == [2.0]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", 'ts,price\n2020-01-02T09:00:00Z,1\n"2020-01-02T10:00:00Z,2\n', "the quote that opens in line 3"),
        ("a.jsonl", '{"ts":"2020-01-02T09:00:00Z","price":1}\n{bad\n', "line 2 is no JSON: Expecting property name"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=what) as caught:
        read(tmp_path, TRADES, name)
    assert str(tmp_path / name) in str(caught.value.where)
