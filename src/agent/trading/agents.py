"""The trader by the two names and with the attributes that its users know: properties over the tables, and methods over
the same steps that `agent run-agent` takes. Neither keeps state of its own that a restart would lose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.store.trading import account, booking, deciding, orders, showing
from agent.trading.adapter import TradingPlatform
from agent.trading.config import TradingAgentConfig
from agent.trading.measures.day import midnight_before
from agent.trading.pairs import market_of
from agent.trading.provider import Provider
from agent.trading.rule import Review, Rule
from agent.trading.run import Trader
from agent.trading.run import run as run_trader
from agent.trading.states.ooda import AgentEvent, AgentState
from agent.trading.states.permissions import Reason
from agent.trading.steps import cycle, firing
from agent.trading.steps.cycle import Decided
from agent.trading.steps.desk import state_by
from agent.trading.steps.execute import follow

Row = dict[str, Any]
_LOOK_SECONDS = 0.5  # how often a stop, or what wakes the trader, is looked for


class _Agent:
    """What both have. told: gets a sentence for each cycle. stopped: whether the process was asked to end."""

    def __init__(
        self,
        trader: Trader,
        told: Callable[[str], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trader, self._told, self._stopped = trader, told, stopped
        self._stop_event = threading.Event()

    @property
    def config(self) -> TradingAgentConfig:
        """Its settings."""
        return self.trader.desk.config

    @property
    def engine(self) -> Sequence[Provider]:
        """Who gives opinions."""
        return self.trader.desk.providers

    @property
    def platform(self) -> TradingPlatform:
        """Where it trades: what it sends there goes through every rule."""
        return TradingPlatform(self.trader)

    @property
    def analysis_failures(self) -> int:
        """Cycles in a row in which every market failed."""
        return self.trader.analysis_failures

    @property
    def trades_today(self) -> int:
        """Orders of this UTC day that count for the daily limit."""
        midnight = midnight_before(self._now())
        return len(self._read(lambda conn: orders.sent_since(conn, self.trader.desk.agent_id, midnight)))

    @property
    def _paused_by_monitor(self) -> bool:
        return str(Reason.MONITOR) in (self._row()["trading_reason"] or {})

    def pause_trading(self, reason: str) -> None:
        """Nothing new is opened until `agent resume`; what reduces a position goes on."""
        with self.trader.desk.step("agent.pause") as conn:
            account.set_reason(conn, self.trader.desk.agent_id, str(Reason.MONITOR), reason, state_by)

    def stop(self) -> None:
        """End after the step that is being done; from any thread."""
        self._stop_event.set()

    def run(self, test_mode: bool = False, most_cycles: int | None = None) -> int:
        """Recover, then cycle after cycle until `stop`, or `most_cycles` are over; returns the exit code. test_mode:
        decide, and send nothing."""
        return run_trader(self.trader, wait=self._wait, told=self._told, most_cycles=most_cycles, test_mode=test_mode)

    def _wait(self, seconds: float) -> bool:
        """Wait, less where the trader is woken; whether to go on."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if self._stop_event.wait(min(left, _LOOK_SECONDS)) or self._stopped():
                return False
            if self.trader.is_woken():
                break
        return not self._stop_event.is_set()

    def _infer_asset_type(self, asset_pair: str) -> str:
        """crypto or forex; another market of the release by its kind. Raises UsageError for a pair that names none."""
        market = market_of(asset_pair, self.trader.desk.feed.listings())
        kind = self.trader.desk.feed.listing(market).instrument.kind
        return {"spot": "crypto", "fx": "forex"}.get(kind, kind)

    def _should_execute(self, decision: Mapping[str, Any]) -> bool:
        """Whether a decision (a row) has the confidence, and the day an order left. Rules judge the rest."""
        confidence = decision["confidence"]
        is_sure = confidence is not None and confidence >= self.config.min_confidence_threshold
        return is_sure and self.trades_today < self.config.max_daily_trades

    def _now(self) -> datetime:
        return self.trader.desk.clock.now()

    def _row(self) -> Row:
        found: Row = self._read(lambda conn: account.load(conn, self.trader.desk.agent_id))
        return found

    def _read(self, work: Callable[[Any], Any]) -> Any:
        with self.trader.desk.database.reading() as connections:
            return work(connections.project)


class TradeMonitor:
    """Positions and round trips as the monitor sees them. `run` of an agent has it look by itself."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader

    def look(self) -> bool:
        """One look now; whether the kill switch fired."""
        return self._trader.look()

    def get_closed_trades(self) -> Sequence[Row]:
        """Round trips, the oldest first."""
        with self._trader.desk.database.reading() as connections:
            return booking.trades_of(connections.project, self._trader.desk.agent_id)

    def get_portfolio_breakdown(self) -> Row:
        """As the platform's."""
        return TradingPlatform(self._trader).get_portfolio_breakdown()


class TradingAgentOrchestrator(_Agent):
    """The simple one: it closes what it holds when it ends."""

    @property
    def kill_switch_triggered(self) -> bool:
        """Whether the switch fired and nobody has reset it."""
        return self.trader.kill_switch_triggered

    @property
    def kill_switch_gain_pct(self) -> float | str:
        """A fraction, or off."""
        return self.config.kill_switch_gain_pct

    @property
    def kill_switch_loss_pct(self) -> float | str:
        """A fraction, or off."""
        return self.config.kill_switch_loss_pct

    @property
    def max_drawdown_pct(self) -> float:
        """A fraction."""
        return self.config.max_drawdown_pct

    @property
    def initial_portfolio_value(self) -> Decimal:
        """What gain and loss are measured from."""
        value: Decimal = self._row()["initial_equity"]
        return value

    @property
    def peak_portfolio_value(self) -> Decimal:
        """What drawdown is measured from."""
        value: Decimal = self._row()["peak_equity"]
        return value

    @property
    def current_breakdown(self) -> Row:
        """What the portfolio is made of: as `agent portfolio --json` shows it."""
        found: Row = self._read(lambda conn: showing.portfolio(conn, account.load(conn, self.trader.desk.agent_id)))
        return found


class TradingLoopAgent(_Agent):
    """The one that goes from state to state: it keeps what it holds when it ends, and finds it again."""

    _found: Sequence[Decided] = ()
    _passed: Sequence[tuple[Decided, Review]] = ()

    @property
    def state(self) -> AgentState:
        """Where the cycle stands."""
        return AgentState(self._row()["ooda_state"])

    @property
    def is_running(self) -> bool:
        """Whether nobody stopped it."""
        return not self._stop_event.is_set()

    @property
    def daily_trade_count(self) -> int:
        """See trades_today."""
        return self.trades_today

    @property
    def trading_platform(self) -> TradingPlatform:
        """Where it trades."""
        return self.platform

    @property
    def risk_gatekeeper(self) -> Sequence[Rule]:
        """The rules that judge."""
        return self.trader.desk.rules

    @property
    def analysis_failure_timestamps(self) -> Sequence[datetime]:
        """When the cycles of `analysis_failures` were."""
        return tuple(self.trader.failed_at)

    @property
    def trade_monitor(self) -> TradeMonitor:
        """What looks at positions between two cycles."""
        return TradeMonitor(self.trader)

    @property
    def _current_decisions(self) -> list[Row]:
        row = self._row()
        rows = self._read(lambda conn: deciding.decisions_of(conn, row["id"], None, 2 * len(self.trader.desk.markets)))
        return [one for one in rows if one["cycle"] == row["cycle"]]

    @property
    def _rejected_decisions_cache(self) -> list[Row]:
        """Locks that hold: what was refused is not asked again for a while."""
        found: list[Row] = self._read(lambda conn: deciding.locks_at(conn, self.trader.desk.agent_id, self._now()))
        return found

    def process_cycle(self) -> bool:
        """One cycle through all states; whether something could be decided, and nothing is to be closed."""
        return self.trader.process_cycle().is_good and not self.trader.kill_switch_triggered

    def _recover_existing_positions(self) -> None:
        """Compare books and platform. Raises AgentError where something waits for a person."""
        self.trader.recover()

    def handle_idle_state(self) -> None:
        """Book what came in meanwhile, and wake."""
        self.trader.refresh()
        follow(self.trader.desk)
        self._transition_to(AgentEvent.WAKE)

    def handle_perception_state(self) -> None:
        """Measure the account. Where the kill switch fires, the agent stops: `run` closes everything."""
        _, fired = cycle.perceive(self.trader.desk)
        if fired is not None:
            firing.acknowledge_file(self.trader.desk)
            self._end_by_kill()

    def handle_reasoning_state(self) -> None:
        """Decide about each market."""
        self._found, _ = cycle.decide_all(self.trader.desk, self._row()["cycle"], self._wait)

    def handle_risk_check_state(self) -> None:
        """Let all rules judge."""
        self._passed, _ = cycle.judge_all(self.trader.desk, self._found)

    def handle_execution_state(self) -> None:
        """Send what passed."""
        cycle.send_all(self.trader.desk, self._passed)
        self._passed = ()
        self._transition_to(AgentEvent.SENT)

    def handle_learning_state(self) -> None:
        """Book what came of it; fills are measured, see `handle_perception_state`."""
        if cycle.book(self.trader.desk) is not None:
            self._end_by_kill()
        else:
            self._transition_to(AgentEvent.BOOKED)

    def _end_by_kill(self) -> None:
        self._transition_to(AgentEvent.KILL)
        self.stop()

    def _transition_to(self, event: AgentEvent) -> None:
        """The state that an event leads to, and no other."""
        with self.trader.desk.step("agent.transit") as conn:
            cycle.transit(conn, self.trader.desk, event)


AGENTS: Mapping[str, type[TradingAgentOrchestrator | TradingLoopAgent]] = {
    "orchestrator": TradingAgentOrchestrator,
    "loop": TradingLoopAgent,
}  # by --agent-type
