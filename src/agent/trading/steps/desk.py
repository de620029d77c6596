"""What every step of a trader needs, in one value; and what stands in its rows as the values that rules speak of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.amounts import less
from agent.clock import Clock
from agent.store.database.engine import Database
from agent.store.trading import account, booking, orders
from agent.store.trading.account import Held
from agent.trading.config import TradingAgentConfig, TradingMode
from agent.trading.feed import Feed, max_mark_age
from agent.trading.ledger import VOID
from agent.trading.measures.marks import Mark, is_good, mark_of
from agent.trading.measures.slippage import Seen
from agent.trading.model import ZERO, Account, Fill, Key, Movement, Order, Position, Quote
from agent.trading.platform import Platform, Unreachable
from agent.trading.provider import Provider
from agent.trading.rule import Rule
from agent.trading.states.orders import IN_FLIGHT
from agent.trading.states.permissions import Reason, state_of
from pipelines.values import dataclass

KILL_FILE = "KILL"  # in the project's home: touch it to close everything
Row = Mapping[str, Any]
Wait = Callable[[float], bool]  # seconds -> whether to go on


@dataclass(frozen=True)
class Desk:
    """One trader at work. markets: market id -> the pair that a person named it by; watched: those that are only looked
    at. home: where a KILL file is looked for; None: nowhere. good_books: the newest good book seen, to value by where a
    side of it is gone: a process that was started since knows none, and values by the last trade. asks_for: what an
    entry asks for before the rules, in equities. sends: False in test mode, in which the platform is only looked at.
    disputed: positions whose books and platform differ beyond what is put
    right alone, and how: how much there is to close nobody knows until a person has said."""

    database: Database
    held: Held
    config: TradingAgentConfig
    mode: TradingMode
    platform: Platform
    feed: Feed
    clock: Clock
    rules: Sequence[Rule]
    providers: Sequence[Provider]
    markets: Mapping[str, str]
    watched: frozenset[str] = field(default=frozenset())
    home: Path | None = None
    good_books: dict[Key, Quote] = field(default_factory=dict)
    asks_for: Decimal = field(default=Decimal(1))
    sends: bool = field(default=True)
    disputed: dict[Key, str] = field(default_factory=dict)

    @property
    def agent_id(self) -> int:
        """Its row in `agents`."""
        return self.held.agent_id

    @property
    def books(self) -> tuple[str, str, datetime]:
        """Which fills and cash movements are in its books: of which platform and account, and since when."""
        return self.held.platform, self.held.account_ref, self.held.begun_at

    @contextmanager
    def step(self, name: str) -> Iterator[Any]:
        """A transaction under the lease. `name` makes two points at which tests end the process: trader.NAME.committing
        and trader.NAME.committed. Raises LeaseLost."""
        with account.holding(self.database, self.held) as conn:
            yield conn
            sys.audit("tidemill.point", f"trader.{name}.committing")
        sys.audit("tidemill.point", f"trader.{name}.committed")

    def kill_file(self) -> Path | None:
        """The file that a person touched to stop everything; None where there is none."""
        path = None if self.home is None else self.home / KILL_FILE
        return path if path is not None and path.exists() else None

    def kill_word(self) -> str | None:
        """See the function."""
        return None if self.home is None else kill_word(self.home)

    def quote(self, market_id: str) -> Quote | None:
        """What a market shows now; None where nothing is known of it, or it cannot be asked: that one market is silent
        must keep nobody from measuring the account, and from closing what others need."""
        with suppress(Unreachable):
            return self.platform.quote(market_id)
        return None

    def mark(self, key: Key, quantity: Decimal, now: datetime) -> Mark | None:
        """What one unit of a position is worth now; None where nothing says."""
        listing = self.feed.listing(key[0])
        quote = self.quote(key[0])
        if quote is not None and key[1] == "no":
            quote = quote.no
        age = max_mark_age(listing, self.config.max_mark_age_seconds)
        before = self.good_books.get(key)
        if quote is not None and is_good(quote):
            self.good_books[key] = quote
        return mark_of(quantity, quote, now=now, max_age=age, last_book=before, payout=listing.pays(key[1], now))

    def is_dust(self, key: Key, quantity: Decimal) -> bool:
        """Whether so little is left that the platform takes no order for it: it is valued and shown, no more."""
        instrument, size = self.platform.instrument(key[0]), quantity.copy_abs()
        return size <= max(instrument.dust, self.platform.capabilities.dust) or size < instrument.min_quantity

    def fill_row(self, fill: Fill, now: datetime) -> dict[str, Any]:
        """A fill as a row of `fills`."""
        return {
            "platform": self.held.platform,
            "account_ref": self.held.account_ref,
            "platform_fill_id": fill.fill_id,
            "client_order_id": fill.client_order_id,
            "market_id": fill.market_id,
            "outcome": fill.outcome,
            "side": fill.side,
            "quantity": fill.quantity,
            "price": fill.price,
            "fee": fill.fee,
            "fee_currency": "account",
            "settlement": fill.settlement,
            "inferred": fill.inferred,
            "ts": fill.ts,
            "recorded_at": now,
        }

    def movement_row(self, movement: Movement) -> dict[str, Any]:
        """A movement as a row of `cash_movements`."""
        return {
            "platform": self.held.platform,
            "account_ref": self.held.account_ref,
            "external_id": movement.external_id,
            "kind": movement.kind,
            "amount": movement.amount,
            "market_id": movement.market_id,
            "outcome": movement.outcome if movement.market_id is not None else None,
            "currency": "account",
            "ts": movement.ts,
            "reason": movement.reason,
        }


def kill_word(home: Path) -> str | None:
    """What a person wrote into a project's KILL file, its first 200 characters; None where there is none. A file that
    cannot be read is one: its name says what is wanted."""
    try:
        return (home / KILL_FILE).read_text(encoding="utf-8", errors="replace").strip()[:200]
    except FileNotFoundError:  # not there, or just renamed by a trader that has seen it
        return None
    except OSError:
        return ""


def state_by(reasons: Iterable[str]) -> str:
    """The trading state that reasons bring, as they stand in the row."""
    return str(state_of(Reason(one) for one in reasons))


def fill_of(row: Row) -> Fill:
    """A row of `fills`."""
    return Fill(
        fill_id=row["platform_fill_id"],
        market_id=row["market_id"],
        outcome=row["outcome"],
        side=row["side"],
        quantity=row["quantity"],
        price=row["price"],
        fee=row["fee"],
        ts=row["ts"],
        client_order_id=row["client_order_id"],
        settlement=row["settlement"],
        inferred=row["inferred"],
    )


def seen_since(
    desk: Desk, conn: Any, since: datetime, *, until: datetime | None = None, key: Key | None = None
) -> list[Seen]:
    """Fills since a time, and up to one, beside the mids of their decisions, of one position or all; without what was
    taken back, whenever that was."""
    platform, account_ref, begun_at = desk.books
    rows = booking.fills_with_mids(conn, platform, account_ref, max(since, begun_at), until=until, key=key)
    return [seen_of(one) for one in standing(rows)]


def standing(rows: Sequence[Row]) -> list[Row]:
    """Rows of fills without what was taken back, and without what took it back."""
    voids = {one["platform_fill_id"] for one in rows if one["platform_fill_id"].endswith(VOID)}
    gone = voids | {one.removesuffix(VOID) for one in voids}
    return [one for one in rows if one["platform_fill_id"] not in gone]


def seen_of(row: Row) -> Seen:
    """A row of `fills` with the mid of its decision."""
    mid = row["reference_mid"]
    if mid is not None and row["outcome"] == "no":
        mid = less(Decimal(1), mid)
    return Seen(row["market_id"], row["side"], row["quantity"], row["price"], mid, row["ts"])


def order_of(row: Row) -> Order:
    """A row of `orders`; what it may cost without a limit is what its decision saw."""
    reference = row["reference_ask"] if row["side"] == "buy" else row["reference_bid"]
    if reference is not None and row["outcome"] == "no":
        other = row["reference_bid"] if row["side"] == "buy" else row["reference_ask"]
        reference = None if other is None else Decimal(1) - other
    return Order(
        client_order_id=row["client_order_id"],
        market_id=row["market_id"],
        outcome=row["outcome"],
        side=row["side"],
        purpose=row["purpose"],
        type=row["type"],
        time_in_force=row["time_in_force"],
        quantity=row["quantity"],
        status=row["status"],
        prepared_at=row["prepared_at"],
        limit_price=row["limit_price"],
        reference=reference,
        reduce_only=row["reduce_only"],
        decision_id=row["decision_id"],
        platform_order_id=row["platform_order_id"],
        first_sent_at=row["first_sent_at"],
        status_at=row["status_at"],
        checks=row["checks"],
        filled=row["filled_quantity"],
    )


def in_flight(conn: Any, agent_id: int) -> list[Order]:
    """Orders that may still fill."""
    return [order_of(row) for row in orders.of_agent(conn, agent_id, {str(one) for one in IN_FLIGHT})]


def held_quantities(conn: Any, agent_id: int) -> dict[Key, tuple[Decimal, Decimal]]:
    """What is held: (market, outcome) -> quantity, average price."""
    rows = booking.positions_of(conn, agent_id)
    return {
        (one["market_id"], one["outcome"]): (one["quantity"], one["average_price"]) for one in rows if one["quantity"]
    }


def to_close(desk: Desk, conn: Any) -> dict[Key, tuple[Decimal, Decimal]]:
    """What is held and can be closed: all but dust."""
    held = held_quantities(conn, desk.agent_id)
    return {key: one for key, one in held.items() if not desk.is_dust(key, one[0])}


def being_closed(desk: Desk, conn: Any) -> set[Key]:
    """Positions that an order in flight closes."""
    return {one.key for one in in_flight(conn, desk.agent_id) if one.reduce_only}


def marks_of(desk: Desk, held: Mapping[Key, tuple[Decimal, Decimal]], now: datetime) -> dict[Key, Mark | None]:
    """A mark for each position."""
    return {key: desk.mark(key, quantity, now) for key, (quantity, _) in held.items()}


def account_of(desk: Desk, conn: Any, marks: Mapping[Key, Mark | None]) -> Account:
    """The account as rules see it. What nobody prices counts at what it cost."""
    newest = booking.newest_equity(conn, desk.agent_id)
    positions = []
    for (market, outcome), (quantity, average) in held_quantities(conn, desk.agent_id).items():
        mark = marks.get((market, outcome))
        price = average if mark is None else mark.price
        positions.append(
            Position(market_id=market, outcome=outcome, quantity=quantity, average=average, mark=price)  # type: ignore[arg-type]  # one of ours
        )
    return Account(
        cash=ZERO if newest is None else newest["cash"],
        positions=tuple(positions),
        resting=tuple(in_flight(conn, desk.agent_id)),
    )
