"""The paper platform's own books, as tables: what a platform would keep on its side. The agent's tables know nothing of
them; both are compared at each start."""

from __future__ import annotations

import sqlalchemy as sa

from agent.store.column_types import Money, PlainText, UtcDateTime
from agent.store.metadata import PROJECT, metadata, one_of, sign_of

_ACCOUNT, _MARKET = sa.String(64), sa.String(300)
_OUTCOME_DOC = "yes | no of a binary market; empty of others"

paper_orders = sa.Table(
    "paper_orders",
    metadata,
    sa.Column("account_ref", _ACCOUNT, primary_key=True),
    sa.Column("client_order_id", sa.String(40), primary_key=True, doc="sent twice it is still one order"),
    sa.Column("platform_order_id", sa.String(80), nullable=False),
    sa.Column("market_id", _MARKET, nullable=False),
    sa.Column("outcome", sa.String(50), nullable=False, doc=_OUTCOME_DOC),
    sa.Column("side", sa.String(10), nullable=False, doc="buy | sell"),
    sa.Column("quantity", Money, nullable=False),
    sa.Column("limit_price", Money, doc="null: at the market"),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("filled", Money, nullable=False, server_default="0", doc="projection of paper_fills"),
    sa.Column("placed_at", UtcDateTime, nullable=False),
    sa.Column("looked_to", UtcDateTime, nullable=False, doc="bars that start before it were tried"),
    one_of("side", "buy", "sell"),
    one_of("status", "open", "filled", "cancelled"),
    sign_of("quantity"),
    sign_of("limit_price"),
    sa.UniqueConstraint("account_ref", "platform_order_id"),
    sa.Index(None, "account_ref", "status"),
    schema=PROJECT,
    info={"purpose": "Orders as the paper platform has them."},
)

paper_fills = sa.Table(
    "paper_fills",
    metadata,
    sa.Column("account_ref", _ACCOUNT, primary_key=True),
    sa.Column("fill_id", sa.String(200), primary_key=True, doc="made from the order and the bar"),
    sa.Column("client_order_id", sa.String(40), nullable=False),
    sa.Column("market_id", _MARKET, nullable=False),
    sa.Column("outcome", sa.String(50), nullable=False, doc=_OUTCOME_DOC),
    sa.Column("side", sa.String(10), nullable=False),
    sa.Column("quantity", Money, nullable=False),
    sa.Column("price", Money, nullable=False),
    sa.Column("fee", Money, nullable=False),
    sa.Column("ts", UtcDateTime, nullable=False, doc="when it happened, by the market's bars"),
    one_of("side", "buy", "sell"),
    sign_of("quantity"),
    sa.Index(None, "account_ref", "ts"),
    schema=PROJECT,
    info={"purpose": "Executions on the paper platform."},
)

paper_movements = sa.Table(
    "paper_movements",
    metadata,
    sa.Column("account_ref", _ACCOUNT, primary_key=True),
    sa.Column("external_id", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False, doc="deposit | settlement"),
    sa.Column("amount", Money, nullable=False, doc="above 0 into the account"),
    sa.Column("market_id", _MARKET, doc="of a settlement"),
    sa.Column("outcome", sa.String(50), doc=_OUTCOME_DOC),
    sa.Column("ts", UtcDateTime, nullable=False),
    sa.Column("reason", PlainText),
    one_of("kind", "deposit", "settlement"),
    schema=PROJECT,
    info={"purpose": "Cash of a paper account beside its fills: the opening deposit, and payouts."},
)

paper_balances = sa.Table(
    "paper_balances",
    metadata,
    sa.Column("account_ref", _ACCOUNT, primary_key=True),
    sa.Column("market_id", _MARKET, primary_key=True, doc="empty: cash"),
    sa.Column("outcome", sa.String(50), primary_key=True, doc=_OUTCOME_DOC),
    sa.Column("amount", Money, nullable=False, doc="units held, below 0: short; of cash units of account"),
    schema=PROJECT,
    info={"purpose": "Cash and holdings of a paper account. Follow from its fills and movements."},
)
