"""What a trade costs beside its price. Pure; the backtest and the trading agent share it.

Rates are in basis points (1 bp = 0.0001) of the notional, per fill: a round trip pays twice.
"""

from __future__ import annotations

from dataclasses import dataclass

BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True)
class Costs:
    """A platform's fee and the expected slippage, each a fraction of the notional of one fill."""

    fee_fraction: float = 0.0
    slippage_fraction: float = 0.0

    @classmethod
    def from_bps(cls, fee_bps: float, slippage_bps: float) -> Costs:
        """Costs from basis points a fill."""
        return cls(fee_bps * BASIS_POINT, slippage_bps * BASIS_POINT)

    @property
    def fill_fraction(self) -> float:
        """Most that one fill costs, as a fraction of its notional before slippage."""
        return (1.0 + self.slippage_fraction) * (1.0 + self.fee_fraction) - 1.0

    def fill_price(self, price: float, quantity: float) -> float:
        """Price at which `quantity` (signed: bought > 0, sold < 0) is filled when the market shows `price`."""
        return price * (1.0 + (self.slippage_fraction if quantity > 0 else -self.slippage_fraction))

    def fee(self, quantity: float, fill_price: float) -> float:
        """The platform's fee for `quantity` (signed) at `fill_price`, in units of account, >= 0."""
        return abs(quantity) * fill_price * self.fee_fraction
