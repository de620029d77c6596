"""Books against the platform: every difference, what is done about it, and what waits for a person. Pure.

At start, on a new connection and each minute. Done twice with the same facts, the second time finds nothing to do: ids
of what nobody listed are made from what it explains. An incomplete snapshot gives no verdict, and neither does what is
younger than a few seconds. While an older kill is not reset nothing is reconciled: closing goes on first.
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
    is_young,
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
    orders = list(compare_orders(books, platform, policy, _is_explained(booked, platform, policy)))
    booked = booked_with(booked, orders)
    # What an order did that is being asked about may be all the difference there is.
    asking = {one.key for one in orders if any(isinstance(act, Ask) for act in one.acts)}
    positions = [one for one in compare_holdings(booked, booked.holdings, platform, policy) if one.key not in asking]
    booked = booked_with(booked, positions)
    is_pending = any(is_young(one, platform, policy) for one in books.orders) or any(
        isinstance(act, Ask) for one in (*orders, *positions) for act in one.acts
    )
    cash = [] if is_pending else list(compare_cash(booked, booked.cash, platform, policy))
    return (*fills, *orders, *positions, *cash)


def booked_with(books: Books, found: Sequence[Discrepancy]) -> Books:
    """The books after the fills and the cash among the acts of `found`."""
    acts = [act for one in found for act in one.acts]
    settled = {act.fill_id for act in acts if isinstance(act, SettleFill)}
    fills = [replace(one, settlement="confirmed") if one.fill_id in settled else one for one in books.fills]
    movements = [*books.movements, *(act.movement for act in acts if isinstance(act, BookMovement))]
    new = [act.fill for act in acts if isinstance(act, BookFill)]
    fills = list(ledger.with_fills(fills, new, movements))
    kept = ledger.Books()
    for event in ledger.in_order(fills, movements):
        kept.add(event)
    held = {key: Holding(line.quantity, line.average) for key, line in kept.lines.items() if line.quantity}
    return replace(books, fills=tuple(fills), movements=tuple(movements), holdings=held, cash=kept.cash)


def _is_explained(booked: Books, platform: Snapshot, policy: Policy) -> bool:
    """Whether positions and cash are as the books say: then an order that is not found did nothing."""
    if platform.holdings is None:
        return False
    differences = [*compare_holdings(booked, booked.holdings, platform, policy)]
    differences += [one for one in compare_cash(booked, booked.cash, platform, policy) if one.kind.startswith("cash_")]
    return not differences
