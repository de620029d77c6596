"""The trader's first steps in SQL, on SQLite and PostgreSQL: T0, the fence, reasons, T3, T4 and locks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from agent.errors import Busy, Conflict, LeaseLost, NotFound
from agent.store.database.engine import Database, writing
from agent.store.trading import account, deciding, orders
from agent.store.trading.account import Held, Opening
from agent.store.trading_tables import agents, decisions, kill_switch, opinions, verdicts
from agent.trading.states.permissions import Reason, state_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OWNER = "elsewhere/boot/ns/1/1"
OPENING = Opening("a", "paper", "paper", "main", {"risk_percentage": 1.0}, "h1", Decimal("10000.5"))
PERSON, MISMATCH = str(Reason.PERSON), str(Reason.MISMATCH)


@pytest.fixture
def database(engine: sa.Engine) -> Database:
    return Database(engine, engine)


def state_by(reasons: Any) -> str:
    return str(state_of(Reason(one) for one in reasons))


def opened(database: Database, seconds: float = 60, opening: Opening = OPENING) -> Held:
    return account.open_account(database, opening, OWNER, seconds, NOW)


def row_of(database: Database, held: Held) -> dict[str, Any]:
    with database.reading() as connections:
        return account.load(connections.project, held.agent_id)


def test_a_second_start_is_busy(database: Database) -> None:
    opened(database)
    with pytest.raises(Busy, match="account of agent 1 is traded by"):
        opened(database)


def test_7_a_restart_goes_on_with_baseline_peak_and_cycle_whatever_its_options(database: Database) -> None:
    first = opened(database, seconds=0)
    with account.holding(database, first) as conn:
        account.update(conn, first.agent_id, cycle=9, peak_equity=Decimal(11_000))
    second = opened(database, opening=replace(OPENING, config_hash="h2", equity=Decimal(5_000)))
    row = row_of(database, second)
    assert second.agent_id == first.agent_id
    assert second.lease.token == first.lease.token + 1
    assert (row["initial_equity"], row["peak_equity"], row["cycle"]) == (Decimal("10000.5"), Decimal(11_000), 9)
    assert (row["config_hash"], row["wanted_state"], row["mode"]) == ("h2", "running", "paper")


def test_another_account_is_another_row_and_another_mode_is_refused(database: Database) -> None:
    opened(database, seconds=0)
    assert opened(database, opening=replace(OPENING, account_ref="second")).agent_id == 2
    with pytest.raises(Conflict, match="opened in mode paper"):
        opened(database, opening=replace(OPENING, mode="live"))
    with database.reading() as connections:
        assert [one["account_ref"] for one in account.all_open(connections.project)] == ["second", "main"]


def test_who_overslept_writes_nothing(database: Database) -> None:
    slow = opened(database, seconds=0)
    quick = opened(database)
    with pytest.raises(LeaseLost), account.holding(database, slow) as conn:
        account.update(conn, slow.agent_id, cycle=5)
    account.close_account(database, slow)  # gives nothing back: it is not his
    with account.holding(database, quick) as conn:
        account.update(conn, quick.agent_id, cycle=1)
    assert row_of(database, quick)["cycle"] == 1
    account.close_account(database, quick)
    assert row_of(database, quick)["lease_owner"] is None


def test_a_step_that_fails_halfway_leaves_nothing(database: Database) -> None:
    held = opened(database)

    def fail() -> None:
        with account.holding(database, held) as conn:
            account.update(conn, held.agent_id, cycle=5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert row_of(database, held)["cycle"] == 0


def test_the_strongest_reason_is_in_force_until_the_last_is_gone(database: Database) -> None:
    held = opened(database)
    with account.holding(database, held) as conn:
        assert account.pause(conn, held.agent_id, "lunch", state_by) == "paused"
        assert account.set_reason(conn, held.agent_id, MISMATCH, "cash", state_by) == "reducing"
        assert account.resume(conn, held.agent_id, state_by) == "reducing"  # a person's reason alone
    assert row_of(database, held)["trading_reason"] == {MISMATCH: "cash"}
    with account.holding(database, held) as conn:
        assert account.set_reason(conn, held.agent_id, MISMATCH, None, state_by) == "active"
    assert row_of(database, held)["trading_reason"] is None


def test_a_pause_outlives_a_restart(database: Database) -> None:
    held = opened(database, seconds=0)
    with account.holding(database, held) as conn:
        account.pause(conn, held.agent_id, "lunch", state_by)
    row = row_of(database, opened(database))
    assert (row["wanted_state"], row["trading_state"]) == ("paused", "paused")
    assert row["trading_reason"] == {PERSON: "lunch"}


def test_there_is_no_such_agent(database: Database) -> None:
    with database.reading() as connections, pytest.raises(NotFound, match="no agent 7"):
        account.load(connections.project, 7)


def test_a_kill_stands_until_it_is_reset(database: Database) -> None:
    held = opened(database)
    values = {"id": "k", "platform": "paper", "account_ref": "main", "agent_id": held.agent_id, "state": "flat"}
    with account.holding(database, held) as conn:
        assert account.standing_kill(conn, "paper", "main") is None
        conn.execute(
            sa.insert(kill_switch).values({**values, "cause": ["PERSON"], "triggered_at": NOW, "triggered_by": "me"})
        )
        found = account.standing_kill(conn, "paper", "main")
        assert found is not None
        assert found["id"] == "k"
        assert account.standing_kill(conn, "paper", "second") is None
        conn.execute(sa.update(kill_switch).values(state="reset", reset_reason="looked at it"))
        assert account.standing_kill(conn, "paper", "main") is None


def decision(held: Held, cycle: int = 1, market: str = "m") -> dict[str, Any]:
    return {
        "decision_id": deciding.decision_id(held.agent_id, cycle, market),
        "agent_id": held.agent_id,
        "cycle": cycle,
        "market_id": market,
        "made_at": NOW + timedelta(minutes=cycle),
        "as_of": NOW,
        "action": "buy",
        "probability": 0.6,
        "status": "made",
        "reasons": [{"code": "edge", "value": Decimal("0.10"), "at": NOW}],
    }


SAID: list[dict[str, Any]] = [
    {"provider": "model", "probability": 0.6, "reasons": [{"net": Decimal("1E-8")}]},
    {"provider": "market", "probability": None, "reasons": [], "error": "no book"},
]


def test_a_decision_is_made_once_and_keeps_its_opinions(database: Database) -> None:
    held = opened(database)
    one = decision(held)
    with account.holding(database, held) as conn:
        assert deciding.save_decision(conn, one, SAID)
        assert not deciding.save_decision(conn, one | {"action": "sell"}, SAID)
        row = conn.execute(sa.select(decisions)).mappings().one()
        assert row["action"] == "buy"
        assert row["reasons"] == [{"code": "edge", "value": "0.1", "at": NOW.isoformat()}]
        found = conn.execute(sa.select(opinions).order_by(opinions.c.provider)).mappings().all()
        assert [(each["provider"], each["abstained"]) for each in found] == [("market", True), ("model", False)]
        assert found[1]["reasons"] == [{"net": "0.00000001"}]


def order_of(held: Held, of: dict[str, Any]) -> dict[str, Any]:
    market = {"outcome": "", "side": "buy", "type": "market", "time_in_force": "gtc", "quantity": Decimal(1)}
    sending = {"status": "prepared", "status_at": NOW, "prepared_at": NOW, "payload_hash": "p", "deduplicated": False}
    its = {"decision_id": of["decision_id"], "agent_id": held.agent_id, "market_id": of["market_id"], "purpose": "open"}
    return {"client_order_id": "tm1", "platform": "paper", "lease_token": 1, **its, **market, **sending}


def test_a_bar_is_entered_on_once(database: Database) -> None:
    held = opened(database)
    first, second = decision(held, 1), decision(held, 2)
    with account.holding(database, held) as conn:
        deciding.save_decision(conn, first, [])
        deciding.save_decision(conn, second, [])
        assert not deciding.entry_on_bar(conn, held.agent_id, "m", NOW, second["decision_id"])
        orders.prepare(conn, order_of(held, first), "send")

        def entered(but: str, market: str = "m", as_of: datetime = NOW) -> bool:
            return deciding.entry_on_bar(conn, held.agent_id, market, as_of, but)

        assert entered(second["decision_id"])
        assert not entered(first["decision_id"])
        assert not entered(second["decision_id"], market="other")
        assert not entered(second["decision_id"], as_of=NOW + timedelta(hours=1))


def test_what_a_crash_left_undone_is_given_up_and_read_with_what_was_said(database: Database) -> None:
    held = opened(database)
    with account.holding(database, held) as conn:
        deciding.save_decision(conn, decision(held, 1), SAID)
        deciding.save_decision(conn, decision(held, 2) | {"action": "hold"}, [])
        assert deciding.abandon_made(conn, held.agent_id) == 1
        found = deciding.decisions_of(conn, held.agent_id, "m", 10)
        assert [(one["cycle"], one["status"]) for one in found] == [(2, "made"), (1, "abandoned")]
        assert [one["provider"] for one in found[1]["opinions"]] == ["market", "model"]
        assert deciding.decisions_of(conn, held.agent_id, "none", 10) == []


def test_verdicts_of_a_second_judgement_take_the_place_of_the_first(database: Database) -> None:
    held = opened(database)
    one = decision(held)
    ten = Decimal(10)
    allowed = {
        "rule": "sizing",
        "verdict": "allow",
        "quantity_before": ten,
        "quantity_after": ten,
        "reason": "",
        "evidence": {"most": ten},
    }
    refused = {**allowed, "rule": "spread", "verdict": "refuse", "quantity_after": Decimal(0), "reason": "too wide"}
    with account.holding(database, held) as conn:
        deciding.save_decision(conn, one, [])
        deciding.save_verdicts(conn, one["decision_id"], [allowed, allowed], status="made")
        deciding.save_verdicts(conn, one["decision_id"], [refused], status="refused")
        row = conn.execute(sa.select(verdicts)).mappings().one()
        assert (row["seq"], row["rule"], row["evidence"]) == (1, "spread", {"most": "10"})
        assert conn.scalar(sa.select(decisions.c.status)) == "refused"


def test_locks_hold_until_their_time_or_until_a_person_deletes_them(database: Database) -> None:
    held = opened(database)
    with writing(database.project) as conn:
        for market, seconds in (("m", 60), ("*", 120)):
            until = NOW + timedelta(seconds=seconds)
            deciding.add_lock(
                conn, held.agent_id, market=market, side="*", until=until, rule="spread", why="too wide", now=NOW
            )
        both = deciding.locks_at(conn, held.agent_id, NOW)
        assert [one["market_id"] for one in both] == ["m", "*"]
        assert [one["market_id"] for one in deciding.locks_at(conn, held.agent_id, NOW + timedelta(seconds=60))] == [
            "*"
        ]
        assert deciding.delete_lock(conn, held.agent_id, both[1]["id"], "me")
        assert not deciding.delete_lock(conn, held.agent_id, both[1]["id"], "me")
        assert [one["market_id"] for one in deciding.locks_at(conn, held.agent_id, NOW)] == ["m"]


def test_a_decision_has_the_same_id_again_and_no_other_has_it() -> None:
    names = {
        deciding.decision_id(agent, cycle, market) for agent in (1, 11) for cycle in (1, 11) for market in ("m", "1m")
    }
    assert len(names) == 8
    assert deciding.decision_id(1, 1, "m") in names


def test_the_row_is_made_with_the_equity_of_its_first_start(database: Database) -> None:
    held = opened(database)
    with database.reading() as connections:
        row = connections.project.execute(sa.select(agents)).mappings().one()
    assert (row["initial_equity"], row["peak_equity"], row["armed_at"]) == (OPENING.equity, OPENING.equity, NOW)
    assert row["lease_owner"] == OWNER
    assert row["lease_token"] == held.lease.token
