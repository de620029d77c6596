"""Daily bars of shares from a table in SQLite: symbol, day, open, high, low, close, volume, changed_at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipelines.errors import BadInput, TransientError
from pipelines.settings import setting
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, Batch, Probe, frame_schema

if TYPE_CHECKING:
    import polars as pl

_PROBE = "SELECT symbol, count(*) || ' rows, ' || max(changed_at) FROM bars GROUP BY symbol"
_BARS = "SELECT day, open, high, low, close, volume FROM bars WHERE symbol = ? ORDER BY day"


@dataclass(frozen=True)
class Settings:
    """[sources.price_database]"""

    path: str = setting("prices.sqlite", "the database's file, relative to agent.toml")


class PriceDatabase:
    """One part a share."""

    name: ClassVar[str] = "price_database"
    historical: ClassVar[bool] = True

    def __init__(self, settings: Settings, base: Path) -> None:
        self._file = base / settings.path

    def probe(self) -> Probe:
        """How many rows each share has, and when one of them was last changed: a table that grows needs an index."""
        with self._reading() as connection:
            return Probe(dict(connection.execute(_PROBE).fetchall()))

    def markets(self) -> pl.DataFrame:
        """An open equity a share."""
        import polars as pl

        known = {"source": self.name, "kind": "equity", "status": "open"}
        known |= {"interval": "86400s", "interval_seconds": 86_400, "timezone": "UTC"}
        rows = [
            {"market_id": f"{self.name}:{symbol}", "external_id": symbol, "symbol": symbol, **known}
            for symbol in sorted(self.probe().parts)
        ]
        return pl.DataFrame(rows, schema=frame_schema(MARKET_COLUMNS))

    def fetch(self, part: str) -> Batch:
        """The bars of share `part`; a bar is of one day in UTC. Raises BadInput for a share that is not there.

        Rows that break a rule (a negative price, a high below the low) need no care here: `ticks` finds them.
        """
        import polars as pl

        with self._reading() as connection:
            rows = connection.execute(_BARS, [part]).fetchall()
        if not rows:
            raise BadInput(
                f"there is no share {part!r}", where=str(self._file), fix="run again: shares are then listed"
            )
        names = ["day", "open", "high", "low", "close", "volume"]
        raw = pl.DataFrame(rows, schema={"day": pl.String} | dict.fromkeys(names[1:], pl.Float64), orient="row")
        start = pl.col("day").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
        frame = raw.select(
            pl.lit(f"{self.name}:{part}").alias("market_id"),
            start.alias("start"),
            (start + pl.duration(days=1)).alias("end"),
            *names[1:],
            *(pl.lit(None, pl.Float64).alias(name) for name in BAR_COLUMNS if name.startswith(("bid_", "ask_"))),
        )
        return Batch("bars", frame)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. Raises BadInput where there is no such table, TransientError while locked."""
        try:
            with closing(sqlite3.connect(f"{self._file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise TransientError(f"the database is locked: {error}", where=str(self._file)) from error
            raise BadInput(
                f"cannot read the prices: {error}", where=str(self._file), fix="python make_prices.py makes the file"
            ) from error
