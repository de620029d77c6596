"""The embedded sample: real daily bars of five US equities, 2000 to 2013, so that a first run needs nothing else.

Origin and licence: src/pipelines/data/SAMPLE.md. One part a symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipelines.errors import BadInput
from pipelines.lake import hash_file
from pipelines.settings import setting
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, Batch, Probe, frame_schema

if TYPE_CHECKING:
    import polars as pl

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
_FILE = Path(__file__).resolve().parent.parent / "data" / "sample-equities.parquet"
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Settings:
    """Settings of `[sources.sample]`."""

    symbols: tuple[str, ...] = setting(SYMBOLS, "which of the five equities to take")

    def check(self) -> list[str]:
        """Faults that a single value does not show."""
        unknown = [name for name in self.symbols if name not in SYMBOLS]
        faults = [f"symbols: the sample has no {name!r}; it has {', '.join(SYMBOLS)}" for name in unknown]
        return faults or ([] if self.symbols else ["symbols: name at least one"])


class SampleSource:
    """Daily bars from the file inside the package."""

    name: ClassVar[str] = "sample"
    historical: ClassVar[bool] = True

    def __init__(self, settings: Settings, base: Path) -> None:
        self._symbols = tuple(sorted(set(settings.symbols)))

    def probe(self) -> Probe:
        """One part a symbol; the token is the file's hash, so that an upgrade which leaves it alone is no change."""
        token = hash_file(_FILE)
        return Probe(dict.fromkeys(self._symbols, token))

    def markets(self) -> pl.DataFrame:
        """One open equity a symbol. No tick size: adjusted prices do not lie on the exchange's grid."""
        import polars as pl

        schema = frame_schema(MARKET_COLUMNS)
        known = {"source": self.name, "kind": "equity", "status": "open"}
        bars = {"interval": f"{_DAY_SECONDS}s", "interval_seconds": _DAY_SECONDS, "timezone": "UTC"}
        rows = [
            {"market_id": f"{self.name}:{symbol}", "external_id": symbol, "symbol": symbol, **known, **bars}
            for symbol in self._symbols
        ]
        return pl.DataFrame(rows, schema=schema)

    def fetch(self, part: str) -> Batch:
        """The daily bars of symbol `part`; a bar is of one date in UTC. Raises BadInput for another symbol."""
        import polars as pl

        if part not in self._symbols:
            raise BadInput(f"the sample has no part {part!r}", where=str(_FILE), fix=f"one of {self._symbols}")
        raw = pl.read_parquet(_FILE).filter(pl.col("symbol") == part).sort("date")
        frame = raw.select(
            pl.format("{}:{}", pl.lit(self.name), "symbol").alias("market_id"),
            pl.col("date").cast(pl.Datetime("us", "UTC")).alias("start"),
            (pl.col("date").cast(pl.Datetime("us", "UTC")) + pl.duration(seconds=_DAY_SECONDS)).alias("end"),
            *("open", "high", "low", "close", "volume"),
            *(pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name.startswith(("bid_", "ask_"))),
        )
        return Batch("bars", frame.select(*frame_schema(BAR_COLUMNS)))


SOURCE = SampleSource
