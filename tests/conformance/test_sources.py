"""What every source keeps to, whoever wrote it: found by discovery, so that a new file is tested without being named.

A source needs an EXAMPLE: settings, and where needed the files, with which it runs here without network. Those of the
built-in ones are below; a source that has none fails, and says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.checks import check_markets
from pipelines.discovery import load_source, settings_of_source, source_names
from pipelines.errors import BadInput
from pipelines.settings import Faults, build, describe
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, QUARANTINE_COLUMNS, TICK_COLUMNS, Source, frame_schema
from tests.paths import PROJECT

BARS = "ts,symbol,open,high,low,close\n2020-01-01T00:00:00Z,B,1,2,1,2\n2020-01-01T00:00:00Z,A,1,2,1,2\n"
TRADES = "ts,id,price\n2020-01-01T00:00:00Z,2,1.5\n2020-01-01T00:00:00Z,1,1.4\n2020-01-01T00:00:01Z,3,oops\n"


def _files(base: Path) -> dict[str, Any]:
    (base / "bars.csv").write_text(BARS)
    (base / "trades.csv").write_text(TRADES)
    return {
        "datasets": [
            {"path": "bars.csv", "kind": "spot", "interval_seconds": 60},
            {"path": "trades.csv", "kind": "spot", "content": "trades"},
        ]
    }


EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {"sample": lambda base: {}, "files": _files}


@pytest.fixture(params=source_names())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def source(name: str, tmp_path: Path) -> Source:
    assert name in EXAMPLES, f"give tests/conformance/test_sources.py an example of source {name!r}"
    return make(name, EXAMPLES[name](tmp_path), tmp_path)


def make(name: str, values: dict[str, Any], base: Path) -> Source:
    cls, faults = load_source(name), Faults("agent.toml")
    settings = build(settings_of_source(cls), values, f"sources.{name}", faults)
    faults.raise_if_any()
    return cls(settings, base)


def test_it_says_what_it_is(name: str, source: Source) -> None:
    assert source.name == name
    assert isinstance(source.historical, bool)
    assert all(row["doc"] for row in describe(settings_of_source(load_source(name))))


def test_markets_keep_their_contract(source: Source) -> None:
    markets = source.markets()
    check_markets(markets)
    assert dict(markets.schema) == frame_schema(MARKET_COLUMNS)
    assert not markets.is_empty()
    assert set(markets.get_column("source")) == {source.name}
    ids = markets.select(pl.format("{}:{}", "source", "external_id")).to_series()
    assert ids.equals(markets.get_column("market_id"), check_names=False)


def test_probes_and_parts_are_repeatable(source: Source) -> None:
    parts = source.probe().parts
    assert parts
    assert source.probe().parts == parts
    for part in parts:
        one, two = source.fetch(part), source.fetch(part)
        assert one.kind == two.kind
        assert one.frame.equals(two.frame)


def test_parts_have_exactly_the_columns_of_their_kind_and_known_markets(source: Source) -> None:
    known = dict(source.markets().select("market_id", "interval_seconds").iter_rows())
    ticks = {column: kind for column, kind in TICK_COLUMNS.items() if column != "synthetic"}
    for part in source.probe().parts:
        batch = source.fetch(part)
        assert dict(batch.frame.schema) == frame_schema(BAR_COLUMNS if batch.kind == "bars" else ticks)
        for market in batch.frame.get_column("market_id").unique():
            assert (known[market] is not None) == (batch.kind == "bars")
        if batch.quarantined is not None:
            assert dict(batch.quarantined.schema) == frame_schema(QUARANTINE_COLUMNS)


def test_no_row_comes_twice(source: Source) -> None:
    for part in source.probe().parts:
        batch = source.fetch(part)
        key = ["market_id", "ts"] if batch.kind == "bars" else ["market_id", "ts", "seq"]
        identified = batch.frame if batch.kind == "bars" else batch.frame.drop_nulls("seq")
        assert not identified.select(pl.struct(key).is_duplicated().any()).item()


def test_an_unknown_part_is_named(source: Source) -> None:
    with pytest.raises(BadInput, match="no ") as caught:
        source.fetch("no/such/part")
    assert caught.value.mend


PROBE = """
import json, sys
from pathlib import Path
from pipelines.discovery import load_source, settings_of_source
from pipelines.settings import Faults, build
cls = load_source(sys.argv[1])
settings = build(settings_of_source(cls), json.loads(sys.argv[2]), "", Faults(""))
assert cls(settings, Path(sys.argv[3])).probe().parts
print(json.dumps(sorted(sys.modules)))
"""


def test_probing_loads_no_heavy_library(name: str, tmp_path: Path) -> None:
    """A run with nothing to do probes its sources, and must start fast."""
    values = json.dumps(EXAMPLES[name](tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, name, values, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not {"polars", "pandas", "numpy", "pyarrow", "sklearn"} & set(json.loads(done.stdout))
