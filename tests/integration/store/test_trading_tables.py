"""What the trading agent's tables refuse, on SQLite and PostgreSQL; their views; and their rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from agent.errors import Busy
from agent.store import leases
from agent.store.column_types import Money
from agent.store.database.engine import consistent, reading, writing
from agent.store.dump import replace_all, rows_of, table_names
from agent.store.ledger_tables import cash_movements, discrepancies, equity, fills, market_links, positions, trades
from agent.store.paper_tables import paper_balances, paper_fills, paper_movements, paper_orders
from agent.store.trading_tables import (
    agents,
    decisions,
    kill_switch,
    llm_calls,
    locks,
    opinions,
    order_approvals,
    order_events,
    orders,
    provider_weight_history,
    provider_weights,
    verdicts,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ONE = Decimal("1.10")
ROWS: dict[sa.Table, dict[str, Any]] = {
    agents: {
        "name": "a",
        "mode": "paper",
        "platform": "paper",
        "account_ref": "x",
        "config": {},
        "config_hash": "h",
        "initial_equity": Decimal("10000.00"),
        "armed_at": NOW,
        "peak_equity": Decimal(10000),
        "peak_at": NOW,
        "created_at": NOW,
    },
    decisions: {
        "decision_id": "d",
        "agent_id": 1,
        "cycle": 1,
        "market_id": "m",
        "made_at": NOW,
        "as_of": NOW,
        "action": "buy",
        "status": "made",
        "reasons": [],
        "reference_mid": Decimal("0.1"),
    },
    opinions: {"decision_id": "d", "provider": "model", "probability": 0.6, "reasons": [], "abstained": False},
    verdicts: {
        "decision_id": "d",
        "seq": 1,
        "rule": "sizing",
        "verdict": "reduce",
        "quantity_before": Decimal(10),
        "quantity_after": Decimal(9),
        "reason": "r",
        "evidence": {},
    },
    kill_switch: {
        "id": "k",
        "platform": "paper",
        "account_ref": "x",
        "agent_id": 1,
        "state": "triggered",
        "cause": ["LOSS_LIMIT"],
        "triggered_at": NOW,
        "triggered_by": "cycle",
    },
    orders: {
        "client_order_id": "tm1",
        "decision_id": "d",
        "agent_id": 1,
        "purpose": "open",
        "platform": "paper",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "type": "limit",
        "time_in_force": "gtc",
        "quantity": ONE,
        "limit_price": ONE,
        "status": "prepared",
        "status_at": NOW,
        "payload_hash": "p",
        "platform_order_id": "p1",
        "deduplicated": False,
        "prepared_at": NOW,
        "lease_token": 1,
    },
    order_events: {
        "client_order_id": "tm1",
        "seq": 1,
        "event": "decided",
        "to_status": "prepared",
        "at": NOW,
        "source": "send",
        "payload": {"price": ONE},
    },
    fills: {
        "platform": "paper",
        "account_ref": "x",
        "platform_fill_id": "f1",
        "client_order_id": "tm1",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": ONE,
        "price": ONE,
        "fee": Decimal("-0.01"),
        "fee_currency": "USD",
        "settlement": "confirmed",
        "ts": NOW,
        "recorded_at": NOW,
    },
    cash_movements: {
        "platform": "paper",
        "account_ref": "x",
        "external_id": "c1",
        "kind": "deposit",
        "amount": ONE,
        "currency": "USD",
        "ts": NOW,
    },
    positions: {
        "agent_id": 1,
        "market_id": "m",
        "outcome": "",
        "quantity": -ONE,
        "average_price": ONE,
        "realized": Decimal(0),
        "fees": Decimal(0),
        "state": "open",
        "updated_at": NOW,
    },
    trades: {
        "id": "t",
        "agent_id": 1,
        "market_id": "m",
        "outcome": "",
        "side": "long",
        "opened_at": NOW,
        "closed_at": NOW,
        "quantity": ONE,
        "entry": ONE,
        "exit": ONE,
        "fees": ONE,
        "pnl": Decimal(0),
        "entry_decision_id": "d",
    },
    equity: {
        "agent_id": 1,
        "ts": NOW,
        "cash": Decimal("9999.90"),
        "position_value": Decimal("0.1"),
        "equity": Decimal(10000),
        "net_flow": Decimal(0),
        "peak": Decimal(10000),
        "drawdown": 0.0,
        "marks": {},
        "stale": False,
    },
    locks: {
        "agent_id": 1,
        "market_id": "*",
        "side": "*",
        "until_at": NOW,
        "rule": "duplicate",
        "reason": "r",
        "created_at": NOW,
    },
    order_approvals: {
        "decision_id": "d",
        "nonce": "n",
        "channel": "api",
        "status": "waiting",
        "asked_at": NOW,
        "expires_at": NOW,
        "quoted": {},
    },
    provider_weights: {"agent_id": 1, "scope": "*", "provider": "model", "weight": 1.0, "updated_at": NOW},
    provider_weight_history: {
        "agent_id": 1,
        "scope": "*",
        "seq": 1,
        "decision_id": "d",
        "losses": {},
        "before": {},
        "after": {},
        "at": NOW,
        "by": "learning",
    },
    discrepancies: {"id": "x", "agent_id": 1, "found_at": NOW, "kind": "late_fill", "resolution": "corrected"},
    llm_calls: {"decision_id": "d", "role": "judge", "model": "m", "prompt_hash": "h", "cost": ONE, "started_at": NOW},
    market_links: {
        "market_a": "a",
        "market_b": "b",
        "same_outcome": True,
        "status": "suggested",
        "by": "titles",
        "at": NOW,
    },
    paper_orders: {
        "account_ref": "x",
        "client_order_id": "tm1",
        "platform_order_id": "paper:tm1",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": ONE,
        "status": "open",
        "placed_at": NOW,
        "looked_to": NOW,
    },
    paper_fills: {
        "account_ref": "x",
        "fill_id": "f1",
        "client_order_id": "tm1",
        "market_id": "m",
        "outcome": "",
        "side": "buy",
        "quantity": ONE,
        "price": ONE,
        "fee": Decimal(0),
        "ts": NOW,
    },
    paper_balances: {"account_ref": "x", "market_id": "", "outcome": "", "amount": Decimal("9999.9")},
    paper_movements: {
        "account_ref": "x",
        "external_id": "opening",
        "kind": "deposit",
        "amount": ONE,
        "ts": NOW,
    },
}
# Table, and what is different from its row above.
REFUSED: list[tuple[sa.Table, dict[str, Any]]] = [
    (agents, {}),  # one agent per account
    (agents, {"account_ref": "y", "mode": "dry"}),
    (agents, {"account_ref": "y", "initial_equity": Decimal(0)}),
    (agents, {"account_ref": "y", "trading_state": "resting"}),
    (decisions, {"decision_id": "e"}),  # one per cycle and market
    (decisions, {"decision_id": "e", "cycle": 2, "as_of": NOW + timedelta(microseconds=1)}),
    (decisions, {"decision_id": "e", "cycle": 2, "synthetic": True}),
    (decisions, {"decision_id": "e", "cycle": 2, "probability": 1.1}),
    (decisions, {"decision_id": "e", "cycle": 2, "agent_id": 9}),
    (opinions, {"provider": "llm", "abstained": True}),
    (opinions, {"provider": "llm", "probability": None}),
    (verdicts, {"seq": 2, "quantity_after": Decimal(-1)}),
    (orders, {"client_order_id": "tm2", "leg": 1}),  # the platform's id
    (orders, {"client_order_id": "tm2", "platform_order_id": None}),  # one per decision, purpose and leg
    (orders, {"client_order_id": "tm2", "platform_order_id": None, "leg": 1, "quantity": Decimal(0)}),
    (orders, {"client_order_id": "tm2", "platform_order_id": None, "leg": 1, "sends": 2}),
    (orders, {"client_order_id": "tm2", "platform_order_id": None, "leg": 1, "kill_id": "k"}),
    (fills, {}),
    (fills, {"platform_fill_id": "f2", "quantity": Decimal(0)}),
    (fills, {"platform_fill_id": "f2", "client_order_id": "tm9"}),
    (cash_movements, {}),
    (cash_movements, {"external_id": "c2", "kind": "settlement"}),  # of what?
    (kill_switch, {"id": "l"}),  # one that is not reset
    (kill_switch, {"id": "l", "state": "reset", "reset_reason": " "}),
    (kill_switch, {"id": "l", "state": "reset"}),
    (order_approvals, {"nonce": "o"}),  # one that waits
    (order_approvals, {"status": "expired"}),  # the same nonce
    (provider_weight_history, {"seq": 2}),  # an outcome is learned once
    (provider_weights, {"provider": "llm", "weight": 1.5}),
    (market_links, {"market_a": "c"}),  # the smaller name first, so that a pair stands once
]
ALLOWED: list[tuple[sa.Table, dict[str, Any]]] = [
    (agents, {"ended_at": NOW}),
    (decisions, {"decision_id": "e", "synthetic": True, "cycle": 0}),
    (decisions, {"decision_id": "e", "cycle": 2, "confidence": 1.0}),
    (opinions, {"provider": "llm", "probability": None, "abstained": True}),
    (orders, {"client_order_id": "tm2", "platform_order_id": None, "leg": 1, "sends": 2, "deduplicated": True}),
    (orders, {"client_order_id": "tm2", "platform_order_id": None, "decision_id": None}),
    (fills, {"platform_fill_id": "f2", "client_order_id": None}),
    (cash_movements, {"external_id": "c2", "kind": "settlement", "market_id": "m", "outcome": ""}),
    (kill_switch, {"id": "l", "state": "reset", "reset_reason": "looked at it"}),
    (order_approvals, {"nonce": "o", "status": "expired"}),
    (provider_weight_history, {"seq": 2, "decision_id": None}),
]
AMOUNTS_COMPARED = [
    (verdicts, {"seq": 2, "quantity_before": Decimal(9), "quantity_after": Decimal(10)}),
    (equity, {"ts": NOW + timedelta(seconds=1), "equity": Decimal("10000.01")}),
]


@pytest.fixture
def conn(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A database with one row in each table."""
    with writing(engine) as conn:
        fill(conn)
        yield conn


def fill(conn: sa.Connection) -> None:
    for table, row in ROWS.items():
        conn.execute(sa.insert(table).values(row))


def test_every_table_has_a_row_here(conn: sa.Connection) -> None:
    for table, row in ROWS.items():
        stored = conn.execute(sa.select(table)).mappings().one()
        assert {name: stored[name] for name in row if name != "payload"} == {
            name: value for name, value in row.items() if name != "payload"
        }


def is_taken(conn: sa.Connection, table: sa.Table, change: dict[str, Any]) -> bool:
    """Whether a row can be added to those there are; it is not there afterwards."""
    savepoint = conn.begin_nested()
    try:
        conn.execute(sa.insert(table).values(ROWS[table] | change))
    except sa.exc.IntegrityError:
        return False
    finally:
        savepoint.rollback()
    return True


def test_a_row_that_breaks_a_rule_is_refused_and_no_other(conn: sa.Connection) -> None:
    assert [(table.name, change) for table, change in REFUSED if is_taken(conn, table, change)] == []
    assert [(table.name, change) for table, change in ALLOWED if not is_taken(conn, table, change)] == []


def test_postgres_compares_amounts_and_sqlite_leaves_it_to_the_dataclasses(conn: sa.Connection) -> None:
    expected = conn.dialect.name == "sqlite"
    assert [is_taken(conn, *case) for case in AMOUNTS_COMPARED] == [expected] * len(AMOUNTS_COMPARED)


def test_ten_comes_after_nine(conn: sa.Connection) -> None:
    """As text '10' < '9': this reduction must not be refused for it."""
    change = {"seq": 2, "quantity_before": Decimal(10), "quantity_after": Decimal(9)}
    conn.execute(sa.insert(verdicts).values(ROWS[verdicts] | change))


def test_views_have_floats(conn: sa.Connection) -> None:
    found = conn.execute(sa.text("SELECT * FROM orders_view")).mappings().one()
    assert (found["quantity"], found["filled_quantity"], found["average_price"]) == (1.1, 0.0, None)
    assert isinstance(found["quantity"], float)
    total = conn.scalar(sa.text("SELECT sum(equity) + max(cash) FROM equity_view"))
    assert total == pytest.approx(19999.9)
    with_amounts = {table.name for table in ROWS if any(isinstance(column.type, Money) for column in table.c)}
    assert {f"{name}_view" for name in with_amounts} == set(sa.inspect(conn).get_view_names())


def test_rows_are_the_same_json_on_both_and_come_back(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        fill(conn)
    dumped = dump(engine)
    assert dumped["agents"][0]["initial_equity"] == "10000"
    assert dumped["fills"][0]["fee"] == "-0.01"
    assert dumped["order_events"][0]["payload"] == {"price": "1.1"}
    assert (dumped["orders"][0]["quantity"], dumped["orders"][0]["filled_quantity"]) == ("1.1", "0")
    json.dumps(dumped)
    with writing(engine) as conn:
        replace_all(conn, dumped)
    assert dump(engine) == dumped


def dump(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    with consistent(engine) as conn:
        return {name: list(rows_of(conn, name)) for name in table_names(conn)}


def test_an_account_is_traded_by_one_process(engine: sa.Engine) -> None:
    with writing(engine) as conn:
        conn.execute(sa.insert(agents).values(ROWS[agents]))
        first = leases.take(conn, leases.of_trader(1), "h/b/n/1/2", 60)
        with pytest.raises(Busy, match="account of agent 1 is traded by"):
            leases.take(conn, leases.of_trader(1), "h/b/n/2/2", 60)
        assert leases.extend(conn, first.name, first.token, 60)
        assert leases.release(conn, first.name, first.token)
        assert leases.take(conn, leases.of_trader(1), "h/b/n/2/2", 60).token == first.token + 1
    with reading(engine) as conn:
        assert conn.scalar(sa.select(agents.c.lease_owner)) == "h/b/n/2/2"
