"""`agent portfolio`: cash, positions and equity; `--rebuild` makes them again from fills and cash alone."""

from __future__ import annotations

import argparse
from typing import Any

from agent.cli.output import emit
from agent.cli.trading import add_filters, cell, cells, headings, money, opened, wanted_of
from agent.console import table
from agent.store.trading import booking, showing
from agent.trading.ledger import Line, rebuilt
from agent.trading.model import movement_of
from agent.trading.steps.desk import fill_of

HELP = "Show what the trader holds and what the account is worth; --rebuild checks it against fills and cash."
_COLUMNS = ("market_id", "outcome", "quantity", "average_price", "realized", "fees", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, since=False)
    parser.add_argument("--rebuild", action="store_true", help="make all again from fills and cash, and compare")


def run(options: argparse.Namespace) -> int:
    """Print the portfolio. Exit code 1 where a rebuild finds it otherwise."""
    with opened(options) as (database, agent), database.reading() as connections:
        conn = connections.project
        value = showing.portfolio(conn, agent, wanted_of(options))
        rows = booking.positions_of(conn, agent["id"])
        newest = booking.newest_equity(conn, agent["id"])
        fills = [fill_of(row) for row in booking.fills_of(conn, *showing.books_of(conn, agent))]
        cash = [movement_of(row) for row in booking.movements_of(conn, *showing.books_of(conn, agent))]
    if options.rebuild:
        value["differences"] = _differences(rows, newest, rebuilt(fills, cash))
    emit(options, value, _text(value))
    return 1 if value.get("differences") else 0


def _differences(rows: list[Any], newest: Any, books: Any) -> list[str]:
    """Where the tables say otherwise than fills and cash do."""
    found = []
    known = {(row["market_id"], row["outcome"]): row for row in rows}
    for key in sorted({*known, *books.lines}):
        line = books.lines.get(key, Line())
        row = known.get(key)
        says = None if row is None else (row["quantity"], row["average_price"], row["realized"], row["fees"])
        is_so = (line.quantity, line.average, line.realized, line.fees)
        if says != is_so and (row is not None or line != Line()):
            found.append(f"{' '.join(key).strip()}: the table says {says}, fills say {is_so}")
    if newest is not None and newest["cash"] != books.cash:
        found.append(f"cash: the table says {newest['cash']}, fills and movements say {books.cash}")
    return found


def _text(value: dict[str, Any]) -> str:
    why = "".join(f"; {text}" for text in value["reasons"].values())
    lines = [
        f"{value['trading_state']}{why}. Cycle {value['cycle']}, as of {cell(value['as_of'])} UTC.",
        f"Cash {money(value['cash'])}, equity {money(value['equity'])}.",
        f"It began with {money(value['initial'])}, and was at most {money(value['peak'])}.",
    ]
    held = [cells(row, _COLUMNS) for row in value["positions"]]
    lines.append(table(held, headings(_COLUMNS), right={2, 3, 4, 5}) if held else "Nothing is held.")
    if "differences" in value:
        lines += value["differences"] or ["Made again from fills and cash: nothing differs."]
    return "\n".join(lines)
