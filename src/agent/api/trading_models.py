"""Bodies of /trading: what the commands print with --json. Amounts are text, so that no digit is lost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.api.models import Prose, example
from agent.api.strict import Body

Amount = Annotated[str, Field(description="A decimal in plain notation.")]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="ISO 8601, UTC.")]


class _Row(BaseModel):
    """A row whole: a column that is not declared is a fault of ours, not left out."""

    model_config = ConfigDict(extra="forbid")


class TraderStatus(_Row):
    """How the trader stands, and why it opens nothing where it does not."""

    name: str
    mode: Literal["paper", "live", "backtest"]
    platform: str
    account_ref: str
    ooda_state: str
    cycle: int
    trading_state: Literal["active", "paused", "reducing", "halted"]
    reasons: dict[str, str] = Field(description="reason -> words, all that hold")
    wanted_state: str
    is_running: bool = Field(description="A process holds the account.")
    kill: str | None = Field(description="The kill switch's state where it fired and nobody has reset it.")
    ended_at: Moment | None = Field(description="When a person retired it.")


class PositionOut(_Row):
    """What is held of a market."""

    agent_id: int
    market_id: str
    outcome: str
    quantity: Amount
    average_price: Amount
    realized: Amount
    fees: Amount
    opened_at: Moment | None
    state: str
    managed: bool
    updated_at: Moment


class PortfolioOut(_Row):
    """Cash, equity and what is held."""

    trading_state: str
    reasons: dict[str, str]
    cycle: int
    cash: Amount | None
    equity: Amount | None
    peak: Amount
    initial: Amount
    as_of: Moment | None
    ended_at: Moment | None = Field(description="When a person retired it.")
    positions: list[PositionOut]


class OpinionOut(_Row):
    """What a provider said."""

    decision_id: str
    provider: str
    probability: float | None
    confidence: float | None
    weight_used: float | None
    reasons: list[dict[str, Any]]
    abstained: bool
    error: str | None
    latency_ms: int | None
    tokens: int | None
    cost: Amount | None
    prompt_hash: str | None
    reply_hash: str | None


class VerdictOut(_Row):
    """What a risk rule said."""

    decision_id: str
    seq: int
    rule: str
    verdict: Literal["allow", "reduce", "refuse"]
    quantity_before: Amount
    quantity_after: Amount
    reason: str
    evidence: Any


class DecisionOut(_Row):
    """What was decided about a market in a cycle, and why no order came of it where none did."""

    decision_id: str
    agent_id: int
    cycle: int
    market_id: str
    pair: str | None
    made_at: Moment
    as_of: Moment
    action: str
    probability: float | None
    confidence: float | None
    reference_bid: Amount | None
    reference_ask: Amount | None
    reference_mid: Amount | None
    proposed_quantity: Amount | None
    stop_price: Amount | None
    take_profit_price: Amount | None
    release_id: int | None
    model_version: str | None
    status: str
    synthetic: bool
    reasons: list[dict[str, Any]]
    opinions: list[OpinionOut]
    verdicts: list[VerdictOut]
    why: str


class OrderOut(_Row):
    """An order and what became of it."""

    client_order_id: str
    decision_id: str | None
    kill_id: str | None
    leg: int
    agent_id: int
    purpose: str
    platform: str
    market_id: str
    outcome: str
    side: Literal["buy", "sell"]
    type: str
    time_in_force: str
    quantity: Amount
    limit_price: Amount | None
    quote_amount: Amount | None
    reduce_only: bool
    status: str
    status_at: Moment
    payload_hash: str
    expected_platform_id: str | None
    platform_order_id: str | None
    sends: int
    deduplicated: bool
    prepared_at: Moment
    first_sent_at: Moment | None
    acked_at: Moment | None
    ended_at: Moment | None
    checked_at: Moment | None
    checks: int
    reject_code: str | None
    reject_text: str | None
    filled_quantity: Amount
    average_price: Amount | None
    lease_token: int
    reference_bid: Amount | None
    reference_ask: Amount | None


class FillOut(_Row):
    """An execution."""

    platform: str
    account_ref: str
    platform_fill_id: str
    client_order_id: str | None
    market_id: str
    outcome: str
    side: Literal["buy", "sell"]
    quantity: Amount
    price: Amount
    fee: Amount
    fee_currency: str
    liquidity: str | None
    settlement: str
    inferred: bool
    ts: Moment
    recorded_at: Moment


class TradeOut(_Row):
    """A round trip that is over; `pnl` before fees."""

    id: str
    agent_id: int
    market_id: str
    outcome: str
    side: Literal["long", "short"]
    opened_at: Moment
    closed_at: Moment
    quantity: Amount
    entry: Amount
    exit: Amount
    fees: Amount
    slippage: Amount | None
    pnl: Amount
    reason: str | None
    entry_decision_id: str | None
    exit_decision_id: str | None


class EquityOut(_Row):
    """What the account was worth at a moment."""

    agent_id: int
    ts: Moment
    cash: Amount
    position_value: Amount
    equity: Amount
    net_flow: Amount
    peak: Amount
    drawdown: float
    marks: Any
    stale: bool


class DriftOut(_Row):
    """How far fills are from what was reckoned with: beside the mids of their decisions, and what costs expect."""

    fills: int
    without_mid: int = Field(description="Of these no decision says a mid; they are in no sum.")
    notional: Amount = Field(description="What the others come to at their mids.")
    cost: Amount | None
    cost_bps: float | None = Field(description="In basis points of notional.")
    expected: Amount | None = Field(description="Null where the current release does not have one of the markets.")
    expected_bps: float | None
    is_beyond: bool = Field(description="They cost more than expected beyond chance.")


class MarketDriftOut(DriftOut):
    """The same of one market."""

    market_id: str


class FillDriftOut(_Row):
    """The same of one fill; `mid` is that of its decision, in the price of the outcome."""

    platform_fill_id: str
    client_order_id: str | None
    ts: Moment
    market_id: str
    outcome: str
    side: Literal["buy", "sell"]
    quantity: Amount
    price: Amount
    mid: Amount | None
    cost: Amount | None
    cost_bps: float | None
    expected: Amount | None
    expected_bps: float | None


class SlippageOut(_Row):
    """What fills cost beside what their decisions saw, against what the project's costs expect."""

    account_ref: str
    platform: str
    mode: str
    total: DriftOut
    markets: list[MarketDriftOut]
    fills: list[FillDriftOut] = Field(description="The oldest first; of more than `limit` the newest.")


class LockOut(_Row):
    """What may not be opened until a time."""

    id: int
    agent_id: int
    market_id: str
    side: str
    until_at: Moment
    rule: str
    reason: str
    created_at: Moment
    deleted_by: str | None


class KillOut(_Row):
    """A time the kill switch fired. marks: of each position the price that it was valued by: price, ts and kind."""

    id: str
    platform: str
    account_ref: str
    agent_id: int
    state: str
    cause: list[str]
    limit_value: float | None
    measured: float | None
    equity: Amount | None
    triggered_at: Moment
    triggered_by: str
    marks: Any
    flat_at: Moment | None
    stuck: Any
    reset_at: Moment | None
    reset_by: str | None
    reset_reason: str | None


class Because(Body):
    """Why a person asks for it."""

    model_config = example(reason="lunch")
    reason: Prose


class ResetIn(Body):
    """Why the account may be traded again."""

    model_config = example(reason="looked at it: a bad print")
    reason: Prose
    accept_open_positions: bool = Field(False, description="Although something is left open: it is stuck.")


class TraderMoved(BaseModel):
    """The trading state that follows."""

    model_config = example(trading_state="paused")
    trading_state: str


class TraderReset(TraderMoved):
    """It is armed again, and measures from this equity on."""

    model_config = example(trading_state="active", equity="9800")
    equity: Amount


class KillAsked(BaseModel):
    """Nothing is sent from now on; the trader closes everything in its next cycle, or when it is started."""

    triggered: Literal[True] = True


class LockDeleted(BaseModel):
    """The lock that is over."""

    deleted: int
