"""What a trade costs beside its price. Pure; label, decision, backtest and trading agent read this one object.

A fill at a market's price p pays half the spread and slippage on top, and the platform's fee. Of most markets these are
fractions of the price. A binary contract pays 1 or 0, so its spread is counted in units of that payoff, and its fee is
rate · p · (1 − p) for each contract (Kalshi's published schedule), which is the same for YES at p and NO at 1 − p.

The formulas use arithmetic alone: they take floats, NumPy arrays, Polars expressions, and numba compiles them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.settings import setting
from pipelines.values import dataclass

BASIS_POINT = 1e-4
BINARY = "binary"
COST_COLUMNS = ("half_spread", "slippage", "fee")  # of the table of markets


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of one fill in one market; a round trip pays twice, a payout at resolution nothing.

    half_spread, slippage: distance of the fill from the market's price, a fraction of it; of a binary market in units
    of its payoff 1. fee: fraction of the notional; of a binary market the rate of rate · p · (1 − p).
    is_default: no setting named the market or its kind.
    """

    half_spread: float = 0.0
    slippage: float = 0.0
    fee: float = 0.0
    is_binary: bool = False
    is_default: bool = False

    @classmethod
    def from_bps(cls, fee_bps: float, slippage_bps: float) -> Costs:
        """Costs without a spread from basis points of the notional a fill."""
        return cls(slippage=slippage_bps * BASIS_POINT, fee=fee_bps * BASIS_POINT)

    def quoted(self, half_spread: float) -> Costs:
        """The same costs where half the spread is known."""
        return replace(self, half_spread=half_spread)

    def distance(self, price: float) -> float:
        """How far a fill lies from the market's `price`, in the unit of `half_spread`. Quotes of a binary market lie
        within 0..1, so half their spread is at most what is left on the nearer side."""
        half_spread = min(self.half_spread, price, 1 - price) if self.is_binary else self.half_spread
        return half_spread + self.slippage

    def fill_price(self, price: float, side: int) -> float:
        """Price at which one buys (side 1) or sells (side -1) when the market shows `price`; binary: within 0..1."""
        filled: float = fill_price(price, side, self.distance(price), self.is_binary)
        return min(max(filled, 0.0), 1.0) if self.is_binary else filled

    def unit_fee(self, filled: float) -> float:
        """The platform's fee for one unit (contract, share, coin) filled at `filled`, in units of account, >= 0."""
        fee: float = unit_fee(filled, self.fee, self.is_binary)
        return fee

    def unit_cost(self, price: float, side: int) -> float:
        """What one fill of one unit costs beside `price`, in units of account."""
        cost: float = unit_cost(price, side, self.distance(price), self.fee, self.is_binary)
        return cost


def fill_price(price: Any, side: Any, distance: Any, is_binary: Any) -> Any:
    """price + side · distance of a binary market, price · (1 + side · distance) of others; `is_binary` is 0 or 1."""
    return price + side * distance * (is_binary + (1 - is_binary) * price)


def unit_fee(filled: Any, fee: Any, is_binary: Any) -> Any:
    """fee · p · (1 − p) of a binary market, fee · p of others, at the fill's price p."""
    return fee * filled * (1 - is_binary * filled)


def unit_cost(price: Any, side: Any, distance: Any, fee: Any, is_binary: Any) -> Any:
    """Cost of a fill beside the market's price: distance of the fill and fee, in units of account per unit traded."""
    filled = fill_price(price, side, distance, is_binary)
    return side * (filled - price) + unit_fee(filled, fee, is_binary)


@dataclass(frozen=True)
class CostSettings:
    """`[markets.costs.KIND]`, or `[markets.costs."SOURCE:MARKET"]` for one market. Unset: as of its kind."""

    fee_bps: float | None = setting(
        None, "the platform's fee for each fill; not of binary markets", unit="basis points", low=0, high=1000
    )
    fee_rate: float | None = setting(
        None, "binary markets: the fee of each contract is fee_rate x p x (1 - p)", unit="0..1", low=0, high=1
    )
    half_spread_bps: float | None = setting(
        None,
        "half the distance of bid and ask where no quotes are known; of binary markets in units of the payoff, so that "
        "100 is one cent",
        unit="basis points",
        low=0,
        high=5000,
    )
    slippage_bps: float | None = setting(
        None, "fill against the quote, each fill, in the same unit", unit="basis points", low=0, high=5000
    )


@dataclass(frozen=True, slots=True)
class Default:
    """Costs of a kind where nothing is set, and where they come from."""

    costs: Costs
    source: str


DEFAULTS: Mapping[str, Default] = {
    "equity": Default(
        Costs(half_spread=2e-4, slippage=2e-4, fee=1e-4),
        "Interactive Brokers' fixed price of 0.005 dollars a share, 1 bp of a share of 50 dollars; 2 bp of half spread "
        "is our allowance",
    ),
    "spot": Default(
        Costs(half_spread=2e-4, slippage=2e-4, fee=10e-4),
        "Binance's published spot fee of 0.10 % for regular takers; 2 bp of half spread is our allowance",
    ),
    "fx": Default(
        Costs(half_spread=0.8e-4, slippage=0.2e-4),
        "a spread of 1.6 bp as retail brokers publish for EUR/USD, no commission: our allowance",
    ),
    BINARY: Default(
        Costs(half_spread=0.01, fee=0.07, is_binary=True),
        "Kalshi's published fee schedule, 0.07 x p x (1 - p); a spread of two cents is our allowance",
    ),
}


def costs_of(market_id: str, kind: str, tick_size: float | None, settings: Mapping[str, CostSettings]) -> Costs | None:
    """Costs of one market: what is set for it, else for its kind, else the kind's default. Half the spread is at least
    half a tick of a binary market, whose ticks are in units of its payoff.

    None for a kind that has neither settings of its own nor a default: nobody trades there, and the gate refuses a
    release with it.
    """
    known = [settings[name] for name in (market_id, kind) if name in settings]
    default = DEFAULTS.get(kind)
    if default is None and not known:
        return None
    base = Costs() if default is None else default.costs

    def told(name: str, otherwise: float, unit: float = BASIS_POINT) -> float:
        values = (getattr(one, name) for one in known)
        return next((value * unit for value in values if value is not None), otherwise)

    half_spread = told("half_spread_bps", base.half_spread)
    is_binary = kind == BINARY
    return Costs(
        half_spread=max(half_spread, (tick_size or 0.0) / 2) if is_binary else half_spread,
        slippage=told("slippage_bps", base.slippage),
        fee=told("fee_rate", base.fee, 1.0) if is_binary else told("fee_bps", base.fee),
        is_binary=is_binary,
        is_default=not known,
    )
