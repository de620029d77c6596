"""What chance would have earned: the model's trades again, in markets and at times drawn at random. Pure.

Each draw repeats every trade of the model, with its side, its weight and the number of bars it was held, from the open
of a bar drawn among all bars of the piece (of binary markets for a trade in one, of others else). So each draw has the
model's exposure, and what differs is its knowledge. A draw's growth is the product of 1 + weight · net return over its
trades; the model's own trades are compounded by the same formula, so that the two can be compared.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from pipelines.costs import fill_price, unit_fee
from pipelines.modelling.kernel import RESOLVED, RUINED, Closed
from pipelines.modelling.simulation import Piece

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]

DRAWS = 200
_LEAST_GROWTH = 1e-9  # a draw that loses everything has a logarithm all the same


class Draws(NamedTuple):
    """By draw: sum of ln(1 + weight · net return), and winning trades. own_: the same of the model's trades.

    Sums over pieces are the draws of the whole history.
    """

    growth: Floats
    wins: Whole
    own_growth: float
    own_wins: int
    trades: int


def draw_entries(piece: Piece, trades: Closed, seed: int, key: str, draws: int = DRAWS) -> Draws:
    """Repeat `trades` at random in the bars of `piece`; `key` names the piece, so that each one has its own chance."""
    import numpy as np

    growth, wins = np.zeros(draws), np.zeros(draws, dtype=np.int64)
    own = trades.weight * trades.pnl / (trades.quantity * trades.entry_price)
    own_growth = float(np.log(np.maximum(1 + own, _LEAST_GROWTH)).sum()) if len(own) else 0.0
    chance = np.random.default_rng(random.Random(f"{seed}:{key}").getrandbits(64))
    by_market = np.argsort(_small(piece.opens.market), kind="stable")
    counts = np.bincount(piece.opens.market, minlength=len(piece.names))
    bars = _Bars(by_market, np.cumsum(counts) - counts, np.cumsum(counts) - 1)
    binary = piece.markets.is_binary != 0
    for is_binary in (False, True):
        mine = binary[trades.market] == is_binary
        if not mine.any():
            continue
        rows = np.flatnonzero((binary == is_binary)[piece.opens.market[by_market]])
        some = Closed(*(column[mine] for column in trades))
        for number in range(draws):
            change = _returns(piece, some, bars, rows[chance.integers(0, len(rows), len(some.side))])
            growth[number] += float(np.log(np.maximum(1 + some.weight * change, _LEAST_GROWTH)).sum())
            wins[number] += int((change > 0).sum())
    return Draws(growth, wins, own_growth, int((own > 0).sum()), len(own))


class _Bars(NamedTuple):
    """Rows of opens in the order of (market, time), and the place there of each market's first and last one."""

    row: Whole
    first: Whole
    last: Whole


def _returns(piece: Piece, trades: Closed, bars: _Bars, drawn: Whole) -> Floats:
    """Net return of each trade, begun at the place `drawn` of `bars`."""
    import numpy as np

    market = piece.opens.market[bars.row[drawn]]
    last = bars.last[market]
    # Where too few bars follow for the holding, it begins as late as it can.
    begin = np.maximum(np.minimum(drawn, last - trades.bars_held), bars.first[market])
    entry, exit_ = bars.row[begin], bars.row[np.minimum(begin + trades.bars_held, last)]
    binary = piece.markets.is_binary[market]
    sign = np.where((trades.side < 0) & (binary == 0), -1, 1)
    is_no = (trades.side < 0) & (binary != 0)
    fee = piece.markets.fee[market]
    bought = _contract(piece, entry, is_no)
    sold = _contract(piece, exit_, is_no)
    paid = fill_price(bought, sign, piece.opens.distance[entry], binary)
    got = np.maximum(fill_price(sold, -sign, piece.opens.distance[exit_], binary), 0.0)
    free = (trades.reason == RESOLVED) | (trades.reason == RUINED)  # such an exit paid nothing
    costs = unit_fee(paid, fee, binary) + np.where(free, 0.0, unit_fee(got, fee, binary))
    change: Floats = (sign * (got - paid) - costs) / np.maximum(paid, _LEAST_GROWTH)
    return change


def _contract(piece: Piece, rows: Whole, is_no: npt.NDArray[np.bool_]) -> Floats:
    import numpy as np

    price = piece.opens.price[rows]
    contract: Floats = np.where(is_no, 1 - price, price)
    return contract


def _small(markets: npt.NDArray[np.int32]) -> npt.NDArray[np.generic]:
    """NumPy sorts numbers of 16 bits by radix, ten times as fast as wider ones."""
    import numpy as np

    return markets.astype(np.uint16) if len(markets) == 0 or int(markets.max()) < 2**16 else markets
