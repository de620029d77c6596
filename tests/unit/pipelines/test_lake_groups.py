"""How a table's file is cut: a reader of one market does not unpack the others."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pipelines.lake import Lake

MARKETS, BARS = 500, 280


def test_one_market_is_in_few_of_a_files_row_groups(tmp_path: Path) -> None:
    names = [f"MKT{number:03d}" for number in range(MARKETS) for _ in range(BARS)]
    frame = pl.DataFrame({"market_id": names, "close": [float(number) for number in range(len(names))]})
    lake = Lake(tmp_path)
    partition = lake.write_table("features", "bars/2024-01-01", frame, attempt="a1")
    assert lake.read_table(partition).equals(frame)
    about = pq.read_metadata(lake.path_of(partition))
    spans = [about.row_group(number).column(0).statistics for number in range(about.num_row_groups)]
    assert max(sum(one.min <= name <= one.max for one in spans) for name in set(names)) <= 2
    assert max(about.row_group(number).num_rows for number in range(about.num_row_groups)) <= frame.height / 4
