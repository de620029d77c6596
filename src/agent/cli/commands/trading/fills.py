"""`agent fills`: every execution."""

from __future__ import annotations

import argparse

from agent.cli.trading import add_filters, opened, show
from agent.store.trading import booking

HELP = "Show the trader's executions."
_COLUMNS = ("ts", "market_id", "outcome", "side", "quantity", "price", "fee", "client_order_id")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser)


def run(options: argparse.Namespace) -> int:
    """Print the executions, the oldest first."""
    with opened(options) as (database, agent), database.reading() as connections:
        rows = booking.fills_of(connections.project, agent["platform"], agent["account_ref"])
    return show(options, rows, _COLUMNS, time="ts", none="Nothing was filled yet.")
