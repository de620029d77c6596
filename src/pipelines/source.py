"""The contract of a data source. One file in pipelines/sources/, named as users type it in `[sources.NAME]`.

A source consists of parts (a file, later a market's stream). `probe()` is cheap and reports one token per part, which
shows a change; `fetch(part)` reads one whole. A component, `ticks`, works out what the changed parts mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

# Column name -> Polars type name. `frame_schema()` turns them into types where Polars is loaded anyway.
OPTIONAL_MARKET_COLUMNS: Mapping[str, str] = {  # a source may leave these out: they are null then
    "quote_currency": "String",  # of prices and of amounts: USD, BTC, USDC; null where it is not known
    "event_id": "String",  # markets of one event, such as the outcomes of an election; null where there is none
}
MARKET_COLUMNS: Mapping[str, str] = {
    "market_id": "String",  # "SOURCE:EXTERNAL_ID", the key everywhere downstream
    "source": "String",
    "external_id": "String",
    "symbol": "String",
    "question": "String",  # null unless binary
    "kind": "String",  # spot | fx | equity | future | binary
    "status": "String",  # open | closed | resolved | unlisted
    "end_at": "Datetime",  # null where the market has no end
    "resolution": "Float64",  # 1.0 yes, 0.0 no, between where settled so; null while unknown
    "resolved_at": "Datetime",  # when the resolution became known: never use it before
    "tick_size": "Float64",
    "interval": "String",  # length of the source's bars: 300s, day, week, month; null for single trades or quotes
    "interval_seconds": "Int64",  # the same as a number; null for a calendar's, and for trades or quotes
    "timezone": "String",  # whose clock days, weeks and months go by; null for trades or quotes
    "volume": "Float64",
    "liquidity": "Float64",
    **OPTIONAL_MARKET_COLUMNS,
}
MARKET_HISTORY: Mapping[str, str] = {  # what was known of markets, one row per state and when it was first seen
    "market_id": "String",
    "known_at": "Datetime",
    "kind": "String",
    "status": "String",
    "end_at": "Datetime",
}
TICK_COLUMNS: Mapping[str, str] = {
    "market_id": "String",
    "ts": "Datetime",
    "seq": "Int64",  # trade id or sequence: orders ticks of one instant, and identifies a corrected one
    "price": "Float64",
    "size": "Float64",  # null where the source has none
    "side": "String",  # buy | sell (the taker's), null where unknown
    "bid": "Float64",
    "ask": "Float64",
}
BAR_COLUMNS: Mapping[str, str] = {
    "market_id": "String",
    "start": "Datetime",
    "end": "Datetime",  # exclusive: when the bar is known
    "open": "Float64",
    "high": "Float64",
    "low": "Float64",
    "close": "Float64",
    "volume": "Float64",  # null where the source has none
    **{f"{side}_{field}": "Float64" for side in ("bid", "ask") for field in ("open", "high", "low", "close")},
}

NAME_LENGTHS: Mapping[str, int] = {  # characters, at most
    "source": 100,
    "external_id": 200,
    "market_id": 300,
    "quote_currency": 20,
    "event_id": 200,
}
QUARANTINE_KEY = "quarantine"  # the partition of ticks that lists rows left out, in QUARANTINE_COLUMNS
QUARANTINE_COLUMNS: Mapping[str, str] = {
    "where": "String",  # file and line or row
    "rule": "String",  # the rule it breaks
    "row": "String",  # what stands there
}


def frame_schema(columns: Mapping[str, str]) -> dict[str, Any]:
    """Polars schema of one of the column tables above; times are UTC microseconds."""
    import polars as pl

    types = {"Datetime": pl.Datetime("us", "UTC")}
    return {name: types.get(kind) or getattr(pl, kind) for name, kind in columns.items()}


def completed_markets(frame: pl.DataFrame) -> pl.DataFrame:
    """What a source says of its markets, with a null for each of OPTIONAL_MARKET_COLUMNS that it leaves out."""
    import polars as pl

    types = frame_schema(OPTIONAL_MARKET_COLUMNS)
    there = [pl.col(name) if name in frame.columns else pl.lit(None, kind).alias(name) for name, kind in types.items()]
    return frame.select(pl.exclude(*types), *there)


@dataclass(frozen=True)
class Probe:
    """What a source holds now, cheaply found out: part -> token. A token that differs means: read that part again."""

    parts: Mapping[str, str]


@dataclass(frozen=True)
class Batch:
    """One part's content. `frame` has BAR_COLUMNS or, for ticks, TICK_COLUMNS (seq null where the source has no trade
    id). Rows in the source's own order: later rows correct earlier ones of the same key.

    quarantined: rows left out because they broke a rule, QUARANTINE_COLUMNS. Whether they fail the run is decided by
    `ticks`, which also applies `broken_rules` to `frame`: a source does so itself only to name the line of a file.

    written_at: when the part was last written, where it is a file. A bar that was not over then is still running: it is
    left out by `ticks` and taken in when the part is written again after its end. None: every bar given is over.

    lines, line_text: the line of each row of `frame`, and how to say it ("line {} of a.csv"), for errors that are found
    later; None: rows are known by their number in the frame.

    read: how many rows the part has as it stands, for the account of rows; what is neither in `frame` nor quarantined
    was left out on purpose, by a filter. None: as many as those two. describes_markets: it has no rows by its nature.
    """

    kind: Literal["bars", "ticks"]
    frame: pl.DataFrame
    quarantined: pl.DataFrame | None = None
    written_at: datetime | None = None
    lines: pl.Series | None = None
    line_text: str = "row {}"
    read: int | None = None
    describes_markets: bool = False

    def place(self, row: int) -> str:
        """Where row number `row` of the frame stands, in words."""
        return self.line_text.replace("{}", str(row + 1 if self.lines is None else self.lines[row]), 1)

    def only(self, kept: pl.Series) -> Batch:
        """The batch with the rows of which `kept` is true."""
        lines = None if self.lines is None else self.lines.filter(kept)
        return replace(self, frame=self.frame.filter(kept), lines=lines)


@dataclass(frozen=True)
class Bulk:
    """Several parts at once, of one kind: the rows of the first, then those of the second, and so on.

    lengths: how many rows each part has here. written_at and read: as in Batch, for each part (read None: it describes
    markets); those of `batch` itself are not used.
    """

    parts: tuple[str, ...]
    batch: Batch
    lengths: tuple[int, ...]
    written_at: tuple[datetime | None, ...]
    read: tuple[int | None, ...]

    @classmethod
    def of_one(cls, part: str, batch: Batch) -> Bulk:
        """A single part."""
        read = batch.read
        if read is None and not batch.describes_markets:
            read = batch.frame.height + (0 if batch.quarantined is None else batch.quarantined.height)
        return cls((part,), batch, (batch.frame.height,), (batch.written_at,), (read,))


class Source(Protocol):
    """A place that market data comes from.

    Constructed as `Source(settings, base)`: its own frozen Settings, and the folder that relative paths start from
    (where agent.toml lies). Raises BadInput for data it cannot read, TransientError for what may pass.

    A source of very many small parts may have `fetch_many(parts)`, which gives each of them once, in any order, as an
    iterator of Bulk; a part with a row that breaks a rule comes alone, as from `fetch`.

    A source that has seen markets in earlier states may have `market_history()`, which gives MARKET_HISTORY: features
    then know of each bar what was known at it, and not what became known later.

    A source whose tokens cannot show every change may have an attribute `max_age_seconds`: all its parts are read again
    when the last success of what reads it lies further back (reason `too_old`).

    A source whose rows nobody here can correct may have an attribute `quarantines = True`: a row that breaks a rule is
    then left out and listed, whatever `[ticks] on_bad_rows` says.
    """

    name: ClassVar[str]
    historical: ClassVar[bool]  # True: "now" is the newest tick

    def __init__(self, settings: Any, base: Path) -> None: ...

    def probe(self) -> Probe:
        """Tokens of all parts, in well under a second and without reading data."""

    def markets(self) -> pl.DataFrame:
        """The universe, MARKET_COLUMNS, one row a market, sorted by market_id."""

    def fetch(self, part: str) -> Batch:
        """One part, whole. Asking twice gives the same. The object asked need not have probed: a run probes a source
        once, and the process that computes is given the tokens."""


def rules_broken(frame: pl.DataFrame, rules: Sequence[tuple[pl.Expr, str]]) -> pl.Series | None:
    """The first of `rules` (what breaks it, its text) that each row breaks, null where it keeps them all; None where
    all rows do, which is cheap to find out: no texts are made for it."""
    import polars as pl

    is_broken = pl.any_horizontal(broken for broken, _ in rules).any()
    if not frame.select(is_broken).item():
        return None
    texts = [pl.when(broken).then(pl.lit(text)) for broken, text in rules]
    return frame.select(pl.coalesce(texts).alias("rule")).to_series().rechunk()


def broken_rules(
    kind: Literal["bars", "ticks"],
    is_binary: pl.Expr | None = None,
    is_free: pl.Expr | None = None,
    *,
    has_quotes: bool = True,
) -> list[tuple[pl.Expr, str]]:
    """What breaks each rule of a row of a batch, and the rule as text.

    Times, markets and prices are there; prices are finite and above zero; sizes are finite and not negative; a bar's
    high and low enclose its open and close, on each side where it has quotes. `is_binary` says of which rows prices
    are probabilities, 0 and 1 allowed; `is_free` of which they may be zero and below (oil in April 2020). Without
    `has_quotes` bids and asks are all null, and not looked at.
    """
    import polars as pl

    time = "start" if kind == "bars" else "ts"
    rules = [(pl.col("market_id").is_null(), "market is missing"), (pl.col(time).is_null(), "time is missing")]
    bounds = (is_binary, is_free)
    if kind == "ticks":
        rules += _price_rules("price", *bounds, required=True)
        sides = ("bid", "ask") if has_quotes else ()
        rules += [rule for side in sides for rule in _price_rules(side, *bounds, required=False)]
        rules += _size_rules("size")
        rules.append((~pl.col("side").is_in(["buy", "sell"]), "side is neither buy nor sell"))
    else:
        for prefix in ("", "bid_", "ask_") if has_quotes else ("",):
            names = {field: prefix + field for field in ("open", "high", "low", "close")}
            for name in names.values():
                rules += _price_rules(name, *bounds, required=not prefix)
            high, low = names["high"], names["low"]
            for below in (low, names["open"], names["close"]):
                rules.append((pl.col(high) < pl.col(below), f"{high} is below {below}"))
            for above in (names["open"], names["close"]):
                rules.append((pl.col(low) > pl.col(above), f"{low} is above {above}"))
        rules += _size_rules("volume")
        rules.append(((pl.col("end") <= pl.col("start")).fill_null(True), "the bar does not end after its start"))
    return rules


def _price_rules(
    name: str, is_binary: pl.Expr | None, is_free: pl.Expr | None, *, required: bool
) -> list[tuple[pl.Expr, str]]:
    import polars as pl

    value = pl.col(name)
    is_low = value <= 0
    rules = [(~value.is_finite(), f"{name} is not a finite number")]
    if is_binary is not None:
        rules.append((is_binary & (value < 0), f"{name} of a binary market is below 0"))
        rules.append((is_binary & (value > 1), f"{name} of a binary market is above 1"))
        is_low &= ~is_binary
    if is_free is not None:
        is_low &= ~is_free
    rules.append((is_low, f"{name} is not above zero"))
    return [(value.is_null(), f"{name} is missing"), *rules] if required else rules


def _size_rules(name: str) -> list[tuple[pl.Expr, str]]:
    import polars as pl

    value = pl.col(name)
    return [(~value.is_finite(), f"{name} is not a finite number"), (value < 0, f"{name} is negative")]
