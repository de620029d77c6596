"""What rules and providers see of a market at this moment, gathered from platform, feed and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.amounts import less, of_float, ratio, times, total
from agent.store.trading import deciding, orders
from agent.trading.ensemble import held_side
from agent.trading.feed import max_mark_age
from agent.trading.measures.day import midnight_before
from agent.trading.measures.kelly import shrunk
from agent.trading.model import ZERO, Account, Order, Outcome, Position, Proposal, Quote
from agent.trading.provider import MarketView, Opinion
from agent.trading.rule import Lock, ReleaseFacts, View
from agent.trading.steps.desk import Desk
from pipelines.values import dataclass

REFUSED = "refused"  # the rule of locks that a refusal makes
_RELIABILITY = 0.5  # of a single provider, until fifty of its outcomes are known
_BARS_OF_VOLUME = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for all markets of a cycle."""

    account: Account
    locks: tuple[Lock, ...]
    sent: tuple[datetime, ...]
    lately: tuple[datetime, ...]

    def beside(self, order: Order, now: datetime) -> Standing:
        """What holds for the rest of the cycle once `order` was let through: it rests, and counts as sent."""
        account = replace(self.account, resting=(*self.account.resting, order))
        return replace(self, account=account, sent=(*self.sent, now), lately=(*self.lately, now))


def standing_of(conn: Any, desk: Desk, account: Account, now: datetime) -> Standing:
    """Locks that hold, and orders sent today."""
    locks = tuple(
        Lock(
            market_id=row["market_id"],
            side=row["side"],
            until=row["until_at"],
            reason=row["reason"],
            price=_refused_at(conn, desk, row) if row["rule"] == REFUSED else None,
        )
        for row in deciding.locks_at(conn, desk.agent_id, now)
    )
    return Standing(
        account=account,
        locks=locks,
        sent=tuple(orders.sent_since(conn, desk.agent_id, midnight_before(now))),
        lately=tuple(orders.all_sent_since(conn, desk.agent_id, now - timedelta(minutes=1))),
    )


def _refused_at(conn: Any, desk: Desk, lock: Mapping[str, Any]) -> Decimal | None:
    """The price that an entry would have had when its refusal made a lock; None where the book lacked that side."""
    made = deciding.refused_entry(conn, desk.agent_id, lock["market_id"], lock["created_at"])
    if made is None:
        return None
    bid, ask = made["reference_bid"], made["reference_ask"]
    if lock["side"] == "sell":
        price: Decimal | None = bid
    elif made["action"] == "buy":
        price = ask
    else:  # NO is bought
        price = None if bid is None else less(Decimal(1), bid)
    return price


def position_in(desk: Desk, account: Account, market_id: str) -> Position | None:
    """What is held of a market and can be closed, of whichever outcome."""
    here = (one for one in account.positions if one.market_id == market_id)
    return next((one for one in here if not desk.is_dust(one.key, one.quantity)), None)


def market_view(desk: Desk, market_id: str, quote: Quote, position: Position | None, now: datetime) -> MarketView:
    """A market as providers see it."""
    said, held = desk.feed.published(market_id, now), held_side(position)
    left = 0
    if held and said is not None and said.horizon_bars is not None:
        entered = desk.feed.last_entry(market_id, held, now)
        if entered is not None:
            left = said.horizon_bars - desk.feed.bars_since(market_id, entered, now)
    return MarketView(
        listing=desk.feed.listing(market_id),
        release=desk.feed.release,
        quote=quote,
        as_of=quote.ts,
        held=held,
        bars_left=left,
        published=said,
    )


def rule_view(
    desk: Desk,
    conn: Any,
    standing: Standing,
    seen: MarketView,
    proposal: Proposal,
    opinion: Opinion | None,
    reserved: Decimal,
    now: datetime,
) -> View:
    """All that the rules see about a proposal."""
    market, listing = proposal.market_id, seen.listing
    held, resting = standing.account.positions, standing.account.resting
    near = {market, *(one.market_id for one in held), *(one.market_id for one in resting)}
    known = {one: desk.feed.returns(one, now) for one in near}
    age = max_mark_age(listing, desk.config.max_mark_age_seconds)
    said, release = seen.published, desk.feed.release
    as_of = seen.as_of if said is None else said.ts
    return View(
        config=replace(desk.config, max_mark_age_seconds=age.total_seconds()),
        mode=desk.mode,
        instrument=listing.instrument,
        quote=seen.quote.no if proposal.outcome == "no" else seen.quote,
        account=standing.account,
        costs=listing.costs,
        release=ReleaseFacts(
            as_of=as_of,
            bar_seconds=listing.bar_seconds,
            open_seconds=desk.feed.open_seconds(market, as_of, now),
            is_tradable=release.is_tradable,
            untradable=release.untradable,
            is_historical=release.is_historical,
            is_bar_decided=deciding.entry_on_bar(conn, desk.agent_id, market, seen.as_of, but=proposal.decision_id),
        ),
        belief=None if opinion is None else _belief(opinion, seen.quote, proposal.outcome),
        locks=standing.locks,
        sent=standing.sent,
        lately=standing.lately,
        day_returns={one: found.days for one, found in known.items()},
        bar_returns={one: found.bars for one, found in known.items()},
        instruments={one: desk.feed.listing(one).instrument for one in near},
        mids=_mids(desk, near),
        stops={} if desk.config.stop_loss is None else dict.fromkeys(near, desk.config.stop_loss),
        mean_volume=_mean_volume(desk, market, now),
        reserved=reserved,
        dust=desk.platform.capabilities.dust,
    )


def reserved_by(desk: Desk, order: Order) -> Decimal:
    """Cash that an order may still need, with its slippage and fee."""
    if order.reduce_only or order.side != "buy":
        return ZERO
    return cost_of(desk, order.market_id, order.rest, order.price)


def cost_of(desk: Desk, market_id: str, quantity: Decimal, price: Decimal) -> Decimal:
    """What buying costs at worst: price, slippage and fee."""
    costs = desk.feed.listing(market_id).costs
    slippage = of_float(costs.slippage)
    slipped = total((price, slippage if costs.is_binary else times(price, slippage)))
    return times(quantity, total((slipped, of_float(costs.unit_fee(float(slipped))))))


def _belief(opinion: Opinion, quote: Quote, outcome: Outcome) -> float | None:
    """How probable the outcome is, after shrinking towards the market: one provider alone is believed by half."""
    mid = quote.mid
    if not outcome or mid is None:
        return None
    yes = shrunk(opinion.probability, float(mid), _RELIABILITY)
    return yes if outcome == "yes" else 1.0 - yes


def _mids(desk: Desk, markets: set[str]) -> Mapping[str, float]:
    found = {}
    for market in markets:
        quote = desk.quote(market) if desk.feed.listing(market).instrument.is_binary else None
        if quote is not None and quote.mid is not None:
            found[market] = float(quote.mid)
    return found


def _mean_volume(desk: Desk, market: str, now: datetime) -> Decimal | None:
    seconds = 2 * _BARS_OF_VOLUME * desk.feed.listing(market).bar_seconds
    bars = desk.feed.bars(market, now - timedelta(seconds=seconds), now)[-_BARS_OF_VOLUME:]
    known = [one.volume for one in bars if one.volume is not None]
    return ratio(total(known), Decimal(len(known))) if known else None
