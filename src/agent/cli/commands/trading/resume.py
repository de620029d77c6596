"""`agent resume`: takes a person's pause away, and no other reason."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.cli.trading import add_filters, opened
from agent.store.database.engine import writing
from agent.trading import person

HELP = "Take `agent pause` back; other reasons that keep the trader from opening stay."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, market=False)


def run(options: argparse.Namespace) -> int:
    """Resume."""
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.resume(conn, agent)
    emit(options, answer, f"The trader is {answer['trading_state']}.")
    return 0
