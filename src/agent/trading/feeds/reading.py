"""Reads a feed's tables from the project: bars and markets of its lake, forecasts of SQL or of the folds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent.amounts import PLACES
from agent.errors import NotFound
from agent.store.database.engine import Database, reading
from agent.store.outputs import catalog, projections, releases
from agent.store.outputs.releases import Release
from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.feeds.columns import BarColumns, TableFeed, Tables
from agent.trading.feeds.listed import BarsByMarket, bars_of, costs_of, listing_of, markets_of, usual_lengths
from agent.trading.feeds.unlisted import LastSeen, last_seen
from pipelines.component import Input
from pipelines.costs import Costs
from pipelines.decision import UNSURE, Rules, edges_of, entering
from pipelines.figures import percent_text
from pipelines.lake import Lake
from pipelines.modelling.deciding import FORECAST_COLUMNS, QUOTE_COLUMNS, columns_of
from pipelines.modelling.history import History
from pipelines.modelling.labels import MARKET_FACTS
from pipelines.modelling.simulation import Piece
from pipelines.snapshot import Reads, Snapshot
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MOST = 100_000
_SMALLEST, _FINEST = Decimal("0.00000001"), Decimal(1).scaleb(-PLACES)
_FAR = datetime(9000, 1, 1, tzinfo=UTC)
_BAR_COLUMNS = ("market_id", "start", "end", "open", "close", "volume", *QUOTE_COLUMNS)
_SIDES = {"buy": 1, "sell": -1}


class ReleasedFeed(TableFeed):
    """What the current release says. `refresh` reads again where another one became current. A market that it has no
    longer, and that is still held or traded, is as an earlier one showed it."""

    def __init__(self, database: Database, lake: Lake) -> None:
        self._database, self._lake = database, lake
        self._left: dict[str, LastSeen] = {}
        self._tried: int | None = None  # the last release that was to be read, whatever came of it
        super().__init__(read_release(database, lake))

    def refresh(self) -> None:
        """Read again where another release is current. Raises LakeError and NotFound where it cannot be read: the one
        before stays."""
        self._tried = self._current()
        if self._is_another(self._tried):
            self._tables = read_release(self._database, self._lake)

    def is_outdated(self) -> bool:
        """Whether another release became current that nobody has tried to read."""
        current = self._current()
        return self._is_another(current) and current != self._tried

    def _current(self) -> int | None:
        with reading(self._database.project) as conn:
            return releases.current_id(conn)

    def _is_another(self, release_id: int | None) -> bool:
        return release_id is not None and release_id != self.release.release_id

    def listing(self, market_id: str) -> Listing:
        """One market."""
        return super().listing(market_id) if self._is_listed(market_id) else self._last_seen(market_id).listing

    def _columns(self, market_id: str) -> BarColumns | None:
        return super()._columns(market_id) if self._is_listed(market_id) else self._last_seen(market_id).bars

    def _is_listed(self, market_id: str) -> bool:
        return market_id in self._tables.listings

    def _last_seen(self, market_id: str) -> LastSeen:
        if market_id not in self._left:
            self._left[market_id] = last_seen(self._database, self._lake, market_id)
        return self._left[market_id]


def read_costs(conn: Any, lake: Lake) -> dict[str, Costs]:
    """What trading costs in each market of the current release; none where there is no release. Raises LakeError."""
    release = releases.current_release(conn)
    if release is None:
        return {}
    rows = markets_of(lake, _snapshots(conn, release, "markets")["markets"])
    return {row["market_id"]: costs_of(row) for row in rows.iter_rows(named=True)}


def read_release(database: Database, lake: Lake) -> Tables:
    """Markets, bars and published decisions of the current release. Raises NotFound where there is none."""
    with reading(database.project) as conn:
        release = _current(conn)
        snapshots = _snapshots(conn, release, "markets", "features")
        newest = projections.decisions_of(conn, release, _MOST)
        history = {row["market_id"]: projections.predictions_of(conn, row["market_id"], _MOST) for row in newest}
    said = {}
    for row in newest:
        earlier = [one for one in history[row["market_id"]] if one["superseded_by"] is None and one["ts"] < row["ts"]]
        said[row["market_id"]] = [_published(one) for one in sorted((*earlier, row), key=lambda one: one["ts"])]
    markets, bars = markets_of(lake, snapshots["markets"]), bars_of(lake, snapshots["features"])
    return _tables(release, markets, bars, said, is_replay=False)


def read_out_of_fold(database: Database, lake: Lake, cost_factor: float = 1.0, *, untradable: bool = False) -> Tables:
    """The same with the forecasts that the current release's backtest trades: each made by a model that had not seen
    its bar, decided by the release's rules. Entries need a release that its assessment calls tradable, as they do when
    it is traded; untradable: they do not. cost_factor: costs are so many times the project's, for what is decided and
    for what is paid; of other costs than the project's the assessment says nothing, and is not asked. Raises NotFound
    where there are no such forecasts."""
    with reading(database.project) as conn:
        release = _current(conn)
        snapshots = _snapshots(conn, release, "markets", "features", "model", "inference")
    rules, forecasts = _out_of_fold(lake, release, snapshots)
    markets, bars = markets_of(lake, snapshots["markets"], cost_factor), bars_of(lake, snapshots["features"])
    version = str(release.versions["model"]["version"])
    said = _decided(forecasts, bars, markets, rules, version)
    tables = _tables(release, markets, bars, said, is_replay=True)
    is_asked = cost_factor == 1 and not untradable
    is_tradable = not (is_asked and tables.release.untradable)
    return replace(tables, release=replace(tables.release, is_tradable=is_tradable))


@dataclass(frozen=True)
class Simulated:
    """The same history twice: as the trader sees it, and as columns of the simulation, which go by `rules`."""

    tables: Tables
    piece: Piece
    rules: Rules


def read_like_simulation(
    database: Database,
    lake: Lake,
    cost_factor: float = 1.0,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Simulated:
    """What the release's backtest trades, from `since` to `until` (bars that end then, both included), for the trader
    and for the simulation. Where a bar has no forecast nothing is expected of it, and a holding comes closer to its
    horizon. Markets whose lots are so small that they change nothing. Raises NotFound as `read_out_of_fold`, and where
    no forecast lies in that time."""
    import polars as pl

    with reading(database.project) as conn:
        release = _current(conn)
        snapshots = _snapshots(conn, release, "markets", "features", "model", "inference")
    rules, signals = _out_of_fold(lake, release, snapshots)
    if since is not None:
        signals = signals.filter(pl.col("ts") >= since)
    if until is not None:
        signals = signals.filter(pl.col("ts") <= until)
    begin = signals.get_column("ts").min()
    if not isinstance(begin, datetime):
        raise NotFound("no forecast was made in that time", where="--from, --until", fix="leave them out")
    markets, bars = markets_of(lake, snapshots["markets"], cost_factor), bars_of(lake, snapshots["features"])
    facts = markets.select(MARKET_FACTS)
    source = Input(snapshots["features"], Reads(("*",), prefix="bars/"), frozenset(), lake)
    piece = History(source, facts, signals, begin, rules).between(begin - timedelta(microseconds=1), until or _FAR)
    spoken = signals.get_column("market_id").unique()
    near = bars.filter(pl.col("end") >= begin, pl.col("market_id").is_in(spoken.implode()))
    version = str(release.versions["model"]["version"])
    said = _decided(signals, near, markets, rules, version, each_bar=True)
    tables = _tables(release, markets, bars, said, is_replay=True)
    listings = {
        name: replace(one, instrument=replace(one.instrument, lot=_FINEST)) for name, one in tables.listings.items()
    }
    return Simulated(replace(tables, listings=listings), piece, rules)


def _out_of_fold(lake: Lake, release: Release, snapshots: dict[str, Snapshot]) -> tuple[Rules, pl.DataFrame]:
    """The release's rule of decision, and its forecasts made out of fold."""
    rules_of = snapshots["inference"].by_key.get("rules.json")
    forecasts = snapshots["model"].select("oof/")
    if rules_of is None or not forecasts:
        raise NotFound(
            f"release {release.name} has no out-of-fold forecasts", where="its model", fix="`agent run` makes them"
        )
    rules = Rules(**json.loads(lake.read_bytes(rules_of)))
    return rules, lake.read_tables(forecasts, ("market_id", "ts", "spacing_seconds", *FORECAST_COLUMNS))


def _current(conn: Any) -> Release:
    release = releases.current_release(conn)
    if release is None:
        raise NotFound("there is no release to trade", where="releases", fix="make one first: `agent run`")
    return release


def _snapshots(conn: Any, release: Release, *components: str) -> dict[str, Snapshot]:
    missing = [name for name in components if name not in release.versions]
    if missing:
        raise NotFound(
            f"release {release.name} has no {', '.join(missing)}",
            where="its versions",
            fix="a trader needs the components markets, features, model and inference",
        )
    return {name: catalog.load_snapshot(conn, release.versions[name]["snapshot_id"]) for name in components}


def _tables(
    release: Release, markets: pl.DataFrame, rows: pl.DataFrame, said: dict[str, list[Published]], *, is_replay: bool
) -> Tables:
    lengths = usual_lengths(rows)
    listings = {
        row["market_id"]: listing_of(row, lengths.get(row["market_id"])) for row in markets.iter_rows(named=True)
    }
    found = release.metrics.get("assessment")
    assessment = found if isinstance(found, dict) else {}
    passed = bool(assessment.get("tradable"))
    info = ReleaseInfo(
        name=release.name,
        release_id=release.id,
        is_tradable=is_replay or passed,
        untradable="" if passed else assessment.get("reason") or "nothing says that its model has an edge",
        is_historical=release.is_historical or is_replay,
        base_rate=release.base_rate,
    )
    newest = rows.get_column("end").max()
    return Tables(info, listings, BarsByMarket(rows), said, newest if isinstance(newest, datetime) else None)


def _decided(
    forecasts: pl.DataFrame,
    bars: pl.DataFrame,
    markets: pl.DataFrame,
    rules: Rules,
    version: str,
    *,
    each_bar: bool = False,
) -> dict[str, list[Published]]:
    """What the decision rule says at each bar that has a forecast. each_bar: at the others too, of which nothing is
    expected."""
    import polars as pl

    facts = markets.select("market_id", "kind", "half_spread", "slippage", "fee")
    rows = (
        bars.rename({"end": "ts"})
        .join(forecasts, on=("market_id", "ts"), how="left" if each_bar else "inner", maintain_order="left")
        .join(facts, on="market_id", how="left", maintain_order="left")
        .with_columns(pl.col("half_spread", "slippage", "fee").fill_null(0.0))
    )
    edges = edges_of(columns_of(rows, rules), rules.margin, rules.allow_short)
    enters = entering(edges.long, edges.short, rules.margin).tolist()
    net, sure = edges.net.tolist(), edges.confidence.tolist()
    said: dict[str, list[Published]] = {}
    for number, row in enumerate(rows.select("market_id", "ts", "probability").iter_rows(named=True)):
        if row["probability"] is None and not each_bar:
            continue
        one = Published(
            market_id=row["market_id"],
            ts=row["ts"],
            enters=enters[number],
            may_short=bool(edges.may_short[number]),
            probability=UNSURE if row["probability"] is None else row["probability"],
            confidence=sure[number],
            net_edge=net[number],
            reason=f"net edge {percent_text(net[number], 3, sign=True)}, out of fold",
            horizon_bars=None if rules.to_resolution else rules.horizon_bars,
            model_version=version,
        )
        said.setdefault(row["market_id"], []).append(one)
    return said


def _published(row: dict[str, Any]) -> Published:
    return Published(
        market_id=row["market_id"],
        ts=row["ts"],
        enters=_SIDES.get(row["action"], 0),
        probability=row["probability"],
        confidence=row["confidence"],
        net_edge=row["edge"] if row["net_edge"] is None else row["net_edge"],
        reason=row["reason"] or "",
        horizon_bars=row["horizon_bars"] or None,
        model_version=row["model_version"],
    )
