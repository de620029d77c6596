"""Each rule that keeps money safe, replaced by "allow": one of its checks fails. Rules are taken from the tables that
the trader itself goes through, so that a new one without a check fails here, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import AgentError
from agent.trading import kill_switch, rules, starting
from agent.trading.config import TradingAgentConfig
from agent.trading.kill_switch import Cause, Limits, Reading, decide_kill
from agent.trading.model import Account, Order, Position
from agent.trading.rule import Allow, Rule, review
from agent.trading.rule_example import MARKET, NOW, Case, proposal_of, view_of
from agent.trading.states.permissions import MAY, Send, TradingState
from agent.trading.steps import execute, pausing
from agent.trading.steps.execute import LastLook
from pipelines.errors import SettingsError
from tests import paper

D = Decimal
LIMITS = Limits(loss=D("0.02"), drawdown=D("0.05"), gain=D("0.05"), stale_kills=True)


def fires(cause: Cause | None, equity: str, peak: str = "100", asked: Cause | None = None, **facts: Any) -> None:
    reading = Reading(equity=D(equity), initial=D(100), peak=D(peak), **facts)
    fired = decide_kill(reading, LIMITS, asked)
    assert (None if fired is None else fired.cause) == cause


def look(purpose: str = "open", **changes: Any) -> LastLook:
    closes = purpose != "open"
    order = Order(
        client_order_id="tm1",
        market_id="m",
        outcome="",
        side="sell" if closes else "buy",
        purpose=purpose,  # type: ignore[arg-type]  # one of ours
        type="market",
        time_in_force="gtc",
        quantity=D(2),
        status="prepared",
        prepared_at=NOW,
        reference=D(50),
        reduce_only=closes,
    )
    values: dict[str, Any] = {"state": TradingState.ACTIVE, "reasons": {}, "kill": None, "has_kill_file": False}
    return LastLook(
        order=order, **{**values, "held": D(2), "closing": False, "unclear": [], "disputed": None, **changes}
    )


def denied(says: str, seen: LastLook) -> None:
    found = [why for one in execute.LAST_LOOK.values() if (why := one(seen)) is not None]
    assert (found[0] if found else "") == says


def refused(says: str, mode: Any = "dry_run", **config: Any) -> None:
    try:
        starting.require_startable(TradingAgentConfig(**config), mode, test_mode=False)
    except (AgentError, SettingsError) as error:
        assert says and says in str(error), error  # noqa: PT017, PT018  # no refusal is expected where it is empty
    else:
        assert not says


def holds_back(reason: str, reading: Reading, bars: int = 13) -> None:
    """Whether a reading holds back; the day began with 100, nothing paused since, and so many hourly bars of it are
    published: the thirteenth ended now."""
    config = TradingAgentConfig(max_daily_loss_pct=0.01)
    desk = SimpleNamespace(config=config, agent_id=1, markets={paper.MARKET: "BTCUSD"}, feed=paper.live_feed(bars))
    found = {
        name
        for name, why in pausing.CHECKS.items()
        if why(None, desk, reading, LIMITS, NOW)  # type: ignore[arg-type]  # what they ask of a desk
    }
    assert reason in found


KILL = {"cause": ["LOSS_LIMIT"]}
PAIRS = {"asset_pairs": ("BTCUSD",)}
# (table, rule) -> what fails without it. Each of these holds of the code as it is.
CHECKS: dict[tuple[str, str], Callable[[], None]] = {
    ("kill_switch", "asked"): lambda: fires(Cause.KILL_FILE, "100", asked=Cause.KILL_FILE),
    ("kill_switch", "stale_marks"): lambda: fires(Cause.STALE_MARKS, "100", stale=True, stale_before=2),
    ("kill_switch", "loss"): lambda: fires(Cause.LOSS_LIMIT, "98"),
    ("kill_switch", "drawdown"): lambda: fires(Cause.DRAWDOWN_LIMIT, "100", "106"),
    ("kill_switch", "gain"): lambda: fires(Cause.PROFIT_TARGET, "105"),
    ("pausing", "stale_marks"): lambda: holds_back("stale_marks", Reading(D(100), D(100), D(100), True, 2)),
    ("pausing", "daily_loss"): lambda: holds_back("daily_loss", Reading(D(99), D(100), D(100))),
    ("pausing", "release_too_old"): lambda: holds_back("release_too_old", Reading(D(100), D(100), D(100)), bars=10),
    ("last_look", "trading_state"): lambda: denied("the trader is paused: p", paused()),
    ("last_look", "kill_switch"): lambda: denied("the kill switch fired: LOSS_LIMIT", look("exit", kill=KILL)),
    ("last_look", "kill_file"): lambda: denied(
        "a KILL file lies in the project's home", look("stop", has_kill_file=True)
    ),
    ("last_look", "more_than_held"): lambda: denied(
        "there is no longer that much to close", look("stop", held=D("1.9"))
    ),
    ("last_look", "closes_already"): lambda: denied(
        "an order that closes it rests already", look("stop", closing=True)
    ),
    ("last_look", "unclear"): lambda: denied(
        "nobody knows yet whether an order before it is in this market", look(unclear=["m"])
    ),
    ("last_look", "disputed"): lambda: denied(
        "books and platform differ about it (mismatch): `agent reconcile` shows it", look("stop", disputed="mismatch")
    ),
    ("starting", "mode"): lambda: refused("quicktest_mode", "live", quicktest_mode=True, **PAIRS),
    ("starting", "credentials"): lambda: refused("needs credentials", "live", **PAIRS),
    ("starting", "channel"): lambda: refused("cannot ask anybody", approval_mode="telegram", **PAIRS),
    ("starting", "pairs"): lambda: refused("no pair is named"),
}
TABLES: dict[str, dict[Any, Any]] = {
    "kill_switch": kill_switch.CHECKS,
    "pausing": pausing.CHECKS,
    "last_look": execute.LAST_LOOK,
    "starting": starting.CHECKS,
}
MUTANTS = [(table, str(rule)) for table, one in TABLES.items() for rule in one]


def paused() -> LastLook:
    return look(state=TradingState.PAUSED, reasons={"person": "p"})


@pytest.fixture(autouse=True)
def day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that began with 100, of which nothing was lost before."""
    monkeypatch.setattr("agent.store.trading.booking.opening_of_day", lambda *_: (D(100), []))
    monkeypatch.setattr("agent.store.trading.booking.newest_equity", lambda *_: None)
    monkeypatch.setattr("agent.store.trading.deciding.lock_since", lambda *_: None)
    monkeypatch.setattr("agent.store.trading.deciding.add_lock", lambda *_, **__: None)


def test_every_rule_has_a_check_and_every_check_a_rule() -> None:
    assert set(MUTANTS) == set(CHECKS)


@pytest.mark.parametrize(("table", "rule"), MUTANTS, ids=lambda one: str(one))
def test_a_rule_that_allows_everything_is_missed(table: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CHECKS[table, rule]()
    monkeypatch.setitem(TABLES[table], rule, lambda *_: None)
    with pytest.raises(AssertionError):
        CHECKS[table, rule]()


def test_none_of_them_fires_wrongly() -> None:
    """A hair before each limit, and all that is allowed."""
    fires(None, "98.01")
    fires(None, "104.99", "104.99")
    fires(None, "100", "105.26")
    fires(None, "50", stale=True, stale_before=1)
    denied("", look())
    for state in TradingState:
        asks = look("kill" if state is TradingState.HALTED else "stop", state=state, reasons={})
        assert (Send.KILL if state is TradingState.HALTED else Send.REDUCE) in MAY[state]
        denied("", asks)
    denied("", look("kill", state=TradingState.HALTED, kill=KILL, has_kill_file=True, disputed="mismatch"))
    refused("", **PAIRS)
    for reading in (Reading(D("99.01"), D(100), D(100)), Reading(D(50), D(100), D(100), True, 1)):
        with pytest.raises(AssertionError):
            holds_back("daily_loss", reading)
        with pytest.raises(AssertionError):
            holds_back("stale_marks", reading)
        with pytest.raises(AssertionError):
            holds_back("release_too_old", reading, bars=11)


def test_a_quick_test_on_paper_is_allowed() -> None:
    refused("", quicktest_mode=True, **PAIRS)


# --- the gatekeeper --------------------------------------------------------------------------------------------------

RULES = rules.load()
NAMES = [one.__name__.rpartition(".")[2] for one in RULES]
HELD = Position(market_id=MARKET, outcome="", quantity=D("0.005"), average=D(50_000), mark=D(49_990))
CLOSING = {"reduces": True, "side": "sell", "confidence": 0.0}
FULL = tuple(
    Position(market_id=one, outcome="", quantity=D(-1), average=D(2_500), mark=D(2_500)) for one in ("a", "b", "c", "d")
)
# What the whole gatekeeper would let pass, or pass larger, without this one rule, where its examples do not show it.
ALONE: dict[str, Case] = {
    "reduce_only": Case("", proposal=CLOSING, view={"account": Account(cash=D(10_000), positions=(HELD,))}),
    "exposure": Case("", view={"account": Account(cash=D(20_000), positions=FULL)}, config={"max_var_pct": 50.0}),
}


def mutated(name: str) -> list[Rule]:
    allows = {"check": lambda *_: Allow(), "__doc__": ""}
    return [
        SimpleNamespace(__name__=one.__name__, PLACE=one.PLACE, CLOSES=one.CLOSES, **allows)  # type: ignore[misc]  # a rule's shape
        if one.__name__.endswith(f".{name}")
        else one
        for one in RULES
    ]


def left(judges: Any, case: Case, now: datetime = NOW) -> Decimal:
    return review(judges, proposal_of(case), view_of(case), now).quantity


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_gatekeeper_without_one_rule_lets_more_pass(rule: Rule) -> None:
    """With all others in place, so that no rule is one that another one makes up for."""
    name = rule.__name__.rpartition(".")[2]
    cases = [ALONE[name]] if name in ALONE else [*rule.REFUSES, *rule.ALLOWS]  # type: ignore[attr-defined]  # what a rule gives
    without = mutated(name)
    assert any(left(without, one) > left(RULES, one) for one in cases)


def test_no_rule_speaks_against_the_ordinary() -> None:
    assert left(RULES, Case("")) == D("0.01")
    assert replace(view_of(Case("")), locks=()).locks == ()
    assert left(RULES, Case(""), NOW + timedelta(seconds=1)) == D("0.01")
