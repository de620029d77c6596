"""The ticks component on real files: what is read, what is carried over, damaged memory, real data whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.component import perform
from pipelines.components.markets import Settings as MarketSettings
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings, ingest_ticks
from pipelines.data.tick_parts.memo import MEMO_KEY
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import BAR_COLUMNS, frame_schema
from pipelines.sources.sample import SampleSource
from pipelines.sources.sample import Settings as SampleSettings
from tests.integration.ticks.mill import DATASETS, Mill, bar, csv, keys
from tests.paths import SHARED_DATA, needs_shared_data


def changed(mill: Mill, before: Snapshot) -> set[str]:
    """Keys whose file is another one than in `before`."""
    assert mill.ticks is not None
    return {p.key for p in mill.ticks.select() if before.by_key.get(p.key) != p}


def test_nothing_new_reads_nothing(mill: Mill) -> None:
    before = mill.ticks
    after = mill.run()
    assert mill.read == []
    assert after == before


def test_an_appended_day_reads_one_file_and_writes_one_partition(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.write("bars/3.csv", csv(bar(4)))
    mill.run()
    assert mill.read == ["bars/3.csv"]
    assert changed(mill, before) == {"bars/2020-01-04"}


def test_a_late_row_rebuilds_its_market_from_every_file_that_has_it(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.write("bars/3.csv", csv(bar(2, "B", minute=5)))
    after = mill.run()
    assert mill.read == ["bars/3.csv", "bars/2.csv"]
    assert changed(mill, before) == {"bars/2020-01-02"}
    assert mill.table(after).filter(pl.col("start").dt.day() == 2).height == 3
    assert after.version == mill.run(fresh=True).version


def test_a_rewritten_file_with_the_same_rows_changes_nothing(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.write("bars/2.csv", csv(bar(2, "B"), bar(3)))
    after = mill.run()
    assert mill.read == ["bars/2.csv"]
    assert changed(mill, before) == set()
    assert after.version == before.version


def test_a_removed_file_takes_its_rows_away_and_empty_partitions_go(mill: Mill) -> None:
    (mill.data / "bars" / "2.csv").unlink()
    after = mill.run()
    assert keys(after) == ["bars/2020-01-01", "bars/2020-01-02"]
    assert after.version == mill.run(fresh=True).version


def test_a_market_that_leaves_a_file_leaves_the_partition(mill: Mill) -> None:
    mill.write("bars/1.csv", csv(bar(1), bar(2)))
    after = mill.run()
    assert mill.read == ["bars/1.csv"]
    assert mill.table(after).filter(pl.col("start").dt.day() == 1).get_column("market_id").unique().to_list() == [
        "files:A"
    ]
    assert after.version == mill.run(fresh=True).version


def test_partitions_to_redo_are_written_again(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.lake.path_of(before.by_key["bars/2020-01-02"]).unlink()
    after = mill.run(redo=("bars/2020-01-02",))
    assert mill.read == ["bars/1.csv", "bars/2.csv"]
    assert changed(mill, before) == {"bars/2020-01-02"}
    assert after.version == before.version
    assert mill.table(after).height == 5


@pytest.mark.parametrize("damage", [b"no table", b""])
def test_a_damaged_memo_reads_everything_again(mill: Mill, damage: bytes) -> None:
    before = mill.ticks
    assert before is not None
    mill.lake.path_of(before.by_key[MEMO_KEY]).write_bytes(damage)
    after = mill.run()
    assert sorted(mill.read) == ["bars/1.csv", "bars/2.csv"]
    assert after.version == before.version
    assert mill.run() == mill.ticks


def test_another_interval_of_a_market_moves_its_ticks(mill: Mill) -> None:
    mill.datasets = [{**DATASETS[0], "interval_seconds": 60}]
    after = mill.run()
    assert after.version == mill.run(fresh=True).version
    assert mill.table(after).select((pl.col("end") - pl.col("start")).unique()).item() == timedelta(seconds=60)


def test_another_span_of_partitions_moves_all_ticks(mill: Mill) -> None:
    assert mill.ticks is not None
    by_day = mill.table(mill.ticks).sort("market_id", "start")
    mill.settings = Settings(partition="month")
    after = mill.run()
    assert keys(after) == ["bars/2020-01"]
    assert mill.table(after).equals(by_day)
    assert after.version == mill.run(fresh=True).version


def test_the_version_does_not_depend_on_how_files_cut_the_rows(mill: Mill, tmp_path: Path) -> None:
    other = Mill(tmp_path / "other", [DATASETS[0]])
    other.write("bars/all.csv", csv(bar(3), bar(2, "B"), bar(1, "B"), bar(2), bar(1)))
    assert mill.ticks is not None
    assert other.run().version == mill.ticks.version


def test_output_keeps_its_contract(mill: Mill) -> None:
    assert mill.ticks is not None
    table = mill.table(mill.ticks)
    assert dict(table.schema) == frame_schema(BAR_COLUMNS)
    for partition in mill.ticks.select():
        frame = mill.lake.read_table(partition)
        assert frame.equals(frame.sort("market_id", "start"))
        assert partition.min_ts == frame.get_column("end").min()
        assert set(frame.get_column("start").dt.strftime("bars/%Y-%m-%d")) == {partition.key}


# --- real data whole ------------------------------------------------------------------------------------------------


def test_the_sample_comes_in_years(tmp_path: Path) -> None:
    lake, sources = Lake(tmp_path), {"sample": SampleSource(SampleSettings(), tmp_path)}
    markets = perform(ingest_markets, MarketSettings(), {}, lake=lake, attempt="a", sources=sources)
    ticks = perform(ingest_ticks, Settings(), {"markets": markets}, lake=lake, attempt="b", sources=sources)
    assert keys(ticks) == [f"bars/{year}" for year in range(2000, 2014)]
    assert ticks.rows == 12_154
    assert str(ticks.watermark) == "2013-03-02 00:00:00+00:00"


@needs_shared_data
def test_trades_that_share_a_millisecond_all_stay(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**DATASETS[1], "path": str(SHARED_DATA / "crypto-trades")}])
    ticks = mill.run()
    assert ticks.rows == 12_477
    assert keys(ticks) == ["trades/2019-10-11", "trades/2019-10-12", "trades/2019-10-13"]
