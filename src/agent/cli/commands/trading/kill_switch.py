"""`agent kill-switch`: why everything was closed; trigger it, or let the account be traded again."""

from __future__ import annotations

import argparse
from typing import Any

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, money, opened, show
from agent.errors import Conflict, UsageError
from agent.execution.workspace import read_settings
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import account, booking, switch
from agent.trading.kill_switch import KILL_SWITCH, KillEvent, KillState
from agent.trading.states.machine import step
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import KILL_FILE, state_by

HELP = "Show why the kill switch fired; `trigger` closes everything, `reset` lets the account be traded again."
_COLUMNS = ("triggered_at", "state", "cause", "limit_value", "measured", "equity", "triggered_by", "reset_reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", choices=("trigger", "reset"), help="leave it out to look")
    add_filters(parser, market=False)
    parser.add_argument("--reason", metavar="TEXT", help="why, for those who look")
    parser.add_argument("--accept-open-positions", action="store_true", help="reset although something is left open")


def run(options: argparse.Namespace) -> int:
    """Show, trigger or reset."""
    if options.what is not None and not (options.reason or "").strip():
        raise UsageError(f"{options.what} needs a reason", where="--reason", fix='--reason "why"')
    with opened(options) as (database, agent):
        if options.what == "trigger":
            return _trigger(options)
        if options.what == "reset":
            return _reset(options, database, agent)
        with database.reading() as connections:
            rows = switch.of_account(connections.project, agent["platform"], agent["account_ref"])
    return show(options, rows, _COLUMNS, time="triggered_at", none="It never fired.")


def _trigger(options: argparse.Namespace) -> int:
    """Leave the file that the trader looks for before each order and in each cycle."""
    settings, _ = read_settings(options.project_dir)
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / KILL_FILE).write_text(f"{user_name()}: {options.reason}\n", encoding="utf-8")
    text = "Nothing is sent from now on; the trader closes everything in its next cycle, or when it is started."
    emit(options, {"triggered": True}, text)
    return 0


def _reset(options: argparse.Namespace, database: Database, agent: dict[str, Any]) -> int:
    with writing(database.project) as conn:
        kill = account.standing_kill(conn, agent["platform"], agent["account_ref"])
        if kill is None:
            raise Conflict("the kill switch has not fired", where="kill_switch", fix="there is nothing to reset")
        held = [one["market_id"] for one in booking.positions_of(conn, agent["id"]) if one["quantity"]]
        event = KillEvent.RESET_ACCEPTING if options.accept_open_positions else KillEvent.RESET
        state = KillState(kill["state"])
        if state not in (KillState.FLAT, KillState.STUCK) or step(KILL_SWITCH, state, event).state != KillState.ARMED:
            raise Conflict(
                f"the kill switch is {state}, not everything is closed: {', '.join(held) or 'orders are left'}",
                where="kill_switch",
                fix="start the trader, which closes what is left; when it is stuck: --accept-open-positions",
            )
        now = database_now(conn)
        switch.reset(conn, kill["id"], user_name(), options.reason, now)
        newest = booking.newest_equity(conn, agent["id"])
        equity = agent["initial_equity"] if newest is None else newest["equity"]
        measured = {"initial_equity": equity, "armed_at": now, "peak_equity": equity, "peak_at": now}
        account.update(conn, agent["id"], **measured)
        state_now = account.set_reason(conn, agent["id"], str(Reason.KILL), None, state_by)
    emit(
        options,
        {"trading_state": state_now},
        f"Armed again at an equity of {money(equity)}; the trader is {state_now}.",
    )
    return 0
