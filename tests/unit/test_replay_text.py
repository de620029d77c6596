"""What a replay came to, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from agent.cli.replays import replay_text, span_of
from agent.trading.replay import Replayed

FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)


def feed(*ends: datetime) -> Any:
    """Markets `old` and `young`, of which the second has no days of returns."""
    return SimpleNamespace(
        release=SimpleNamespace(name="r", untradable=""),
        listing=lambda market: SimpleNamespace(instrument=SimpleNamespace(is_binary=market == "binary")),
        returns=lambda market, _: SimpleNamespace(days=[0.0] * (99 if market == "old" else 0)),
        ends=lambda since, until: list(ends),
    )


def test_only_markets_that_were_traded_are_said_to_have_no_history() -> None:
    amount = Decimal(100)
    found = Replayed(
        bars=1, first=FIRST, last=LAST, cycles=1, actions={"hold": 1}, sent=0, trades=0,
        pnl=Decimal(0), fees=Decimal(0), initial=amount, equity=amount, drawdown=0.0,
    )  # fmt: skip
    assert "no history of young," in replay_text(found, feed(), ["old", "young", "binary"])
    assert "no history" not in replay_text(found, feed(), ["old", "binary"])


def test_the_time_that_can_be_replayed_is_said() -> None:
    assert span_of(feed(FIRST, LAST)) == "forecasts go from 2024-01-01 00:00:00 to 2024-03-01 00:00:00 UTC"
    assert span_of(feed()) == "there are no forecasts"
