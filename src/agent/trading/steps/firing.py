"""What fires the kill switch, and what is written then: a row, committed with its cause before anything is closed. From
then on T7 denies every other order."""

from __future__ import annotations

import sys
import uuid
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.amounts import of_float
from agent.store.database.engine import writing
from agent.store.trading import account, booking, switch
from agent.trading.config import TradingAgentConfig
from agent.trading.kill_switch import Cause, Fired, KillState, Limits, Reading, decide_kill
from agent.trading.states.permissions import Reason
from agent.trading.steps import pausing
from agent.trading.steps.desk import Desk, Row, state_by


def limits_of(config: TradingAgentConfig) -> Limits:
    """The limits as amounts."""

    def known(value: float | str) -> Decimal | None:
        return None if isinstance(value, str) else of_float(value)

    return Limits(
        loss=known(config.kill_switch_loss_pct),
        drawdown=of_float(config.max_drawdown_pct),
        gain=known(config.kill_switch_gain_pct),
        stale_kills=config.stale_action == "kill",
    )


def check(conn: Any, desk: Desk, reading: Reading, now: datetime) -> Fired | None:
    """Whether everything is to be closed now; where it is, the row is written in this transaction. Where it is not, a
    softer limit may pause the trader. Test mode writes no row: it could not do what the row asks for."""
    word = desk.kill_word()
    asked = Cause.KILL_FILE if word is not None else None
    limits = limits_of(desk.config)
    fired = decide_kill(reading, limits, asked)
    if fired is None:
        pausing.check(conn, desk, reading, limits, now)
    elif desk.sends:
        trigger(conn, desk, fired, now, by=word or "trader")
    return fired


def trigger(conn: Any, desk: Desk, fired: Fired, now: datetime, by: str) -> None:
    """Write down that it fired, at the newest equity and not before it, so that its marks are found by the time; one
    that fired already has one more cause."""
    _fire(conn, account.load(conn, desk.agent_id), booking.newest_equity(conn, desk.agent_id), fired, now, by)


def _fire(conn: Any, agent: Row, newest: Row | None, fired: Fired, now: datetime, by: str) -> None:
    standing = account.standing_kill(conn, agent["platform"], agent["account_ref"])
    if standing is not None:
        switch.add_cause(conn, standing, str(fired.cause))
        return
    row = {
        "id": str(uuid.uuid4()),
        "platform": agent["platform"],
        "account_ref": agent["account_ref"],
        "agent_id": agent["id"],
        "state": KillState.TRIGGERED,
        "cause": [str(fired.cause)],
        "limit_value": float(fired.limit),
        "measured": float(fired.measured),
        "equity": None if newest is None else newest["equity"],
        "triggered_at": now if newest is None else max(now, newest["ts"]),
        "triggered_by": by,
    }
    switch.trigger(conn, row)
    account.set_reason(conn, agent["id"], str(Reason.KILL), f"kill switch: {fired.cause}", state_by)


def acknowledge_file(desk: Desk) -> None:
    """Rename a KILL file once every account of the project has its row: it is a person's word for all of them, whoever
    sees it first. A trader that does not run finds its row at start; a replay that nobody runs has nothing to lose. Who
    dies in between leaves the file, and whoever sees it next does the same, which then changes nothing. Test mode
    leaves it to those who close."""
    path, word = desk.kill_file(), desk.kill_word()
    if path is None or word is None or not desk.sends:
        return
    now = desk.clock.now()
    with writing(desk.database.project) as conn:
        for agent in account.lock_open(conn):
            if account.is_replay(agent) and not account.is_traded(conn, agent):
                continue
            newest = booking.newest_equity(conn, agent["id"])
            at = _now_of(desk, agent, newest, now)
            _fire(conn, agent, newest, Fired(Cause.KILL_FILE), at, word or "trader")
        sys.audit("tidemill.point", "trader.kill_file.committing")
    sys.audit("tidemill.point", "trader.kill_file.acknowledging")
    with suppress(FileNotFoundError):  # another trader was quicker
        path.replace(path.with_name(path.name + ".seen"))


def _now_of(desk: Desk, agent: Row, newest: Row | None, now: datetime) -> datetime:
    """The present of another account: a replay's clock is its own, and stands where it was measured last."""
    its_own = agent["id"] != desk.agent_id and (
        account.is_replay(agent) or account.is_replay({"account_ref": desk.held.account_ref})
    )
    if not its_own:
        return now
    found: datetime = agent["created_at"] if newest is None else newest["ts"]
    return found
