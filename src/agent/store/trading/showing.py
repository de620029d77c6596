"""What people and programs are shown of a trader: the same rows for the commands and over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.errors import NotFound
from agent.store.trading import account, booking, deciding, orders, switch
from pipelines.values import dataclass

Row = dict[str, Any]
_SHOWN = 10  # accounts in a message
EVERY_MARKET = "*"  # what a lock of all markets is of


@dataclass(frozen=True)
class Wanted:
    """Which rows. market: its id; since: from then on; limit: at most so many, the newest; None: all."""

    market: str | None = field(default=None)
    since: datetime | None = field(default=None)
    limit: int | None = field(default=None)

    def of(self, rows: Sequence[Row], time: str, *, newest_first: bool = False) -> list[Row]:
        """Those of `rows` that are wanted; `time` is the column that `since` means."""
        kept = [row for row in rows if self._fits(row, time)]
        if self.limit is None or newest_first:
            return kept[: self.limit]
        return kept[max(0, len(kept) - self.limit) :]

    def _fits(self, row: Mapping[str, Any], time: str) -> bool:
        is_its = self.market is None or "market_id" not in row or row["market_id"] in (self.market, EVERY_MARKET)
        return is_its and (self.since is None or row[time] >= self.since)


def agent_of(conn: sa.Connection, account_ref: str) -> Row:
    """The row of the agent that trades an account, or of the last one, where it was retired. Raises NotFound."""
    found = account.newest_of(conn, account_ref)
    if found is None:
        there = ", ".join(sorted({one["account_ref"] for one in account.all_open(conn)})[:_SHOWN])
        raise NotFound(
            f"nobody has traded account {account_ref} here",
            where="agents",
            fix=f"there is {there}" if there else "agent run-agent --asset-pair BTCUSD --once",
        )
    return found


def books_of(conn: sa.Connection, agent: Row) -> tuple[str, str, datetime]:
    """Which fills and cash movements are in an agent's books: of which platform and account, and since when. One that
    another followed is not shown, so that theirs end nowhere."""
    return agent["platform"], agent["account_ref"], account.begun_at(conn, agent)


def status(conn: sa.Connection, agent: Row) -> Row:
    """How the trader stands. kill: state of the kill switch where it fired and nobody has reset it."""
    kill = account.standing_kill(conn, agent["platform"], agent["account_ref"])
    names = ("name", "mode", "platform", "account_ref", "ooda_state", "cycle", "trading_state")
    return {
        **{name: agent[name] for name in names},
        "reasons": agent["trading_reason"] or {},
        "wanted_state": agent["wanted_state"],
        "is_running": account.is_traded(conn, agent),
        "kill": None if kill is None else kill["state"],
        "ended_at": agent["ended_at"],
    }


def portfolio(conn: sa.Connection, agent: Row, wanted: Wanted | None = None) -> Row:
    """Cash, equity and what is held; of `wanted` the market, whose position alone is listed."""
    market = None if wanted is None else wanted.market
    newest = booking.newest_equity(conn, agent["id"])
    return {
        "trading_state": agent["trading_state"],
        "reasons": agent["trading_reason"] or {},
        "cycle": agent["cycle"],
        "cash": None if newest is None else newest["cash"],
        "equity": None if newest is None else newest["equity"],
        "peak": agent["peak_equity"],
        "initial": agent["initial_equity"],
        "as_of": None if newest is None else newest["ts"],
        "ended_at": agent["ended_at"],
        "positions": [
            row
            for row in booking.positions_of(conn, agent["id"])
            if row["quantity"] and market in (None, row["market_id"])
        ],
    }


def decisions(conn: sa.Connection, agent: Row, wanted: Wanted, *, not_traded: bool = False) -> list[Row]:
    """Decisions, the newest first, each with `why`. not_traded: those alone of which no order came."""
    rows = deciding.decisions_of(conn, agent["id"], wanted.market, wanted.limit)
    return [
        row | {"why": why(row)}
        for row in rows
        if (wanted.since is None or row["made_at"] >= wanted.since) and not (not_traded and row["status"] == "ordered")
    ]


def why(decision: Mapping[str, Any]) -> str:
    """The rule that refused with its numbers, else what the decision says of itself."""
    for verdict in decision["verdicts"]:
        if verdict["verdict"] == "refuse":
            return f"{verdict['rule'].replace('_', ' ')}: {verdict['reason']}"
    texts = [str(one["text"]) for one in decision["reasons"] if one.get("text")]
    return "; ".join(texts) or ", ".join(str(one.get("code")) for one in decision["reasons"])


def equity(conn: sa.Connection, agent: Row, wanted: Wanted) -> list[Row]:
    """What the account was worth, the newest first."""
    rows = booking.equity_of(conn, agent["id"], 100 if wanted.limit is None else wanted.limit)
    return wanted.of(rows, "ts", newest_first=True)


def locks(conn: sa.Connection, agent: Row, wanted: Wanted, now: datetime) -> list[Row]:
    """Locks that hold: with historical data the present is where the trader stands, not the host's `now`."""
    newest = booking.newest_equity(conn, agent["id"])
    return wanted.of(deciding.locks_at(conn, agent["id"], now if newest is None else newest["ts"]), "created_at")


def kills(conn: sa.Connection, agent: Row, wanted: Wanted) -> list[Row]:
    """Every time the kill switch fired, the newest first, see `with_marks`."""
    rows = wanted.of(
        switch.of_account(conn, agent["platform"], agent["account_ref"]), "triggered_at", newest_first=True
    )
    return [with_marks(conn, row) for row in rows]


def with_marks(conn: sa.Connection, kill: Row) -> Row:
    """A row of `kill_switch` with the `marks` that it fired by: of each position price, ts and kind, null where nobody
    said a price and it counted as paid. None where the account was not measured before."""
    measured = booking.equity_at(conn, kill["agent_id"], kill["triggered_at"])
    return kill | {"marks": None if measured is None else measured["marks"]}


def _fills(conn: sa.Connection, agent: Row) -> list[Row]:
    return booking.fills_of(conn, *books_of(conn, agent))


def _of_agent(reader: Callable[[sa.Connection, int], list[Row]]) -> Callable[[sa.Connection, Row], list[Row]]:
    return lambda conn, agent: reader(conn, agent["id"])


# What is listed as it stands, the oldest first: its reader and the column of its time.
_LISTED: Mapping[str, tuple[Callable[[sa.Connection, Row], list[Row]], str]] = {
    "orders": (_of_agent(orders.of_agent), "prepared_at"),
    "fills": (_fills, "ts"),
    "trades": (_of_agent(booking.trades_of), "closed_at"),
    "discrepancies": (_of_agent(booking.discrepancies_of), "found_at"),
}


def listed(name: str, conn: sa.Connection, agent: Row, wanted: Wanted) -> list[Row]:
    """Rows of orders, fills, trades or discrepancies, the oldest first."""
    reader, time = _LISTED[name]
    return wanted.of(reader(conn, agent), time)
