"""`agent pause`: nothing new is opened until a person resumes; exits go on."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.cli.trading import add_filters, opened
from agent.store.database.engine import writing
from agent.trading import person

HELP = "Let the trader open nothing new until `agent resume`; what reduces a position goes on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, market=False, since=False)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for those who look")


def run(options: argparse.Namespace) -> int:
    """Pause; it holds for the next order, whether a trader runs or not."""
    with opened(options) as (database, agent), writing(database.project) as conn:
        answer = person.pause(conn, agent, options.reason)
    emit(options, answer, f"The trader is {answer['trading_state']}: {options.reason}")
    return 0
