"""`agent retire`: an account's books end; the next start begins new ones."""

from __future__ import annotations

import argparse

from agent import identity
from agent.cli.output import emit, user_name
from agent.cli.trading import opened
from agent.store.database.engine import writing
from agent.trading import person

HELP = "End the books of an account that holds nothing: the next start begins new ones, measured from what it has then."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--account", default="main", metavar="NAME", help="the paper account (main)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for those who look")


def run(options: argparse.Namespace) -> int:
    """Retire; exit code 3 where something is left, or another process trades the account."""
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.retire(conn, agent, reason=options.reason, by=user_name(), owner=identity.own())
    emit(
        options,
        answer,
        f"Account {answer['retired']} is retired: its books stay to be read until a start begins others.",
    )
    return 0
