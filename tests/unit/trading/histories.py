"""Random histories of an account: what a platform says of them at some moment, and right books that know a part."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.trading.ledger import filled_of
from agent.trading.model import Fill, Key, Movement
from agent.trading.reconcile import booked_with
from agent.trading.reconcile.facts import BookMovement, Books, Discrepancy, Snapshot
from agent.trading.states.orders import client_order_id
from tests.unit.trading.books import KEY, NOW, D, books, fill, listed, order

OTHER: Key = ("other", "")
ORDERS = tuple(client_order_id(name, "open", 0) for name in "abc")
USUAL = {"missed_fill", "missed_end", "external_fill", "deposit"}  # what right books lack
LATEST = NOW + timedelta(days=1)


@dataclass(frozen=True)
class History:
    """What happened at a platform before NOW: fills of three orders of ours and of somebody else, cash that came,
    orders that were cancelled. prepared: when each order was."""

    prepared: Mapping[str, datetime]
    fills: tuple[Fill, ...]
    paid: tuple[Movement, ...]
    cancelled: Mapping[str, datetime]

    @staticmethod
    def drawn(chance: random.Random, seconds: float = 30) -> History:
        """Of so many seconds, and something in the last six of them."""

        def moment() -> datetime:
            return NOW - timedelta(seconds=chance.choice([chance.uniform(0, 6), chance.uniform(0, seconds)]))

        fills, cancelled, prepared = [], {}, {}
        for its in ORDERS:
            prepared[its] = min(moment(), NOW - timedelta(seconds=seconds / 2)) - timedelta(seconds=30)
            left, ends_at = 10, moment() if chance.random() < 0.3 else None
            for number in range(chance.randrange(5)):
                quantity, ts = chance.randint(1, left), moment()
                if prepared[its] < ts and (ends_at is None or ts < ends_at):
                    left -= quantity
                    fills.append(fill(f"{its}{number}", str(quantity), client_order_id=its, ts=ts, fee=D("0.3")))
                if not left:
                    break
            if left and ends_at is not None and ends_at > prepared[its]:
                cancelled[its] = ends_at
        for number in range(chance.randrange(3)):
            changes = {"market_id": chance.choice(["m", "other"]), "side": chance.choice(["buy", "sell"])}
            fills.append(fill(f"x{number}", str(chance.randint(1, 5)), client_order_id=None, ts=moment(), **changes))
        paid = [
            Movement(external_id=f"d{n}", kind="deposit", amount=D(70), ts=moment()) for n in range(chance.randrange(3))
        ]
        return History(prepared, tuple(fills), tuple(paid), cancelled)

    def books(self, known: datetime) -> Books:
        """Right books that know of what happened until then."""
        fills = tuple(one for one in self.fills if one.ts <= known)
        rows = []
        for its in ORDERS:
            filled, _ = filled_of(fills, its)
            ended = self.cancelled.get(its)
            status, at = "partial" if filled else "open", None
            if ended is not None and ended <= known:
                status, at = "cancelled", ended
            elif filled == 10:
                status, at = "filled", max(one.ts for one in fills if one.client_order_id == its)
            sent = {"prepared_at": self.prepared[its], "first_sent_at": self.prepared[its]}
            rows.append(order(status, client_order_id=its, platform_order_id=its, filled=filled, status_at=at, **sent))
        made = books(*rows, fills=fills)
        return booked_with(made, [noted(one) for one in self.paid if one.ts <= known])

    def platform(self, at: datetime, chance: random.Random) -> Snapshot:
        """What it says at `at`: its answers are up to as many seconds behind as count as young, but no fill or deposit
        that cash or a position has in it is left out of its list, and no order shows more than is listed."""
        lags = sorted(timedelta(seconds=chance.choice([0, chance.uniform(0, 4.9)])) for _ in range(4))
        listed_to, rest = at - lags[0], [at - one for one in chance.sample(lags[1:], 3)]
        orders_to, cash_to, held_to = rest
        fills = tuple(one for one in self.fills if one.ts <= listed_to)
        rows = []
        for its in ORDERS:
            filled, _ = filled_of([one for one in fills if one.ts <= orders_to], its)
            is_over = self.cancelled.get(its, LATEST) <= orders_to
            status = "cancelled" if is_over else "filled" if filled == 10 else "open"
            rows.append(listed(status, str(filled), client_order_id=its, platform_order_id=its))
        return Snapshot(
            at=at,
            orders=tuple(rows),
            asked=frozenset(ORDERS),
            fills=fills,
            movements=tuple(one for one in self.paid if one.ts <= listed_to),
            holdings=self.books(held_to).holdings,
            cash=self.books(cash_to).cash,
            mids={KEY: D(100), OTHER: D(100)},
            has_old_fills=True,
        )


def noted(paid: Movement) -> Discrepancy:
    return Discrepancy(case=22, kind="deposit", resolution="corrected", acts=(BookMovement(paid),))
