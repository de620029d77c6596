"""One release or try against another: what differs behind them, their figures in pairs, decisions, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.core.model import State
from agent.core.staleness import definitions_apart
from agent.errors import NotFound
from agent.execution.backtests import equity_of, find_backtests
from agent.store.comparing import Comparison, compare
from agent.store.database.engine import Connections
from agent.store.outputs import catalog, releases, tries
from agent.store.outputs.projections import PREDICTS, Record
from agent.store.outputs.releases import Release
from agent.store.outputs.tries import Cost, Try
from agent.store.state import load_states
from pipelines.errors import LakeError
from pipelines.evaluation.apart import FORECAST_COLUMNS, equities_apart, forecasts_apart
from pipelines.evaluation.intervals import Interval
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

CURRENT = "current"
_MODEL, _MARKETS, _FOLDS, _METRICS = "model", "markets", "oof/", "metrics.json"


@dataclass(frozen=True)
class Against:
    """A comparison with what a try adds to it. versions: component -> output before and after, where they differ.
    definitions: component -> "module:definition" of its code that differs, where both are on record. pairs: figure ->
    mean difference of the same rows, later minus earlier. costs: try -> what it took."""

    comparison: Comparison
    versions: Mapping[str, tuple[str | None, str | None]]
    definitions: Mapping[str, Sequence[str]]
    pairs: Mapping[str, Interval]
    costs: Mapping[str, Cost]


def load_against(at: Connections, lake: Lake, before: str, after: str) -> Against:
    """`after` against `before`: names of releases or tries, or "current", the release in force. Of a try and a release
    the try is the later one, however they are named. Raises NotFound and LakeError."""
    sides = [_find(at, name) for name in (before, after)]
    if isinstance(sides[0], Try) and not isinstance(sides[1], Try):
        sides.reverse()
    found = [(one, _as_release(at, lake, one)) if isinstance(one, Try) else (None, one) for one in sides]
    unpublished = {release.name: _decisions(at, lake, release) for one, release in found if one is not None}
    first, second = (release for _, release in found)
    comparison = compare(at, first, second, unpublished)
    names = first.versions.keys() | second.versions.keys()
    versions = {name: tuple(one.versions.get(name, {}).get("version") for one in (first, second)) for name in names}
    codes = [load_states(at.project, try_id=0 if one is None else one.id) for one, _ in found]
    return Against(
        comparison=comparison,
        versions={name: (old, new) for name, (old, new) in sorted(versions.items()) if old != new},
        definitions=_definitions(codes, first, second),
        pairs=_pairs(at, lake, comparison),
        costs={one.name: tries.cost(at, one) for one, _ in found if one is not None},
    )


def _find(at: Connections, name: str) -> Release | Try:
    if name == CURRENT:
        current = releases.current_release(at.project)
        if current is None:
            raise NotFound("there is no release in force yet", where="releases", fix="`agent run` makes one")
        return current
    return tries.find(at.project, name) or releases.load_release(at.project, name)


def _as_release(at: Connections, lake: Lake, one: Try) -> Release:
    """What a try would publish, in the form of a release that nobody made."""
    states = load_states(at.project, try_id=one.id)
    current = releases.current_release(at.project)
    made = None if current is None else states.get(catalog.snapshot_row(at.project, current.snapshot_id).component)
    number = None if made is None else made.output_snapshot_id
    return Release(
        id=0,
        name=one.name,
        version=(made and made.output_version) or "",
        snapshot_id=number or 0,
        is_current=False,
        is_historical=current is not None and current.is_historical,
        as_of=None,
        versions={name: _version_of(row) for name, row in states.items() if row.output_version is not None},
        metrics=_json_of(at, lake, number, _METRICS),
        collected_to=None,
        git_commit=None,
        run_id=None,
        created_at=one.created_at,
    )


def metrics_of(at: Connections, lake: Lake, one: Try) -> Mapping[str, Any]:
    """The figures that a try would publish; empty where it has none."""
    return _as_release(at, lake, one).metrics


def _version_of(row: State) -> dict[str, Any]:
    return {
        "version": row.output_version,
        "snapshot_id": row.output_snapshot_id,
        "code_version": row.code_version,
        "settings_hash": row.settings_hash,
    }


def _json_of(at: Connections, lake: Lake, number: int | None, key: str) -> dict[str, Any]:
    partition = None if number is None else catalog.load_snapshot(at.project, number).by_key.get(key)
    return {} if partition is None else dict(json.loads(lake.read_bytes(partition)))


def _decisions(at: Connections, lake: Lake, release: Release) -> Sequence[Record]:
    found = _output(at, release, PREDICTS)
    return [] if found is None else lake.read_tables(found.select("predictions")).to_dicts()


def _output(at: Connections, release: Release, component: str) -> Snapshot | None:
    """What is behind a release of a component; None where it has none, or gc removed it."""
    number = release.versions.get(component, {}).get("snapshot_id")
    try:
        return None if number is None else catalog.load_snapshot(at.project, number)
    except NotFound:
        return None


def _definitions(codes: Sequence[Mapping[str, State]], first: Release, second: Release) -> dict[str, list[str]]:
    """As far as the states still have the code behind both."""
    found = {}
    for name in sorted(first.versions.keys() & second.versions.keys()):
        old, new = (code.get(name) for code in codes)
        is_known = all(
            row is not None and row.code_version == release.versions[name]["code_version"]
            for row, release in ((old, first), (new, second))
        )
        if is_known and old is not None and new is not None and old.code_version != new.code_version:
            found[name] = definitions_apart(old.code_files, new.code_files)
    return found


def _pairs(at: Connections, lake: Lake, found: Comparison) -> dict[str, Interval]:
    """Nothing of what gc has taken."""
    pairs: dict[str, Interval] = {}
    models = [_output(at, release, _MODEL) for release in (found.before, found.after)]
    backtests = find_backtests(at, found.backtests)
    try:
        if models[0] is not None and models[1] is not None:
            old, new = (lake.read_tables(one.select(_FOLDS), FORECAST_COLUMNS) for one in models if one is not None)
            if not old.is_empty() and not new.is_empty():
                pairs |= forecasts_apart(old, new, _events(at, lake, found.after))
        if backtests is not None:
            returns = equities_apart(*(equity_of(lake, one) for one in backtests))
            pairs |= {} if returns is None else {"return of the backtest a step": returns}
    except LakeError:
        return {}
    return pairs


def _events(at: Connections, lake: Lake, release: Release) -> pl.DataFrame:
    """market_id, event of the binary markets; one that names none is its own."""
    import polars as pl

    from pipelines.modelling.rows import event_of

    found = _output(at, release, _MARKETS)
    if found is None:
        return pl.DataFrame(schema={"market_id": pl.String, "event": pl.String})
    markets = lake.read_tables(found.select(_MARKETS), ("market_id", "kind", "event_id"))
    return markets.filter(pl.col("kind") == "binary").select("market_id", event_of(markets).alias("event"))
