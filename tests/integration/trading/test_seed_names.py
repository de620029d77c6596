"""The two classes by the names of their users' document, over the same steps and tables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking, deciding, orders
from agent.trading.agents import TradingAgentOrchestrator, TradingLoopAgent
from agent.trading.states.ooda import AgentState
from tests.paper import HOUR, MARKET, START, D, MovedClock, feed_of, trader
from tests.paths import SHARED

DOCUMENT, FACTS = SHARED / "seeds" / "003_run_agent.md", SHARED / "facts.md"
NAMES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("seed_names.toml").read_text(encoding="utf-8"))
PRICES = [100.0, 100.0, 110.0, 120.0, 130.0]


def feed() -> Any:
    return feed_of({MARKET: PRICES}, {MARKET: {0: 1, 1: 1}})


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_is_there(database: Database, kind: str) -> None:
    with trader(database, feed(), MovedClock()) as one:
        one.recover()
        loop = TradingLoopAgent(one)
        its: dict[str, Any] = {
            "TradingAgentOrchestrator": TradingAgentOrchestrator(one),
            "TradingLoopAgent": loop,
            "TradingAgentConfig": loop.config,
            "Platform": loop.trading_platform,
            "Monitor": loop.trade_monitor,
            "Gatekeeper": loop.risk_gatekeeper,
            "Memory": None,
        }
        for name in NAMES[kind]["has"]:
            getattr(its[kind], name)
        for name in NAMES[kind]["not_yet"]:
            assert not hasattr(its[kind], name), "it is there: say so in the list"


def listed(kind: str) -> set[str]:
    """What is on the list, without what another section names."""
    return {*NAMES[kind]["has"], *NAMES[kind]["not_yet"]} - {"current_breakdown"}


@pytest.mark.skipif(not DOCUMENT.is_file(), reason=f"the users' document is not here: {DOCUMENT}")
def test_the_list_is_the_documents() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"\n### \d\. ", text):
        kind = re.match(r"\*\*(\w+)\*\*", section)
        if kind is not None:
            named = set(re.findall(r"^- `(\w+)(?:\(\))?`", section.split("\n---\n")[0], re.MULTILINE))
            found[kind[1]] = named | set(re.findall(r"^(?:####|\*\*)\s*`(\w+)\(", section, re.MULTILINE))
    assert {kind: listed(kind) for kind in found} == found
    assert len(found) == 3
    assert "`current_breakdown`" in text


@pytest.mark.skipif(not FACTS.is_file(), reason=f"what completes the document is not here: {FACTS}")
def test_the_list_is_what_completes_the_document() -> None:
    (line,) = [one for one in FACTS.read_text(encoding="utf-8").splitlines() if one.startswith("- Platform: ")]
    found = {}
    for said in re.split(r"\. (?=[A-Z])", line.removeprefix("- ")):
        kind, _, what = said.partition(": ")
        plain = re.sub(r" \(.*?\)", "", what)  # without the shapes of answers
        found[kind] = set(re.findall(r"`(\w+)\(", what) or re.findall(r"[a-z]+(?:_[a-z]+)+", plain))
    assert {kind: listed(kind) for kind in found} == found
    assert set(found) == {"Platform", "Gatekeeper", "Memory", "Monitor"}


def test_the_states_handled_one_by_one_are_a_cycle(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed(), clock) as one:
        agent = TradingLoopAgent(one)
        agent._recover_existing_positions()
        seen: list[str] = []
        for hour in range(2):
            clock.at = START + HOUR * hour
            for _ in AgentState:
                seen.append(str(agent.state))
                getattr(agent, f"handle_{agent.state}_state")()
                if agent.state == "idle":
                    break
        assert seen[:6] == ["idle", "perception", "reasoning", "risk_check", "execution", "learning"]
        assert [each["cycle"] for each in agent._current_decisions] == [2]
        assert agent.daily_trade_count == 1
    with database.reading() as connections:
        assert [each["status"] for each in orders.of_agent(connections.project, 1)] == ["filled"]
        assert booking.positions_of(connections.project, 1)[0]["quantity"] == D(30)
        by_hand = [each["why"] for each in _decided(connections.project, 1)]
    with trader(database, feed(), MovedClock(), account_ref="other") as one:
        agent = TradingLoopAgent(one)
        agent._recover_existing_positions()
        clock = one.desk.clock  # type: ignore[assignment]  # the one that is moved
        for hour in range(2):
            clock.at = START + HOUR * hour
            assert agent.process_cycle()
    with database.reading() as connections:
        assert [each["why"] for each in _decided(connections.project, 2)] == by_hand


def _decided(conn: Any, agent: int) -> list[Any]:
    found = deciding.decisions_of(conn, agent, None, None)
    return [{"why": (one["cycle"], one["action"], one["status"], len(one["verdicts"]))} for one in found]


def test_a_kill_in_between_stops_the_loop_agent(database: Database, tmp_path: Path) -> None:
    with trader(database, feed(), MovedClock(), home=tmp_path) as one:
        agent = TradingLoopAgent(one)
        agent._recover_existing_positions()
        agent.handle_idle_state()
        (tmp_path / "KILL").touch()
        agent.handle_perception_state()
        assert (agent.is_running, agent.state, one.kill_switch_triggered) == (False, "idle", True)
        assert not agent.process_cycle()
        assert agent.trades_today == 0


def test_the_orchestrator_runs_until_it_is_stopped_and_pauses(database: Database) -> None:
    clock, said = MovedClock(), list[str]()
    with trader(database, feed(), clock, monitoring_frequency_seconds=1.0) as one:
        agent = TradingAgentOrchestrator(one)

        def told(text: str) -> None:
            said.append(text)
            agent.stop()

        agent._told = told
        agent.pause_trading("the monitor is late")
        assert agent._paused_by_monitor
        assert agent.run(test_mode=True) == 0
        assert len(said) == 1
        assert agent._stop_event.is_set()
        assert (agent.trades_today, agent.kill_switch_triggered, agent.analysis_failures) == (0, False, 0)
        assert agent.initial_portfolio_value == agent.peak_portfolio_value == D(10_000)
        assert agent.current_breakdown["trading_state"] == "paused"
        assert agent.current_breakdown["reasons"] == {"monitor": "the monitor is late"}
        assert agent._should_execute({"confidence": 0.6})
        assert not agent._should_execute({"confidence": 0.599})
        assert not agent._should_execute({"confidence": None})
