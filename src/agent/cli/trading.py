"""What commands about the trading agent share: which agent is meant, and rows as a table or as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.amounts import figure_text, money_text
from agent.arguments import instant
from agent.cli.output import emit, moment
from agent.console import table
from agent.execution.workspace import open_database, read_settings
from agent.store.database.engine import Database
from agent.store.trading import showing
from agent.store.trading.showing import Wanted
from agent.trading.person import market_meant

Row = Mapping[str, Any]
MARKETS = ("market", "why_not")  # options that name one
# Columns of money; other amounts are prices and quantities.
_HEADINGS = {"ts": "time", "market_id": "market", "client_order_id": "order"}
_MONEY = frozenset(
    {"cash", "position_value", "equity", "peak", "fee", "fees", "pnl", "realized", "notional", "cost", "expected"}
)


def add_filters(parser: argparse.ArgumentParser, *, market: bool = True, since: bool = True) -> None:
    """Which account, market and time."""
    parser.add_argument("--account", default="main", metavar="NAME", help="the paper account (main)")
    if market:
        parser.add_argument("--market", metavar="MARKET", help="of this market alone: BTCUSD, or its id")
    if since:
        parser.add_argument("--since", type=instant, metavar="TIME", help="from then on (UTC), such as 2026-01-31")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[Database, dict[str, Any]]]:
    """The project's database and the row of the agent that trades the account; a market that `options` name becomes its
    id there. Raises NotFound, or UsageError where a name may mean several."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database:
        with database.reading() as connections:
            agent = showing.agent_of(connections.project, options.account)
            for name in MARKETS:
                if (typed := getattr(options, name, None)) is not None:
                    setattr(options, name, market_meant(connections.project, agent, typed))
        yield database, agent


def wanted_of(options: argparse.Namespace) -> Wanted:
    """Which rows the options ask for."""
    return Wanted(*(getattr(options, name, None) for name in ("market", "since", "limit")))


def list_rows(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Rows that are listed as they stand, see `showing.listed`."""
    with opened(options) as (database, agent), database.reading() as connections:
        return showing.listed(name, connections.project, agent, wanted_of(options))


def show(
    options: argparse.Namespace,
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    none: str,
) -> int:
    """Print rows as a table of `columns`, or whole as JSON."""
    right = {n for n, name in enumerate(columns) if any(isinstance(row[name], Decimal | float | int) for row in rows)}
    text = table([cells(row, columns) for row in rows], headings(columns), right=right)
    emit(options, rows, text if rows else none)
    return 0


def headings(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns as people read them; times are UTC."""
    found = (_HEADINGS.get(name, name.replace("_", " ")) for name in columns)
    return tuple(f"{name} (UTC)" if name.endswith((" at", "time")) else name for name in found)


def cells(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """A row of a table for people: money to the cent, prices and quantities by eight digits."""
    return tuple(money(row[name]) if name in _MONEY else cell(row[name]) for name in columns)


def money(value: Decimal | None) -> str:
    """Money as people read it. JSON has it to the last digit."""
    return "-" if value is None else money_text(value)


def cell(value: Any) -> str:
    """A value as people read it; an amount is a price or a quantity, see `money`."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal):
        return figure_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
