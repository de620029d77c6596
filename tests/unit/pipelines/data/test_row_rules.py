"""The rules that each row of a batch keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, broken_rules, frame_schema, rules_broken

TS = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2020, 1, 2, tzinfo=UTC)
BAR = {"market_id": "a", "start": TS, "end": END, "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.0}
TICK = {"market_id": "a", "ts": TS, "price": 1.0}
NAN, INF = float("nan"), float("inf")


def rule_of(kind: Any, row: dict[str, Any]) -> str | None:
    columns = frame_schema(BAR_COLUMNS if kind == "bars" else TICK_COLUMNS)
    rule = rules_broken(pl.DataFrame([row], schema=columns), broken_rules(kind))
    found: str | None = None if rule is None else rule.item()
    return found


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, None),
        ({"volume": 0.0}, None),
        ({"open": 3.0, "close": 1.0}, None),
        ({"start": None}, "time is missing"),
        ({"end": None}, "the bar does not end after its start"),
        ({"end": TS}, "the bar does not end after its start"),
        ({"market_id": None}, "market is missing"),
        ({"close": None}, "close is missing"),
        ({"close": NAN}, "close is not a finite number"),
        ({"high": INF}, "high is not a finite number"),
        ({"low": 0.0}, "low is not above zero"),
        ({"low": -1.0}, "low is not above zero"),
        ({"high": 0.5}, "high is below low"),
        ({"high": 1.5}, "high is below open"),
        ({"close": 4.0}, "high is below close"),
        ({"low": 2.5, "open": 2.7}, "low is above close"),
        ({"volume": -1.0}, "volume is negative"),
        ({"volume": NAN}, "volume is not a finite number"),
        ({"bid_high": 1.0, "bid_low": 2.0}, "bid_high is below bid_low"),
        ({"ask_open": 0.0}, "ask_open is not above zero"),
    ],
)
def test_bars(change: dict[str, Any], rule: str | None) -> None:
    assert rule_of("bars", BAR | change) == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, None),
        ({"bid": 2.0, "ask": 1.0}, None),  # crossed books happen
        ({"size": 0.0, "side": "buy"}, None),
        ({"price": None}, "price is missing"),
        ({"price": NAN}, "price is not a finite number"),
        ({"price": -0.1}, "price is not above zero"),
        ({"bid": 0.0}, "bid is not above zero"),
        ({"ask": INF}, "ask is not a finite number"),
        ({"size": -1.0}, "size is negative"),
        ({"side": "long"}, "side is neither buy nor sell"),
    ],
)
def test_ticks(change: dict[str, Any], rule: str | None) -> None:
    assert rule_of("ticks", TICK | change) == rule
