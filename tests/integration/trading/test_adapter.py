"""The account by its users' names: what is read of it, and a trade that a person or a program asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError, UsageError
from agent.store.database.engine import Database
from agent.store.trading import booking, deciding, orders
from agent.trading.adapter import TradingPlatform
from agent.trading.agents import TradingLoopAgent
from agent.trading.config import TradingAgentConfig
from pipelines.errors import SettingsError
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought
from tests.paper import HOUR, MARKET, START, D, MovedClock, feed_of, trader
from tests.venue import floor

ETH = "test:ETH-USD"
BUY: dict[str, Any] = {"asset_pair": "BTCUSD", "action": "BUY", "confidence": 80}


class Asking:
    """A trader of BTCUSD, 100 each hour, then 110 and 120; nothing is published that enters."""

    def __init__(self, database: Database, home: Path, **settings: Any) -> None:
        self.clock = MovedClock()
        feed = feed_of(
            {MARKET: [100.0, 100.0, 100.0, 110.0, 120.0, 120.0], ETH: [50.0] * 6}, {}, **settings.pop("feed", {})
        )
        self.trader = trader(database, feed, self.clock, home=home, **settings)
        self.agent = TradingLoopAgent(self.trader)
        self.platform = self.agent.trading_platform

    def ask(self, hour: int, **changes: Any) -> dict[str, Any]:
        self.clock.at = START + HOUR * hour
        return self.platform.execute_trade(BUY | changes)

    def rows(self, reader: Any, *more: Any) -> Any:
        with self.trader.desk.database.reading() as connections:
            return reader(connections.project, self.trader.desk.agent_id, *more)


@pytest.fixture
def asking(database: Database, tmp_path: Path) -> Iterator[Asking]:
    made = Asking(database, tmp_path)
    with made.trader:
        yield made


def test_a_trade_that_is_asked_for_goes_the_way_of_every_order(asking: Asking) -> None:
    """A risk of 1 % with a stop of 2 % is 50 % of equity, and concentration cuts that to 30 %."""
    done = asking.ask(0, reason="a friend told me")
    assert (done["success"], done["status"], done["quantity"], done["reason"]) == (True, "open", D(30), "")
    (order,) = asking.rows(orders.of_agent)
    assert order["client_order_id"] == done["order_id"]
    (made,) = asking.rows(deciding.decisions_of, None, None)
    assert (made["cycle"], made["action"], made["confidence"], made["status"]) == (1, "buy", 0.8, "ordered")
    assert made["reasons"][0] == {"code": "asked", "text": "a friend told me"}
    assert [(one["provider"], one["weight_used"]) for one in made["opinions"]] == [
        ("asked", 1.0),
        ("market", 0.0),
        ("model", 0.0),
    ]
    judged = [(one["rule"], one["verdict"]) for one in made["verdicts"]]
    assert judged[0] == ("asked", "allow")
    assert ("concentration", "reduce") in judged
    assert len(judged) == len(asking.trader.desk.rules) + 1


def test_what_was_bought_is_shown_and_sold_again(asking: Asking) -> None:
    asking.ask(0, position_size="10")
    asking.clock.at = START + 2 * HOUR
    asking.agent.trade_monitor.look()
    assert asking.platform.get_portfolio_breakdown() == {
        "BTCUSD": {"units": D(10), "current_price": D(110), "pnl": D(100)},
        "cash": D(9_000),
    }
    assert asking.agent.trade_monitor.get_portfolio_breakdown() == asking.platform.get_portfolio_breakdown()
    assert asking.platform.get_account_info() == {
        "platform": "paper",
        "account": "main",
        "mode": "dry_run",
        "cash": D(9_000),
        "equity": D(10_100),
        "positions": 1,
    }
    assert "is held already" in asking.ask(2)["reason"]
    sold = asking.ask(2, action="sell", position_size=4)
    assert (sold["success"], sold["quantity"]) == (True, D(4))
    asking.clock.at = START + 3 * HOUR
    asking.agent.trade_monitor.look()
    assert asking.platform.get_portfolio_breakdown()["BTCUSD"]["units"] == D(6)
    assert asking.ask(3, action="close")["success"]
    asking.clock.at = START + 4 * HOUR
    asking.agent.trade_monitor.look()
    assert asking.platform.get_portfolio_breakdown() == {"cash": D(10_160)}  # 4 at 110, 6 at 120
    assert len(asking.rows(booking.trades_of)) == 1
    assert "nothing is held to sell" in asking.ask(4, action="sell")["reason"]
    assert not asking.ask(4, action="hold")["success"]


def test_a_market_shows_its_quote(asking: Asking) -> None:
    asking.clock.at = START + HOUR
    shown = asking.platform.get_market_data("btc/usd")
    assert (shown["market_id"], shown["bid"], shown["ask"], shown["ts"]) == (MARKET, D(100), D(100), START + HOUR)
    with pytest.raises(UsageError, match="names no market"):
        asking.platform.get_market_data("XRPUSD")


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ({"asset_pair": "ETHUSD"}, "ETHUSD is not traded"),
        ({"asset_pair": "XRPUSD"}, "names no market"),
        ({"asset_pair": None}, "asset_pair = None names no market"),
        ({"action": "short"}, "action = 'short' is none"),
        ({"confidence": 101}, "confidence = 101 is not 0 to 100"),
        ({"confidence": None}, "confidence = None is not 0 to 100"),
        ({"confidence": True}, "confidence = True is not 0 to 100"),
        ({"position_size": -1}, "position_size = -1 is no size"),
        ({"position_size": "much"}, "position_size = 'much' is no size"),
        ({"positon_size": 1}, "a decision has no positon_size"),
    ],
)
def test_a_decision_that_says_nothing_clear_is_refused(asking: Asking, decision: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        asking.ask(0, **decision)
    assert asking.rows(deciding.decisions_of, None, None) == []


def test_no_way_leads_round_the_rules(asking: Asking) -> None:
    assert asking.ask(0, confidence=0.8)["reason"] == "refused by confidence: 0.8 % is below 60.0 %"  # 0.8 is 0.8 %
    assert asking.ask(0)["reason"].startswith("refused by lock: ")  # for two minutes
    assert asking.rows(orders.of_agent) == []
    assert not hasattr(asking.platform, "submit")


def test_a_pause_stops_it_and_a_kill_file_closes_everything(asking: Asking, tmp_path: Path) -> None:
    asking.agent.pause_trading("lunch")
    done = asking.ask(0)
    assert (done["success"], done["status"]) == (False, "denied")
    assert "the trader is paused: lunch" in done["reason"]
    (tmp_path / "KILL").touch()
    assert asking.ask(1) == {
        "success": False,
        "order_id": None,
        "status": None,
        "quantity": None,
        "reason": "the kill switch fired: everything is being closed",
    }
    assert asking.trader.kill_switch_triggered


def test_nothing_is_sent_while_books_and_platform_differ(database: Database) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.wait(10.0)
        with at.trader(**NO_CLOSING) as one:
            platform = TradingPlatform(one)
            held = platform.get_portfolio_breakdown()["BTCUSD"]["units"]
            at.venue.holdings[MARKET, ""], at.venue.cash = held - 20, at.venue.cash + 2000  # and no fill says so
            at.wait(60.0)
            before = len(at.orders())
            with pytest.raises(AgentError, match="books and platform differ"):
                platform.execute_trade(BUY | {"action": "close"})
            assert len(at.orders()) == before


def test_settings_are_read_by_both_names_and_nothing_is_guessed() -> None:
    values = {"max_drawdown_percent": 0.03, "risk_percentage": 2, "autonomous_execution": True}
    assert TradingAgentConfig.normalize_percentage_fields(values) == {
        "max_drawdown_pct": 0.03,
        "risk_percentage": 2.0,
        "autonomous": True,
    }
    config = TradingAgentConfig.normalize_default_percentages(values)
    assert (config.max_drawdown_percent, config.autonomous_execution, config.approval_policy) == (0.03, True, None)
    assert (config.kill_switch_loss_pct, config.max_daily_trades) == (0.02, 100)
    with pytest.raises(SettingsError, match=r"For 5 % write 0\.05"):
        TradingAgentConfig.normalize_percentage_fields({"max_drawdown_percent": 5.0})
