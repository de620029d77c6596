"""Tables of the trading agent: what it decides, sends and holds, what keeps it from it, and what it learned.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MONEY = sa.Numeric(38, 18).with_variant(sa.Text(), "sqlite")
_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "id": _ID,
    "time": sa.DateTime(timezone=True),
    "money": _MONEY,
    "text": sa.Text(),
    "json": sa.JSON(),
    "float": sa.Float(),
    "int": sa.Integer(),
    "big": sa.BigInteger(),
    "bool": sa.Boolean(),
}
_TABLES = [
    "agents",
    "decisions",
    "opinions",
    "verdicts",
    "llm_calls",
    "kill_switch",
    "locks",
    "market_links",
    "orders",
    "order_events",
    "order_approvals",
    "discrepancies",
    "fills",
    "cash_movements",
    "positions",
    "trades",
    "equity",
    "provider_weights",
    "provider_weight_history",
]
# Those with amounts, which are floats in a view of each, for people's SQL.
_AMOUNTS = {
    "agents": "initial_equity peak_equity",
    "decisions": "reference_bid reference_ask reference_mid proposed_quantity stop_price take_profit_price",
    "opinions": "cost",
    "verdicts": "quantity_before quantity_after",
    "llm_calls": "cost",
    "kill_switch": "equity",
    "orders": "quantity limit_price quote_amount filled_quantity average_price",
    "fills": "quantity price fee",
    "cash_movements": "amount",
    "positions": "quantity average_price realized fees",
    "trades": "quantity entry exit fees slippage pnl",
    "equity": "cash position_value equity net_flow peak",
}


def upgrade() -> None:
    _decided()
    _guarded()
    _sent()
    _held()
    _learned()
    number = "REAL" if op.get_bind().dialect.name == "sqlite" else "DOUBLE PRECISION"
    for name, amounts in _AMOUNTS.items():
        columns = [one["name"] for one in sa.inspect(op.get_bind()).get_columns(name)]
        shown = [f'CAST("{one}" AS {number}) AS "{one}"' if one in amounts.split() else f'"{one}"' for one in columns]
        op.execute(f"CREATE VIEW {name}_view AS SELECT {', '.join(shown)} FROM {name}")


def downgrade() -> None:
    """What was traded is lost here; the platforms still know it."""
    for name in _AMOUNTS:
        op.execute(f"DROP VIEW {name}_view")
    for name in reversed(_TABLES):
        op.drop_table(name)


def _columns(described: str) -> list[sa.Column[Any]]:
    """Columns written as NAME:KIND, with `?` where they may be null; a number is the length of a text."""
    found = []
    for one in described.split():
        name, kind = one.removesuffix("?").split(":")
        column_type = sa.String(int(kind)) if kind.isdigit() else _KINDS[kind]
        found.append(sa.Column(name, column_type, nullable=one.endswith("?")))
    return found


def _check(condition: str, name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _one_of(table: str, column: str, words: str) -> sa.CheckConstraint:
    allowed = ", ".join(repr(word) for word in words.split())
    return _check(f"{column} IN ({allowed})", f"ck_{table}_{column}")


def _sign(table: str, column: str, comparison: str = "> 0") -> sa.CheckConstraint:
    return _check(f"CAST({column} AS REAL) {comparison}", f"ck_{table}_{column}_sign")


def _on_postgres(condition: str, name: str) -> list[sa.CheckConstraint]:
    """Between amounts: SQLite would compare texts."""
    return [] if op.get_bind().dialect.name == "sqlite" else [_check(condition, name)]


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=op.f(f"fk_{table}_{column}"))


def _where(condition: str) -> dict[str, Any]:
    return {f"{dialect}_where": sa.text(condition) for dialect in ("sqlite", "postgresql")}


def _decided() -> None:
    op.create_table(
        "agents",
        *_columns("id:id name:100 mode:20 platform:50 account_ref:64 config:json config_hash:64"),
        sa.Column("ooda_state", sa.String(20), server_default="idle", nullable=False),
        sa.Column("cycle", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trading_state", sa.String(20), server_default="active", nullable=False),
        *_columns("trading_reason:json?"),
        sa.Column("wanted_state", sa.String(20), server_default="stopped", nullable=False),
        *_columns("initial_equity:money armed_at:time peak_equity:money peak_at:time lease_owner:300?"),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        *_columns("lease_taken_at:time? lease_expires_at:time? created_at:time ended_at:time?"),
        _one_of("agents", "mode", "paper live backtest"),
        _one_of("agents", "ooda_state", "idle perception reasoning risk_check execution learning"),
        _one_of("agents", "trading_state", "active paused reducing halted"),
        _one_of("agents", "wanted_state", "running paused stopped"),
        _sign("agents", "initial_equity"),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_agents_open", "agents", ["platform", "account_ref"], unique=True, **_where("ended_at IS NULL"))
    op.create_table(
        "decisions",
        *_columns("decision_id:36 agent_id:id cycle:int market_id:300 pair:100? made_at:time as_of:time"),
        *_columns("action:10 probability:float? confidence:float? reference_bid:money? reference_ask:money?"),
        *_columns("reference_mid:money? proposed_quantity:money? stop_price:money? take_profit_price:money?"),
        *_columns("release_id:id? model_version:64? status:20"),
        sa.Column("synthetic", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_columns("reasons:json"),
        _one_of("decisions", "action", "buy sell close hold abstain"),
        _one_of("decisions", "status", "made refused waiting approved rejected expired ordered settled abandoned"),
        _check("as_of <= made_at", "ck_decisions_as_of"),
        _check("confidence >= 0 AND confidence <= 1", "ck_decisions_confidence"),
        _check("cycle = 0 OR NOT synthetic", "ck_decisions_synthetic"),
        _check("probability >= 0 AND probability <= 1", "ck_decisions_probability"),
        _refers("decisions", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("decision_id", name="pk_decisions"),
    )
    op.create_index(op.f("ix_decisions_agent_id_market_id_made_at"), "decisions", ["agent_id", "market_id", "made_at"])
    op.create_index(
        "ix_decisions_once", "decisions", ["agent_id", "cycle", "market_id"], unique=True, **_where("NOT synthetic")
    )
    op.create_table(
        "opinions",
        *_columns("decision_id:36 provider:50 probability:float? confidence:float? weight_used:float?"),
        *_columns("reasons:json abstained:bool error:text? latency_ms:int? tokens:int? cost:money?"),
        *_columns("prompt_hash:64? reply_hash:64?"),
        _check("(probability IS NULL) = abstained", "ck_opinions_abstained"),
        _check("probability >= 0 AND probability <= 1", "ck_opinions_probability"),
        _refers("opinions", "decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("decision_id", "provider", name="pk_opinions"),
    )
    op.create_table(
        "verdicts",
        *_columns("decision_id:36 seq:int rule:50 verdict:10 quantity_before:money quantity_after:money"),
        *_columns("reason:text evidence:json"),
        _one_of("verdicts", "verdict", "allow reduce refuse"),
        _sign("verdicts", "quantity_after", ">= 0"),
        *_on_postgres("quantity_after <= quantity_before", "ck_verdicts_never_more"),
        _refers("verdicts", "decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("decision_id", "seq", name="pk_verdicts"),
    )
    op.create_table(
        "llm_calls",
        *_columns("id:id decision_id:36 role:30 model:200 prompt_hash:64"),
        sa.Column("tokens_in", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tokens_out", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost", _MONEY, server_default="0", nullable=False),
        *_columns("started_at:time seconds:float? outcome:30?"),
        _refers("llm_calls", "decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_llm_calls"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_llm_calls_started_at"), "llm_calls", ["started_at"])


def _guarded() -> None:
    op.create_table(
        "kill_switch",
        *_columns("id:36 platform:50 account_ref:64 agent_id:id state:20 cause:json limit_value:float?"),
        *_columns("measured:float? equity:money? triggered_at:time triggered_by:200 flat_at:time? stuck:json?"),
        *_columns("reset_at:time? reset_by:200? reset_reason:text?"),
        _check("state <> 'reset' OR coalesce(trim(reset_reason), '') <> ''", "ck_kill_switch_reset_reason"),
        _one_of("kill_switch", "state", "triggered cancelling closing flat stuck reset"),
        _refers("kill_switch", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("id", name="pk_kill_switch"),
    )
    op.create_index(
        "ix_kill_switch_armed", "kill_switch", ["platform", "account_ref"], unique=True, **_where("state <> 'reset'")
    )
    op.create_table(
        "locks",
        *_columns("id:id agent_id:id market_id:300 side:10 until_at:time rule:50 reason:text created_at:time"),
        *_columns("deleted_by:200?"),
        _one_of("locks", "side", "buy sell *"),
        _refers("locks", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("id", name="pk_locks"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_locks_agent_id_until_at"), "locks", ["agent_id", "until_at"])
    op.create_table(
        "market_links",
        *_columns("market_a:300 market_b:300 same_outcome:bool status:20 score:float? by:200 at:time"),
        _one_of("market_links", "status", "suggested confirmed refused"),
        _check("market_a < market_b", "ck_market_links_order"),
        sa.PrimaryKeyConstraint("market_a", "market_b", name="pk_market_links"),
    )


def _sent() -> None:
    op.create_table(
        "orders",
        *_columns("client_order_id:40 decision_id:36? kill_id:36?"),
        sa.Column("leg", sa.Integer(), server_default="0", nullable=False),
        *_columns("agent_id:id purpose:20 platform:50 market_id:300 outcome:50"),
        *_columns("side:10 type:10 time_in_force:10 quantity:money limit_price:money? quote_amount:money?"),
        sa.Column("reduce_only", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_columns("status:20 status_at:time payload_hash:64 expected_platform_id:200? platform_order_id:200?"),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        *_columns("deduplicated:bool prepared_at:time first_sent_at:time? acked_at:time? ended_at:time?"),
        *_columns("checked_at:time?"),
        sa.Column("checks", sa.Integer(), server_default="0", nullable=False),
        *_columns("reject_code:100? reject_text:text?"),
        sa.Column("filled_quantity", _MONEY, server_default="0", nullable=False),
        *_columns("average_price:money? lease_token:big"),
        _one_of("orders", "purpose", "open reduce stop take_profit kill exit"),
        _one_of("orders", "side", "buy sell"),
        _one_of(
            "orders",
            "status",
            "prepared denied sending unknown open partial cancelling filled cancelled expired rejected not_placed"
            " abandoned",
        ),
        _one_of("orders", "time_in_force", "gtc gtd ioc fok day"),
        _one_of("orders", "type", "market limit stop"),
        _sign("orders", "filled_quantity", ">= 0"),
        _sign("orders", "limit_price"),
        _sign("orders", "quantity"),
        _sign("orders", "quote_amount"),
        _check("decision_id IS NULL OR kill_id IS NULL", "ck_orders_origin"),
        _check("sends <= 1 OR deduplicated", "ck_orders_sends"),
        _refers("orders", "agent_id", "agents.id"),
        _refers("orders", "decision_id", "decisions.decision_id"),
        _refers("orders", "kill_id", "kill_switch.id"),
        sa.PrimaryKeyConstraint("client_order_id", name="pk_orders"),
        sa.UniqueConstraint("decision_id", "purpose", "leg", name=op.f("uq_orders_decision_id_purpose_leg")),
        sa.UniqueConstraint(
            "kill_id", "market_id", "outcome", "leg", name=op.f("uq_orders_kill_id_market_id_outcome_leg")
        ),
        sa.UniqueConstraint("platform", "platform_order_id", name=op.f("uq_orders_platform_platform_order_id")),
    )
    op.create_index(
        op.f("ix_orders_agent_id_market_id_prepared_at"), "orders", ["agent_id", "market_id", "prepared_at"]
    )
    op.create_index(op.f("ix_orders_agent_id_status"), "orders", ["agent_id", "status"])
    op.create_table(
        "order_events",
        *_columns("client_order_id:40 seq:int event:30 from_status:20? to_status:20 at:time source:10"),
        *_columns("payload:json"),
        _one_of("order_events", "source", "send poll stream start person"),
        _refers("order_events", "client_order_id", "orders.client_order_id"),
        sa.PrimaryKeyConstraint("client_order_id", "seq", name="pk_order_events"),
    )
    op.create_table(
        "order_approvals",
        *_columns("id:id decision_id:36 nonce:32 channel:20 status:20 asked_at:time expires_at:time quoted:json"),
        *_columns("message_ref:200? answered_by:200? answered_at:time? answer_raw_hash:64?"),
        _one_of("order_approvals", "status", "waiting approved rejected expired withdrawn"),
        _refers("order_approvals", "decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_order_approvals"),
        sa.UniqueConstraint("nonce", name=op.f("uq_order_approvals_nonce")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_order_approvals_waiting", "order_approvals", ["decision_id"], unique=True, **_where("status = 'waiting'")
    )
    op.create_table(
        "discrepancies",
        *_columns("id:64 agent_id:id found_at:time kind:50 market_id:300? client_order_id:200? ledger:json?"),
        *_columns("platform:json? resolution:20 note:text? resolved_at:time?"),
        _one_of("discrepancies", "resolution", "adopted corrected ignored blocking by_person"),
        _refers("discrepancies", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("id", name="pk_discrepancies"),
    )
    op.create_index(op.f("ix_discrepancies_agent_id_found_at"), "discrepancies", ["agent_id", "found_at"])


def _held() -> None:
    op.create_table(
        "fills",
        *_columns("platform:50 account_ref:64 platform_fill_id:200 client_order_id:40? market_id:300 outcome:50"),
        *_columns("side:10 quantity:money price:money fee:money fee_currency:20 liquidity:10? settlement:10"),
        sa.Column("inferred", sa.Boolean(), server_default=sa.false(), nullable=False),
        *_columns("ts:time recorded_at:time"),
        _one_of("fills", "liquidity", "maker taker"),
        _one_of("fills", "settlement", "pending confirmed failed"),
        _one_of("fills", "side", "buy sell"),
        _sign("fills", "quantity"),
        _refers("fills", "client_order_id", "orders.client_order_id"),
        sa.PrimaryKeyConstraint("platform", "account_ref", "platform_fill_id", name="pk_fills"),
    )
    op.create_index(op.f("ix_fills_client_order_id"), "fills", ["client_order_id"])
    op.create_table(
        "cash_movements",
        *_columns("platform:50 account_ref:64 external_id:200 kind:20 amount:money market_id:300? outcome:50?"),
        *_columns("currency:20 ts:time reason:text?"),
        _one_of("cash_movements", "kind", "deposit withdrawal fee funding settlement adjustment"),
        _check("kind <> 'settlement' OR market_id IS NOT NULL AND outcome IS NOT NULL", "ck_cash_movements_settlement"),
        sa.PrimaryKeyConstraint("platform", "account_ref", "external_id", name="pk_cash_movements"),
    )
    op.create_table(
        "positions",
        *_columns("agent_id:id market_id:300 outcome:50"),
        *_columns("quantity:money average_price:money realized:money fees:money opened_at:time? state:20"),
        sa.Column("managed", sa.Boolean(), server_default=sa.true(), nullable=False),
        *_columns("updated_at:time"),
        _one_of("positions", "state", "flat opening open closing dust settling settled"),
        _refers("positions", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("agent_id", "market_id", "outcome", name="pk_positions"),
    )
    op.create_table(
        "trades",
        *_columns("id:64 agent_id:id market_id:300 outcome:50"),
        *_columns("side:10 opened_at:time closed_at:time quantity:money entry:money exit:money fees:money"),
        *_columns("slippage:money? pnl:money reason:text? entry_decision_id:36? exit_decision_id:36?"),
        _one_of("trades", "side", "long short"),
        _sign("trades", "quantity"),
        _refers("trades", "agent_id", "agents.id"),
        _refers("trades", "entry_decision_id", "decisions.decision_id"),
        _refers("trades", "exit_decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_trades"),
    )
    op.create_index(op.f("ix_trades_agent_id_closed_at"), "trades", ["agent_id", "closed_at"])
    op.create_table(
        "equity",
        *_columns("agent_id:id ts:time cash:money position_value:money equity:money net_flow:money peak:money"),
        *_columns("drawdown:float marks:json stale:bool"),
        *_on_postgres("equity = cash + position_value", "ck_equity_sum"),
        _refers("equity", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("agent_id", "ts", name="pk_equity"),
    )


def _learned() -> None:
    op.create_table(
        "provider_weights",
        *_columns("agent_id:id scope:20 provider:50 weight:float"),
        sa.Column("samples", sa.Integer(), server_default="0", nullable=False),
        sa.Column("effective_samples", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_loss_sum", sa.Float(), server_default="0", nullable=False),
        sa.Column("brier_sum", sa.Float(), server_default="0", nullable=False),
        *_columns("updated_at:time"),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        _check("weight >= 0 AND weight <= 1", "ck_provider_weights_weight"),
        _refers("provider_weights", "agent_id", "agents.id"),
        sa.PrimaryKeyConstraint("agent_id", "scope", "provider", name="pk_provider_weights"),
    )
    op.create_table(
        "provider_weight_history",
        *_columns("agent_id:id scope:20 seq:int decision_id:36? losses:json before:json after:json at:time"),
        *_columns("by:200"),
        _refers("provider_weight_history", "agent_id", "agents.id"),
        _refers("provider_weight_history", "decision_id", "decisions.decision_id"),
        sa.PrimaryKeyConstraint("agent_id", "scope", "seq", name="pk_provider_weight_history"),
        sa.UniqueConstraint("agent_id", "decision_id", name=op.f("uq_provider_weight_history_agent_id_decision_id")),
    )
