"""What a trading agent holds and did hold, as tables: fills, cash, positions, equity, and where a platform disagreed.

Everything here follows from `fills` and `cash_movements`, whose rows are only ever added. Of amounts and views see
agent.store.trading_tables.
"""

from __future__ import annotations

import sqlalchemy as sa

from agent.store.column_types import Money, PlainText, UtcDateTime
from agent.store.metadata import ID, JSON, PROJECT, between_amounts, metadata, one_of, sign_of
from agent.store.trading_tables import OUTCOME_DOC, agents, decisions, orders

_MARKET, _UUID = sa.String(300), sa.String(36)

fills = sa.Table(
    "fills",
    metadata,
    sa.Column("platform", sa.String(50), primary_key=True),
    sa.Column("account_ref", sa.String(64), primary_key=True, doc="as in agents"),
    sa.Column("platform_fill_id", sa.String(200), primary_key=True, doc="made from the order where inferred"),
    sa.Column("client_order_id", sa.String(40), sa.ForeignKey(orders.c.client_order_id), doc="null: not our order"),
    sa.Column("market_id", _MARKET, nullable=False),
    sa.Column("outcome", sa.String(50), nullable=False, doc=OUTCOME_DOC),
    sa.Column("side", sa.String(10), nullable=False, doc="buy | sell"),
    sa.Column("quantity", Money, nullable=False),
    sa.Column("price", Money, nullable=False, doc="units of account for one unit; a binary market's 0..1"),
    sa.Column("fee", Money, nullable=False, doc="below 0: a rebate, or the fee of a fill that is undone"),
    sa.Column("fee_currency", sa.String(20), nullable=False),
    sa.Column("liquidity", sa.String(10), doc="maker | taker; null where the platform does not say"),
    sa.Column("settlement", sa.String(10), nullable=False, doc="pending | confirmed | failed"),
    sa.Column("inferred", sa.Boolean, nullable=False, server_default=sa.false(), doc="not listed, but it must be"),
    sa.Column("ts", UtcDateTime, nullable=False, doc="by the platform's clock"),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    one_of("side", "buy", "sell"),
    one_of("liquidity", "maker", "taker"),
    one_of("settlement", "pending", "confirmed", "failed"),
    sign_of("quantity"),
    sa.Index(None, "client_order_id"),
    sa.Index(None, "platform", "account_ref", "market_id", "outcome", "ts"),
    sa.Index(
        "ix_fills_inferred",
        *("platform", "account_ref", "market_id", "outcome"),
        sqlite_where=sa.text("inferred"),
        postgresql_where=sa.text("inferred"),
    ),
    schema=PROJECT,
    info={"purpose": "One row per execution. Listed twice by the platform, it is still one row."},
)

cash_movements = sa.Table(
    "cash_movements",
    metadata,
    sa.Column("platform", sa.String(50), primary_key=True),
    sa.Column("account_ref", sa.String(64), primary_key=True),
    sa.Column("external_id", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("amount", Money, nullable=False, doc="above 0 into the account"),
    sa.Column("market_id", _MARKET, doc="of a settlement: the position in it is over"),
    sa.Column("outcome", sa.String(50), doc=OUTCOME_DOC),
    sa.Column("currency", sa.String(20), nullable=False),
    sa.Column("ts", UtcDateTime, nullable=False),
    sa.Column("reason", PlainText),
    one_of("kind", "deposit", "withdrawal", "fee", "funding", "settlement", "adjustment"),
    sa.CheckConstraint("kind <> 'settlement' OR market_id IS NOT NULL AND outcome IS NOT NULL", name="settlement"),
    schema=PROJECT,
    info={"purpose": "Cash that came and went beside trades. Deposits and withdrawals are no gain and no loss."},
)

positions = sa.Table(
    "positions",
    metadata,
    sa.Column("agent_id", ID, sa.ForeignKey(agents.c.id), primary_key=True),
    sa.Column("market_id", _MARKET, primary_key=True),
    sa.Column("outcome", sa.String(50), primary_key=True, doc=OUTCOME_DOC),
    sa.Column("quantity", Money, nullable=False, doc="below 0: short"),
    sa.Column("average_price", Money, nullable=False, doc="of what is held; 0 where nothing is"),
    sa.Column("realized", Money, nullable=False, doc="P&L booked, before fees"),
    sa.Column("fees", Money, nullable=False),
    sa.Column("opened_at", UtcDateTime, doc="null where nothing is held"),
    sa.Column("state", sa.String(20), nullable=False, doc="see the machine `position`"),
    sa.Column("managed", sa.Boolean, nullable=False, server_default=sa.true(), doc="false: counted, not closed"),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", "flat", "opening", "open", "closing", "dust", "settling", "settled"),
    schema=PROJECT,
    info={"purpose": "What is held in each market. Follows from fills."},
)

trades = sa.Table(
    "trades",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True, doc="made from the fill that closed it: the same when made again"),
    sa.Column("agent_id", ID, sa.ForeignKey(agents.c.id), nullable=False),
    sa.Column("market_id", _MARKET, nullable=False),
    sa.Column("outcome", sa.String(50), nullable=False, doc=OUTCOME_DOC),
    sa.Column("side", sa.String(10), nullable=False, doc="long | short"),
    sa.Column("opened_at", UtcDateTime, nullable=False),
    sa.Column("closed_at", UtcDateTime, nullable=False),
    sa.Column("quantity", Money, nullable=False, doc="what was opened in all"),
    sa.Column("entry", Money, nullable=False, doc="average price"),
    sa.Column("exit", Money, nullable=False, doc="average price"),
    sa.Column("fees", Money, nullable=False),
    sa.Column("slippage", Money, doc="cost against the mid of its decisions; null where none is known"),
    sa.Column("pnl", Money, nullable=False, doc="before fees: sums to positions.realized"),
    sa.Column("reason", PlainText),
    sa.Column("entry_decision_id", _UUID, sa.ForeignKey(decisions.c.decision_id)),
    sa.Column("exit_decision_id", _UUID, sa.ForeignKey(decisions.c.decision_id)),
    one_of("side", "long", "short"),
    sign_of("quantity"),
    sa.Index(None, "agent_id", "closed_at"),
    schema=PROJECT,
    info={"purpose": "One row per closed round trip. Follows from fills."},
)

equity = sa.Table(
    "equity",
    metadata,
    sa.Column("agent_id", ID, sa.ForeignKey(agents.c.id), primary_key=True),
    sa.Column("ts", UtcDateTime, primary_key=True),
    sa.Column("cash", Money, nullable=False),
    sa.Column("position_value", Money, nullable=False, doc="quantity times mark, summed"),
    sa.Column("equity", Money, nullable=False),
    sa.Column("net_flow", Money, nullable=False, doc="deposits less withdrawals since the row before"),
    sa.Column("peak", Money, nullable=False),
    sa.Column("drawdown", sa.Float, nullable=False, doc="(peak - equity) / peak"),
    sa.Column("marks", JSON, nullable=False, doc="market -> price, ts, kind"),
    sa.Column("stale", sa.Boolean, nullable=False, doc="marks of more than a tenth of the exposure were too old"),
    between_amounts("equity = cash + position_value", name="sum"),
    schema=PROJECT,
    info={"purpose": "What the account was worth, and by which marks."},
)

discrepancies = sa.Table(
    "discrepancies",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True, doc="made from what was found: found again, it is the same row"),
    sa.Column("agent_id", ID, sa.ForeignKey(agents.c.id), nullable=False),
    sa.Column("found_at", UtcDateTime, nullable=False),
    sa.Column("kind", sa.String(50), nullable=False),
    sa.Column("market_id", _MARKET),
    sa.Column("client_order_id", sa.String(200), doc="as the platform lists it"),
    sa.Column("ledger", JSON, doc="what the books say"),
    sa.Column("platform", JSON, doc="what the platform says"),
    sa.Column("resolution", sa.String(20), nullable=False),
    sa.Column("note", PlainText),
    sa.Column("resolved_at", UtcDateTime),
    one_of("resolution", "adopted", "corrected", "ignored", "blocking", "by_person"),
    sa.Index(None, "agent_id", "found_at"),
    schema=PROJECT,
    info={"purpose": "Where books and platform disagreed, and what was done about it."},
)

market_links = sa.Table(
    "market_links",
    metadata,
    sa.Column("market_a", _MARKET, primary_key=True),
    sa.Column("market_b", _MARKET, primary_key=True),
    sa.Column("same_outcome", sa.Boolean, nullable=False, doc="false: YES of one is NO of the other"),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("score", sa.Float, doc="how alike they are, 0..1"),
    sa.Column("by", sa.String(200), nullable=False, doc="who suggested, confirmed or refused it"),
    sa.Column("at", UtcDateTime, nullable=False),
    one_of("status", "suggested", "confirmed", "refused"),
    sa.CheckConstraint("market_a < market_b", name="order"),
    schema=PROJECT,
    info={"purpose": "Markets of several platforms that ask the same question."},
)
