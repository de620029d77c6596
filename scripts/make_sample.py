"""Make the embedded sample, src/pipelines/data/sample-equities.parquet, from the PyPI package bokeh-sampledata.

    pip download --no-deps bokeh-sampledata==2026.1 && unzip -d unpacked bokeh_sampledata-*.whl
    python scripts/make_sample.py unpacked

Run by hand, once: the result is committed, and the package is no dependency. SAMPLE.md beside the result says more.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

TARGET = Path(__file__).resolve().parent.parent / "src" / "pipelines" / "data" / "sample-equities.parquet"
PRICES = ("open", "high", "low", "close")


def read_package(folder: Path) -> pl.DataFrame:
    """All five series as the package ships them: ticker, date, open, high, low, close, volume, adj_close."""
    import polars as pl

    raw = pl.read_csv(folder / "bokeh_sampledata" / "_data" / "stocks.csv.gz", try_parse_dates=True)
    return raw.rename({name: name.lower().replace(" ", "_") for name in raw.columns})


def adjust(raw: pl.DataFrame) -> pl.DataFrame:
    """Prices times adj_close / close, volume divided by it: splits and dividends leave no jump.

    Rounded to six places after multiplying; rounding is monotonic, so high and low still enclose open and close.
    """
    import polars as pl

    factor = pl.col("adj_close") / pl.col("close")
    adjusted = raw.select(
        symbol="ticker",
        date="date",
        **{name: (pl.col(name) * factor).round(6) for name in PRICES},
        volume=(pl.col("volume") / factor).round(0),
    ).sort("symbol", "date")
    assert not adjusted.select(pl.struct("symbol", "date").is_duplicated().any()).item()
    assert adjusted.null_count().sum_horizontal().item() == 0
    return adjusted


def main() -> None:
    """Read the unpacked package named on the command line and write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="folder into which the wheel was unpacked")
    sample = adjust(read_package(parser.parse_args().package))
    TARGET.parent.mkdir(exist_ok=True)
    sample.write_parquet(TARGET, compression="zstd", compression_level=19)
    print(f"{TARGET}: {sample.height} rows, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
