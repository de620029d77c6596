"""How often the project's own set-up claims skill on noise: its features and its model, on bars whose direction nobody
can know (pipelines.evaluation.noise). Everything is computed in a lake of its own; nothing is recorded."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import NotFound
from agent.execution.upkeep.reproduce import Overlay
from agent.execution.workspace import Workspace
from agent.store.outputs import catalog
from pipelines.component import perform
from pipelines.data.calendars import CALENDARS, seconds_of
from pipelines.data.spans import span_key
from pipelines.evaluation.assessment import Verdict
from pipelines.evaluation.intervals import Interval, share_interval
from pipelines.evaluation.noise import outcomes, shuffled
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.source import BAR_COLUMNS
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_BARS, _MADE = "bars/", "bars/made/"
_SECOND = 1_000_000


@dataclass(frozen=True)
class NoiseProof:
    """What was claimed on `sets` sets of noise. rate: share of them on which EDGE was, with its 95 % interval."""

    sets: int
    claims: Mapping[str, int]
    rate: Interval
    seconds: float


def prove_on_noise(
    workspace: Workspace,
    *,
    sets: int,
    max_seconds: float,
    progress: Callable[[int, str], None] = lambda number, verdict: None,
) -> NoiseProof:
    """Compute features and model on up to `sets` sets of noise; no further one is begun that would not end within
    `max_seconds`, but the first. Raises NotFound where the project has no bars or no model yet."""
    began = time.monotonic()
    bars, markets, horizon = _history(workspace)
    verdicts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tidemill-prove-") as folder:
        for number in range(1, sets + 1):
            spent = time.monotonic() - began
            if verdicts and spent * (number / (number - 1)) > max_seconds:
                break
            lake = Overlay(Path(folder) / str(number), workspace.lake)
            verdicts.append(_verdict(workspace, lake, bars, markets, horizon, number))
            progress(number, verdicts[-1])
    found = Counter(verdicts)
    claims = {str(one): found[one] for one in Verdict}
    return NoiseProof(
        len(verdicts), claims, share_interval(found[Verdict.EDGE], len(verdicts)), time.monotonic() - began
    )


def _history(workspace: Workspace) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Bars with the key of their span, the table of markets with the intervals of these bars, and the horizon in
    microseconds."""
    import polars as pl

    with workspace.database.reading() as connections:
        found = {name: _newest(connections.project, name) for name in ("features", "markets", "model")}
    lake, model = workspace.lake, found["model"]
    card = json.loads(lake.read_bytes(model.by_key["model.json"]))
    frames = [
        lake.read_table(one, tuple(BAR_COLUMNS)).with_columns(
            key=pl.lit(span_key(one.key)), made=pl.lit(one.key.startswith(_MADE))
        )
        for one in found["features"].select(_BARS)
    ]
    bars = pl.concat(frames)
    length = (pl.col("end") - pl.col("start")).dt.total_seconds()
    lengths = dict(bars.filter("made").group_by("market_id").agg(length.mode().min()).iter_rows())
    markets = lake.read_table(found["markets"].partitions[0])
    intervals = [
        own
        if own in CALENDARS or name not in lengths or (own and seconds_of(own) == lengths[name])
        else f"{lengths[name]}s"
        for name, own in markets.select("market_id", "interval").iter_rows()
    ]
    horizon = max(card["spacing_seconds"].values(), default=0) * card["horizon_bars"] * _SECOND
    made = markets.with_columns(
        pl.Series("interval", intervals, dtype=pl.String),
        pl.Series("interval_seconds", [None if one is None else seconds_of(one) for one in intervals], dtype=pl.Int64),
        pl.col("timezone").fill_null("UTC"),
    )
    return bars.drop("made"), made, horizon


def _newest(conn: Any, name: str) -> Snapshot:
    number = catalog.latest_snapshot_id(conn, name)
    if number is None:
        raise NotFound(f"{name} has no output yet", where="snapshots", fix="`agent run`, then prove its set-up")
    return catalog.load_snapshot(conn, number)


def _verdict(
    workspace: Workspace, lake: Lake, bars: pl.DataFrame, markets: pl.DataFrame, horizon: int, seed: int
) -> str:
    """The verdict of the project's features and model on one set of noise."""
    project = workspace.project
    keys = bars.select("market_id", "start", "key")
    noise = shuffled(bars.drop("key"), markets, horizon, seed)
    keyed = noise.join(keys, on=["market_id", "start"], how="left", maintain_order="left")
    parts = [
        lake.write_table("ticks", _BARS + key, part.drop("key"), attempt="noise", time="end")
        for (key,), part in sorted(keyed.group_by("key"), key=lambda one: str(one[0]))
    ]
    universe = outcomes(noise, markets, seed)
    snapshots = {
        "ticks": Snapshot("ticks", tuple(parts)),
        "markets": Snapshot("markets", (lake.write_table("markets", "markets", universe, attempt="noise"),)),
    }
    for name in ("features", "model"):
        component = project.components[name]
        snapshots[name] = perform(
            component,
            project.settings[name],
            {one: snapshots[one] for one in component.upstream},
            lake=lake,
            attempt="noise",
            base=project.base,
        )
    metrics = json.loads(lake.read_bytes(snapshots["model"].by_key["metrics.json"]))
    return str(metrics["assessment"]["verdict"])
