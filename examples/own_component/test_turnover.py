"""The component passes the suite that every component of Tidemill passes. Run it with `pytest`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from turnover import Settings, sum_turnover

from pipelines.lake import Lake
from pipelines.testing import ComponentSuite, Moment, write_snapshot


def bars(year: int, closes: list[float]) -> pl.DataFrame:
    """Daily bars of one market from 1 January."""
    days = [datetime(year, 1, day, tzinfo=UTC) for day in range(1, len(closes) + 1)]
    columns = {"market_id": "sample:ACME", "start": days, "close": closes, "volume": 2.0, "spread": 0.1}
    return pl.DataFrame(columns).with_columns(pl.col("start").dt.cast_time_unit("us"))


class TestTurnover(ComponentSuite):
    """A year of bars; then another one; then a correction of the first."""

    component = sum_turnover

    def settings(self) -> Settings:
        return Settings(min_bars=2)

    def moments(self, folder: Path) -> Iterator[Moment]:
        lake = Lake(folder)
        first, corrected, second = bars(2023, [10.0, 11.0]), bars(2023, [10.0, 12.0]), bars(2024, [5.0, 6.0, 7.0])
        for content in (
            {"bars/2023": first},
            {"bars/2023": first, "bars/2024": second},
            {"bars/2023": corrected, "bars/2024": second},
        ):
            yield Moment(lake, {"features": write_snapshot(lake, "features", content, time="start")})

    def test_the_sum_is_right(self, tmp_path: Path) -> None:
        """Beyond the suite: what the numbers should be."""
        moment = next(self.moments(tmp_path))
        made = self.run(moment)
        assert moment.lake.read_table(made.by_key["2023"]).get_column("turnover").to_list() == [42.0]
