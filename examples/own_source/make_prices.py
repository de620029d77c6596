"""Makes prices.sqlite: the daily bars of two shares, 2009 to 2013, from the sample that comes with Tidemill."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.sources.sample import SampleSource, Settings

_TABLE = """
CREATE TABLE bars (
    symbol TEXT, day TEXT, open REAL, high REAL, low REAL, close REAL, volume REAL, changed_at TEXT,
    PRIMARY KEY (symbol, day)
)
"""

sample = SampleSource(Settings(symbols=("IBM", "MSFT")), Path())
with closing(sqlite3.connect("prices.sqlite")) as connection, connection:
    connection.execute(_TABLE)
    for symbol in ("IBM", "MSFT"):
        bars = sample.fetch(symbol).frame.select("start", "open", "high", "low", "close", "volume")
        rows = [
            (symbol, f"{start:%Y-%m-%d}", *values, "2013-03-01")
            for start, *values in bars.iter_rows()
            if start.year >= 2009
        ]
        connection.executemany("INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        print(f"{symbol}: {len(rows)} days")
