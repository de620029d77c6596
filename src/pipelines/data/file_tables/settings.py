"""Settings of the `files` source: what lies where, and what its columns mean. No reading here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pipelines.data.file_tables.find import has_login
from pipelines.data.file_tables.texts import TextRules
from pipelines.settings import setting
from pipelines.source import BAR_COLUMNS
from pipelines.values import dataclass

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Value = str | int | float | bool | tuple[str, ...]
_NOT_READ = ("market_id", "start", "end")  # columns of a bar that are worked out
ROLES = (
    *("ts", "market", "price", "size", "side", "is_buyer_maker", "id", "bid", "ask"),
    *(name for name in BAR_COLUMNS if name not in _NOT_READ),
)
_UNCHANGING = ("UTC", "GMT", "Etc/UTC", "Etc/GMT", "Zulu", "Etc/UCT", "UCT", "Universal")  # zones whose day is 86400 s
_DAY_SECONDS, _WEEK_SECONDS = 86_400, 604_800


@dataclass(frozen=True)
class MarketTable:
    """A file that describes the markets of a dataset. Columns are named as in the dataset's `columns`."""

    path: str = setting(doc="file, folder or glob, relative to agent.toml")
    id: str = setting(doc="column with the market's name, or a text with columns in braces: {event}-{outcome}")
    question: str | None = setting(None, "column with the question in words")
    end: str | None = setting(None, "column with the time at which trading ends")
    outcome: str | None = setting(None, "column with what the market settled at, 0 to 1; empty while unknown")
    resolved_at: str | None = setting(None, "column with the time at which the outcome became known")
    event: str | None = setting(
        None, "column with the event: its markets, such as the outcomes of an election, are no independent evidence"
    )
    quote_currency: str | None = setting(None, "column with the currency of prices")
    known_at: str | None = setting(
        None, "column with the time at which a row was seen: several rows of a market are then its states over time"
    )
    where: Mapping[str, Value] | None = setting(None, "take only rows with these values: column = value or list")
    ts_unit: Literal["s", "ms", "us", "ns"] | None = setting(None, "unit of times that are whole numbers")
    ts_format: str | None = setting(None, "format of times that are text, where it is not ISO 8601")
    timezone: str | None = setting(None, "time zone of times without one, such as UTC or America/New_York")

    def check(self) -> list[str]:
        """Faults that a single value does not show."""
        if (self.outcome is None) != (self.resolved_at is None):
            return ["outcome and resolved_at go together: an outcome must not be used before it was known"]
        return []


@dataclass(frozen=True)
class Dataset:
    """Files of one kind. One `[[sources.files.datasets]]` each."""

    kind: Literal["spot", "fx", "equity", "future", "binary"] = setting(doc="what the markets are")
    path: str | tuple[str, ...] | None = setting(
        None,
        "file, folder, glob or a list of them, relative to agent.toml, or a URL: https://, s3://, gs://; none: a table "
        "of markets alone",
    )
    ask_path: str | tuple[str, ...] | None = setting(
        None, "where the ask side's bars lie, when `path` has the bid side alone"
    )
    content: Literal["bars", "trades", "quotes"] = setting("bars", "what a row is")
    interval_seconds: int | None = setting(None, "length of a bar that is shorter than a day", unit="seconds", low=1)
    interval: Literal["day", "week", "month"] | None = setting(
        None, "length of a bar that goes by the clock of `timezone`, where a day may have 23 or 25 hours"
    )
    known_after: str | None = setting(
        None, "time of day at which a daily bar is complete, such as 16:30; unset: when the day is over"
    )
    market: str | None = setting(
        None, "name of the one market in these files; with market_pattern a text around what it finds: {market}-1h"
    )
    market_pattern: str | None = setting(
        None, "regular expression for the file's name whose group (?P<market>…) is the market's name"
    )
    columns: Mapping[str, str] | None = setting(
        None, "what is called how: open = '1. open', bid = 'bids[0]', ts = '{date} {time}'; volume = '' leaves it out"
    )
    where: Mapping[str, Value] | None = setting(None, "take only rows with these values: column = value or list")
    records: str | None = setting(None, "path of the records inside a line of JSON, such as data[].trades[]")
    separator: str | None = setting(None, "what stands between columns of text; unset: a comma, in .tsv a tab")
    decimal: Literal[".", ","] = setting(".", "decimal sign of numbers in text")
    thousands: str | None = setting(None, "what groups the digits of numbers in text, such as ','")
    header: bool = setting(True, "whether the first line has the columns' names; else they are column_1, column_2 …")
    ts_unit: Literal["s", "ms", "us", "ns"] | None = setting(None, "unit of times that are whole numbers")
    ts_format: str | None = setting(None, "format of times that are text, where it is not ISO 8601")
    timezone: str | None = setting(None, "time zone of times without one, such as UTC or America/New_York")
    ts_is: Literal["start", "end"] = setting("start", "which end of a bar its time is")
    ts_shift_seconds: int = setting(0, "added to every time, for prices that were known later", unit="seconds")
    day_pattern: str | None = setting(
        None,
        "regular expression for the file's name whose group (?P<day>…) is the day (20240131) that times count from",
    )
    price_factor: float = setting(1.0, "prices are multiplied by it, such as 0.0001 where they are in ten-thousandths")
    adjusted_close: str | None = setting(
        None, "column with the close after splits and dividends: bars are scaled to it"
    )
    splits: str | None = setting(
        None, "table of splits: market, date, ratio (2, or 2:1); earlier prices are divided by it"
    )
    allow_nonpositive_price: bool = setting(
        False, "take prices of zero and below, as of oil in April 2020: future only"
    )
    price_is: Literal["price", "decimal_odds"] = setting("price", "decimal odds become the probability 1 / odds")
    stop_at_end: bool = setting(True, "leave out rows from the market's end on: they know the outcome")
    tick_size: float | None = setting(None, "smallest step of the price", low=0)
    quote_currency: str | None = setting(None, "what prices are in, such as USD or BTC; unset: not known")
    markets: MarketTable | None = setting(None, "a table that describes the markets")

    @property
    def text_rules(self) -> TextRules:
        """How its tables of text are written."""
        return TextRules(self.separator, self.header)

    @property
    def interval_text(self) -> str | None:
        """Length of a bar as the markets show it: 300s, day, week, month; None for trades and quotes.

        Where a zone's clocks change, 86400 s are a day and 604800 s a week of it.
        """
        if self.interval is not None or self.interval_seconds is None:
            return self.interval
        if self.timezone is not None and self.timezone not in _UNCHANGING:
            by_clock = {_DAY_SECONDS: "day", _WEEK_SECONDS: "week"}
            return by_clock.get(self.interval_seconds, f"{self.interval_seconds}s")
        return f"{self.interval_seconds}s"

    @property
    def only_market(self) -> str | None:
        """The one market in these files; None where they name several."""
        return self.market if self.market_pattern is None else None

    @property
    def zone(self) -> str:
        """The zone whose clock days, weeks and months go by."""
        return self.timezone or "UTC"

    @property
    def cuts_at_end(self) -> bool:
        """Whether rows from the market's end on are left out."""
        return self.stop_at_end and self.markets is not None and self.markets.end is not None

    def check(self) -> list[str]:
        """Faults that a single value does not show."""
        odd = [name for name in self.columns or {} if name not in ROLES]
        faults = [f"columns: there is no {name!r}; known are {', '.join(ROLES)}" for name in odd]
        if self.path is None and self.markets is None:
            faults.append("path is missing")
        table = None if self.markets is None else self.markets.path
        if any(has_login(one) for one in (self.path, self.ask_path, self.splits, table)):
            faults.append("a URL has a user or password in it: keys belong into the environment or ~/.netrc")
        faults += self._interval_faults()
        if self.separator is not None and len(self.separator.encode()) != 1:
            faults.append(f"separator = {self.separator!r} is not a single sign")
        if self.thousands == self.decimal:
            faults.append(f"thousands and decimal are both {self.decimal!r}")
        if self.content != "trades" and self.price_is == "decimal_odds":
            faults.append("price_is = 'decimal_odds' is for trades only")
        for name, group in (("market_pattern", "market"), ("day_pattern", "day")):
            pattern = getattr(self, name)
            if pattern is not None:
                faults += _pattern_faults(name, pattern, group)
        faults += self._price_faults()
        if self.market is not None and (self.market_pattern is not None) != ("{market}" in self.market):
            faults.append(
                "market and market_pattern are both given: name the market by one of them, or put what the pattern "
                "finds into market: {market}-1h"
            )
        return faults

    def _price_faults(self) -> list[str]:
        faults = []
        if self.adjusted_close is not None and self.content != "bars":
            faults.append("adjusted_close is for bars only")
        if self.adjusted_close is not None and self.splits is not None:
            faults.append("adjusted_close and splits are both given: prices would be adjusted twice")
        if self.allow_nonpositive_price and self.kind != "future":
            faults.append(f"allow_nonpositive_price is for kind = 'future' only: {self.kind} has prices above zero")
        if self.price_factor <= 0:
            faults.append(f"price_factor = {self.price_factor} is not above zero")
        if self.day_pattern is not None and self.ts_unit is None:
            faults.append("day_pattern needs ts_unit: what the times count since midnight")
        return faults

    def _interval_faults(self) -> list[str]:
        if self.content != "bars":
            names = ("interval_seconds", "interval", "known_after", "ask_path")
            return [f"{name} is for bars only" for name in names if getattr(self, name) is not None]
        faults = []
        if self.path is not None and self.interval_text is None:
            faults.append("interval_seconds (or interval = 'day', 'week', 'month') is missing: how long is a bar?")
        if self.interval is not None and self.interval_seconds is not None:
            faults.append("interval and interval_seconds are both given: say how long a bar is by one of them")
        if self.known_after is not None and not _TIME_OF_DAY.fullmatch(self.known_after):
            faults.append(f"known_after = {self.known_after!r} is no time of day such as 16:30")
        if self.known_after is not None and self.interval_text != "day":
            faults.append("known_after is for interval = 'day' only")
        return faults


@dataclass(frozen=True)
class Settings:
    """Settings of `[sources.files]`."""

    datasets: tuple[Dataset, ...] = setting(doc="one [[sources.files.datasets]] for each kind of file")
    max_age_hours: float | None = setting(
        None,
        "read all files again when the last success lies further back, for a disk whose times of change cannot be "
        "trusted; unset: only files whose size or time of change differs",
        unit="hours",
        low=0,
        counts=False,
    )


def _pattern_faults(name: str, pattern: str, group: str) -> list[str]:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        return [f"{name} = {pattern!r} is not a regular expression: {error}"]
    return [] if group in groups else [f"{name} = {pattern!r} has no group (?P<{group}>…)"]
