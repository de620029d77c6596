"""What every source must do, as tests to inherit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipelines.data.checks import check_markets
from pipelines.errors import BadInput
from pipelines.plugins.discovery import settings_of_source
from pipelines.settings import Faults, build, describe
from pipelines.signatures import require_source
from pipelines.source import (
    BAR_COLUMNS,
    MARKET_COLUMNS,
    QUARANTINE_COLUMNS,
    TICK_COLUMNS,
    Source,
    completed_markets,
    frame_schema,
)

_HEAVY = {"polars", "pandas", "numpy", "pyarrow", "sklearn"}
_PROBE = """
import importlib, json, sys
from pathlib import Path
from pipelines.plugins.discovery import settings_of_source, source_of
from pipelines.settings import Faults, build
cls = source_of(getattr(importlib.import_module(sys.argv[1]), sys.argv[2]))
settings = build(settings_of_source(cls), json.loads(sys.argv[3]), "", Faults(""))
assert cls(settings, Path(sys.argv[4])).probe().parts
print(json.dumps(sorted(sys.modules)))
"""


class SourceSuite:
    """Tests of a data source. Inherit in a class called Test…, and give `source` and `settings`.

    source: the class under test.
    """

    source: ClassVar[type[Source]]

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """What `[sources.NAME]` in agent.toml would say, as plain values, for a source that works without network.

        `folder` is empty and stands for the folder of agent.toml: write the files there that the source reads. They
        must have at least one market and one part.
        """
        return {}

    def make(self, folder: Path) -> Source:
        """The source, made as a run makes it."""
        faults = Faults("settings of the suite")
        settings = build(settings_of_source(self.source), self.settings(folder), f"sources.{self.source.name}", faults)
        faults.raise_if_any()
        return self.source(settings, folder)

    def test_it_says_what_it_is(self) -> None:
        """Name, kind and methods are there, and each setting has a sentence."""
        require_source(self.source, "the source")
        assert isinstance(self.source.name, str), "`name` must be a text"
        assert isinstance(self.source.historical, bool), "`historical` must be True or False"
        bare = [row["name"] for row in describe(settings_of_source(self.source)) if not row["doc"]]
        assert not bare, f"settings without a sentence: {bare}; write setting(default, 'what it means')"

    def test_markets_keep_their_contract(self, tmp_path: Path) -> None:
        """One row per market, with MARKET_COLUMNS, under this source's name."""
        import polars as pl

        source = self.make(tmp_path)
        markets = completed_markets(source.markets())
        check_markets(markets)
        _same_schema("markets()", dict(markets.schema), frame_schema(MARKET_COLUMNS))
        assert not markets.is_empty(), "markets() has no row: let settings() prepare at least one market"
        names = set(markets.get_column("source"))
        assert names == {source.name}, f"column `source` says {names}, the source is called {source.name!r}"
        ids = markets.select(pl.format("{}:{}", "source", "external_id")).to_series()
        assert ids.equals(markets.get_column("market_id"), check_names=False), "market_id is not SOURCE:EXTERNAL_ID"

    def test_probes_and_parts_are_repeatable(self, tmp_path: Path) -> None:
        """Asked twice without a change, a source answers the same."""
        source = self.make(tmp_path)
        parts = source.probe().parts
        assert parts, "probe() has no part: let settings() prepare at least one"
        assert source.probe().parts == parts, "probe() differs when asked twice"
        for part in parts:
            one, two = source.fetch(part), source.fetch(part)
            assert one.kind == two.kind, f"part {part}: kind differs when fetched twice"
            assert one.frame.equals(two.frame), f"part {part}: rows differ when fetched twice"

    def test_what_was_probed_elsewhere_can_be_fetched(self, tmp_path: Path) -> None:
        """fetch() needs no probe() before it: what computes has its tokens from where the run was planned."""
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        parts, other = self.make(here).probe().parts, self.make(there)
        for part in parts:
            assert other.fetch(part) is not None, f"part {part}: fetch() gives nothing"

    def test_many_parts_together_are_what_each_is_alone(self, tmp_path: Path) -> None:
        """fetch_many(), where there is one, gives the rows that fetch() gives part by part."""
        source = self.make(tmp_path)
        many = getattr(source, "fetch_many", None)
        if many is None:
            return
        parts, seen = list(source.probe().parts), []
        for bulk in many(parts):
            offset = 0
            for part, length, written_at in zip(bulk.parts, bulk.lengths, bulk.written_at, strict=True):
                alone = source.fetch(part)
                assert bulk.batch.frame.slice(offset, length).equals(alone.frame), f"part {part}: other rows together"
                assert bulk.batch.kind == alone.kind, f"part {part}: another kind together"
                assert written_at == alone.written_at, f"part {part}: another time of writing together"
                assert alone.quarantined is None or alone.quarantined.is_empty() or len(bulk.parts) == 1, (
                    f"part {part}: rows in quarantine, and not alone"
                )
                seen.append(part)
                offset += length
            assert offset == bulk.batch.frame.height, "rows that belong to no part"
        assert sorted(seen) == sorted(parts), "fetch_many() leaves parts out or gives them twice"

    def test_parts_have_the_columns_of_their_kind_and_known_markets(self, tmp_path: Path) -> None:
        """BAR_COLUMNS for bars, TICK_COLUMNS for ticks; every market is one of markets()."""
        source = self.make(tmp_path)
        known = dict(source.markets().select("market_id", "interval").iter_rows())
        for part in source.probe().parts:
            batch = source.fetch(part)
            wanted = frame_schema(BAR_COLUMNS if batch.kind == "bars" else TICK_COLUMNS)
            _same_schema(f"part {part}", dict(batch.frame.schema), wanted)
            for market in batch.frame.get_column("market_id").unique():
                assert market in known, f"part {part}: {market} is none of markets()"
                has_bars = known[market] is not None
                assert has_bars == (batch.kind == "bars"), (
                    f"part {part}: {market} has {batch.kind}, but its interval is {known[market]}"
                )
            if batch.quarantined is not None:
                wanted = frame_schema(QUARANTINE_COLUMNS)
                _same_schema(f"quarantined rows of part {part}", dict(batch.quarantined.schema), wanted)

    def test_no_row_comes_twice(self, tmp_path: Path) -> None:
        """A bar is one row; so is a tick that has an id."""
        import polars as pl

        source = self.make(tmp_path)
        for part in source.probe().parts:
            batch = source.fetch(part)
            key = ["market_id", "start"] if batch.kind == "bars" else ["market_id", "ts", "seq"]
            identified = batch.frame if batch.kind == "bars" else batch.frame.drop_nulls("seq")
            twice = identified.filter(pl.struct(key).is_duplicated()).select(key)
            assert twice.is_empty(), f"part {part}: rows with the same {', '.join(key)}:\n{twice}"

    def test_an_unknown_part_is_refused(self, tmp_path: Path) -> None:
        """fetch() raises BadInput, with the fix, for a part that is not there."""
        source = self.make(tmp_path)
        try:
            source.fetch("no/such/part")
        except BadInput as error:
            assert error.fix, "the error for an unknown part has no fix"  # noqa: PT017
        else:
            raise AssertionError("fetch('no/such/part') raises no BadInput")

    def test_probing_loads_no_heavy_library(self, tmp_path: Path) -> None:
        """A run with nothing to do probes its sources, and must start fast."""
        values = json.dumps(dict(self.settings(tmp_path)))
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, self.source.__module__, self.source.__qualname__, values, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        loaded = _HEAVY & set(json.loads(done.stdout))
        assert not loaded, f"probe() loads {', '.join(sorted(loaded))}: import it in the functions that use it"


def _same_schema(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)}
    lines = [
        f"  {name}: {found.get(name, 'missing')}, wanted {wanted.get(name, 'no such column')}" for name in differing
    ]
    assert not lines, f"columns of {what} differ:\n" + "\n".join(sorted(lines))
    assert list(found) == list(wanted), f"columns of {what} stand in another order: {list(found)}"
