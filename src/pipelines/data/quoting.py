"""What prices and amounts are counted in: the quote currency of each market, in words. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

_DIGITS = 5  # of a price whose tick is not known


def price_text(price: float, tick_size: float | None = None, currency: str | None = None) -> str:
    """A price rounded to the market's tick, else to five digits, at least two of them decimals; with its currency where
    that is known: "1,234.50 USD"."""
    return _rounded(price, tick_size) + (f" {currency}" if currency else "")


def _rounded(price: float, tick_size: float | None) -> str:
    if tick_size and math.isfinite(price):
        tick = Decimal(repr(tick_size))
        places = max(0, -int(tick.normalize().as_tuple().exponent))
        steps = (Decimal(repr(price)) / tick).to_integral_value()
        return f"{steps * tick:,.{places}f}"
    if price == 0 or not math.isfinite(price):
        return f"{price:.2f}"
    places = min(max(2, _DIGITS - 1 - math.floor(math.log10(abs(price)))), 12)
    whole, _, decimals = f"{price:,.{places}f}".partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def account_text(currencies: Iterable[str | None]) -> str:
    """What an account over markets of these quote `currencies` (one per market, None where it is not known) is counted
    in. Amounts in several currencies have no sum: that they are fractions of the start, each in its own, is said."""
    counts = Counter(currencies)
    unknown = counts.pop(None, 0)
    known = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    if not known:
        return (
            "The quote currency of the markets is not known (quote_currency of their source says it): equity, P&L and "
            "costs are multiples of the start."
        )
    is_one = len(known) == 1 and not unknown
    if is_one:
        name = known[0][0]
        return f"All markets are quoted in {name}: equity, P&L and costs are multiples of the start in {name}."
    parts = [f"{_markets(count)} in {name}" for name, count in known]
    parts += [f"{_markets(unknown)} in a currency that is not known"] if unknown else []
    return (
        f"Mixed currencies: quoted are {', '.join(parts)}. Equity, P&L and costs are multiples of the start: each "
        "position counts by its return in its own currency, without changes of exchange rates, so they are an amount "
        "in none of these."
    )


def _markets(count: int) -> str:
    return f"{count:,} market{'' if count == 1 else 's'}"
