"""`agent locks`: what may not be opened for a while; a person may end a lock."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, opened, show
from agent.errors import NotFound
from agent.store.database.engine import writing
from agent.store.trading import booking, deciding

HELP = "Show what may not be opened for a while and why, or end such a lock early."
_COLUMNS = ("id", "market_id", "side", "until_at", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)
    parser.add_argument("--delete", type=int, metavar="ID", help="end this lock now")


def run(options: argparse.Namespace) -> int:
    """Print locks that hold, or end one."""
    with opened(options) as (database, agent):
        if options.delete is not None:
            with writing(database.project) as conn:
                if not deciding.delete_lock(conn, options.delete, user_name()):
                    raise NotFound(f"no lock {options.delete} stands", where="locks", fix="`agent locks` lists them")
            emit(options, {"deleted": options.delete}, f"Lock {options.delete} is over.")
            return 0
        with database.reading() as connections:
            newest = booking.newest_equity(connections.project, agent["id"])
            # With historical data the present is where the trader stands, not the host's.
            now = database.now() if newest is None else newest["ts"]
            rows = deciding.locks_at(connections.project, agent["id"], now)
    return show(options, rows, _COLUMNS, time="created_at", none="Nothing is locked.")
