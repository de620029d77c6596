"""`agent resume`: takes a person's pause away, and no other reason."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, opened
from agent.store.database.engine import writing
from agent.trading import person

HELP = "Take `agent pause` back; other reasons that keep the trader from opening stay."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, market=False, since=False)
    parser.add_argument("--reason", metavar="TEXT", help="why it may go on, for those who look")


def run(options: argparse.Namespace) -> int:
    """Resume."""
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.resume(conn, agent, _words(options.reason))
    emit(options, answer, f"The trader is {answer['trading_state']}.")
    return 0


def _words(reason: str | None) -> str | None:
    said = (reason or "").strip()
    return f"resumed by {user_name()}: {said}" if said else None
