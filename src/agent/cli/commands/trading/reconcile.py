"""`agent reconcile`: where books and platform disagreed, what was done about it, and a person's word on what blocks."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, list_rows, opened, show
from agent.errors import UsageError
from agent.store.database.engine import database_now, writing
from agent.trading import person

HELP = "Show where the trader's books and the platform disagreed, and say what is right about what blocks."
_COLUMNS = ("id", "found_at", "kind", "market_id", "client_order_id", "resolution", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)
    parser.add_argument("--accept", nargs="+", metavar="ID", help="the platform is right about these, which block")
    parser.add_argument(
        "--adopt", action="store_true", help="new books take over what was listed that the account has already"
    )


def run(options: argparse.Namespace) -> int:
    """Print the differences, the oldest first; or accept some, or let what new books found be adopted."""
    if options.adopt and options.accept:
        raise UsageError("--adopt and --accept are two words", where="--adopt", fix="give one, then the other")
    if options.adopt:
        return _adopt(options)
    if not options.accept:
        return show(options, list_rows(options, "discrepancies"), _COLUMNS, none="Books and platform never disagreed.")
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.accept(conn, agent, options.accept, user_name(), database_now(conn))
    emit(options, answer, f"Accepted {len(answer['accepted'])}: the next start books what the platform has.")
    return 0


def _adopt(options: argparse.Namespace) -> int:
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.adopt(conn, agent, user_name(), database_now(conn))
    emit(
        options,
        answer,
        f"The next start adopts {len(answer['adopted'])}, as listed; what changed since is listed again.",
    )
    return 0
