"""The ticks component on real files: incremental equals from scratch, bad rows, damaged memory, unknown markets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.component import perform
from pipelines.components.markets import ingest_markets
from pipelines.components.ticks import Settings, ingest_ticks
from pipelines.errors import BadInput
from pipelines.lake import Lake
from pipelines.settings import Faults, build
from pipelines.snapshot import Snapshot
from pipelines.source import TICK_COLUMNS, Batch, Source, frame_schema
from pipelines.sources.files import FilesSource
from pipelines.sources.files import Settings as FilesSettings
from pipelines.sources.sample import SampleSource
from pipelines.sources.sample import Settings as SampleSettings
from pipelines.tick_parts.memo import MEMO_KEY
from tests.examples import examples
from tests.paths import SHARED_DATA, needs_shared_data

DATASETS: list[dict[str, Any]] = [
    {"path": "bars/*.csv", "kind": "spot", "interval_seconds": 300},
    {"path": "trades/*.csv", "kind": "spot", "content": "trades", "market": "trades", "ts_unit": "ms"},
    # The same trades without their id: rows are told apart by what they say.
    {
        "path": "bare/*.csv",
        "kind": "spot",
        "content": "trades",
        "market": "bare",
        "ts_unit": "ms",
    },
]


class Mill:
    """A folder of files, a lake, and the ticks made of them so far."""

    def __init__(self, folder: Path, datasets: list[dict[str, Any]], **ticks: Any) -> None:
        self.data, self.lake = folder / "data", Lake(folder / "lake")
        self.data.mkdir(parents=True)
        self.datasets, self.settings = datasets, Settings(**ticks)
        self.attempts, self.clock = 0, 0
        self.markets: Snapshot | None = None
        self.ticks: Snapshot | None = None
        self.read: list[str] = []
        self.kind: type[FilesSource] = FilesSource

    def write(self, name: str, text: str) -> None:
        """Write a file with a time of change of its own, so that a quick edit of the same size is seen as one."""
        path = self.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.clock += 1
        os.utime(path, ns=(self.clock, self.clock))

    def source(self) -> Source:
        faults = Faults("agent.toml")
        made: FilesSettings = build(FilesSettings, {"datasets": self.datasets}, "sources.files", faults)
        faults.raise_if_any()
        mill = self

        class Watched(self.kind):  # type: ignore[name-defined, misc]  # a base chosen by the test
            def fetch(self, part: str) -> Any:
                mill.read.append(part)
                return super().fetch(part)

        return Watched(made, self.data)

    def run(self, *, fresh: bool = False, redo: tuple[str, ...] = ()) -> Snapshot:
        """Markets and ticks from what the files hold now; `fresh`: from scratch, and not remembered."""
        self.attempts += 1
        attempt, sources = f"a{self.attempts}", {"files": self.source()}
        self.read.clear()
        markets = perform(ingest_markets, None, {}, lake=self.lake, attempt=attempt, sources=sources)
        before = None if fresh or self.markets is None else {"markets": self.markets}
        ticks = perform(
            ingest_ticks,
            self.settings,
            {"markets": markets},
            lake=self.lake,
            attempt=attempt,
            previous=None if fresh else self.ticks,
            previous_inputs=before,
            redo=frozenset(redo),
            sources=sources,
        )
        if not fresh:
            self.markets, self.ticks = markets, ticks
        return ticks

    def table(self, snapshot: Snapshot) -> pl.DataFrame:
        return self.lake.read_tables([p for p in snapshot.select() if p.key != "quarantine"])


def keys(snapshot: Snapshot) -> list[str]:
    return [partition.key for partition in snapshot.select()]


# --- incremental equals from scratch --------------------------------------------------------------------------------


def _pool() -> dict[str, tuple[str, list[list[str]]]]:
    """Folder -> header and real rows around a midnight, as text."""
    bars = []
    for pair in ("ETH_BTC", "ADA_BTC"):
        frame = pl.read_ipc(SHARED_DATA / "crypto-5m" / f"{pair}-5m.feather").slice(224, 10)  # 23:30 to 00:20
        bars += [
            [str(ts.isoformat()), pair, *map(repr, values)]
            for ts, *values in frame.select("date", "open", "high", "low", "close", "volume").iter_rows()
        ]
    trades = pl.read_parquet(SHARED_DATA / "crypto-trades" / "XRP_ETH-trades.parquet")
    late = trades.filter(pl.col("timestamp") >= 1_570_838_400_000)  # 2019-10-12
    few = pl.concat([trades.head(6), late.head(9)]).select("timestamp", "id", "side", "price", "amount")
    rows = [[str(value) for value in row] for row in few.iter_rows()]
    bare = [[row[0], *row[2:]] for row in rows]
    return {
        "bars": ("ts,market,open,high,low,close,volume", bars),
        "trades": ("ts,id,side,price,size", rows),
        "bare": ("ts,side,price,size", bare),
    }


PRICES = {"bars": (2, 3, 4, 5), "trades": (3,), "bare": (2,)}
FILES = ("a.csv", "b.csv", "c.csv")


@st.composite
def _edits(draw: st.DrawFn) -> list[list[tuple[Any, ...]]]:
    """Batches of edits: rows put anywhere into a file, corrected in place or by a later row, dropped, files removed."""
    place = st.integers(0, 30)
    edit = st.tuples(st.sampled_from(list(PRICES)), st.sampled_from(FILES)).flatmap(
        lambda at: st.one_of(
            st.tuples(st.just("put"), st.just(at), st.lists(place, min_size=1, max_size=6), place),
            st.tuples(st.just("scale"), st.just(at), place, st.sampled_from([0.5, 1.25, 2.0])),
            st.tuples(st.just("repeat"), st.just(at), place, st.sampled_from([1.0, 1.25])),
            st.tuples(st.just("drop"), st.just(at), place),
            st.tuples(st.just("clear"), st.just(at)),
            st.tuples(st.just("remove"), st.just(at)),
        )
    )
    batches: list[list[tuple[Any, ...]]] = draw(
        st.lists(st.lists(edit, min_size=1, max_size=5), min_size=1, max_size=4)
    )
    return batches


def _scaled(folder: str, row: list[str], factor: float) -> list[str]:
    return [repr(float(value) * factor) if n in PRICES[folder] else value for n, value in enumerate(row)]


def _apply(state: dict[tuple[str, str], list[list[str]]], pool: Mapping[str, Any], edit: tuple[Any, ...]) -> None:
    """One edit on the rows of the files, as far as there is something to edit."""
    kind, at, *more = edit
    folder, _ = at
    if kind == "put":
        chosen = [pool[folder][1][n % len(pool[folder][1])] for n in more[0]]
        rows = state.setdefault(at, [])
        where = more[1] % (len(rows) + 1)
        rows[where:where] = [list(row) for row in chosen]
    elif not state.get(at):
        return
    elif kind == "remove":
        if sum(other == folder for other, _ in state) > 1:
            del state[at]
    elif kind == "clear":
        state[at] = []
    elif kind == "drop":
        del state[at][more[0] % len(state[at])]
    elif kind == "scale":
        n = more[0] % len(state[at])
        state[at][n] = _scaled(folder, state[at][n], more[1])
    else:
        state[at].append(_scaled(folder, state[at][more[0] % len(state[at])], more[1]))


@needs_shared_data
@given(batches=_edits())
@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_the_files_gives_what_a_run_from_scratch_gives(
    batches: list[list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    pool = _pool()
    folder = tmp_path / "history"
    shutil.rmtree(folder, ignore_errors=True)
    mill = Mill(folder, DATASETS)
    state = {(name, "a.csv"): [list(row) for row in rows[:4]] for name, (_, rows) in pool.items()}
    written: dict[tuple[str, str], list[list[str]]] = {}
    for batch in [[], *batches]:
        for edit in batch:
            _apply(state, pool, edit)
        for at in written.keys() - state.keys():
            (mill.data / at[0] / at[1]).unlink()
        for at, rows in state.items():
            if written.get(at) != rows:
                mill.write("/".join(at), "\n".join([pool[at[0]][0], *(",".join(row) for row in rows)]) + "\n")
        written = {at: [list(row) for row in rows] for at, rows in state.items()}
        incremental = mill.run()
    scratch = mill.run(fresh=True)
    assert keys(incremental) == keys(scratch)
    assert mill.table(incremental).equals(mill.table(scratch))
    assert incremental.version == scratch.version


# --- what is read, and what is carried over -------------------------------------------------------------------------


def csv(*rows: str) -> str:
    return "\n".join(["ts,market,open,high,low,close,volume", *rows]) + "\n"


def bar(day: int, market: str = "A", price: float = 2.0, minute: int = 0) -> str:
    return f"2020-01-{day:02}T00:{minute:02}:00Z,{market},{price},{price + 1},{price - 1},{price},7"


@pytest.fixture
def mill(tmp_path: Path) -> Mill:
    made = Mill(tmp_path, [DATASETS[0]])
    made.write("bars/1.csv", csv(bar(1), bar(2), bar(1, "B")))
    made.write("bars/2.csv", csv(bar(2, "B"), bar(3)))
    made.run()
    return made


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
    assert changed(mill, before) == {"2020-01-04"}


def test_a_late_row_rebuilds_its_market_from_every_file_that_has_it(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.write("bars/3.csv", csv(bar(2, "B", minute=5)))
    after = mill.run()
    assert mill.read == ["bars/3.csv", "bars/2.csv"]
    assert changed(mill, before) == {"2020-01-02"}
    assert mill.table(after).filter(pl.col("ts").dt.day() == 2).height == 12
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
    assert keys(after) == ["2020-01-01", "2020-01-02"]
    assert after.version == mill.run(fresh=True).version


def test_a_market_that_leaves_a_file_leaves_the_partition(mill: Mill) -> None:
    mill.write("bars/1.csv", csv(bar(1), bar(2)))
    after = mill.run()
    assert mill.read == ["bars/1.csv"]
    assert mill.table(after).filter(pl.col("ts").dt.day() == 1).get_column("market_id").unique().to_list() == [
        "files:A"
    ]
    assert after.version == mill.run(fresh=True).version


def test_partitions_to_redo_are_written_again(mill: Mill) -> None:
    before = mill.ticks
    assert before is not None
    mill.lake.path_of(before.by_key["2020-01-02"]).unlink()
    after = mill.run(redo=("2020-01-02",))
    assert mill.read == ["bars/1.csv", "bars/2.csv"]
    assert changed(mill, before) == {"2020-01-02"}
    assert after.version == before.version
    assert mill.table(after).height == 20


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
    assert mill.table(after).filter(pl.col("synthetic") == 4).get_column("ts").dt.second().unique().to_list() == [59]


def test_another_span_of_partitions_moves_all_ticks(mill: Mill) -> None:
    assert mill.ticks is not None
    by_day = mill.table(mill.ticks).sort("market_id", "ts", "seq")
    mill.settings = Settings(partition="month")
    after = mill.run()
    assert keys(after) == ["2020-01"]
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
    assert dict(table.schema) == frame_schema(TICK_COLUMNS)
    for partition in mill.ticks.select():
        frame = mill.lake.read_table(partition)
        assert frame.equals(frame.sort("market_id", "ts", "seq"))
        assert partition.min_ts == frame.get_column("ts").min()
        assert set(frame.get_column("ts").dt.strftime("%Y-%m-%d")) == {partition.key}


# --- bad rows and bad markets ---------------------------------------------------------------------------------------

BAD = "2020-01-02T00:00:00Z,A,2,1,3,2,7"  # high below low


def test_a_bad_row_fails_and_leaves_what_there_was(mill: Mill) -> None:
    before = mill.ticks
    mill.write("bars/3.csv", csv(bar(4), BAD))
    with pytest.raises(BadInput) as caught:
        mill.run()
    assert "line 3 of 3.csv: high is below low" in caught.value.what
    assert caught.value.where == "files:bars/3.csv"
    assert "on_bad_rows" in caught.value.mend
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


class Careless(FilesSource):
    """A source that leaves the checking of rows to ticks."""

    def fetch(self, part: str) -> Batch:
        batch = super().fetch(part)
        return replace(batch, frame=batch.frame.with_columns(high=pl.lit(0.1)), quarantined=None)


def test_a_source_that_does_not_check_its_rows_is_checked(mill: Mill) -> None:
    mill.kind = Careless
    mill.write("bars/3.csv", csv(bar(4)))
    with pytest.raises(BadInput, match="row 1: high is below low"):
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
        assert caught.value.where == "bars/1.csv"


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
    assert mill.run().rows == 4


# --- real data whole ------------------------------------------------------------------------------------------------


def test_the_sample_comes_in_years(tmp_path: Path) -> None:
    lake, sources = Lake(tmp_path), {"sample": SampleSource(SampleSettings(), tmp_path)}
    markets = perform(ingest_markets, None, {}, lake=lake, attempt="a", sources=sources)
    ticks = perform(ingest_ticks, Settings(), {"markets": markets}, lake=lake, attempt="b", sources=sources)
    assert keys(ticks) == [str(year) for year in range(2000, 2014)]
    assert ticks.rows == 4 * 12_154
    assert str(ticks.watermark) == "2013-03-01 23:59:59.999999+00:00"


@needs_shared_data
def test_trades_that_share_a_millisecond_all_stay(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**DATASETS[1], "path": str(SHARED_DATA / "crypto-trades")}])
    ticks = mill.run()
    assert ticks.rows == 12_477
    assert keys(ticks) == ["2019-10-11", "2019-10-12", "2019-10-13"]
