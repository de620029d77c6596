"""`agent run-agent` and the commands that read what it did, typed in a project."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.store.database import migrations
from agent.store.database.engine import Database, open_engine, writing
from agent.store.outputs.projections import upsert_markets
from agent.store.trading import account, booking, showing
from agent.store.trading.proof import digest_of
from agent.trading.profiles import names
from agent.trading.run import run
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import state_by
from pipelines.costs import Costs
from tests.paper import HOUR, MARKET, START, Altered, MovedClock, cycles, feed_of, listing, trader
from tests.typed import facts, typed


def test_what_was_traded_is_readable(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = facts(capsys, "portfolio", "--rebuild")
    assert (held["cash"], held["equity"], held["positions"], held["differences"]) == ("10600", "10600", [], [])
    assert [one["purpose"] for one in facts(capsys, "orders")] == ["open", "reduce"]
    assert [one["price"] for one in facts(capsys, "fills")] == ["100", "120"]
    assert [one["pnl"] for one in facts(capsys, "trades", "--market", MARKET)] == ["600"]
    assert len(facts(capsys, "equity")) == 5
    assert [one["kind"] for one in facts(capsys, "reconcile")] == ["opening"]
    assert "active" in typed(capsys, "portfolio")[0]


def test_tables_are_read_by_people(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "orders")[0].split("  ")[0] == "prepared at (UTC)"
    assert typed(capsys, "fills")[0].startswith("time (UTC)")
    assert "60.0 %" in typed(capsys, "decisions")[0].splitlines()[2]
    assert typed(capsys, "equity")[0].splitlines()[2].endswith("  no")  # not by old prices


def test_an_account_that_nobody_trades_is_told_which_there_are(
    traded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = typed(capsys, "portfolio", "--account", "mian", code=2)[1]
    assert "nobody has traded account mian here" in refused
    assert "there is main" in refused


def test_one_cycle_is_not_three(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(("run-agent", "--asset-pair", "BTCUSD", "--once", "--max-cycles", "3"))
    assert "not allowed with" in capsys.readouterr().err


def test_two_markets_are_not_one(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(facts(capsys, "decisions", "--why-not", "BTCUSD", "--market", "BTC-USD")) == 3
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    other = {"market_id": "kraken:ETH-USD", "source": "kraken", "external_id": "ETH-USD", "kind": "spot"}
    with engine.begin() as conn:
        upsert_markets(conn, [other | {"status": "open"}], START)
    engine.dispose()
    two = ("decisions", "--why-not", "BTCUSD", "--market", "ETHUSD")
    assert "two markets are named" in typed(capsys, *two, code=2)[1]


def test_40_every_cycle_without_a_trade_says_why(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, "decisions", "--why-not", "BTCUSD")
    assert [one["cycle"] for one in found] == [5, 4, 2]
    assert found[0]["why"] == "confidence: 60.0 % is below 70.0 %"
    assert all(one["why"] for one in found)
    assert len(facts(capsys, "decisions", "--market", MARKET)) == 5
    assert [one["market_id"] for one in facts(capsys, "locks")] == [MARKET]


@pytest.mark.parametrize("ends", ["delete", "--delete"])
def test_a_lock_is_ended_by_a_person_once(traded: Path, capsys: pytest.CaptureFixture[str], ends: str) -> None:
    number = str(facts(capsys, "locks")[0]["id"])
    typed(capsys, "locks", ends, number)
    assert facts(capsys, "locks") == []
    assert f"no lock {number} stands" in typed(capsys, "locks", ends, number, code=2)[1]
    assert "delete needs a lock" in typed(capsys, "locks", "delete", code=2)[1]


def test_a_pause_holds_until_it_is_resumed(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts(capsys, "pause", "--reason", "lunch") == {"trading_state": "paused"}
    assert facts(capsys, "portfolio")["reasons"] == {"person": "lunch"}
    assert facts(capsys, "resume") == {"trading_state": "active"}
    assert facts(capsys, "portfolio")["reasons"] == {}


def test_what_own_monitoring_paused_is_resumed_as_well(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    with writing(engine) as conn:
        agent = showing.agent_of(conn, "main")["id"]
        for reason in (Reason.MONITOR, Reason.MISMATCH):
            account.set_reason(conn, agent, str(reason), "late", state_by)
    engine.dispose()
    assert facts(capsys, "resume") == {"trading_state": "reducing"}
    assert facts(capsys, "portfolio")["reasons"] == {"mismatch": "late"}


def test_why_it_was_resumed_is_on_record_until_the_next_pause(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, "pause", "--reason", "lunch")
    assert facts(capsys, "resume", "--reason", "back") == {"trading_state": "active"}
    reasons = facts(capsys, "portfolio")["reasons"]
    assert list(reasons) == ["resumed"]
    assert reasons["resumed"].endswith(": back")
    assert "; resumed by " in typed(capsys, "portfolio")[0]
    facts(capsys, "pause", "--reason", "tea")
    assert facts(capsys, "portfolio")["reasons"] == {"person": "tea"}


def test_what_fills_cost_is_said_beside_what_was_expected(
    traded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two fills at the mid that was seen, and one a thousandth of it above."""
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    clock = MovedClock(START + 4 * HOUR)
    feed = feed_of({MARKET: [100.0] * 8}, {MARKET: {5: 1}}, [listing(MARKET, Costs(half_spread=0.001))])
    with trader(Database(engine, engine), feed, clock) as one:
        one.recover()
        cycles(one, clock, (5, 6))
    engine.dispose()
    found = facts(capsys, "slippage")
    assert (found["account_ref"], found["platform"], found["mode"]) == ("main", "paper", "paper")
    last = found["fills"][-1]
    assert [one["cost"] for one in found["fills"][:2]] == ["0", "0"]
    assert (last["mid"], last["price"], last["cost_bps"]) == ("100", "100.1", pytest.approx(10))
    total = found["total"]
    assert (total["fills"], total["cost"], total["expected"]) == (3, last["cost"], None)
    assert float(total["cost"]) == pytest.approx(float(last["quantity"]) * 0.1)
    assert found["markets"] == [{"market_id": MARKET} | total]
    said = typed(capsys, "slippage")[0]
    assert f"{float(total['cost']):.2f} beside the mids of their decisions" in said
    assert f"What was to be expected is not known: the current release does not have {MARKET}." in said

    monkeypatch.setattr("agent.cli.commands.trading.slippage.read_costs", lambda *_: {MARKET: Costs(slippage=0.001)})
    assert facts(capsys, "slippage")["total"]["expected_bps"] == pytest.approx(10)
    said = typed(capsys, "slippage", "--market", MARKET)[0]
    assert "expected (10.00 bps): no more than chance may do." in said
    assert len([line for line in said.splitlines() if MARKET in line]) == 3, "a line for each fill"
    assert len(facts(capsys, "slippage", "--since", "2026-01-30T01:30")["fills"]) == 2


def test_people_read_cents_and_json_has_every_digit(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    clock = MovedClock(START + 4 * HOUR)
    costs = Costs(fee=0.00118700066860389)
    feed = feed_of({MARKET: [97.123456789] * 8}, {MARKET: {5: 1}}, [listing(MARKET, costs)])
    with trader(Database(engine, engine), feed, clock) as one:
        one.recover()
        cycles(one, clock, (5, 6))
    engine.dispose()
    exact = facts(capsys, "portfolio")
    assert len(exact["cash"].split(".")[1]) > 8
    for command in ("portfolio", "orders", "fills", "trades", "equity", "decisions"):
        text = typed(capsys, command)[0]
        assert not re.search(r"\.\d{9}", text), text
    assert f"equity {float(exact['equity']):,.2f}." in typed(capsys, "portfolio")[0]


def test_the_kill_switch_is_triggered_and_nothing_is_reset_that_did_not_fire(
    traded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert facts(capsys, "kill-switch") == []
    assert "has not fired" in typed(capsys, "kill-switch", "reset", "--reason", "x", code=3)[1]
    assert "needs a reason" in typed(capsys, "kill-switch", "trigger", code=2)[1]
    typed(capsys, "kill-switch", "trigger", "--reason", "enough")
    assert (traded / ".tidemill" / "KILL").read_text(encoding="utf-8").endswith(": enough\n")


def test_a_switch_that_fired_is_reset_by_a_person_when_all_is_closed(
    traded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = traded / ".tidemill"
    (home / "KILL").touch()
    engine = open_engine(f"sqlite:///{home / 'state.sqlite'}")
    clock = MovedClock(START + 4 * HOUR)
    with trader(Database(engine, engine), feed_of({MARKET: [100.0] * 6}, {}), clock, home=home) as one:
        assert run(one, wait=lambda _: False, told=lambda _: None, most_cycles=1) == 1
    engine.dispose()
    (kill,) = facts(capsys, "kill-switch")
    assert (kill["state"], kill["cause"], kill["equity"]) == ("flat", ["KILL_FILE"], "10600")
    assert "  KILL_FILE  " in typed(capsys, "kill-switch")[0]
    assert facts(capsys, "portfolio")["trading_state"] == "halted"
    assert facts(capsys, "kill-switch", "reset", "--reason", "seen") == {"trading_state": "active", "equity": "10600"}
    assert facts(capsys, "portfolio")["initial"] == "10600"
    assert [one["state"] for one in facts(capsys, "kill-switch")] == ["reset"]


def test_a_switch_that_fired_shows_by_which_marks_and_what_is_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(f"sqlite:///{folder / '.tidemill' / 'state.sqlite'}")
    (folder / ".tidemill").mkdir(exist_ok=True)
    migrations.ensure_current(engine, automatic=True)
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0, 100.0, *[93.0] * 3]}, {MARKET: {0: 1}})
    with trader(Database(engine, engine), feed, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        assert [each.is_killed for each in cycles(one, clock, range(2))] == [False, True]
        platform: Any = Altered(one.desk.platform, lambda quote: replace(quote, is_open=False))
        one.desk = replace(one.desk, platform=platform)
        assert [str(one.close_everything()) for _ in range(3)][-1] == "stuck"
        clock.at += 5 * HOUR
        one.look()  # what is measured later is not what it fired by
    engine.dispose()
    (kill,) = facts(capsys, "kill-switch")
    at = "2026-01-30T01:00:00+00:00"
    assert kill["marks"] == {MARKET: {"price": "93", "ts": at, "kind": "quote"}}
    assert (kill["triggered_at"], kill["equity"], kill["measured"]) == (at, "9790", 0.021)
    text = typed(capsys, "kill-switch")[0]
    assert re.search(r"2026-01-30 01:00:00 +test:BTC-USD +93 +quote, 0.0 s old", text), text
    assert text.endswith("Left, and tried again:\n  test:BTC-USD: the market is closed\n")


def test_what_new_books_found_is_adopted_at_a_word(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing waits to be adopted" in typed(capsys, "reconcile", "--adopt", code=3)[1]
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    row = {"id": "x", "agent_id": 1, "found_at": START, "kind": "new_database", "market_id": MARKET, "ledger": {}}
    with writing(engine) as conn:
        booking.add_discrepancy(conn, {**row, "platform": {}, "resolution": "blocking", "note": "held 3"})
    engine.dispose()
    assert "--adopt and --accept are two words" in typed(capsys, "reconcile", "--adopt", "--accept", "x", code=2)[1]
    assert "agent reconcile --adopt" in typed(capsys, "reconcile", "--accept", "x", code=3)[1]
    assert facts(capsys, "reconcile", "--adopt") == {"adopted": ["x"], "trading_state": "active"}
    said = facts(capsys, "reconcile")[-1]
    assert (said["resolution"], said["note"].split("; ")[-1]) == ("by_person", "held 3")


def test_books_end_at_a_word_and_stay_readable(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "it needs a reason" in typed(capsys, "retire", "--reason", " ", code=2)[1]
    answer = facts(capsys, "retire", "--reason", "begin anew")
    assert (answer["retired"], answer["platform"]) == ("main", "paper")
    held = facts(capsys, "portfolio", "--rebuild")
    assert (held["ended_at"], held["equity"], held["differences"]) == (answer["ended_at"], "10600", [])
    assert held["reasons"]["retired"].endswith(": begin anew")
    assert "halted; retired by" in typed(capsys, "portfolio")[0]
    for name, count in (("orders", 2), ("fills", 2), ("trades", 1), ("equity", 5), ("decisions", 5), ("reconcile", 1)):
        assert len(facts(capsys, name)) == count, name
    assert facts(capsys, "slippage")["total"]["fills"] == 2
    bought = facts(capsys, "orders")[0]
    assert "account main was retired at" in typed(capsys, "pause", "--reason", "x", code=3)[1]
    assert "account main was retired at" in typed(capsys, "retire", "--reason", "x", code=3)[1]

    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    clock = MovedClock(START + 4 * HOUR)
    with trader(Database(engine, engine), feed_of({MARKET: [100.0] * 8}, {MARKET: {5: 1}}), clock) as one:
        one.recover()
        cycles(one, clock, (5, 6))
    engine.dispose()
    proof = json.loads(typed(capsys, "export-decision", bought["decision_id"])[0])
    assert (proof["decision"]["agent_id"], proof["fills"][0]["price"]) == (bought["agent_id"], "100")
    held = facts(capsys, "portfolio", "--rebuild")
    assert (held["ended_at"], held["initial"], held["differences"]) == (None, "10600", [])
    assert [len(facts(capsys, name)) for name in ("orders", "fills", "trades")] == [1, 1, 0]
    assert "is held" in typed(capsys, "retire", "--reason", "x", code=3)[1]


def test_a_drill_goes_through_every_step_and_touches_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    steps = facts(capsys, "kill-switch", "drill")
    assert [one["name"] for one in steps] == ["open", "trigger", "cancelling", "closing", "closing", "flat", "reset"]
    assert [one["says"] for one in steps if one["name"] in ("open", "flat")] == [
        "1 held, 1 resting",
        "0 held, 0 resting",
    ]
    assert all(one["seconds"] > 0 and one["at"] for one in steps)
    assert "cancelling" in typed(capsys, "kill-switch", "drill")[0]
    assert sorted(folder.rglob("*")) == before


def test_a_drill_fails_where_the_trader_does_not_close(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.trading.steps.closing.closing_order", lambda *_: "nobody bids")
    assert "does not become flat" in typed(capsys, "kill-switch", "drill", code=1)[1]


def test_a_decision_is_exported_with_what_it_came_from_and_what_came_of_it(
    traded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [one["decision_id"] for one in facts(capsys, "decisions") if one["action"] == "buy"]
    typed(capsys, "export-decision", made[-1], "--to", "proof.json")
    proof = json.loads((traded / "proof.json").read_text(encoding="utf-8"))
    assert proof["sha256"] == digest_of(proof)
    assert digest_of(proof | {"quote": {}}) != proof["sha256"]
    assert proof["decision"]["decision_id"] == made[-1]
    assert [one["provider"] for one in proof["opinions"]] == ["market", "model"]
    assert proof["verdicts"][0]["rule"] == "market_open"
    (approval,) = proof["approvals"]
    assert (approval["status"], approval["channel"], approval["answered_by"]) == ("approved", "auto", "auto")
    assert (approval["quoted"]["side"], approval["quoted"]["quantity"]) == ("buy", proof["orders"][0]["quantity"])
    assert len(approval["nonce"]) == 26
    assert [one["event"] for one in proof["order_events"]][:2] == ["prepared", "sending"]
    assert [one["price"] for one in proof["fills"]] == ["100"]
    assert proof["settings"]["values"]["asset_pairs"] == ["BTCUSD"]
    assert (proof["release"], proof["published"]) == (None, None)  # a scripted market has no release
    assert json.loads(typed(capsys, "export-decision", made[-1])[0]) == proof
    assert "there is no decision x" in typed(capsys, "export-decision", "x", code=2)[1]


def test_who_never_traded_is_told_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody has traded account main here" in typed(capsys, "portfolio", code=2)[1]


@pytest.mark.parametrize("profile", names())
def test_29_the_table_is_printed_for_each_profile(
    folder: Path, capsys: pytest.CaptureFixture[str], profile: str
) -> None:
    out = typed(capsys, "run-agent", "--profile", profile, "--asset-pair", "BTCUSD", "--print-config")[0]
    assert f"profile {profile}" in out
    assert "asset_pairs" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--asset-pair", "BTCUSD", "--approval-mode", "manual"), "approval_mode manual cannot ask anybody yet"),
        (("--asset-pair", "BTCUSD", "--approval-mode", "telegram"), "approval_mode telegram cannot ask"),
        (("--asset-pair", "BTCUSD", "--approval-mode", "redis"), "approval_mode redis cannot ask anybody yet"),
        ((), "no pair is named to trade"),
        (("--asset-pair", "BTCUSD", "--kill-switch-loss", "2"), "kill_switch_loss_pct"),
        (("--asset-pair", "BTCUSD"), "there is no release to trade"),
        (("--config", "none.toml"), "there is no file none.toml"),
    ],
)
def test_what_cannot_start_says_so_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert says in typed(capsys, "run-agent", *arguments, code=2)[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "autonomous is false"),
        (("--autonomous",), "needs credentials"),
        (("--kill-switch-loss", "off"), "kill_switch_loss_pct is off"),
    ],
)
def test_27_live_is_refused_before_anything_is_opened(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setenv("TRADING_MODE", "live")
    more = ("--asset-pair", "BTCUSD", "--approval-mode", "auto", *arguments)
    assert says in typed(capsys, "run-agent", *more, code=2)[1]
    assert not list(folder.rglob("*.sqlite"))
