"""What commands about the trading agent share: which agent is meant, and rows as a table or as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agent.amounts import figure_text, money_text
from agent.cli.output import emit, moment
from agent.console import table
from agent.errors import NotFound
from agent.execution.workspace import open_database, read_settings
from agent.store.database.engine import Database
from agent.store.trading import account

Row = Mapping[str, Any]
# Columns of money; other amounts are prices and quantities.
_MONEY = frozenset({"cash", "position_value", "equity", "peak", "fee", "fees", "pnl", "realized"})


def add_filters(parser: argparse.ArgumentParser, *, market: bool = True) -> None:
    """Which account, market and time."""
    parser.add_argument("--account", default="main", metavar="NAME", help="the paper account (main)")
    if market:
        parser.add_argument("--market", metavar="ID", help="of this market alone")
    parser.add_argument("--since", type=_instant, metavar="TIME", help="from then on (UTC), such as 2026-01-31")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[Database, dict[str, Any]]]:
    """The project's database and the row of the agent that trades the account. Raises NotFound."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database:
        with database.reading() as connections:
            found = [one for one in account.all_open(connections.project) if one["account_ref"] == options.account]
        if not found:
            raise NotFound(
                f"nobody has traded account {options.account} here",
                where="agents",
                fix="agent run-agent --asset-pair BTCUSD --once",
            )
        yield database, found[0]


def show(
    options: argparse.Namespace,
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    time: str,
    none: str,
) -> int:
    """Print rows that fit --market and --since, as a table of `columns` or whole as JSON."""
    kept = [row for row in rows if _fits(options, row, time)]
    right = {number for number, name in enumerate(columns) if kept and isinstance(kept[0][name], Decimal | float | int)}
    text = table([cells(row, columns) for row in kept], tuple(columns), right=right)
    emit(options, kept, text if kept else none)
    return 0


def read(options: argparse.Namespace, reader: Callable[..., Sequence[Row]]) -> Sequence[Row]:
    """What `reader` (connection, agent's id) finds."""
    with opened(options) as (database, agent), database.reading() as connections:
        return reader(connections.project, agent["id"])


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
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fits(options: argparse.Namespace, row: Row, time: str) -> bool:
    market = getattr(options, "market", None)
    return (market is None or row["market_id"] == market) and (options.since is None or row[time] >= options.since)


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
