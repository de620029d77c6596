"""What Polymarket's replies mean: which markets are in one, which outcome is collected, and which one won."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelines.feed import Refused
from pipelines.inbox.rows import BadRow, Row, number

_WON = Decimal("0.999")


def markets_in(reply: Any) -> list[Any]:
    """The markets of a reply of Gamma or CLOB, one or many, bare, in a page, or within events."""
    rows = reply
    if isinstance(reply, Mapping):
        rows = next((reply[name] for name in ("markets", "events", "data") if isinstance(reply.get(name), list)), None)
        rows = [reply] if rows is None or "conditionId" in reply else rows
    if not isinstance(rows, list):
        raise Refused("the reply is no list of markets")
    found = []
    for row in rows:
        inner = row.get("markets") if isinstance(row, Mapping) else None
        if not isinstance(inner, list):
            found.append(row)
            continue
        event = {"events": [{"id": row.get("id")}]}
        found += [{**event, **one} if isinstance(one, Mapping) and len(one) > 1 else one for one in inner]
    return found


def list_in(row: Row, name: str) -> list[Any]:
    """A list, written as one or as JSON in a text; empty where it is missing."""
    value = row.get(name)
    if isinstance(value, str) and value:
        try:
            value = json.loads(value, parse_float=Decimal)
        except ValueError:
            raise BadRow(f"{name} is no list: {value[:60]!r}") from None
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise BadRow(f"{name} is no list: {value!r:.60}")
    return value


def collected_side(outcomes: Sequence[Any]) -> int:
    """The outcome that is collected: Yes, or the first where none is called so."""
    return next((at for at, one in enumerate(outcomes) if str(one).lower() == "yes"), 0)


def is_first(row: Row) -> bool:
    """Whether a trade is of the outcome that is collected, where the market's tokens are not known."""
    outcome = str(row.get("outcome", "")).lower()
    return outcome == "yes" or (outcome != "no" and row.get("outcomeIndex") == 0)


def winner_of(row: Row) -> int | None:
    """Which outcome of a closed market won, where it can be told: exactly one price of 1, all prices adding up to 1,
    and the oracle done, where its state is given (markets of 2020 and 2021 have none)."""
    prices: list[Decimal] = [number({"outcomePrices": one}, "outcomePrices") for one in list_in(row, "outcomePrices")]
    won = [at for at, price in enumerate(prices) if price >= _WON]
    if len(won) != 1 or abs(sum(prices, Decimal(-1))) > Decimal("0.01"):
        return None
    return won[0] if row.get("umaResolutionStatus") in (None, "", "resolved") else None
