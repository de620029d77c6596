"""The kill switch at a venue: what fires it, what it cancels, what it cannot close, and how long it tries."""

from __future__ import annotations

from typing import Any

from agent.store.database.engine import Database
from agent.store.trading import switch
from agent.trading.agents import TradingLoopAgent
from agent.trading.run import run
from tests.integration.trading.test_at_a_venue import NO_CLOSING
from tests.venue import Floor, floor

# An entry of 30 % of equity costs 0.1 % of fees and 0.2 % of spread: 0.09 % of equity.
AT_ONCE = {"kill_switch_loss_pct": 0.0005, **NO_CLOSING}


def kills(at: Floor) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.rows(switch.of_account, "venue", "main")
    return found


def test_a_fill_at_the_end_of_a_cycle_is_measured_in_it(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        one.recover()
        done = one.process_cycle()
        assert (done.sent, done.is_killed) == (1, True)
        (kill,) = kills(at)
        assert (kill["cause"], kill["state"]) == (["LOSS_LIMIT"], "triggered")
        one.look()
        one.process_cycle()
        assert kills(at) == [kill], "it fires once"


def test_the_only_cycle_of_a_run_whose_fill_reaches_a_limit_closes_everything(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        assert run(one, wait=at.wait, told=lambda _: None, most_cycles=1) == 1
        assert kills(at)[0]["state"] == "flat"
        at.require_agreement()


def test_the_loop_agent_measures_what_it_booked(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        agent = TradingLoopAgent(one)
        one.recover()
        agent.handle_idle_state()
        agent.handle_perception_state()
        agent.handle_reasoning_state()
        agent.handle_risk_check_state()
        agent.handle_execution_state()
        agent.handle_learning_state()
        assert (agent.state, agent.is_running) == ("idle", False)
        assert kills(at)[0]["cause"] == ["LOSS_LIMIT"]


def test_what_is_booked_as_a_run_ends_is_measured_before_it_closes(database: Database) -> None:
    """A fill that came while it waited: the switch closes, and not the end of the run."""
    with floor(database) as at:
        at.venue.part = at.venue.part * 0
        with at.trader(**{**AT_ONCE, "on_exit": "close", "monitoring_frequency_seconds": 1e6}) as one:

            def filled(_seconds: float) -> bool:
                at.venue.part = at.venue.part * 0 + 1
                if not at.venue.fills:
                    at.venue.fill(at.orders()[0]["client_order_id"])
                at.wait(10.0)
                return one.kill_switch_triggered

            assert run(one, wait=filled, told=lambda _: None) == 1
        assert [one["purpose"] for one in at.orders()] == ["open", "kill"]
        at.require_agreement()
