"""T5: who let an order be sent. Each call is part of the caller's transaction under its lease."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.store.trading.deciding import plain_json
from agent.store.trading_tables import order_approvals

AUTO = "auto"
_NONCE_BYTES = 16


def approve_itself(conn: sa.Connection, decision_id: str, quoted: Mapping[str, Any], now: datetime) -> None:
    """The row of an order that needs nobody's word: asked, and answered by `auto`, in one moment."""
    values = {
        "decision_id": decision_id,
        "nonce": base64.b32encode(secrets.token_bytes(_NONCE_BYTES)).decode().rstrip("="),
        "channel": AUTO,
        "status": "approved",
        "asked_at": now,
        "expires_at": now,
        "quoted": plain_json(quoted),
        "answered_by": AUTO,
        "answered_at": now,
    }
    conn.execute(sa.insert(order_approvals).values(values))
