"""The one decision rule: a forecast and a quote in, what to do out. Pure; all that trades or shows a decision asks it.

Expected change of the price: with p the probability of a move beyond cost, v the market's own volatility over the
horizon, u and d the mean moves above and below the label's threshold in units of v,

    p · v·u + (1 − p) · v·d         a fraction of the price; of a binary market in units of its payoff 1,
                                    each move kept within [−price, 1 − price]: nothing earns more than the payoff
    p − price                       where a binary market's own outcome is forecast: it is then held to its resolution

Net edge of a side = that change in the side's favour, less what entry and exit cost. One enters where it exceeds the
margin, holds until `horizon_bars` after the last bar that would enter on the same side, and leaves earlier only when
the other side's net edge exceeds the margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.costs import Costs, unit_cost
from pipelines.figures import percent_text
from pipelines.sizing import position_weight
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]
    Sides = npt.NDArray[np.int8]

ACTIONS = ("buy", "sell", "hold", "close")
_UNKNOWN = "nothing is expected: the market did not move, or not for long enough to tell"
_NO_MOVE = 1e-12  # moves as close as this make no probability differ
UNSURE = 0.5  # confidence where nothing says how far an edge may be off


@dataclass(frozen=True)
class Rules:
    """How forecasts are traded. margin: net edge above which one enters, a fraction. to_resolution: forecasts are of
    what binary markets pay, and a position is held until then."""

    horizon_bars: int
    margin: float = 0.0
    allow_short: bool = False
    max_positions: int = 5
    max_weight: float = 0.2
    to_resolution: bool = False

    @property
    def weight(self) -> float:
        """Fraction of equity for a new position."""
        return position_weight(self.max_positions, self.max_weight)


@dataclass(frozen=True)
class Forecast:
    """What is expected of one market. probability: of a move up beyond cost, or of YES where `to_resolution`.

    volatility: v; up, down: u and d; error: standard error of the expected change in units of v, None where unknown.
    """

    probability: float
    volatility: float = 0.0
    up: float = 0.0
    down: float = 0.0
    error: float | None = None
    to_resolution: bool = False


@dataclass(frozen=True)
class Quote:
    """What the market shows: its price, and half its spread (as in Costs.half_spread) where quotes are known."""

    price: float
    half_spread: float | None = None


@dataclass(frozen=True)
class Holding:
    """A position: side 1 or -1 (short; NO of a binary market), 0 for none; `bars_left` until its horizon ends."""

    side: int = 0
    bars_left: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do at the next open. side: 1, -1 or 0, what to be in.

    edge: net edge of buying; net_edge: of the better side; both a fraction (see the module). threshold: the probability
    at which that side's net edge reaches the margin, None where none in 0..1 does; distance: how far the forecast lies
    beyond it, below 0 where it falls short. weight: fraction of equity for a new position, 0 where none is opened.
    """

    action: str
    side: int
    edge: float
    net_edge: float
    threshold: float | None
    distance: float | None
    weight: float
    confidence: float
    reason: str


class Columns(NamedTuple):
    """Forecasts, quotes and costs of many markets or bars, one array each; binary and to_resolution are 0 or 1.

    distance: half spread and slippage. NaN for unknown: where a forecast is, no change is expected.
    """

    price: Floats
    probability: Floats
    volatility: Floats
    up: Floats
    down: Floats
    error: Floats
    distance: Floats
    fee: Floats
    is_binary: Bools
    to_resolution: Bools


class Edges(NamedTuple):
    """Net edge of buying and of selling (a binary market: of its NO), whether one may sell, and threshold, distance and
    confidence of the better side of those that one may take."""

    long: Floats
    short: Floats
    may_short: Bools
    threshold: Floats
    distance: Floats
    confidence: Floats

    @property
    def net(self) -> Floats:
        """Net edge of the better side."""
        import numpy as np

        return np.maximum(self.long, np.where(self.may_short, self.short, -np.inf))


def edges_of(rows: Columns, margin: float, allow_short: bool) -> Edges:
    """Net edges, as fractions, of each row; threshold and distance are NaN where no probability would do.

    Where short sales are not allowed the better side is buying; NO of a binary market can always be bought.
    """
    import numpy as np

    high, low = _moves(rows)
    change = np.where(rows.to_resolution, rows.probability - rows.price, rows.probability * high)
    change = change + np.where(rows.to_resolution, 0.0, (1 - rows.probability) * low)
    change = np.where(np.isfinite(change), change, 0.0)  # nothing is known: nothing is expected
    binary = rows.is_binary.astype(np.float64)
    unit = np.where(rows.is_binary, 1.0, rows.price)
    buy = unit_cost(rows.price, 1, rows.distance, rows.fee, binary) / unit
    sell = unit_cost(rows.price, -1, rows.distance, rows.fee, binary) / unit
    # A payout is booked without a fill.
    long_cost = buy + np.where(rows.to_resolution, 0.0, sell)
    short_cost = sell + np.where(rows.to_resolution, 0.0, buy)
    long, short = change - long_cost, -change - short_cost
    may_short = rows.is_binary | allow_short
    is_short = may_short & (short > long)
    side = np.where(is_short, -1.0, 1.0)
    cost = np.where(is_short, short_cost, long_cost)
    spread = np.where(rows.to_resolution, 1.0, high - low)
    base = np.where(rows.to_resolution, -rows.price, low)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        threshold = np.where(spread > _NO_MOVE, (side * (cost + margin) - base) / spread, np.nan)
        threshold = np.where((threshold >= 0) & (threshold <= 1), threshold, np.nan)
        ratio = np.where(is_short, short, long) / (rows.error * np.where(rows.to_resolution, 1.0, rows.volatility))
    return Edges(
        long=long,
        short=short,
        may_short=may_short,
        threshold=threshold,
        distance=side * (rows.probability - threshold),
        confidence=np.where(np.isnan(ratio), UNSURE, _normal(np.nan_to_num(ratio))),
    )


def _moves(rows: Columns) -> tuple[Floats, Floats]:
    """The move up and the move down."""
    high, low = rows.volatility * rows.up, rows.volatility * rows.down
    return within_payoff(high, rows.price, rows.is_binary), within_payoff(low, rows.price, rows.is_binary)


def within_payoff(move: Floats, price: Floats, is_binary: Bools) -> Floats:
    """`move`, of binary markets kept within [-price, 1 - price]: nothing earns more than the payoff."""
    import numpy as np

    bounded: Floats = np.where(is_binary, np.minimum(np.maximum(move, -price), 1 - price), move)
    return bounded


def entering(long: Floats, short: Floats, margin: float) -> Sides:
    """The side whose net edge, of `long` and `short`, exceeds the margin: 1, -1, or 0; -1 also where one may not sell:
    it ends a holding."""
    import numpy as np

    side = np.where((long > margin) & (long >= short), 1, np.where(short > margin, -1, 0))
    return side.astype(np.int8)


def wanted_side(held: int, bars_left: int, enters: int, allow_short: bool) -> int:
    """The side to be in at the next open, given the one that the newest bar would enter: the rule of holding.

    Plain arithmetic: the simulation compiles it.
    """
    wanted = enters if enters > 0 or allow_short else 0
    if held == 0 or enters == -held or (bars_left <= 0 and enters == 0):
        return wanted
    return held


def decide(forecast: Forecast, quote: Quote, costs: Costs, holding: Holding, rules: Rules) -> Decision:
    """What to do about one market at its next open."""
    import numpy as np

    known = costs if quote.half_spread is None else costs.quoted(quote.half_spread)
    values = (
        quote.price,
        forecast.probability,
        forecast.volatility,
        forecast.up,
        forecast.down,
        math.nan if forecast.error is None else forecast.error,
        known.distance(quote.price),
        known.fee,
    )
    arrays: list[Any] = [np.asarray([value], dtype=np.float64) for value in values]
    arrays += [np.asarray([costs.is_binary]), np.asarray([forecast.to_resolution])]
    rows = Columns(*arrays)
    return decide_all(rows, rules, [holding])[0]


def decide_all(rows: Columns, rules: Rules, holdings: Sequence[Holding] | None = None) -> list[Decision]:
    """One decision for each row; without `holdings` nothing is held."""
    edges = edges_of(rows, rules.margin, rules.allow_short)
    enters = entering(edges.long, edges.short, rules.margin)
    known = rows.to_resolution | (rows.volatility > 0)
    decisions = []
    for number, side in enumerate(enters.tolist()):
        holding = Holding() if holdings is None else holdings[number]
        net = float(edges.net[number])
        wanted = wanted_side(holding.side, holding.bars_left, side, bool(edges.may_short[number]))
        action = _action(holding.side, wanted)
        threshold, distance = (_or_none(values[number]) for values in (edges.threshold, edges.distance))
        decisions.append(
            Decision(
                action=action,
                side=wanted,
                edge=float(edges.long[number]),
                net_edge=net,
                threshold=threshold,
                distance=None if threshold is None else distance,
                weight=rules.weight if action in ("buy", "sell") else 0.0,
                confidence=float(edges.confidence[number]),
                reason=_reason(holding, side, wanted, net, rules) if known[number] else _UNKNOWN,
            )
        )
    return decisions


def _action(held: int, wanted: int) -> str:
    if held == wanted:
        return "hold"
    return {1: "buy", -1: "sell", 0: "close"}[wanted]


def _reason(holding: Holding, enters: int, wanted: int, net: float, rules: Rules) -> str:
    """Why, in words. Percent of the notional; of a binary market points of its payoff."""
    edge, margin = percent_text(net, 3, sign=True), percent_text(rules.margin, 3)
    if holding.side == 0:
        return f"net edge {edge} {'exceeds' if wanted else 'does not exceed'} the margin of {margin}"
    if enters == -holding.side:
        return f"the other side's net edge exceeds the margin of {margin}"
    if wanted == 0:
        return f"no bar of the last {rules.horizon_bars} would have entered here"
    if enters == holding.side:
        return f"net edge {edge} would enter again: the horizon starts over"
    return f"held until its horizon ends, in {holding.bars_left} bars"


def _or_none(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _normal(values: Floats) -> Floats:
    """Φ, the standard normal distribution function: (1 + erf(x / √2)) / 2."""
    import numpy as np

    erf = np.vectorize(math.erf, otypes=[np.float64])
    result: Floats = (1 + erf(values / math.sqrt(2))) / 2 if values.size else values
    return result
