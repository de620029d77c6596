"""Between two cycles: stops and take-profits, the kill switch, a KILL file, and a release that wakes the trader."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders, showing, switch
from agent.trading.agents import TradingAgentOrchestrator, TradingLoopAgent
from agent.trading.monitor import Monitor
from agent.trading.run import Trader, run
from agent.trading.steps.closing import closing_order
from agent.trading.steps.execute import place
from tests.paper import HOUR, MARKET, START, Altered, D, MovedClock, cycles, feed_of, trader

FALLING = [100.0, 100.0, 100.0, *[97.0] * 20]
RISING = [100.0, 100.0, 100.0, *[106.0] * 20]
HOLDING = {MARKET: dict.fromkeys(range(20), 1)}
PATIENCE = 60.0


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def sent(database: Database, one: Trader) -> list[tuple[str, str]]:
    return [(each["purpose"], each["status"]) for each in rows(database, orders.of_agent, one.desk.agent_id)]


def decided(database: Database, one: Trader) -> dict[str, Any]:
    """Decisions by their ids."""
    found = rows(database, deciding.decisions_of, one.desk.agent_id, None, None)
    return {each["decision_id"]: each for each in found}


@pytest.mark.parametrize(
    ("prices", "limit", "purpose"),
    [
        (FALLING, {"stop_loss": 0.03}, "stop"),
        (RISING, {"take_profit": 0.06}, "take_profit"),
        (FALLING, {"stop_loss": 0.0301}, None),
        (RISING, {"take_profit": 0.0601}, None),
        (FALLING, {}, None),
    ],
)
def test_a_limit_that_is_reached_between_two_cycles_closes_once(
    database: Database, prices: list[float], limit: dict[str, float], purpose: str | None
) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: prices}, HOLDING), clock, **limit) as one:
        one.recover()
        cycles(one, clock, range(2))
        clock.at = START + 2 * HOUR  # the newest bar closes at the limit
        assert not any(one.look() for _ in range(3))
        assert sent(database, one) == [("open", "filled"), *([(purpose, "open")] if purpose else [])]
        if purpose is None:
            return
        assert cycles(one, clock, (2,))[0].sent == 0  # the loop sees that it is being closed
        clock.at = START + 3 * HOUR
        assert not any(one.look() for _ in range(2))
        assert sent(database, one) == [("open", "filled"), (purpose, "filled")]
        assert rows(database, booking.position_of, one.desk.agent_id, (MARKET, ""))["quantity"] == D(0)
        (trip,) = rows(database, booking.trades_of, one.desk.agent_id)
        assert trip["reason"] == purpose
        closed = rows(database, orders.of_agent, one.desk.agent_id)[1]
        assert trip["exit_decision_id"] == closed["decision_id"]
        made = decided(database, one)[closed["decision_id"]]
        assert (made["action"], made["status"], made["cycle"], made["synthetic"]) == ("close", "ordered", 0, True)
        assert (made["proposed_quantity"], made["pair"]) == (D(30), "BTCUSD")
        name = {"stop": "stop-loss", "take_profit": "take-profit"}[purpose]
        assert showing.why(made).startswith(f"{name}: closing brings ")


def test_a_stop_passes_a_pause_and_needs_a_fresh_quote_of_an_open_market(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: FALLING}, HOLDING), clock, stop_loss=0.03) as one:
        one.recover()
        cycles(one, clock, range(2))
        clock.at = START + 2 * HOUR
        platform, whole = one.desk.platform, one.desk
        for alter in (
            lambda quote: replace(quote, is_open=False),
            lambda quote: replace(quote, ts=quote.ts - 2 * HOUR, last_ts=quote.ts - 2 * HOUR),
            lambda quote: replace(quote, bid=None),
        ):
            one.desk = replace(whole, platform=Altered(platform, alter))  # type: ignore[arg-type]  # has all that a platform has
            assert not one.look()
            assert one.process_cycle().sent == 0  # the loop goes by no old quote either
            assert sent(database, one) == [("open", "filled")]
        one.desk = whole
        TradingAgentOrchestrator(one).pause_trading("quiet")
        assert not one.look()
        assert sent(database, one)[1:] == [("stop", "open")]


def test_whoever_comes_second_closes_nothing_again(database: Database) -> None:
    """Loop and monitor decided to close before either sent: the last look lets one of them."""
    clock = MovedClock()
    with trader(database, feed_of({MARKET: FALLING}, HOLDING), clock) as one:
        one.recover()
        cycles(one, clock, range(2))
        clock.at = START + 2 * HOUR
        quote = one.desk.quote(MARKET)
        made = [closing_order(one.desk, "m", "stop", (MARKET, ""), D(30), leg, quote) for leg in range(3)]
        first, second, late = made
        assert not isinstance(first, str)
        assert not isinstance(second, str)
        assert not isinstance(late, str)
        assert [place(one.desk, first), place(one.desk, second, leg=1)] == ["open", "denied"]
        clock.at = START + 3 * HOUR
        one.look()
        assert place(one.desk, late, leg=2) == "denied"
        texts = [each["reject_text"] for each in rows(database, orders.of_agent, one.desk.agent_id)]
        assert sorted(filter(None, texts)) == [
            "an order that closes it rests already",
            "there is no longer that much to close",
        ]


def test_the_thread_fires_the_switch_while_the_loop_waits(database: Database, tmp_path: Path) -> None:
    clock, waited = MovedClock(), list[float]()
    with trader(database, feed_of({MARKET: FALLING}, HOLDING), clock, home=tmp_path) as one:

        def wait(seconds: float) -> bool:
            if one.kill_switch_triggered:
                clock.at += HOUR
                return True
            waited.append(seconds)
            (tmp_path / "KILL").write_text("me: enough\n", encoding="utf-8")
            until(lambda: one.kill_switch_triggered)
            return True

        assert run(one, wait=wait, told=lambda _: None) == 1
    assert len(waited) == 1
    (kill,) = rows(database, switch.of_account, "paper", "main")
    assert (kill["cause"], kill["state"]) == (["KILL_FILE"], "flat")
    assert rows(database, account.load, 1)["cycle"] == 1


def until(holds: Any) -> None:
    """Wait for what another thread does."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it never came true")


def test_the_thread_looks_again_after_a_failure_and_ends_when_all_is_to_be_closed() -> None:
    from agent.errors import AgentError, LeaseLost

    for last in (True, LeaseLost("taken over", where="w", fix="f")):
        answers: list[Any] = [False, AgentError("away", where="w", fix="f"), last]
        asked = list[Any]()

        def tick(answers: list[Any] = answers, asked: list[Any] = asked) -> bool:
            asked.append(answers.pop(0))
            if isinstance(asked[-1], AgentError):
                raise asked[-1]
            return bool(asked[-1])

        after = list[int]()
        told = lambda after=after, asked=asked: after.append(len(asked))  # noqa: E731  # bound to this round
        with Monitor(tick, lambda: False, 0.01, threading.RLock(), pytest.fail, PATIENCE, told) as monitor:
            until(lambda monitor=monitor: not monitor.is_alive)
        assert (len(asked), monitor.is_gone) == (3, False)
        assert after == ([1, 3] if last is True else [1]), "after each look that was one, the last one too"


def reasons(database: Database, one: Trader) -> list[str]:
    return sorted(rows(database, account.load, one.desk.agent_id)["trading_reason"] or {})


def test_a_loop_that_hangs_may_only_reduce_until_it_goes_on(database: Database) -> None:
    clock = MovedClock()
    quick = {"monitoring_frequency_seconds": 0.02, "analysis_frequency_seconds": 0.02}
    with trader(database, feed_of({MARKET: FALLING}, HOLDING), clock, **quick) as one:
        one.recover()
        with one.monitor():
            with one.turn:
                until(lambda: reasons(database, one) == ["loop_late"])
            cycles(one, clock, (0,))
        cycles(one, clock, (1,))
        assert reasons(database, one) == []


def test_a_monitor_that_is_gone_pauses_until_there_is_another(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: FALLING}, HOLDING), clock, monitoring_frequency_seconds=0.02) as one:
        one.recover()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("agent.trading.steps.monitoring.look", lambda _: 1 // 0)
            with one.monitor() as monitor:
                until(lambda: monitor.is_gone)
                assert cycles(one, clock, (0,))[0].sent == 0
                assert reasons(database, one) == ["monitor_gone"]
        with one.monitor():
            cycles(one, clock, (1,))
            assert reasons(database, one) == []


def test_a_release_wakes_the_trader_before_its_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, feed, told = MovedClock(), feed_of({MARKET: FALLING}, HOLDING), list[str]()
    outdated = iter([False, True, True])  # before the wait; in it; and so the wait is over
    with trader(database, feed, clock, analysis_frequency_seconds=1e6, monitoring_frequency_seconds=1e6) as one:
        monkeypatch.setattr(feed, "is_outdated", lambda: next(outdated, False))
        agent = TradingLoopAgent(one, told.append)
        assert agent.run(most_cycles=2) == 0
    assert [each[:7] for each in told] == ["Cycle 1", "Cycle 2"]
