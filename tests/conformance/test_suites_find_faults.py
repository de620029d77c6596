"""The suites fail for plug-ins that break what they promise: one wrong plug-in per promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from pipelines.component import Context, component
from pipelines.errors import BadInput
from pipelines.lake import Lake
from pipelines.snapshot import Reads
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, Batch, Probe, frame_schema
from pipelines.testing import ComponentSuite, Moment, SourceSuite, write_snapshot

_count = itertools.count()
_READS = {"numbers": Reads(columns=("a",))}


def good(ctx: Context, settings: object) -> None:
    """Twice each number, partition by partition."""
    numbers = ctx.inputs["numbers"]
    for key in numbers.keys:
        if key in numbers.changed or not ctx.carry(key):
            ctx.write_table(key, numbers.read(key).select(pl.col("a") * 2))


def random(ctx: Context, settings: object) -> None:
    """Another number each time."""
    ctx.write_table("1", pl.DataFrame({"a": [next(_count)]}))


def lazy(ctx: Context, settings: object) -> None:
    """Carries over what changed."""
    numbers = ctx.inputs["numbers"]
    for key in numbers.keys:
        if not ctx.carry(key):
            ctx.write_table(key, numbers.read(key))


def hoarding(ctx: Context, settings: object) -> None:
    """Keeps what is gone."""
    good(ctx, settings)
    for partition in ctx.previous.partitions if ctx.previous else ():
        if partition.key not in ctx.inputs["numbers"].keys:
            ctx.carry(partition.key)


def counting(ctx: Context, settings: object) -> None:
    """Depends on whether it ran before."""
    ctx.write_table("1", pl.DataFrame({"a": [0 if ctx.previous is None else 1]}))


def curious(ctx: Context, settings: object) -> None:
    """Reads a column that it has not declared."""
    everything = ctx.inputs["numbers"].read("1", columns=["a", "b"])
    ctx.write_table("1", everything.select(pl.col("a") + pl.col("b")))


class Numbers(ComponentSuite):
    """Two partitions; then one is corrected; then one is gone."""

    def moments(self, folder: Path) -> Iterable[Moment]:
        lake = Lake(folder)
        for tables in ({"1": 1, "2": 2}, {"1": 1, "2": 3}, {"1": 1}):
            content = {key: pl.DataFrame({"a": [number], "b": [7]}) for key, number in tables.items()}
            yield Moment(lake, {"numbers": write_snapshot(lake, "numbers", content)})


def failures(suite: Any, folder: Path) -> set[str]:
    """Names of the suite's tests that fail."""
    found = set()
    for name in (one for one in dir(suite) if one.startswith("test_")):
        test, own = getattr(suite, name), folder / name
        own.mkdir()
        try:
            test(own) if "tmp_path" in test.__code__.co_varnames else test()
        except Exception:
            found.add(name)
    return found


@pytest.mark.parametrize(
    ("function", "failed"),
    [
        (good, set()),
        (
            random,
            {
                "test_the_same_input_gives_the_same_bytes",
                "test_an_update_gives_what_a_run_from_scratch_gives",
                "test_nothing_new_changes_nothing",
                "test_columns_that_are_not_declared_do_not_count",
            },
        ),
        (lazy, {"test_an_update_gives_what_a_run_from_scratch_gives"}),
        (hoarding, {"test_an_update_gives_what_a_run_from_scratch_gives"}),
        (counting, {"test_an_update_gives_what_a_run_from_scratch_gives", "test_nothing_new_changes_nothing"}),
        (curious, {"test_columns_that_are_not_declared_do_not_count"}),
    ],
)
def test_a_wrong_component_is_found(function: Any, failed: set[str], tmp_path: Path) -> None:
    suite = type("Suite", (Numbers,), {"component": component(upstream=_READS, name="own")(function)})
    assert failures(suite(), tmp_path) == failed


@dataclass(frozen=True)
class Settings:
    """Of the source below."""


class Good:
    """One market, one bar."""

    name: ClassVar[str] = "good"
    historical: ClassVar[bool] = True

    def __init__(self, settings: object, base: Path) -> None:
        """Nothing to keep."""

    def probe(self) -> Probe:
        return Probe({"x": "1"})

    def markets(self) -> pl.DataFrame:
        row: dict[str, Any] = {"market_id": f"{self.name}:x", "source": self.name, "external_id": "x", "symbol": "x"}
        row |= {"kind": "spot", "status": "open"}
        row |= {"interval": "60s", "interval_seconds": 60, "timezone": "UTC"}
        return pl.DataFrame([row], schema=frame_schema(MARKET_COLUMNS))

    def fetch(self, part: str) -> Batch:
        if part != "x":
            raise BadInput(f"no part {part!r}", where="here", fix="ask for x")
        prices = dict.fromkeys(("open", "high", "low", "close"), 1.0)
        frame = pl.DataFrame([{"market_id": "good:x"} | prices], schema=frame_schema(BAR_COLUMNS))
        return Batch("bars", frame)


def _fetching(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Good, str], Batch]:
    return lambda self, part: Batch("bars", change(Good.fetch(self, part).frame))


@pytest.mark.parametrize(
    ("members", "failed"),
    [
        ({}, set()),
        ({"probe": lambda self: Probe({"x": str(next(_count))})}, {"test_probes_and_parts_are_repeatable"}),
        (
            {"fetch": _fetching(lambda frame: frame.with_columns(pl.lit(float(next(_count))).alias("close")))},
            {"test_probes_and_parts_are_repeatable"},
        ),
        (
            {"fetch": _fetching(lambda frame: frame.drop("bid_open"))},
            {"test_parts_have_the_columns_of_their_kind_and_known_markets"},
        ),
        (
            {"fetch": _fetching(lambda frame: frame.with_columns(pl.lit("good:y").alias("market_id")))},
            {"test_parts_have_the_columns_of_their_kind_and_known_markets"},
        ),
        ({"fetch": _fetching(lambda frame: pl.concat([frame, frame]))}, {"test_no_row_comes_twice"}),
        ({"fetch": lambda self, part: Good.fetch(self, "x")}, {"test_an_unknown_part_is_refused"}),
        ({"name": "other", "markets": lambda self: Good.markets(Good)}, {"test_markets_keep_their_contract"}),  # type: ignore[arg-type]
        ({"historical": 1}, {"test_it_says_what_it_is"}),
    ],
)
def test_a_wrong_source_is_found(members: dict[str, Any], failed: set[str], tmp_path: Path) -> None:
    cls = type("Bad", (Good,), members)
    suite = type("Suite", (SourceSuite,), {"source": cls, "test_probing_loads_no_heavy_library": lambda self: None})
    assert failures(suite(), tmp_path) == failed
