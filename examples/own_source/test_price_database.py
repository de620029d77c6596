"""The source passes the suite that every source of Tidemill passes. Run it with `pytest`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from price_database import PriceDatabase

from pipelines.testing import SourceSuite


class TestPriceDatabase(SourceSuite):
    """Two shares, two days."""

    source = PriceDatabase

    def settings(self, folder: Path) -> dict[str, Any]:
        with closing(sqlite3.connect(folder / "prices.sqlite")) as connection, connection:
            connection.execute(
                "CREATE TABLE bars (symbol, day, open REAL, high REAL, low REAL, close REAL, volume REAL, changed_at)"
            )
            connection.executemany(
                "INSERT INTO bars VALUES (?, ?, 10, 12, 9, 11, 500, '2024-01-04')",
                [(symbol, day) for symbol in ("ACME", "INIT") for day in ("2024-01-02", "2024-01-03")],
            )
        return {"path": "prices.sqlite"}
