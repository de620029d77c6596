"""The options of `run-agent` that are settings, and the table that is printed at start. Reads no file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from agent.trading.config import DEFAULT, Layer, Parsed, TradingAgentConfig
from pipelines.settings import describe

# Option -> the field it sets. What it says and its bounds are the field's own.
VALUES: Mapping[str, str] = {
    "--asset-pair": "asset_pairs",
    "--watchlist": "watchlist",
    "--agent-type": "agent_type",
    "--on-exit": "on_exit",
    "--approval-mode": "approval_mode",
    "--strategic-goal": "strategic_goal",
    "--risk-appetite": "risk_appetite",
    "--take-profit": "take_profit",
    "--stop-loss": "stop_loss",
    "--risk-percentage": "risk_percentage",
    "--kill-switch-gain": "kill_switch_gain_pct",
    "--kill-switch-loss": "kill_switch_loss_pct",
    "--max-drawdown": "max_drawdown_pct",
    "--max-daily-trades": "max_daily_trades",
    "--max-var-pct": "max_var_pct",
    "--correlation-threshold": "correlation_threshold",
    "--min-confidence": "min_confidence_threshold",
    "--analysis-frequency": "analysis_frequency_seconds",
}
SWITCHES: Mapping[str, str] = {"--autonomous": "autonomous"}
_LISTS = ("asset_pairs", "watchlist")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options. All are texts here, or lists of them, which go on where an option is given again: the
    settings say what they must be."""
    about = {one["name"]: one for one in describe(TradingAgentConfig)}
    for option, field in VALUES.items():
        unit = about[field]["unit"]
        text = about[field]["doc"] + (f" ({unit})" if unit else "")
        again = "extend" if field in _LISTS else "store"
        kind = _split if field in _LISTS else str
        parser.add_argument(option, dest=field, metavar="VALUE", help=text.replace("%", "%%"), action=again, type=kind)
    for option, field in SWITCHES.items():
        parser.add_argument(option, dest=field, action="store_true", default=None, help=about[field]["doc"])


def layer_of(given: argparse.Namespace) -> Layer:
    """The layer of flags: what was typed, as numbers where it is one, lists cut at commas."""
    values: dict[str, Any] = {}
    for field in (*VALUES.values(), *SWITCHES.values()):
        typed = getattr(given, field, None)
        if typed is not None:
            values[field] = typed if field in _LISTS else _number(typed)
    return Layer("flags", values)


def table_of(parsed: Parsed) -> str:
    """The table of settings: field, as written, as understood, source; what somebody set goes before the defaults. Then
    what looks like a slip."""
    rows = [("setting", "as written", "as understood", "source")]
    rows += [
        (one.name, one.written, one.understood, one.source)
        for one in sorted(parsed.rows, key=lambda one: one.source == DEFAULT)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join([*lines, *(f"note: {one}" for one in parsed.warnings)]) + "\n"


def _split(typed: str) -> list[str]:
    return [part.strip() for part in typed.split(",") if part.strip()]


def _number(typed: Any) -> Any:
    if not isinstance(typed, str):
        return typed
    for kind in (int, float):
        try:
            return kind(typed)
        except ValueError:
            continue
    return typed
