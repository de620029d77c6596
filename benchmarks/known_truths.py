"""What the assessment says of real data sets whose truth is known: `python benchmarks/known_truths.py [SET …]`.

Reads ../shared/data; without it there is nothing to judge. Each set is judged with the model as it is and with the
older kind = "hgb", on the same labels, costs and folds. docs/model.md shows the output.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from pipelines.components import features as built_in
from pipelines.costs import BASIS_POINT
from pipelines.evaluation.assessment import Assessment, assess
from pipelines.evaluation.evidence import BASELINES
from pipelines.evaluation.intervals import Interval
from pipelines.evaluation.judging import evidence_of
from pipelines.evaluation.scores import paired, squared_error
from pipelines.feature import features_in
from pipelines.features.bars import look_at
from pipelines.features.windows import counted, values
from pipelines.modelling.folds import choose_span, plan_folds
from pipelines.modelling.learner import Recipe
from pipelines.modelling.rows import Rows, rows_of
from pipelines.modelling.walk import OutOfFold, Walk, instant, joined
from pipelines.source import BAR_COLUMNS

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLE = Path(__file__).resolve().parents[1] / "src" / "pipelines" / "sources"


@dataclass(frozen=True)
class Set:
    """Bars of one data set with the horizon and the round trip's cost it is judged at."""

    name: str
    read: Callable[[], pl.DataFrame]  # market_id, start, end, open, high, low, close, and what else there is
    kind: str
    cost_bps: float = 10.0
    horizon_bars: int = 5
    to_resolution: bool = False


def crypto_5m() -> pl.DataFrame:
    """Eight pairs of five minutes."""
    frames = [
        pl.read_ipc(path).with_columns(market_id=pl.lit(path.name.partition("-")[0]))
        for path in sorted((DATA / "crypto-5m").glob("*.feather"))
    ]
    return _bars(pl.concat(frames).rename({"date": "start"}), timedelta(minutes=5))


def coinbase_1h() -> pl.DataFrame:
    """BTC-USD, hours."""
    frame = pl.read_parquet(DATA / "coinbase-1h" / "BTCUSD-1h.parquet").rename({"ts": "start", "volume_btc": "volume"})
    return _bars(frame.with_columns(market_id=pl.lit("BTCUSD")), timedelta(hours=1))


def fx_1m() -> pl.DataFrame:
    """GBP/USD minutes, middle of bid and ask."""
    sides = []
    for side in ("bid", "ask"):
        frame = pl.read_csv(DATA / "fx-1m" / f"gbpusd-m1-{side}-2012.csv", try_parse_dates=True)
        frame = frame.rename({name: name.strip().lower() for name in frame.columns})
        time = frame.columns[0]
        sides.append(frame.rename({time: "start"}).select("start", "open", "high", "low", "close"))
    both = sides[0].join(sides[1], on="start", suffix="_ask")
    middle = [((pl.col(name) + pl.col(f"{name}_ask")) / 2).alias(name) for name in ("open", "high", "low", "close")]
    quotes = [pl.col("close").alias("bid_close"), pl.col("close_ask").alias("ask_close")]
    return _bars(both.with_columns(quotes).with_columns(middle, market_id=pl.lit("GBPUSD")), timedelta(minutes=1))


def lean_equity() -> pl.DataFrame:
    """Seven US stocks, days."""
    frames = []
    for path in sorted((DATA / "lean-equity").glob("*-1d-trade.parquet")):
        frame = pl.read_parquet(path)
        time = next(name for name, kind in frame.schema.items() if kind.is_temporal())
        frames.append(
            frame.rename({time: "start"})
            .select("start", "open", "high", "low", "close", "volume")
            .with_columns(market_id=pl.lit(path.name.partition("-")[0]))
        )
    return _bars(pl.concat(frames, how="vertical_relaxed"), timedelta(days=1))


def forecastbench() -> pl.DataFrame:
    """Prediction markets, one price per day."""
    frame = pl.read_parquet(DATA / "forecastbench-daily" / "prices.parquet")
    price = pl.col("price").clip(0.001, 0.999)
    frame = frame.with_columns(
        start=pl.col("date").cast(pl.String).str.to_datetime("%Y-%m-%d", time_zone="UTC", strict=False),
        **dict.fromkeys(("open", "high", "low", "close"), price),
    )
    # A price of day D was seen at D + 1: what is bought on its signal is bought at the next one.
    return _bars(frame, timedelta(days=1))


def _bars(frame: pl.DataFrame, length: timedelta) -> pl.DataFrame:
    start = pl.col("start").cast(pl.Datetime("us"))
    if getattr(frame.schema["start"], "time_zone", None) is None:
        start = start.dt.replace_time_zone("UTC")
    frame = frame.with_columns(start=start.cast(pl.Datetime("us", "UTC"))).with_columns(end=pl.col("start") + length)
    missing = [pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name not in frame.columns]
    floats = pl.col("open", "high", "low", "close").cast(pl.Float64)
    return frame.with_columns(missing).with_columns(floats).select(*BAR_COLUMNS).unique(["market_id", "start"])


SETS = {
    one.name: one
    for one in (
        Set("crypto-5m", crypto_5m, "spot"),
        Set("coinbase-1h", coinbase_1h, "spot"),
        Set("fx-1m", fx_1m, "fx"),
        Set("fx-1m-tight", fx_1m, "fx", cost_bps=1.6),
        Set("lean-equity", lean_equity, "equity"),
        Set("forecastbench", forecastbench, "binary", cost_bps=200.0),
        Set("forecastbench-resolution", forecastbench, "binary", cost_bps=200.0, to_resolution=True),
    )
}


def rows_of_set(one: Set, *, is_derived: bool) -> Rows:
    """Features and labels of a set."""
    bars = one.read().sort("market_id", "start")
    looked = look_at(bars).sort("market_id", "ts")
    names = bars.get_column("market_id").unique().sort()
    missing = pl.lit(None, pl.Datetime("us", "UTC"))
    # Half a round trip per fill; of a binary market in units of its payoff.
    markets = pl.DataFrame({"market_id": names}).with_columns(
        kind=pl.lit(one.kind),
        end_at=missing,
        resolved_at=missing,
        resolution=pl.lit(None, pl.Float64),
        half_spread=pl.lit(one.cost_bps * BASIS_POINT / 2),
        slippage=pl.lit(0.0),
        fee=pl.lit(0.0),
    )
    if one.to_resolution:
        markets = markets.drop("resolved_at", "resolution").join(_paid(bars), on="market_id", how="left")
    of_all = features_in(vars(built_in))
    features = values(counted(looked, pl.DataFrame(), markets, of_all, bars.item(0, "start"), 5.0), of_all, 5.0)
    return rows_of(
        bars.select("market_id", "start", "end", "open", "close"),
        features,
        markets,
        horizon_bars=one.horizon_bars,
        is_derived=is_derived,
        to_resolution=one.to_resolution,
    )


def _paid(bars: pl.DataFrame) -> pl.DataFrame:
    """What prediction markets paid. The repository shows every outcome in August 2026 only, too late to learn from:
    here an outcome counts as known one day after the last price, which lies before the resolution."""
    outcomes = pl.read_parquet(DATA / "forecastbench-daily" / "markets.parquet").filter(pl.col("outcome").is_not_null())
    last = bars.group_by("market_id").agg(resolved_at=pl.col("end").max() + pl.duration(days=1))
    return outcomes.select("market_id", pl.col("outcome").alias("resolution")).join(last, on="market_id")


def walked(rows: Rows, kind: str, horizon_bars: int) -> OutOfFold:
    """Out-of-fold forecasts with the default settings of [model]."""
    first, last = instant(rows.ts[0]), instant(rows.ts[-1])
    span = choose_span(first, last)
    assert span is not None
    recipe = Recipe(kind, 7, 100, 0.03, 7)  # type: ignore[arg-type]
    return joined([fold.rows for fold in Walk(recipe, horizon_bars).forward(rows, plan_folds(first, last, span))])


def show(name: str, found: Assessment) -> None:
    """One set's figures."""
    figures = found.figures
    print(f"  {name}: {found.sentence}")
    print(f"    tradable {found.tradable}; rows {figures.rows:,}; blocks {figures.brier.blocks}")
    print(f"    AUC {text(figures.auc, 3)}  direction {text(figures.direction, 3)}  IC {text(figures.ic, 4)}")
    later = "  ".join(f"+{bars} {text(one, 4)}" for bars, one in figures.ic_later.items())
    print(f"    IC later {later}  explained { ({k: round(v, 2) for k, v in figures.explained.items()}) }")
    for base in BASELINES:
        if base in figures.brier_against:
            print(
                f"    against {base}: Brier {text(figures.brier_against[base], 5)}  "
                f"log loss {text(figures.log_loss_against[base], 5)}"
            )
    print(
        f"    decisions {figures.earnings.decisions:,}  net {text(figures.earnings.net, 6)}  break-even "
        f"{figures.earnings.break_even_bps} bp per fill"
    )


def text(interval: Interval | None, digits: int) -> str:
    """An interval in one line."""
    if interval is None:
        return "–"
    return f"{interval.value:+.{digits}f} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def main() -> None:
    """Judge the sets named, all without names."""
    if not DATA.is_dir():
        print("nothing to judge: ../shared/data is not there")
        return
    for name in sys.argv[1:] or SETS:
        one = SETS[name]
        kinds = ("hgb",) if one.kind == "binary" else ("hgb", "averaged")  # averaged is hgb where markets are binary
        kinds = ("offset",) if one.to_resolution else kinds
        print(f"{name}: horizon {one.horizon_bars} bars, round trip {one.cost_bps:g} bp", flush=True)
        samples = {}
        for kind in kinds:
            rows = rows_of_set(one, is_derived=kind == "averaged")
            evidence = evidence_of(rows, walked(rows, kind, one.horizon_bars), one.horizon_bars)
            samples[kind] = evidence
            show(kind, assess(evidence))
        if len(kinds) > 1:
            old, new = (squared_error(samples[kind].probability, samples[kind].label) for kind in kinds)
            print(f"  paired Brier, averaged minus hgb: {text(paired(new, old, samples[kinds[0]].block), 6)}")
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"  {used.ru_utime + used.ru_stime:.0f} CPU s so far", flush=True)


if __name__ == "__main__":
    main()
