"""What a reading of the account holds back: a day's loss pauses until midnight UTC, three readings with old prices
until a good one, a release that knows nothing new of any market until the next one. Softer than the kill switch: exits
go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from agent.amounts import less, money_text, of_float
from agent.store.trading import account, booking, deciding
from agent.trading.feed import max_release_age
from agent.trading.kill_switch import Limits, Reading
from agent.trading.measures.day import day_loss, midnight_after, midnight_before, opening_after
from agent.trading.measures.marks import MarkKind
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import Desk, state_by
from pipelines.figures import percent_text

_MOST_NAMED = 3
DAY = "max_daily_loss_pct"  # the rule of its locks


def check(conn: Any, desk: Desk, reading: Reading, limits: Limits, now: datetime) -> None:
    """Let the reasons hold that this reading brings, and those be gone that are over."""
    for reason, why in CHECKS.items():
        _hold(conn, desk, reason, why(conn, desk, reading, limits, now))


def _stale(conn: Any, desk: Desk, reading: Reading, limits: Limits, now: datetime) -> str | None:
    count = reading.stale_before + 1
    if not reading.stale or count < limits.stale_readings:
        return None
    newest = booking.newest_equity(conn, desk.agent_id)
    old = sorted(
        f"{key}: {_age_text(mark)}" for key, mark in (newest or {"marks": {}})["marks"].items() if _is_old(mark)
    )
    return (
        f"{limits.stale_readings} readings in a row or more had old prices for over a tenth of what is held "
        f"({'; '.join(old[:_MOST_NAMED])}{'; …' if len(old) > _MOST_NAMED else ''})"
    )


def _is_old(mark: Mapping[str, Any] | None) -> bool:
    return mark is None or mark["kind"] not in (MarkKind.QUOTE, MarkKind.PAYOUT)


def _age_text(mark: Mapping[str, Any] | None) -> str:
    return "none" if mark is None else f"of {datetime.fromisoformat(mark['ts']):%Y-%m-%d %H:%M} UTC"


def _lost_today(conn: Any, desk: Desk, reading: Reading, limits: Limits, now: datetime) -> str | None:
    """Why nothing is opened until midnight. A lock says so to people; once it fired, it holds for the day although the
    account recovers, and a person may delete it."""
    limit = desk.config.max_daily_loss_pct
    if isinstance(limit, str):
        return None
    midnight = midnight_before(now)
    fired = deciding.lock_since(conn, desk.agent_id, DAY, midnight)
    if fired is not None:
        return None if fired["deleted_by"] is not None else str(fired["reason"])
    opening = booking.opening_of_day(conn, desk.agent_id, midnight)
    if reading.stale or opening is None:
        return None
    base = opening_after(opening[0], opening[1])
    lost = day_loss(base, reading.equity, of_float(limit))
    if lost is None:
        return None
    until = midnight_after(now)
    amount = money_text(less(base, reading.equity))
    why = (
        f"{amount} lost since 00:00 UTC, {percent_text(lost, 2)} of {money_text(base)}, at most "
        f"{100 * limit:.4g} % is allowed: until {until:%Y-%m-%d %H:%M} UTC"
    )
    deciding.add_lock(conn, desk.agent_id, market="*", side="*", until=until, rule=DAY, why=why, now=now)
    return why


def _too_old(conn: Any, desk: Desk, reading: Reading, limits: Limits, now: datetime) -> str | None:
    """Why nothing can be opened: each market was open for too long since the newest that the release says of it. Where
    one is not, rules refuse the others. Of historical data the newest is as new as it gets."""
    if desk.feed.release.is_historical:
        return None
    found = [one for market in desk.markets if (one := desk.feed.published(market, now)) is not None]
    if not found:
        return None
    lag = desk.config.release_lag_seconds
    for one in found:
        most = max_release_age(desk.feed.listing(one.market_id).bar_seconds, lag)
        if desk.feed.open_seconds(one.market_id, one.ts, now) <= most:
            return None
    newest = max(one.ts for one in found)
    return (
        f"release {desk.feed.release.name} is too old: it knows nothing after {newest:%Y-%m-%d %H:%M} UTC, and the "
        f"markets were open for longer since than two of their bars and {lag:.0f} s; `agent plan` says what keeps "
        "the pipeline"
    )


CHECKS: dict[Reason, Callable[[Any, Desk, Reading, Limits, datetime], str | None]] = {
    Reason.STALE_MARKS: _stale,
    Reason.DAILY_LOSS: _lost_today,
    Reason.RELEASE_TOO_OLD: _too_old,
}


def _hold(conn: Any, desk: Desk, reason: Reason, words: str | None) -> None:
    held = account.load(conn, desk.agent_id)["trading_reason"] or {}
    if held.get(str(reason)) != words:
        account.set_reason(conn, desk.agent_id, str(reason), words, state_by)
