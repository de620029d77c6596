"""`agent locks`: what may not be opened for a while; a person may end a lock."""

from __future__ import annotations

import argparse

from agent.arguments import row_id
from agent.cli.output import emit, user_name
from agent.cli.trading import add_filters, opened, show, wanted_of
from agent.errors import UsageError
from agent.store.database.engine import writing
from agent.store.trading import showing
from agent.trading import person

HELP = "Show what may not be opened for a while and why, or end such a lock early."
_COLUMNS = ("id", "market_id", "side", "until_at", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", choices=("delete",), help="`delete ID` ends a lock now")
    parser.add_argument("id", nargs="?", type=row_id, metavar="ID", help="the lock to end")
    add_filters(parser)
    parser.add_argument("--delete", type=row_id, metavar="ID", help="as `delete ID`")


def run(options: argparse.Namespace) -> int:
    """Print locks that hold, or end one."""
    if options.what is not None and options.id is None:
        raise UsageError("delete needs a lock", where="ID", fix="`agent locks` lists them: agent locks delete 7")
    ending = options.delete if options.id is None else options.id
    with opened(options) as (database, agent):
        if ending is not None:
            with writing(database.project) as conn:
                answer = person.delete_lock(conn, agent, ending, user_name())
            emit(options, answer, f"Lock {ending} is over.")
            return 0
        with database.reading() as connections:
            rows = showing.locks(connections.project, agent, wanted_of(options), database.now())
    return show(options, rows, _COLUMNS, none="Nothing is locked.")
