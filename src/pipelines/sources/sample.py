"""The embedded samples, so that a first run needs nothing else: real daily bars of five US equities, 2000 to 2013, or
of 2 036 prediction markets with their outcomes, 2024 to 2026.

Origin and licences: src/pipelines/data/SAMPLE.md, and prediction_sample/SOURCE.md beside it (CC BY-SA 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipelines.errors import BadInput
from pipelines.lake import hash_file
from pipelines.settings import setting
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, Batch, Probe, frame_schema
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
PLATFORMS = ("manifold", "polymarket")
_DATA = Path(__file__).resolve().parent.parent / "data"
_EQUITIES = _DATA / "sample-equities.parquet"
_PRICES, _QUESTIONS = (_DATA / "prediction_sample" / name for name in ("prices.parquet", "markets.parquet"))
_DAY_SECONDS = 86_400
_PAYS_IN = {"manifold": "MANA", "polymarket": "USDC"}  # MANA: Manifold's play money


@dataclass(frozen=True)
class Settings:
    """Settings of `[sources.sample]`."""

    markets: Literal["equity", "prediction"] = setting(
        "equity", "which sample: daily bars of five US equities, or daily prices of 2 036 prediction markets"
    )
    symbols: tuple[str, ...] = setting(SYMBOLS, "which of the five equities to take")

    def check(self) -> list[str]:
        """Faults that a single value does not show."""
        unknown = [name for name in self.symbols if name not in SYMBOLS]
        faults = [f"symbols: the sample has no {name!r}; it has {', '.join(SYMBOLS)}" for name in unknown]
        return faults or ([] if self.symbols else ["symbols: name at least one"])


class SampleSource:
    """Daily bars from files inside the package: one part per equity, or one per platform of prediction markets."""

    name: ClassVar[str] = "sample"
    historical: ClassVar[bool] = True

    def __init__(self, settings: Settings, base: Path) -> None:
        self._is_prediction = settings.markets == "prediction"
        self._parts = PLATFORMS if self._is_prediction else tuple(sorted(set(settings.symbols)))

    def probe(self) -> Probe:
        """The token of a part is its file's hash, so that an upgrade which leaves it alone is no change."""
        token = hash_file(_PRICES if self._is_prediction else _EQUITIES)
        return Probe(dict.fromkeys(self._parts, token))

    def markets(self) -> pl.DataFrame:
        """One row per equity, or per question. No tick size: adjusted prices do not lie on the exchange's grid."""
        return _questions(self.name) if self._is_prediction else _equities(self.name, self._parts)

    def fetch(self, part: str) -> Batch:
        """The daily bars of `part`; a bar is of one date in UTC. Raises BadInput for a part that it does not have."""
        if part not in self._parts:
            raise BadInput(f"the sample has no part {part!r}", where=str(_DATA), fix=f"one of {self._parts}")
        frame = _price_bars(self.name, part) if self._is_prediction else _equity_bars(self.name, part)
        return Batch("bars", frame)


def _equities(source: str, symbols: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    known = {"source": source, "kind": "equity", "status": "open", "quote_currency": "USD", **_daily()}
    rows = [{"market_id": f"{source}:{symbol}", "external_id": symbol, "symbol": symbol, **known} for symbol in symbols]
    return pl.DataFrame(rows, schema=frame_schema(MARKET_COLUMNS))


def _equity_bars(source: str, symbol: str) -> pl.DataFrame:
    import polars as pl

    raw = pl.read_parquet(_EQUITIES).filter(pl.col("symbol") == symbol).sort("date")
    return _bars(raw.with_columns(market_id=pl.format("{}:{}", pl.lit(source), "symbol")))


def _questions(source: str) -> pl.DataFrame:
    """Binary markets. An outcome is known at the end of the day on which it first stood in the repository; end dates
    are the platforms' own, where they can be read."""
    import polars as pl

    raw = pl.read_parquet(_QUESTIONS)
    resolved = pl.col("outcome").is_not_null()
    closing = pl.col("close_time").str.to_datetime("%+", time_zone="UTC", time_unit="us", strict=False)
    external = pl.format("{}-{}", "source", "market_id")
    facts = {
        "market_id": pl.format("{}:{}", pl.lit(source), external),
        "source": pl.lit(source),
        "external_id": external,
        "question": pl.col("question"),
        "kind": pl.lit("binary"),
        "status": pl.when(resolved).then(pl.lit("resolved")).otherwise(pl.lit("open")),
        "end_at": closing,
        "resolution": pl.col("outcome"),
        "resolved_at": pl.when(resolved).then(_midnight("resolution_first_seen") + pl.duration(days=1)),
        "quote_currency": pl.col("source").replace_strict(_PAYS_IN, default=None, return_dtype=pl.String),
        **{name: pl.lit(value) for name, value in _daily().items()},
    }
    schema = frame_schema(MARKET_COLUMNS)
    columns = [facts.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in schema.items()]
    return raw.select(columns).sort("market_id")


def _price_bars(source: str, platform: str) -> pl.DataFrame:
    """A price dated D was taken when D ended. A day opens with the price of the day before, where there is one."""
    import polars as pl

    raw = pl.read_parquet(_PRICES).filter(pl.col("source") == platform).sort("market_id", "date")
    is_next = pl.col("date").diff().over("market_id") == pl.duration(days=1)
    before = pl.when(is_next).then(pl.col("price").shift(1).over("market_id"))
    return _bars(
        raw.with_columns(
            market_id=pl.format("{}:{}-{}", pl.lit(source), "source", "market_id"),
            open=before.fill_null(pl.col("price")),
            close="price",
            volume=pl.lit(None, pl.Float64),
        ).with_columns(high=pl.max_horizontal("open", "close"), low=pl.min_horizontal("open", "close"))
    )


def _bars(days: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    frame = days.select(
        "market_id",
        _midnight("date").alias("start"),
        (_midnight("date") + pl.duration(days=1)).alias("end"),
        *("open", "high", "low", "close", "volume"),
        *(pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name.startswith(("bid_", "ask_"))),
    )
    return frame.select(*frame_schema(BAR_COLUMNS))


def _midnight(name: str) -> pl.Expr:
    import polars as pl

    return pl.col(name).cast(pl.Datetime("us", "UTC"))


def _daily() -> dict[str, str | int]:
    return {"interval": f"{_DAY_SECONDS}s", "interval_seconds": _DAY_SECONDS, "timezone": "UTC"}


SOURCE = SampleSource
