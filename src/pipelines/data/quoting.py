"""What prices and amounts are counted in: the quote currency of each market, in words. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from pipelines.figures import number_text

_DIGITS = 5  # of a price whose tick is not known


def rounded_price(price: float, tick_size: float | None = None) -> float:
    """A price as it is shown: a multiple of the market's tick where that is known, else by five digits, at least two of
    them decimals."""
    if not math.isfinite(price):
        return price
    if not tick_size:
        return round(price, _decimals(price))
    tick = Decimal(repr(tick_size))
    return float((Decimal(repr(price)) / tick).to_integral_value() * tick)


def price_text(price: float, tick_size: float | None = None, currency: str | None = None) -> str:
    """`rounded_price` with all decimals of the tick, or at least two; with its currency where that is known:
    "1,234.50 USD"."""
    text = number_text(rounded_price(price, tick_size), _decimals(price, tick_size))
    if not tick_size:
        whole, point, decimals = text.partition(".")
        text = f"{whole}{point}{decimals[:2]}{decimals[2:].rstrip('0')}"
    return f"{text} {currency}" if currency else text


def _decimals(price: float, tick_size: float | None = None) -> int:
    if tick_size:
        return max(0, -int(Decimal(repr(tick_size)).normalize().as_tuple().exponent))
    if price == 0 or not math.isfinite(price):
        return 2
    return min(max(2, _DIGITS - 1 - math.floor(math.log10(abs(price)))), 12)


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
