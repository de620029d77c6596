"""A small real project in a folder: two markets of hourly bars in CSV files, an own feature, everything inline."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
MARKETS = ("ABC", "XYZ")

OWN_FEATURE = '''"""An own feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.feature import Bars, feature

if TYPE_CHECKING:
    import polars as pl

WINDOW = 12


@feature(bars=WINDOW)
def below_high(bars: Bars) -> pl.Expr:
    """How far below its high the price is."""
    return bars.close / bars.high.rolling_max(WINDOW) - 1
'''

SETTINGS = """[executor]
kind = "inline"
[features]
modules = ["own.py"]
[model]
kind = "logistic"
max_iter = 100
[publish]
max_brier_excess = 1.0
[backtest]
seed = 5
[[sources.files.datasets]]
path = "data/*.csv"
kind = "spot"
interval_seconds = 3600
market_pattern = "(?P<market>[A-Z]+)"
"""


def write_bars(folder: Path, market: str, days: int) -> None:
    """The first `days` days of a market's walk: more days later append to what fewer gave."""
    rng, price = random.Random(market), 100.0
    lines = ["ts,open,high,low,close,volume"]
    for hour in range(24 * days):
        opened = price * math.exp(rng.gauss(0, 0.01))
        price = opened * math.exp(rng.gauss(0, 0.01))
        high = max(opened, price) * (1 + abs(rng.gauss(0, 0.002)))
        low = min(opened, price) * (1 - abs(rng.gauss(0, 0.002)))
        at = START + timedelta(hours=hour)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{opened:.6f},{high:.6f},{low:.6f},{price:.6f},{rng.uniform(1, 9):.4f}")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{market}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def small_project(folder: Path, days: int = 75) -> Path:
    """Write the project's files; nothing is run."""
    for market in MARKETS:
        write_bars(folder, market, days)
    (folder / "own.py").write_text(OWN_FEATURE, encoding="utf-8")
    (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
    return folder
