"""`agent reconcile`: where books and platform disagreed, what was done about it, and a person's word on what blocks."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, list_rows, opened, show
from agent.store.database.engine import database_now, writing
from agent.trading import person

HELP = "Show where the trader's books and the platform disagreed; --accept ID: the platform is right about what blocks."
_COLUMNS = ("id", "found_at", "kind", "market_id", "client_order_id", "resolution", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)
    parser.add_argument("--accept", nargs="+", metavar="ID", help="the platform is right about these, which block")


def run(options: argparse.Namespace) -> int:
    """Print the differences, the oldest first, or accept some."""
    if not options.accept:
        return show(options, list_rows(options, "discrepancies"), _COLUMNS, none="Books and platform never disagreed.")
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.accept(conn, agent, options.accept, user_name(), database_now(conn))
    emit(options, answer, f"Accepted {len(answer['accepted'])}: the next start books what the platform has.")
    return 0
