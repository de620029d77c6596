"""The settings in docs/how-to/own-data.md are those that read the real files, and the first one works as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.components.ticks import Settings as TickSettings
from pipelines.settings import Faults, build
from pipelines.sources.files import FilesSource, Settings
from tests.integration.sources.as_polars_reads import of_part
from tests.integration.ticks.mill import Mill
from tests.paths import PROJECT, SHARED_DATA, needs_shared_data

PAGE = PROJECT / "docs" / "how-to" / "own-data.md"
TESTED = PROJECT / "tests" / "integration" / "sources" / "shared_data.toml"


def blocks(after: str = "") -> list[dict[str, Any]]:
    """The settings on the page, from a heading on."""
    _, _, text = PAGE.read_text().partition(after) if after else ("", "", PAGE.read_text())
    return [tomllib.loads(one) for one in re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)]


def datasets(block: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = block.get("sources", {}).get("files", {}).get("datasets", [])
    return found


def checked(cls: type[Any], values: dict[str, Any]) -> Any:
    faults = Faults(str(PAGE))
    made = build(cls, values, "", faults)
    faults.raise_if_any()
    return made


def test_the_shortest_form_reads_a_folder_of_csv(tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "ACME.csv").write_text("date,open,high,low,close,volume\n2020-01-02,1,2,1,2,10\n")
    source = FilesSource(checked(Settings, blocks()[0]["sources"]["files"]), tmp_path)
    frame = source.fetch("prices/ACME.csv").frame
    assert frame.get_column("market_id").to_list() == ["files:ACME"]
    assert str(frame.get_column("start")[0]) == "2020-01-02 05:00:00+00:00"


def test_splits_are_set_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    head = "date,open,high,low,close,volume\n"
    (tmp_path / "prices" / "AAPL.csv").write_text(head + "2020-08-28,500,504,496,500,1\n2020-08-31,130,131,126,129,4\n")
    (tmp_path / "splits.csv").write_text("market,date,ratio\nAAPL,2020-08-31,4:1\n")
    (block,) = (one for one in blocks("## Splits") if "splits" in str(one))
    source = FilesSource(checked(Settings, block["sources"]["files"]), tmp_path)
    assert source.fetch("prices/AAPL.csv").frame["close"].to_list() == [125.0, 129.0]


def test_other_settings_on_the_page_exist() -> None:
    for block in blocks():
        checked(TickSettings, block.get("ticks", {}))


def test_the_examples_are_those_that_are_tested() -> None:
    tested = datasets(tomllib.loads(TESTED.read_text()))
    examples = [dataset for block in blocks("## Examples") for dataset in datasets(block)]
    assert len(examples) >= 9
    for dataset in examples:
        for place in (dataset, dataset.get("markets", {})):
            for name in {"path", "ask_path"} & place.keys():
                place[name] = place[name].removeprefix("data/")
        assert dataset in tested


def examples() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each dataset of the page that has prices: a name, its settings, and those of [ticks] beside it."""
    found = []
    for block in blocks("## Examples"):
        for number, dataset in enumerate(datasets(block)):
            found.append((f"{dataset['path']}#{number}", dataset, block.get("ticks", {})))
    return found


EXAMPLES = examples()


def through_ticks(folder: Path, dataset: dict[str, Any], ticks: dict[str, Any]) -> pl.DataFrame:
    """What the lake has of a dataset: all its bars, or trades and quotes."""
    mill = Mill(folder, [dataset], **ticks)
    (mill.data / "data").symlink_to(SHARED_DATA)
    snapshot = mill.run()
    tables = [mill.lake.read_table(one) for one in snapshot.select() if one.key.startswith(("bars/", "trades/"))]
    return pl.concat(tables)


def as_rows(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return frame.select(columns).unique().sort(columns)


@needs_shared_data
@pytest.mark.parametrize(("name", "dataset", "ticks"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_the_lake_has_the_rows_of_the_file(
    name: str, dataset: dict[str, Any], ticks: dict[str, Any], tmp_path: Path
) -> None:
    found = through_ticks(tmp_path, dataset, ticks)
    time = "start" if "start" in found.columns else "ts"
    market = pl.col("market_id").str.strip_prefix("files:").alias("market")
    found = found.with_columns(pl.col(time).alias("at"), market)
    frames = []
    for file in sorted(SHARED_DATA.glob(dataset["path"].removeprefix("data/"))):
        expected, seconds = of_part(file.relative_to(SHARED_DATA).as_posix())
        if "market_pattern" in dataset:
            match = re.search(dataset["market_pattern"], file.name)
            assert match is not None
            expected = expected.with_columns(market=pl.lit(match["market"]))
        elif "market" in expected.columns:
            expected = expected.drop("market")  # the page names them by two columns, Polars' reading by one
        frames.append(expected)
        if seconds is not None:
            assert (found["end"] - found["start"]).dt.total_seconds().unique().to_list() == [seconds]
    wanted = pl.concat(frames)
    assert wanted.height
    mine = found.cast(dict(wanted.schema))  # type: ignore[arg-type]
    assert as_rows(mine, wanted.columns).equals(as_rows(wanted, wanted.columns))
    if seconds is not None:
        assert found.height == wanted.height, "a bar for each row"


@needs_shared_data
def test_the_first_example_has_one_bar_for_each_day(tmp_path: Path) -> None:
    """It once made 12 188 bars of 12 154 rows."""
    (tmp_path / "csv").mkdir()
    wanted = {}
    for name in ("AAPL", "SPY", "GOOG"):
        table = pl.read_parquet(SHARED_DATA / "lean-equity" / f"{name}-1d-trade.parquet")
        table.write_csv(tmp_path / "csv" / f"{name}.csv")
        wanted[f"files:{name}"] = table
    mill = Mill(tmp_path / "mill", datasets(blocks()[0]))
    (mill.data / "prices").symlink_to(tmp_path / "csv")
    found = mill.table(mill.run())
    assert found.height == sum(table.height for table in wanted.values())
    for market, table in wanted.items():
        mine = found.filter(pl.col("market_id") == market)
        clock = pl.col("start").dt.convert_time_zone("America/New_York")
        assert mine.select(clock.dt.date()).to_series().to_list() == table["date"].to_list()
        assert mine.select(clock.dt.hour().unique()).to_series().to_list() == [0]
        names = ["open", "high", "low", "close", "volume"]
        assert mine.select(names).equals(table.select(names))
