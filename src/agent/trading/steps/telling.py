"""What people are told of a trader while they do not look: why it is held back, an order of which nobody knows whether
it is there, a kill switch that cannot close, fills that cost more than expected, and once a day what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agent.amounts import less, money_text, total
from agent.runtime.alerts import Cause
from agent.store.trading import account, booking, deciding, orders
from agent.trading.kill_switch import KillState
from agent.trading.measures.day import midnight_before
from agent.trading.measures.slippage import Paid, is_beyond, paid_by
from agent.trading.states.orders import OrderState
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import Desk, seen_since

UNKNOWN_AFTER = timedelta(seconds=60)
STUCK_AGAIN = timedelta(minutes=15)
SUMMARY_AT = timedelta(minutes=5)  # after 00:00 UTC
_ONCE = timedelta(days=36_500)
_ASKED_FOR = frozenset({Reason.PERSON, Reason.RESUMED, Reason.MONITOR, Reason.RETIRED})  # whoever wanted it knows it
_UNKNOWN, _STUCK, _SLIPPAGE = "unknown order", "stuck", "slippage"
_DAY = timedelta(days=1)


def day_to_sum_up(now: datetime) -> datetime | None:
    """The UTC day that is over and to be summed up; None in the first minutes of the next one."""
    midnight = midnight_before(now)
    return midnight - timedelta(days=1) if now - midnight >= SUMMARY_AT else None


def news_of(desk: Desk, summed_up: datetime | None = None) -> tuple[list[Cause], list[str]]:
    """Causes of now, the summary of yesterday among them; and keys of those that are over. summed_up: a day whose
    summary was given already: it reads all orders and round trips there are."""
    now = desk.clock.now()
    with desk.database.reading() as connections:
        conn, held = connections.project, desk.held
        reasons = account.load(conn, desk.agent_id)["trading_reason"] or {}
        kill = account.standing_kill(conn, held.platform, held.account_ref)
        unclear = orders.of_agent(conn, desk.agent_id, {str(OrderState.UNKNOWN)})
        paid = paid_since(desk, conn, now - _DAY)
        present, over = causes_of(f"{held.account_ref} on {held.platform}", reasons, unclear, kill, paid, now)
        day = day_to_sum_up(now)
        summary = None if day is None or day == summed_up else summary_of(conn, desk, day)
    if summary is not None:
        key = f"day/{day:%Y-%m-%d} of {held.account_ref} on {held.platform}"
        title = f"Tidemill: trader of {held.account_ref} on {held.platform}, {day:%Y-%m-%d}"
        present.append(Cause(key, title, summary, _ONCE))
    return present, over


def causes_of(
    name: str,
    reasons: Mapping[str, str],
    unclear: Sequence[Mapping[str, Any]],
    kill: Mapping[str, Any] | None,
    paid: Sequence[Paid],
    now: datetime,
) -> tuple[list[Cause], list[str]]:
    """Causes that hold, and keys of those that do not. reasons: what holds the trader back, and the words for it;
    unclear: rows of orders that are unknown; kill: the row of a switch that fired and that nobody has reset; paid: what
    the fills of the last day cost beside what was expected."""
    found = {one: words for one, words in reasons.items() if Reason(one) not in _ASKED_FOR}
    old = [one for one in unclear if now - one["status_at"] >= UNKNOWN_AFTER]
    if old:
        listed = ", ".join(f"{one['client_order_id']} in {one['market_id']}" for one in old)
        found[_UNKNOWN] = f"nobody knows whether the platform has {listed}; it is asked, and nothing is sent again"
    if kill is not None and kill["state"] == KillState.STUCK:
        left = ", ".join(f"{one['market']}: {one['why']}" for one in kill["stuck"] or ())
        found[_STUCK] = f"the kill switch cannot close everything: {left}"
    if is_beyond(paid):
        found[_SLIPPAGE] = (
            f"fills of the last 24 hours cost more than [markets.costs] says: {_paid_text(paid)}. Backtest and "
            "decisions reckon with less than it is: raise half_spread_bps or slippage_bps"
        )
    present = [
        Cause(
            _key(name, one),
            f"Tidemill: trader of {name}: {one.replace('_', ' ')}",
            words,
            STUCK_AGAIN if one == _STUCK else None,
        )
        for one, words in found.items()
    ]
    names = (*(str(one) for one in Reason if one not in _ASKED_FOR), _UNKNOWN, _STUCK, _SLIPPAGE)
    return present, [_key(name, one) for one in names if one not in found]


def _key(name: str, cause: str) -> str:
    return f"trader/{cause} of {name}"


def paid_since(desk: Desk, conn: Any, since: datetime, until: datetime | None = None) -> list[Paid]:
    """What fills cost beside the mids of their decisions, of markets that the release knows."""
    known = {one.instrument.market_id: one.costs for one in desk.feed.listings()}
    fills = [one for one in seen_since(desk, conn, since) if until is None or one.ts < until]
    said = (paid_by(one, known[one.market_id]) for one in fills if one.market_id in known)
    return [one for one in said if one is not None]


def _paid_text(paid: Sequence[Paid]) -> str:
    cost, expected = total(one.cost for one in paid), total(one.expected for one in paid)
    return f"{money_text(cost)} beside the mid, {money_text(expected)} expected"


def summary_of(conn: Any, desk: Desk, day: datetime) -> str | None:
    """What a UTC day that is over came to; None where nothing was measured on it."""
    agent_id, end = desk.agent_id, day + _DAY
    rows = booking.equity_between(conn, agent_id, day, end)
    if not rows:
        return None
    before = booking.equity_before(conn, agent_id, day)
    first, last = (rows[0] if before is None else before)["equity"], rows[-1]["equity"]
    flows = total(one["net_flow"] for one in rows if before is not None or one is not rows[0])
    sent = [one for one in orders.of_agent(conn, agent_id) if one["first_sent_at"] is not None]
    count = sum(day <= one["first_sent_at"] < end for one in sent)
    closed = [one for one in booking.trades_of(conn, agent_id) if day <= one["closed_at"] < end]
    made = total(less(one["pnl"], one["fees"]) for one in closed)
    refused = ", ".join(f"{n} by {rule}" for rule, n, _ in deciding.refusals_between(conn, agent_id, day, end))
    return (
        f"Equity {money_text(first)} -> {money_text(last)}: {money_text(less(last, first, flows))} made, "
        f"{money_text(flows)} paid in or out. {count} orders sent, {len(closed)} round trips closed with "
        f"{money_text(made)} after fees. Fills cost {_paid_text(paid_since(desk, conn, day, end))}. "
        f"Refused: {refused or 'nothing'}."
    )
