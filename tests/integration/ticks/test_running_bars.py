"""Bars that are not over, bars that overlap, and how long a bar is: from files to ticks."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.data.tick_parts.memo import MEMO_KEY, load
from pipelines.errors import BadInput
from pipelines.source import Batch
from pipelines.sources.files import FilesSource
from tests.integration.ticks.mill import Mill, csv

HOURS: dict[str, Any] = {"path": "h/*.csv", "kind": "spot", "interval_seconds": 3600}
DAYS: dict[str, Any] = {"path": "d/*.csv", "kind": "equity", "interval": "day", "timezone": "America/New_York"}


def hour(hour: int, price: float = 2.0, market: str = "A") -> str:
    return f"2020-01-02T{hour:02}:00:00Z,{market},{price},{price},{price},{price},7"


def day(text: str, price: float = 2.0) -> str:
    return f"{text},A,{price},{price},{price},{price},7"


def write_at(mill: Mill, name: str, text: str, at: datetime) -> None:
    mill.write(name, text)
    os.utime(mill.data / name, (at.timestamp(), at.timestamp()))


def starts(mill: Mill) -> list[datetime]:
    assert mill.ticks is not None
    return mill.table(mill.ticks)["start"].to_list()


def running(mill: Mill) -> int:
    assert mill.ticks is not None
    records = load(mill.lake.read_bytes(mill.ticks.by_key[MEMO_KEY]), _universe(mill))
    assert records is not None
    return sum(record.counts["running"] for record in records.values())


def _universe(mill: Mill) -> pl.DataFrame:
    from pipelines.data.tick_parts.frames import ranked

    assert mill.markets is not None
    return ranked(mill.lake.read_table(mill.markets.by_key["markets"]), "auto")


def at(hour: int, minute: int = 0, day: int = 2) -> datetime:
    return datetime(2020, 1, day, hour, minute, tzinfo=UTC)


def test_the_running_bar_comes_when_the_file_is_written_again_and_not_before(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [HOURS])
    write_at(mill, "h/a.csv", csv(hour(9), hour(10), hour(11, price=5.0)), at(11, 30))
    first = mill.run()
    assert starts(mill) == [at(9), at(10)]
    assert running(mill) == 1
    assert mill.run() == first, "waiting alone changes nothing"
    assert mill.run(fresh=True).version == first.version
    write_at(mill, "h/a.csv", csv(hour(9), hour(10), hour(11, price=6.0)), at(12))
    mill.run()
    assert starts(mill) == [at(9), at(10), at(11)]
    assert mill.ticks is not None
    assert mill.table(mill.ticks)["close"].to_list() == [2.0, 2.0, 6.0]
    assert running(mill) == 0


def test_a_file_with_a_time_before_all_its_bars_is_taken_whole(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [HOURS])
    write_at(mill, "h/a.csv", csv(hour(9), hour(10)), datetime(1980, 1, 1, tzinfo=UTC))
    mill.run()
    assert len(starts(mill)) == 2
    assert running(mill) == 0


@pytest.mark.parametrize(
    ("known_after", "written", "count"),
    [
        (None, at(22, day=6), 1),
        (None, at(5, day=7), 2),
        ("16:30", at(21, 29, day=6), 1),
        ("16:30", at(21, 30, day=6), 2),
    ],
)
def test_a_day_is_over_at_midnight_of_its_zone_or_when_it_is_said_to_be(
    tmp_path: Path, known_after: str | None, written: datetime, count: int
) -> None:
    dataset = DAYS if known_after is None else {**DAYS, "known_after": known_after}
    mill = Mill(tmp_path, [dataset])
    write_at(mill, "d/a.csv", csv(day("2020-01-03"), day("2020-01-06")), written)
    mill.run()
    assert starts(mill) == [at(5, day=3), at(5, day=6)][:count]
    assert mill.ticks is not None
    ends = mill.table(mill.ticks)["end"].to_list()
    assert ends[0] == (at(5, day=4) if known_after is None else at(21, 30, day=3))


def test_both_sides_of_a_bar_must_be_over(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**HOURS, "path": "bid.csv", "ask_path": "ask.csv"}])
    for name, written in (("bid.csv", at(12)), ("ask.csv", at(11, 30))):
        write_at(mill, name, csv(hour(10), hour(11)), written)
    mill.run()
    assert starts(mill) == [at(10)]


def test_one_file_that_is_still_written_does_not_hold_up_another(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [HOURS])
    write_at(mill, "h/old.csv", csv(hour(9), hour(10)), at(11))
    write_at(mill, "h/new.csv", csv(hour(11)), at(11, 5))
    mill.run()
    assert starts(mill) == [at(9), at(10)]


def test_an_interval_that_is_too_long_names_both_rows(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**HOURS, "interval_seconds": 7200}])
    mill.write("h/a.csv", csv(hour(9), hour(12), hour(11)))
    with pytest.raises(BadInput) as caught:
        mill.run()
    assert "two bars of files:A overlap" in caught.value.what
    assert "line 4 of a.csv (2020-01-02 11:00:00 to 2020-01-02 13:00:00 UTC) and line 3 of a.csv" in caught.value.what
    assert "here 1:00:00" in caught.value.fix
    assert caught.value.where == "files:h/a.csv"


def test_bars_of_two_files_that_overlap_are_named_across_partitions_and_runs(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**HOURS, "interval_seconds": 3600}], partition="day")
    mill.write("h/a.csv", csv(hour(22), hour(23)))
    before = mill.run()
    mill.write("h/b.csv", csv("2020-01-03T00:00:00Z,A,2,2,2,2,7"))
    mill.run()
    mill.write("h/c.csv", csv("2020-01-02T23:30:00Z,B,2,2,2,2,7"))
    mill.run()
    mill.write("h/c.csv", csv("2020-01-03T00:30:00Z,A,2,2,2,2,7"))
    with pytest.raises(BadInput, match=r"line 2 of b\.csv .* and line 2 of c\.csv"):
        mill.run()
    mill.ticks, mill.markets = before, None
    (mill.data / "h" / "b.csv").unlink()
    late = f"2020-01-03T00:00:00Z,A,2,2,2,2,7\n{hour(21)}".replace("T21:00", "T21:30")
    mill.write("h/c.csv", csv(*late.split("\n")))
    with pytest.raises(BadInput, match=r"two bars of files:A overlap: line 3 of c\.csv .* and line 2 of a\.csv"):
        mill.run()


def test_an_overlap_with_a_partition_that_is_carried_over_is_found(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**HOURS, "interval_seconds": 3600}], partition="day")
    mill.write("h/a.csv", csv("2020-01-03T00:00:00Z,A,2,2,2,2,7"))
    mill.run()
    mill.write("h/b.csv", csv("2020-01-02T23:30:00Z,A,2,2,2,2,7"))
    with pytest.raises(BadInput, match=r"line 2 of b\.csv .* and the one from 2020-01-03 00:00:00"):
        mill.run()


def read(folder: Path, dataset: dict[str, Any], *rows: str) -> Batch:
    from pipelines.settings import Faults, build
    from pipelines.sources.files import Settings

    (folder / "a.csv").write_text(csv(*rows), encoding="utf-8")
    faults = Faults("agent.toml")
    made = build(Settings, {"datasets": [{"path": "a.csv", "kind": "fx", **dataset}]}, "sources.files", faults)
    faults.raise_if_any()
    return FilesSource(made, folder).fetch("a.csv")


@pytest.mark.parametrize(
    ("dataset", "row", "start", "end"),
    [
        # The day on which New York's clocks go forward has 23 hours, also where it is written as seconds.
        ({"interval": "day", "timezone": "America/New_York"}, "2020-03-08", "2020-03-08T05", "2020-03-09T04"),
        ({"interval_seconds": 86_400, "timezone": "America/New_York"}, "2020-03-08", "2020-03-08T05", "2020-03-09T04"),
        ({"interval_seconds": 86_400, "timezone": "UTC"}, "2020-03-08", "2020-03-08T00", "2020-03-09T00"),
        (
            {"interval": "day", "timezone": "America/New_York", "ts_is": "end"},
            "2020-11-02",
            "2020-11-01T04",
            "2020-11-02T05",
        ),
        ({"interval": "week", "timezone": "UTC"}, "2020-01-05", "2020-01-05T00", "2020-01-12T00"),
        ({"interval": "week", "timezone": "UTC", "ts_is": "end"}, "2020-01-10", "2020-01-06T00", "2020-01-13T00"),
        ({"interval": "week", "timezone": "UTC", "ts_is": "end"}, "2020-01-13", "2020-01-06T00", "2020-01-13T00"),
        ({"interval": "month", "timezone": "UTC"}, "2020-02-01", "2020-02-01T00", "2020-03-01T00"),
        ({"interval": "month", "timezone": "UTC", "ts_is": "end"}, "2020-02-28", "2020-02-01T00", "2020-03-01T00"),
        ({"interval": "month", "timezone": "UTC", "ts_is": "end"}, "2020-03-01", "2020-02-01T00", "2020-03-01T00"),
        ({"interval_seconds": 14_400}, "2020-03-08T22:00:00Z", "2020-03-08T22", "2020-03-09T02"),
    ],
)
def test_start_and_end_of_a_row(tmp_path: Path, dataset: dict[str, Any], row: str, start: str, end: str) -> None:
    frame = read(tmp_path, dataset, f"{row},A,2,2,2,2,7").frame
    assert frame.select("start", "end").row(0) == tuple(
        datetime.fromisoformat(f"{text}:00+00:00") for text in (start, end)
    )


def test_a_bar_that_is_not_over_at_its_markets_end_knows_the_outcome(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,end\nA,2020-01-03T12:00:00Z\n", encoding="utf-8")
    table = {"path": "m.csv", "id": "id", "end": "end"}
    dataset = {"kind": "binary", "interval": "day", "timezone": "UTC", "markets": table}
    rows = [day(f"2020-01-0{n}", 0.5) for n in (1, 2, 3, 4)]
    assert read(tmp_path, dataset, *rows).frame["start"].dt.day().to_list() == [1, 2]


def test_bars_and_trades_of_one_span_lie_in_tables_of_their_own(tmp_path: Path) -> None:
    trades = {"path": "t/*.csv", "kind": "spot", "content": "trades", "market": "T"}
    mill = Mill(tmp_path, [{**HOURS, "interval_seconds": 300}, trades])
    mill.write("h/a.csv", csv(hour(9)))
    mill.write("t/a.csv", "ts,id,price\n2020-01-02T09:00:00Z,1,2.5\n")
    ticks = mill.run()
    assert [p.key for p in ticks.select()] == ["bars/2020-01-02", "trades/2020-01-02"]
    bars = mill.table(ticks)
    assert (bars["end"] - bars["start"]).to_list() == [timedelta(minutes=5)]
