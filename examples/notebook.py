"""Features and predictions as frames, and a chart of them: run it where the pipeline has run, or cell by cell."""

# %% What there is: features of every bar, and the newest predictions
from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

import pipelines

predictions = pipelines.load("predictions")
print(predictions.select("market_id", "ts", "probability", "edge", "confidence").sort("edge", descending=True))

# %% Only what was known a year before: rows with ts at or before it
newest = predictions.get_column("ts").max()
assert isinstance(newest, datetime)
features = pipelines.load(
    "features", as_of=newest - timedelta(days=365), columns=["market_id", "ts", "rsi", "price_zscore_long"]
)
print(features.group_by("market_id").agg(pl.len().alias("bars"), pl.col("rsi").mean()).sort("market_id"))

# %% A market's closes and how far they stand from their mean of 60 bars
market = predictions.get_column("market_id")[0]
bars = pipelines.load("bars").filter(pl.col("market_id") == market)
scores = features.filter(pl.col("market_id") == market)
figure = go.Figure(
    [
        go.Scatter(x=bars.get_column("ts"), y=bars.get_column("close"), name="close"),
        go.Scatter(x=scores.get_column("ts"), y=scores.get_column("price_zscore_long"), name="z-score", yaxis="y2"),
    ],
    {"title": f"{market}: close, and z-score over 60 bars", "yaxis2": {"overlaying": "y", "side": "right"}},
)
path = Path("notebook.html").absolute()
figure.write_html(path)
print(f"chart: {path}")
