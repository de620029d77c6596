"""How large a position may be. Pure; the backtest and the trading agent share it."""

from __future__ import annotations


def position_weight(max_positions: int, max_weight: float) -> float:
    """Fraction of equity for one new position: an equal share, never more than `max_weight`.

    Equal weights are the reference that estimated ones rarely beat out of sample (DeMiguel, Garlappi and Uppal 2009,
    Review of Financial Studies 22).
    """
    return min(max_weight, 1.0 / max_positions)


def entry_notional(equity: float, cash: float, exposure: float, weight: float, cost_fraction: float) -> float:
    """Notional of a new position in units of account, 0 where there is no room.

    At most `weight` of `equity`; the sum of absolute notionals (`exposure`) never passes equity, so nothing is bought
    or sold short on credit; and `cash` pays for it with its costs (`cost_fraction` of the notional).
    """
    room = min(weight * equity, equity - exposure, cash)
    return max(0.0, room / (1.0 + cost_fraction))
