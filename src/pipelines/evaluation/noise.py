"""Noise made of real bars: what a set-up claims to find in it is the rate at which it takes noise for skill. Pure.

History is cut into blocks of time (evaluation.blocks), which are put in another order, the same for all markets; and at
each instant all moves change their sign or none does, by the toss of a coin. What stays is how markets move: how far,
how much together, in which bursts. What goes is every way of knowing which way: given all that came before, up and down
are equally likely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.costs import BINARY
from pipelines.evaluation.blocks import time_blocks
from pipelines.source import BAR_COLUMNS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]

_FIELDS = ("open", "high", "low", "close")


def shuffled(bars: pl.DataFrame, markets: pl.DataFrame, horizon: int, seed: int) -> pl.DataFrame:
    """`bars` (BAR_COLUMNS) with prices made of their moves in another order, sorted by market and start.

    markets: market_id, kind. horizon: microseconds, as for evaluation.blocks. Starts, ends and the number of bars stay.
    Prices of binary markets stay within 0..1: a move is never larger than what is left on either side.
    """
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    ends = bars.get_column("end").unique().sort()
    number = time_blocks(ends.cast(pl.Int64).to_numpy(), horizon)
    blocks, block = np.unique(number, return_inverse=True)
    instants = pl.DataFrame(
        {
            "end": ends,
            "place": rng.permutation(len(blocks))[block],
            "sign": rng.choice([-1.0, 1.0], len(ends)),
        }
    )
    kinds = markets.select("market_id", "kind").unique("market_id")
    table = bars.join(instants, on="end", how="left").join(kinds, on="market_id", how="left").sort("market_id", "start")
    found = [_market(part) for part in table.partition_by("market_id", maintain_order=True)]
    return pl.concat(found).select(*BAR_COLUMNS) if found else bars


def outcomes(bars: pl.DataFrame, markets: pl.DataFrame, seed: int) -> pl.DataFrame:
    """`markets` where binary ones that were resolved pay 1 as often as their last price in `bars` says, else 0."""
    import numpy as np
    import polars as pl

    last = bars.sort("market_id", "end").group_by("market_id").agg(_last=pl.col("close").last())
    chance = pl.Series("_chance", np.random.default_rng(seed).uniform(size=markets.height))
    paid = (pl.col("kind") == BINARY) & pl.col("resolution").is_not_null() & pl.col("_last").is_not_null()
    return (
        markets.with_columns(chance)
        .join(last, on="market_id", how="left", maintain_order="left")
        .with_columns(
            resolution=pl.when(paid)
            .then((pl.col("_chance") < pl.col("_last")).cast(pl.Float64))
            .otherwise("resolution")
        )
        .drop("_chance", "_last")
    )


def _market(bars: pl.DataFrame) -> pl.DataFrame:
    """One market's bars in time order, made again."""
    import numpy as np
    import polars as pl

    order = np.argsort(bars.get_column("place").to_numpy(), kind="stable")
    sign = bars.get_column("sign").to_numpy()
    price = {name: bars.get_column(name).to_numpy()[order] for name in _FIELDS}
    close = bars.get_column("close").to_numpy()
    before = np.concatenate([close[:1], close[:-1]])[order]
    if bars.item(0, "kind") == BINARY:
        made = _bounded(float(close[0]), (price["close"] - before) * sign)
    else:
        made = _multiplied(float(close[0]), price, before, sign)
    ratio = {side: bars.get_column(f"{side}_close").to_numpy()[order] / price["close"] for side in ("bid", "ask")}
    quotes = {f"{side}_{name}": made[name] * ratio[side] for side in ratio for name in _FIELDS}
    columns = [pl.Series(name, values).fill_nan(None) for name, values in {**made, **quotes}.items()]
    return bars.with_columns(columns, volume=bars.get_column("volume").gather(order))


def _multiplied(first: float, price: dict[str, Floats], before: Floats, sign: Floats) -> dict[str, Floats]:
    """Prices whose logarithms move as those in `price` did from the close before, with other signs."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        moves = {name: np.nan_to_num(np.log(price[name] / before), nan=0.0, posinf=0.0, neginf=0.0) for name in _FIELDS}
    moves["high"] = np.maximum.reduce(list(moves.values()))
    moves["low"] = np.minimum.reduce([moves[name] for name in ("open", "low", "close")])
    close = first * np.exp(np.cumsum(sign * moves["close"]))
    start = np.concatenate([[first], close[:-1]])
    made = {"open": start * np.exp(sign * moves["open"]), "close": close}
    ends = [start * np.exp(sign * moves[name]) for name in ("high", "low")]
    sides = [*ends, made["open"], made["close"]]
    return {**made, "high": np.maximum.reduce(sides), "low": np.minimum.reduce(sides)}


def _bounded(first: float, moves: Floats) -> dict[str, Floats]:
    """Prices within 0..1 that move as `moves` say, by no more than what is left on the nearer side."""
    import numpy as np

    close, price = np.empty(len(moves)), first
    for number, move in enumerate(moves.tolist()):
        room = min(price, 1.0 - price)
        price += min(max(move, -room), room)
        close[number] = price
    opened = np.concatenate([[first], close[:-1]])
    return {"open": opened, "close": close, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
