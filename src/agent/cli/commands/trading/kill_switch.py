"""`agent kill-switch`: why everything was closed; trigger it, or let the account be traded again."""

from __future__ import annotations

import argparse
from typing import Any

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, opened, show, wanted_of
from agent.errors import UsageError
from agent.execution.workspace import read_settings
from agent.store.database.engine import Database, database_now, writing
from agent.store.trading import showing
from agent.trading import person

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
            rows = showing.kills(connections.project, agent, wanted_of(options))
    return show(options, rows, _COLUMNS, none="It never fired.")


def _trigger(options: argparse.Namespace) -> int:
    settings, _ = read_settings(options.project_dir)
    answer = person.trigger(settings.home, options.reason, user_name())
    text = "Nothing is sent from now on; the trader closes everything in its next cycle, or when it is started."
    emit(options, answer, text)
    return 0


def _reset(options: argparse.Namespace, database: Database, agent: dict[str, Any]) -> int:
    with writing(database.project) as conn:
        accepting = options.accept_open_positions
        now = database_now(conn)
        answer = person.reset(conn, agent, reason=options.reason, by=user_name(), now=now, accepting=accepting)
    text = f"Armed again at an equity of {answer['equity']}; the trader is {answer['trading_state']}."
    emit(options, answer, text)
    return 0
