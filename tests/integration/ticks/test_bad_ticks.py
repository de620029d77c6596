"""Bad rows and bad markets: what stops ticks, what is set aside, and what is fine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pipelines.component import perform
from pipelines.components.ticks import Settings, ingest_ticks
from pipelines.data.tick_parts.offer import offered_rule
from pipelines.errors import BadInput
from pipelines.snapshot import Snapshot
from pipelines.source import Batch
from pipelines.sources.files import FilesSource
from tests.integration.ticks.mill import DATASETS, Mill, bar, csv

BAD = "2020-01-02T00:00:00Z,A,2,1,3,2,7"  # high below low


def test_a_bad_row_fails_and_leaves_what_there_was(mill: Mill) -> None:
    before = mill.ticks
    mill.write("bars/3.csv", csv(bar(4), BAD))
    with pytest.raises(BadInput) as caught:
        mill.run()
    assert "line 3 of 3.csv: high is below low" in caught.value.what
    assert caught.value.where == "files:bars/3.csv"
    assert "on_bad_rows" in caught.value.fix
    assert mill.ticks == before


def test_many_bad_rows_are_counted_and_some_shown(mill: Mill) -> None:
    mill.write("bars/3.csv", csv(*[BAD] * 9))
    with pytest.raises(BadInput, match="9 rows break a rule") as caught:
        mill.run()
    assert "and 4 more" in caught.value.what


def test_quarantine_lists_bad_rows_until_they_are_corrected(mill: Mill) -> None:
    mill.settings = Settings(on_bad_rows="quarantine")
    good = mill.run().version
    mill.write("bars/3.csv", csv(BAD, bar(4)))
    listed = mill.run()
    rows = mill.lake.read_table(listed.by_key["quarantine"])
    assert rows.select("part", "row", "rule").rows() == [("files:bars/3.csv", "line 2 of 3.csv", "high is below low")]
    assert '"high":"1"' in rows.item(0, "text")
    assert listed.version == mill.run(fresh=True).version

    mill.write("bars/4.csv", csv(bar(5)))  # the list is kept while its file is not read again
    kept = mill.run()
    assert mill.read == ["bars/4.csv"]
    assert kept.by_key["quarantine"] == listed.by_key["quarantine"]

    mill.settings = Settings(on_bad_rows="fail")
    with pytest.raises(BadInput):
        mill.run()

    mill.settings = Settings(on_bad_rows="quarantine")
    for name in ("3", "4"):
        (mill.data / "bars" / f"{name}.csv").unlink()
    assert mill.run().version == good


def test_one_kind_is_left_out_and_another_one_stops_the_run(mill: Mill) -> None:
    high, volume = "high is below low", "volume is negative"
    mill.settings = Settings(on_bad_rows=(high,))
    mill.write("bars/3.csv", csv(BAD, bar(4)))
    listed = mill.run()
    rows = mill.lake.read_table(listed.by_key["quarantine"])
    assert rows.get_column("rule").to_list() == [high]
    assert listed.version == mill.run(fresh=True).version

    negative = "2020-01-06T00:00:00Z,A,2,3,1,2,-7"
    mill.write("bars/4.csv", csv(BAD, negative, bar(5)))
    with pytest.raises(BadInput, match=r"^a row breaks a rule: line 3 of 4\.csv: volume is negative") as caught:
        mill.run()
    assert f'on_bad_rows = ["{high}", "{volume}"] under [ticks]' in caught.value.fix
    assert offered_rule(str(caught.value)) == volume

    mill.settings = Settings(on_bad_rows=(high, volume))
    both = mill.run()
    rules = mill.lake.read_table(both.by_key["quarantine"]).get_column("rule")
    assert sorted(rules) == [high, high, volume]
    assert mill.run(fresh=True).version == both.version
    mill.settings = Settings(on_bad_rows=(volume,))  # what was left out before is asked again
    with pytest.raises(BadInput, match="high is below low"):
        mill.run()


class Careless(FilesSource):
    """A source that leaves the checking of rows to ticks."""

    def fetch(self, part: str) -> Batch:
        batch = super().fetch(part)
        return replace(batch, frame=batch.frame.with_columns(high=pl.lit(0.1)), quarantined=None)


def test_a_source_that_does_not_check_its_rows_is_checked(mill: Mill) -> None:
    mill.kind, mill.one_by_one = Careless, True
    mill.write("bars/3.csv", csv(bar(4)))
    with pytest.raises(BadInput, match=r"line 2 of 3\.csv: high is below low"):
        mill.run()


def test_ticks_of_an_unknown_market_are_an_error(mill: Mill) -> None:
    assert mill.markets is not None
    table = mill.lake.read_table(mill.markets.by_key["markets"]).filter(pl.col("external_id") != "B")
    known = Snapshot("markets", (mill.lake.write_table("markets", "markets", table, attempt="x"),))
    for previous in (None, mill.ticks):
        with pytest.raises(BadInput, match="files:B") as caught:
            perform(
                ingest_ticks,
                Settings(),
                {"markets": known},
                lake=mill.lake,
                attempt="y",
                previous=previous,
                previous_inputs={"markets": mill.markets},
                sources={"files": mill.source()},
            )
        assert caught.value.where == "files:bars/1.csv"


def test_bars_and_single_ticks_of_one_market_are_an_error(tmp_path: Path) -> None:
    mill = Mill(tmp_path, DATASETS[:2])
    mill.datasets[1] = {**DATASETS[1], "market": "A"}
    mill.write("bars/1.csv", csv(bar(1)))
    mill.write("trades/1.csv", "ts,id,price\n1577836800000,1,2.5\n")
    with pytest.raises(BadInput, match="files:A"):
        mill.run()


def test_a_market_without_ticks_is_fine(tmp_path: Path) -> None:
    table = {"path": "markets.csv", "id": "m"}
    mill = Mill(tmp_path, [DATASETS[0], {"kind": "binary", "markets": table}])
    mill.write("bars/1.csv", csv(bar(1)))
    mill.write("markets.csv", "m\nlonely\n")
    assert mill.run().rows == 1
