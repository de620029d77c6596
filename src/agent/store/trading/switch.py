"""Rows of the kill switch. What fires it and which state follows which is decided above the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.store.trading_tables import kill_switch

Row = dict[str, Any]


def trigger(conn: sa.Connection, values: Mapping[str, Any]) -> None:
    """A new row of `kill_switch`: from its commit on the account is not traded."""
    conn.execute(sa.insert(kill_switch).values(dict(values)))


def add_cause(conn: sa.Connection, kill: Row, cause: str) -> None:
    """It fired once more: one more cause in its row."""
    if cause not in kill["cause"]:
        change(conn, kill["id"], cause=[*kill["cause"], cause])


def change(conn: sa.Connection, kill_id: str, **values: Any) -> None:
    """Write columns of a row."""
    conn.execute(sa.update(kill_switch).where(kill_switch.c.id == kill_id).values(values))


def reset(conn: sa.Connection, kill_id: str, by: str, reason: str, at: datetime) -> None:
    """A person lets the account be traded again."""
    change(conn, kill_id, state="reset", reset_at=at, reset_by=by, reset_reason=reason)


def of_account(conn: sa.Connection, platform: str, account_ref: str) -> list[Row]:
    """Every time it fired, the newest first."""
    k = kill_switch.c
    here = sa.and_(k.platform == platform, k.account_ref == account_ref)
    query = sa.select(kill_switch).where(here).order_by(k.triggered_at.desc())
    return [dict(row) for row in conn.execute(query).mappings()]
