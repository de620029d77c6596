"""What a position is worth: what closing it would bring now, else the best that is known, and which of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from agent.amounts import less, times, total
from agent.trading.model import ZERO, Quote

WIDEST_SPREAD = Decimal("0.2")  # of the mid; a wider book says little
STALE_SHARE = Decimal("0.1")  # of the exposure; with more of it stale there is no reading


class MarkKind(StrEnum):
    """From the best to the weakest."""

    PAYOUT = "payout"
    QUOTE = "quote"
    LAST_BOOK = "last_book"
    LAST_TRADE = "last_trade"


@dataclass(frozen=True, slots=True)
class Mark:
    """A price to value with. is_stale: it is older than allowed, or no book of two sides stands behind it."""

    price: Decimal
    ts: datetime
    kind: MarkKind
    is_stale: bool


def mark_of(
    quantity: Decimal,
    quote: Quote | None,
    *,
    now: datetime,
    max_age: timedelta,
    last_book: Quote | None = None,
    payout: Decimal | None = None,
) -> Mark | None:
    """The mark of a position of `quantity` (below 0: short). last_book: the newest good book before `quote`.

    A payout where the market is resolved; bid of a long and ask of a short where the book has two sides, is fresh and
    its spread is at most 20 % of the mid; else the mid of the last good book; else the last trade; else None.
    """
    if payout is not None:
        return Mark(payout, now, MarkKind.PAYOUT, is_stale=False)
    if quote is not None and is_good(quote) and now - quote.ts <= max_age:
        price = quote.bid if quantity > 0 else quote.ask
        assert price is not None, "a good book has two sides"
        return Mark(price, quote.ts, MarkKind.QUOTE, is_stale=False)
    for book in (quote, last_book):  # stale itself, or good before the market fell apart
        if book is not None and is_good(book) and book.mid is not None:
            return Mark(book.mid, book.ts, MarkKind.LAST_BOOK, is_stale=True)
    for book in (quote, last_book):
        if book is not None and book.last is not None and book.last_ts is not None:
            # A trade at nothing is no value: a limit that fired by it would sell for whatever is bid.
            is_stale = now - book.last_ts > max_age or not book.last
            return Mark(book.last, book.last_ts, MarkKind.LAST_TRADE, is_stale=is_stale)
    return None


def is_good(quote: Quote) -> bool:
    """Whether a book has two sides that are close enough to value by."""
    mid = quote.mid
    if mid is None or quote.bid is None or quote.ask is None:
        return False
    return less(quote.ask, quote.bid) <= times(mid, WIDEST_SPREAD)


def is_reading(marked: Iterable[tuple[Decimal, Mark | None]]) -> bool:
    """Whether (quantity, mark) pairs say what the account is worth: at most a tenth of the exposure by stale marks.

    What has no mark at all makes it none.
    """
    stale, whole = ZERO, ZERO
    for quantity, mark in marked:
        if mark is None:
            if quantity:
                return False
            continue
        exposure = times(quantity.copy_abs(), mark.price)
        whole = total((whole, exposure))
        stale = total((stale, exposure)) if mark.is_stale else stale
        if mark.is_stale and quantity and not mark.price:
            return False  # a zero that nobody quoted is no value
    return stale <= times(whole, STALE_SHARE)
