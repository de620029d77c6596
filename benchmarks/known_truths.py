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
from pipelines.modelling.folds import SPANS_OF_DATA, choose_span, plan_folds
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
    paid: Callable[[], pl.DataFrame] | None = None  # market_id, resolution: what is forecast, instead of moves


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


def lean(folder: str, ending: str, length: timedelta) -> Callable[[], pl.DataFrame]:
    """Every market of a folder of Lean's that has a file with this ending: trades, or the middle of quotes."""

    def read() -> pl.DataFrame:
        frames = []
        for path in sorted((DATA / folder).glob(f"*-{ending}.parquet")):
            frame = pl.read_parquet(path)
            time = next(name for name, kind in frame.schema.items() if kind.is_temporal())
            if "bid_close" in frame.columns:
                prices = {
                    name: (pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2
                    for name in ("open", "high", "low", "close")
                }
                frame = frame.with_columns(**prices)
            frame = frame.rename({time: "start"}).with_columns(market_id=pl.lit(path.name.partition("-")[0]))
            frames.append(frame.select(set(frame.columns) & {"start", *BAR_COLUMNS} - {"end"}))
        return _bars(pl.concat(frames, how="diagonal_relaxed"), length)

    return read


def crypto_trades() -> pl.DataFrame:
    """XRP/ETH: single trades, cut into minutes."""
    trades = pl.read_parquet(DATA / "crypto-trades" / "XRP_ETH-trades.parquet").sort("timestamp", "id")
    start = pl.from_epoch("timestamp", "ms").dt.truncate("1m")
    return _bars(_cut(trades.with_columns(start=start, market_id=pl.lit("XRPETH"))), timedelta(minutes=1))


def chainlink() -> pl.DataFrame:
    """BTC/USD as it settles Polymarket's markets of five minutes: two days, cut into minutes. An instant is known when
    it was received."""
    frames = [pl.read_parquet(path) for path in sorted((DATA / "polymarket-btc5m").glob("btcusd-*.parquet"))]
    values = pl.concat(frames).sort("recv_ms", "feed_ts_ms").rename({"value": "price"})
    start = pl.from_epoch("recv_ms", "ms").dt.truncate("1m")
    return _bars(_cut(values.with_columns(start=start, market_id=pl.lit("BTCUSD"))), timedelta(minutes=1))


def _cut(ticks: pl.DataFrame) -> pl.DataFrame:
    price = pl.col("price")
    prices = {"open": price.first(), "high": price.max(), "low": price.min(), "close": price.last()}
    return ticks.group_by("market_id", "start", maintain_order=True).agg(**prices)


def betfair() -> pl.DataFrame:
    """Runners of seven sports markets: 1 / the last odds traded, before and during play, cut into minutes."""
    prices = pl.read_parquet(DATA / "betfair-stream" / "ltp.parquet").sort("ts")
    market = pl.concat_str("market_id", pl.col("selection_id").cast(pl.String), separator="-")
    price = pl.col("implied_prob").clip(0.001, 0.999)
    return _bars(
        _cut(prices.with_columns(market_id=market, price=price, start=pl.col("ts").dt.truncate("1m"))),
        timedelta(minutes=1),
    )


def betfair_paid() -> pl.DataFrame:
    """1 for runners that won, and 0, known when the market was settled."""
    runners = pl.read_parquet(DATA / "betfair-stream" / "selections.parquet").filter(pl.col("outcome").is_not_null())
    market = pl.concat_str("market_id", pl.col("selection_id").cast(pl.String), separator="-")
    return runners.select(market_id=market, resolution="outcome")


def forecastbench_paid() -> pl.DataFrame:
    """What prediction markets paid. The repository shows every outcome in August 2026 only, too late to learn from."""
    outcomes = pl.read_parquet(DATA / "forecastbench-daily" / "markets.parquet").filter(pl.col("outcome").is_not_null())
    return outcomes.select("market_id", resolution="outcome")


def books() -> pl.DataFrame:
    """Middle of the UP side of 18 order books before their end, every ten seconds."""
    folder = DATA / "polymarket-btc15m-books"
    ends = pl.read_parquet(folder / "markets.parquet").select("market_id", "end_ts")
    best = {name: pl.col(name).list.first() for name in ("bid_px", "ask_px")}
    seen = pl.read_parquet(folder / "books.parquet").filter(pl.col("side") == "UP").with_columns(**best)
    seen = seen.join(ends, on="market_id").filter(pl.col("ts") < pl.col("end_ts")).drop_nulls(["bid_px", "ask_px"])
    price = ((pl.col("bid_px") + pl.col("ask_px")) / 2).clip(0.001, 0.999)
    start = pl.from_epoch("ts", "ms").dt.truncate("10s")
    return _bars(_cut(seen.sort("ts").with_columns(price=price, start=start)), timedelta(seconds=10))


def books_paid() -> pl.DataFrame:
    """Whether Bitcoin went up."""
    markets = pl.read_parquet(DATA / "polymarket-btc15m-books" / "markets.parquet")
    return markets.select("market_id", resolution="payout_up")


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


DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SETS = {
    one.name: one
    for one in (
        Set("crypto-5m", crypto_5m, "spot"),
        Set("coinbase-1h", coinbase_1h, "spot"),
        Set("fx-1m", fx_1m, "fx"),
        Set("fx-1m-tight", fx_1m, "fx", cost_bps=1.6),
        Set("lean-equity", lean("lean-equity", "1d-trade", DAY), "equity"),
        Set("forecastbench", forecastbench, "binary", cost_bps=200.0),
        Set("forecastbench-resolution", forecastbench, "binary", cost_bps=200.0, paid=forecastbench_paid),
        Set("crypto-trades", crypto_trades, "spot"),
        Set("lean-coinbase-1d", lean("lean-coinbase", "1d-trade", DAY), "spot"),
        Set("lean-coinbase-1m", lean("lean-coinbase", "1m-trade", MINUTE), "spot"),
        Set("lean-coinbase-1s", lean("lean-coinbase", "1s-trade", timedelta(seconds=1)), "spot"),
        Set("lean-oanda-1m", lean("lean-oanda", "1m-quote", MINUTE), "fx", cost_bps=1.6),
        Set("polymarket-btc5m", chainlink, "spot"),
        Set("polymarket-btc15m-books", books, "binary", cost_bps=200.0),
        Set("polymarket-btc15m-resolution", books, "binary", cost_bps=200.0, paid=books_paid),
        Set("betfair", betfair, "binary", cost_bps=200.0),
        Set("betfair-resolution", betfair, "binary", cost_bps=200.0, paid=betfair_paid),
        Set("lean-equity-1h", lean("lean-equity", "1h-trade", HOUR), "equity"),
        Set("lean-oanda-1h", lean("lean-oanda", "1h-quote", HOUR), "fx", cost_bps=1.6),
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
    if one.paid is not None:
        # An outcome counts as known one day after the last price, which lies before the resolution; of markets of
        # minutes one bar after it.
        length = bars.select((pl.col("end") - pl.col("start")).max()).item()
        last = bars.group_by("market_id").agg(resolved_at=pl.col("end").max() + length)
        paid = one.paid().join(last, on="market_id")
        markets = markets.drop("resolved_at", "resolution").join(paid, on="market_id", how="left")
    of_all = features_in(vars(built_in))
    features = values(counted(looked, pl.DataFrame(), markets, of_all, bars.item(0, "start"), 5.0), of_all, 5.0)
    return rows_of(
        bars.select("market_id", "start", "end", "open", "close"),
        features,
        markets,
        horizon_bars=one.horizon_bars,
        is_derived=is_derived,
        to_resolution=one.paid is not None,
    )


class TooShort(Exception):
    """There is nothing to judge, and why."""


def walked(rows: Rows, kind: str, horizon_bars: int) -> OutOfFold:
    """Out-of-fold forecasts with the default settings of [model]."""
    first, last = instant(rows.ts[0]), instant(rows.ts[-1])
    span = choose_span(first, last)
    if span is None:
        raise TooShort(f"{last - first} of history, {SPANS_OF_DATA} test spans of an hour are needed")
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


def _judge(one: Set) -> None:
    """Both models, and the difference. averaged is hgb where markets are binary, and the price as offset where outcomes
    are forecast."""
    kinds = ("hgb", "averaged") if one.kind != "binary" else ("hgb",) if one.paid is None else ("hgb", "offset")
    losses, blocks = {}, {}
    for kind in kinds:
        rows = rows_of_set(one, is_derived=kind == "averaged")
        evidence = evidence_of(rows, walked(rows, kind, one.horizon_bars), one.horizon_bars)
        losses[kind] = squared_error(evidence.probability, evidence.label)
        blocks[kind] = evidence.block
        show(kind, assess(evidence))
    if len(kinds) > 1:
        old, new = kinds
        print(f"  paired Brier, {new} minus {old}: {text(paired(losses[new], losses[old], blocks[old]), 6)}")


def main() -> None:
    """Judge the sets named, all without names."""
    if not DATA.is_dir():
        print("nothing to judge: ../shared/data is not there")
        return
    for name in sys.argv[1:] or SETS:
        one = SETS[name]
        print(f"{name}: horizon {one.horizon_bars} bars, round trip {one.cost_bps:g} bp", flush=True)
        try:
            _judge(one)
        except (TooShort, ValueError) as error:
            print(f"  cannot be judged: {error}")
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"  {used.ru_utime + used.ru_stime:.0f} CPU s so far", flush=True)


if __name__ == "__main__":
    main()
