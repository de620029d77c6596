"""Books against the platform: every difference, what is done about it, and what waits for a person. Pure.

At start, on a new connection and each minute. Done twice with the same facts, the second time finds nothing to do: ids
of what nobody listed are made from what it explains. An incomplete snapshot gives no verdict. What is younger than a
few seconds is judged the next time: its order and its position, and with them cash. While an older kill is not reset
nothing is reconciled: closing goes on first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.trading import ledger
from agent.trading.reconcile.facts import (
    Ask,
    BookFill,
    BookMovement,
    Books,
    Discrepancy,
    Holding,
    Policy,
    SettleFill,
    Snapshot,
    is_recent,
    young_keys,
)
from agent.trading.reconcile.of_holdings import compare_cash, compare_fills, compare_holdings, open_books
from agent.trading.reconcile.of_orders import compare_orders


def reconcile(books: Books, platform: Snapshot, policy: Policy) -> tuple[Discrepancy, ...]:
    """All differences, in the order in which their acts are to be carried out: fills, orders, positions, cash."""
    if books.is_killed:
        return (Discrepancy(case=28, kind="killed", resolution="ignored", note="closing goes on first"),)
    if not platform.is_complete:
        return ()
    if books.opened_at is None:
        return tuple(open_books(books, platform, policy))
    fills = list(compare_fills(books, platform, policy))
    booked = booked_with(books, fills)
    explained = None if is_moving(books, platform, policy) else _is_explained(booked, platform, policy)
    orders = list(compare_orders(books, platform, policy, explained))
    booked = booked_with(booked, orders)
    # What an order did that is being asked about may be all the difference there is.
    asking = {one.key for one in orders if _asks(one)}
    positions = [one for one in compare_holdings(booked, booked.holdings, platform, policy) if one.key not in asking]
    booked = booked_with(booked, positions)
    waits = is_moving(booked, platform, policy) or any(map(_asks, (*orders, *positions)))
    cash = compare_cash(booked, booked.cash, platform, policy, is_moving=waits)
    return (*fills, *orders, *positions, *cash)


def is_moving(books: Books, platform: Snapshot, policy: Policy) -> bool:
    """Whether something is so young that cash cannot be judged: an order, a fill, or cash that came or went."""
    moved = (one for one in (*books.movements, *platform.movements) if one.kind != "adjustment")  # that is our own word
    return bool(young_keys(books, platform, policy)) or any(is_recent(one.ts, platform, policy) for one in moved)


def is_agreed(books: Books, platform: Snapshot, policy: Policy, found: Sequence[Discrepancy]) -> bool:
    """Whether all was judged, and nothing that was found is a reason to hold a trader back."""
    holds = any(one.brings is not None or one.resolution == "blocking" or _asks(one) for one in found)
    return not holds and platform.is_complete and not is_moving(books, platform, policy)


def _asks(found: Discrepancy) -> bool:
    return any(isinstance(act, Ask) for act in found.acts)


def booked_with(books: Books, found: Sequence[Discrepancy]) -> Books:
    """The books after the fills and the cash among the acts of `found`; where there are none, the same books."""
    acts = [act for one in found for act in one.acts if isinstance(act, BookFill | SettleFill | BookMovement)]
    if not acts:
        return books
    settled = {act.fill_id for act in acts if isinstance(act, SettleFill)}
    fills = [replace(one, settlement="confirmed") if one.fill_id in settled else one for one in books.fills]
    movements = (*books.movements, *(act.movement for act in acts if isinstance(act, BookMovement)))
    new = [act.fill for act in acts if isinstance(act, BookFill)]
    return summed_up(replace(books, fills=ledger.with_fills(fills, new, movements), movements=movements))


def summed_up(books: Books) -> Books:
    """The books with the positions and the cash that all of their fills and movements come to."""
    kept = ledger.rebuilt(books.fills, books.movements)
    held = {key: Holding(line.quantity, line.average) for key, line in kept.lines.items() if line.quantity}
    return replace(books, holdings=held, cash=kept.cash)


def _is_explained(booked: Books, platform: Snapshot, policy: Policy) -> bool:
    """Whether positions and cash are as the books say: then an order that is not found did nothing."""
    if platform.holdings is None:
        return False
    differences = [*compare_holdings(booked, booked.holdings, platform, policy)]
    differences += [one for one in compare_cash(booked, booked.cash, platform, policy) if one.kind.startswith("cash_")]
    return not differences
