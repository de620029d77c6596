"""Folders that well-known programs write, by name: the same settings as of any file, known beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from pipelines.data.file_tables.raw import PRICES, QUOTES
from pipelines.values import dataclass

_KLINES = ("ts", *PRICES, "volume")


@dataclass(frozen=True)
class Layout:
    """Files whose path (from the folder on) matches `pattern`: what their columns are, and settings of theirs.

    columns: role -> place of the column where the file has no names; where it has, its own names count. why_not: why
    such files are passed over.
    """

    pattern: re.Pattern[str] = re.compile("")
    columns: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    why_not: str = ""

    def named(self) -> dict[str, str]:
        """The columns of a file without names."""
        return {role: f"column_{place}" for role, place in self.columns.items()}


@dataclass(frozen=True)
class Preset:
    """What a program writes, and where its documentation says so. settings: of all its files."""

    about: str
    layouts: tuple[Layout, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def layout_of(self, file: Path, folder: Path) -> Layout | None:
        """The layout of a file; None for one that holds no prices, which is passed over."""
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        return next((one for one in self.layouts if one.pattern.search(name)), None)


def _places(*roles: str) -> dict[str, int]:
    return {role: place for place, role in enumerate(roles, 1) if role}


def _layout(pattern: str, columns: Mapping[str, int] | None = None, **settings: Any) -> Layout:
    return Layout(re.compile(pattern), columns or {}, settings)


_INTERVAL = r"\d+[smhdwM]"
_FORMS = r"\.(?:feather|parquet|json(?:\.gz)?)$"
_LEAN_QUOTES = ("ts", *QUOTES[:4], "", *QUOTES[4:])
_ONE_SIDED = "each row of a share's quote ticks has one side alone, so that there is no mid: take its quote bars"


def _lean(place: str, what: str, ticks: Layout, *, is_usual: bool, **settings: Any) -> list[Layout]:
    """Lean's bars of one kind of market: days and hours in a file for each market, minutes and seconds in one for each
    day, and so are the single `ticks`. `is_usual`: files that do not say what they hold hold this."""
    columns = _places("ts", *PRICES, "volume") if what == "trade" else _places(*_LEAN_QUOTES)
    name = rf"(?:[^/_]+|[^/]+_{what})\.zip$" if is_usual else rf"[^/]+_{what}\.zip$"
    long = {**settings, "header": False, "ts_format": "%Y%m%d %H:%M"}
    short = {**settings, "header": False, "ts_unit": "ms", "day_pattern": rf"(?P<day>\d{{8}})_{what}"}
    day = rf"/[^/]+/\d{{8}}_{what}\.zip$"
    return [
        _layout(rf"{place}/.*daily/{name}", columns, **long, interval="day"),
        _layout(rf"{place}/.*hour/{name}", columns, **long, interval_seconds=3600),
        _layout(rf"{place}/.*minute{day}", columns, **short, interval_seconds=60),
        _layout(rf"{place}/.*second{day}", columns, **short, interval_seconds=1),
        replace(ticks, pattern=re.compile(rf"{place}/.*tick{day}"), settings={**short, **ticks.settings}),
    ]


_SHARES: Mapping[str, Any] = {"kind": "equity", "timezone": "America/New_York", "price_factor": 0.0001}
# What is flagged as suspicious, in the sixth column, is in no bar of Lean's either.
_SHARE_TRADES = Layout(columns=_places("ts", "price", "size"), settings={"where": {"column_6": False}})
_FX_QUOTES = Layout(columns=_places("ts", "bid", "ask"))
_COINS: Mapping[str, Any] = {"kind": "spot", "timezone": "UTC"}
_FX: Mapping[str, Any] = {"kind": "fx", "timezone": "UTC"}

PRESETS: Mapping[str, Preset] = {
    "freqtrade": Preset(
        "what `freqtrade download-data` writes: PAIR-5m.feather or .json, PAIR-trades.feather",
        (
            _layout(rf"-{_INTERVAL}(?:-(?:futures|spot))?{_FORMS}", _places(*_KLINES)),
            _layout(rf"-trades{_FORMS}", _places("ts", "id", "", "side", "price", "size")),
        ),
        {"kind": "spot"},
    ),
    "binance": Preset(
        "dumps of data.binance.vision: SYMBOL-1m-2024-01.zip, SYMBOL-trades-…, SYMBOL-aggTrades-…",
        (
            _layout(rf"-{_INTERVAL}-\d{{4}}-\d{{2}}(?:-\d{{2}})?\.(?:zip|csv)$", _places(*_KLINES)),
            _layout(
                r"-aggTrades-\d{4}-.*\.(?:zip|csv)$", _places("id", "price", "size", "", "", "ts", "is_buyer_maker")
            ),
            _layout(r"-trades-\d{4}-.*\.(?:zip|csv)$", _places("id", "price", "size", "", "ts", "is_buyer_maker")),
        ),
        {"kind": "spot"},
    ),
    "lean": Preset(
        "the data folder of Lean: equity/usa/daily/spy.zip, forex/oanda/minute/eurusd/20140501_quote.zip",
        (
            *_lean("equity", "trade", _SHARE_TRADES, is_usual=True, **_SHARES),
            *_lean("equity", "quote", Layout(why_not=_ONE_SIDED), is_usual=False, **_SHARES),
            *_lean("crypto", "trade", Layout(columns=_places("ts", "price", "size")), is_usual=False, **_COINS),
            *_lean("crypto", "quote", Layout(columns=_places("ts", "bid", "", "ask")), is_usual=False, **_COINS),
            *_lean("forex", "quote", _FX_QUOTES, is_usual=True, **_FX),
            *_lean("cfd", "quote", _FX_QUOTES, is_usual=True, **_FX),
        ),
    ),
    "yahoo": Preset(
        "daily history of Yahoo Finance: SYMBOL.csv with Date, Open, High, Low, Close, Adj Close, Volume",
        (_layout(r"\.csv$"),),
        {"kind": "equity", "timezone": "America/New_York", "adjusted_close": "Adj Close"},
    ),
}
