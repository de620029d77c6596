"""The account by the names of the agent's users: get_account_info, get_portfolio_breakdown, get_market_data, and
execute_trade, which goes the way of every order. A thin layer over a Trader: whoever holds it cannot send anything that
no rule has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.amounts import exact, less, of_float, plain, times, total
from agent.errors import UsageError
from agent.store.trading import deciding, orders
from agent.trading.ensemble import ASKED, PURPOSES
from agent.trading.model import Proposal, key_text
from agent.trading.pairs import market_of
from agent.trading.platform import Unreachable
from agent.trading.provider import Abstention, MarketView, Opinion, Provider
from agent.trading.rule import Allow, Answer, Reduce, View
from agent.trading.run import Trader
from agent.trading.states.orders import client_order_id
from agent.trading.steps.cycle import process_cycle
from agent.trading.steps.desk import held_quantities
from pipelines.values import dataclass

Row = dict[str, Any]
_SIDES = {"buy": 1, "sell": -1, "close": 0}  # action -> the side to be in then; hold: as it is
_KEYS = ("asset_pair", "action", "confidence", "position_size", "reason")


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision that somebody made. action: one of _SIDES or hold; confidence: 0..1; quantity: at most so much."""

    pair: str
    action: str
    confidence: float
    quantity: Decimal | None = field(default=None)
    reason: str = field(default="asked for")


class TradingPlatform:
    """Where a trader's account is, and what may be asked of it."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader

    @property
    def name(self) -> str:
        """The platform's name."""
        return self._trader.desk.platform.name

    @property
    def account_ref(self) -> str:
        """The account's name there."""
        return self._trader.desk.platform.account_ref

    def get_account_info(self) -> Row:
        """Its platform and name, cash, equity (cash and all positions at their marks, at cost where nobody says a
        price) and how many positions. Raises Unreachable."""
        cash, lines = self._read()
        prices = ((one["units"], one["current_price"], one["average"]) for one in lines.values())
        worth = (times(units, average if price is None else price) for units, price, average in prices)
        equity = total((cash, *worth))
        info = {"platform": self.name, "account": self.account_ref, "mode": self._trader.desk.mode}
        return info | {"cash": cash, "equity": equity, "positions": len(lines)}

    def get_portfolio_breakdown(self) -> Row:
        """What the platform says is held: {asset: {units, current_price, pnl}, ..., cash}, amounts as Decimal. asset:
        the pair as it was named to trade, else the market's id. units: below 0 is short. current_price and pnl: None
        where nobody says a price. Raises Unreachable."""
        cash, lines = self._read()
        shown = ("units", "current_price", "pnl")
        return {asset: {name: line[name] for name in shown} for asset, line in lines.items()} | {"cash": cash}

    def get_market_data(self, asset_pair: str) -> Row:
        """What a market shows now: market_id, bid, ask, mid, last (None where that side is empty), ts and is_open.
        Raises UsageError for a pair that names none, Unreachable."""
        market = market_of(asset_pair, self._trader.desk.feed.listings())
        quote = self._trader.desk.platform.quote(market)
        names = ("bid", "ask", "mid", "last", "ts", "is_open")
        return {"market_id": market, **{name: None if quote is None else getattr(quote, name) for name in names}}

    def execute_trade(self, decision: Mapping[str, Any]) -> Row:
        """Decide about one market as `decision` says, in a cycle of its own: books and platform are compared, the kill
        switch is measured, all rules judge and may make it smaller, and what they let through is sent.

        decision: asset_pair, one of those that are traded; action: buy, sell (closes what is held; else short, where
        the market allows that), close or hold; confidence: 0 to 100; position_size: units at most, without it what the
        rules leave; reason: in words. Returns success, order_id, status, quantity and reason: why nothing was sent.
        Raises UsageError for a decision that says none of these, Unreachable, and AgentError where books and platform
        differ.
        """
        asked = _read_decision(decision)
        trader = self._trader
        market = market_of(asked.pair, trader.desk.feed.listings())
        if market not in trader.desk.markets:
            fix = f"start the trader with it; it trades {', '.join(trader.desk.markets.values())}"
            raise UsageError(f"{asked.pair} is not traded", where="asset_pair", fix=fix)
        with trader.turn:
            trader.recover()
            trader.desk.feed.refresh()
            desk = trader.desk
            alone = [_Beside(one) for one in desk.providers]
            rules = (*desk.rules, _AtMost(asked.quantity))
            pair = {market: desk.markets[market]}
            its = replace(desk, markets=pair, watched=frozenset(), providers=(_Said(asked), *alone), rules=rules)
            done = process_cycle(its)
        if done.is_killed and not done.sent:
            return _result(None, "the kill switch fired: everything is being closed")
        made = deciding.decision_id(desk.agent_id, done.cycle, market)
        names = {client_order_id(made, purpose, 0) for purpose in PURPOSES}
        with desk.database.reading() as connections:
            found = (orders.load(connections.project, name) for name in sorted(names))
            row = next((one for one in found if one is not None), None)
        return _result(row, "; ".join((*done.unsent, *done.failed.values())))

    def _read(self) -> tuple[Decimal, dict[str, Row]]:
        """Cash, and a line for each position."""
        desk = self._trader.desk
        now = desk.clock.now()
        said = desk.platform.snapshot((), now)
        if not said.is_complete or said.holdings is None:
            raise Unreachable("not all of the account could be read", where=self.name, fix="ask again")
        with desk.database.reading() as connections:
            booked = held_quantities(connections.project, desk.agent_id)
        lines: dict[str, Row] = {}
        for key, held in said.holdings.items():
            if not held.quantity:
                continue
            mark = desk.mark(key, held.quantity, now)
            price = None if mark is None else mark.price
            average = held.average if held.average is not None else booked.get(key, (None, None))[1]
            gain = None if price is None or average is None else times(held.quantity, less(price, average))
            asset = key_text((desk.markets.get(key[0], key[0]), key[1]))
            lines[asset] = {"units": held.quantity, "average": average, "current_price": price, "pnl": gain}
        return said.cash, lines


class _Said:
    """The provider that says what was asked for; it goes before all others."""

    __name__ = ASKED

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def opine(self, view: MarketView, now: datetime) -> Opinion:
        """What was asked for; nothing is sold short where the release would not."""
        wants, said = _SIDES.get(self._asked.action, view.held), view.published
        text = self._asked.reason
        if wants and wants == view.held:
            text += ": it is held already"
        if wants < 0 and not view.held and not (said is not None and said.may_short):
            wants, text = 0, f"{text}: nothing is held to sell, and this market is not sold short"
        probability = 0.5 if said is None else said.probability
        reasons = ({"code": ASKED, "text": text},)
        return Opinion(probability=probability, confidence=self._asked.confidence, wants=wants, reasons=reasons)


class _Beside:
    """Another provider, whose opinion is written down and decides nothing."""

    def __init__(self, its: Provider) -> None:
        self.__name__ = its.__name__
        self._its = its

    def opine(self, view: MarketView, now: datetime) -> Opinion | Abstention:
        """What it says, without a side."""
        said = self._its.opine(view, now)
        return replace(said, wants=None) if isinstance(said, Opinion) else said


class _AtMost:
    """The first rule that judges: no more than was asked for."""

    __name__, PLACE, CLOSES = ASKED, 0, True

    def __init__(self, quantity: Decimal | None) -> None:
        self._quantity = quantity

    def check(self, proposal: Proposal, view: View, now: datetime) -> Answer:
        """Reduce to what was asked for."""
        most = self._quantity
        return Allow() if most is None else Reduce(most, f"{plain(most)} was asked for", {"asked": most})


def _read_decision(decision: Mapping[str, Any]) -> Asked:
    """A decision as its users write it. Raises UsageError."""
    unknown = sorted(set(decision) - set(_KEYS))
    if unknown:
        raise _refused(f"a decision has no {', '.join(unknown)}", f"it has {', '.join(_KEYS)}")
    action = str(decision.get("action", "")).lower()
    if action not in (*_SIDES, "hold"):
        raise _refused(f"action = {decision.get('action')!r} is none", f"one of {', '.join(_SIDES)}, hold")
    pair = decision.get("asset_pair")
    if not isinstance(pair, str) or not pair:
        raise _refused(f"asset_pair = {pair!r} names no market", "such as BTCUSD")
    confidence = decision.get("confidence", 0 if action in ("close", "hold") else None)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 100:
        raise _refused(f"confidence = {confidence!r} is not 0 to 100", "in per cent: 80 is 80 %")
    reason = str(decision.get("reason") or f"{action} was asked for")
    return Asked(pair, action, confidence / 100, _size(decision.get("position_size")), reason)


def _size(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        size = of_float(value) if isinstance(value, float) else exact(Decimal(value))
    except (InvalidOperation, TypeError, ValueError):
        size = Decimal(0)
    if isinstance(value, bool) or not size > 0:
        raise _refused(f"position_size = {value!r} is no size", "units above 0, or leave it out")
    return size


def _refused(what: str, fix: str) -> UsageError:
    return UsageError(what, where="the decision", fix=fix)


def _result(row: Mapping[str, Any] | None, why: str) -> Row:
    if row is None:
        return {"success": False, "order_id": None, "status": None, "quantity": None, "reason": why}
    is_sent = row["status"] not in ("denied", "rejected")
    said = why or row["reject_text"] or ""
    its = {"order_id": row["client_order_id"], "status": row["status"], "quantity": row["quantity"]}
    return {"success": is_sent, **its, "reason": said}
