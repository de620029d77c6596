"""Data contracts between components: types, ranges, no null keys, sorted, unique. A violation fails the component.

Each check looks at a whole partition before it is written, so that nothing downstream ever meets a row that breaks a
rule. Rules are Polars expressions. One query tells whether all are kept; where not, pandera finds and names, over the
same rules, what is broken. (Measured: its import takes 0.43 s in every child process, and it 16 to 29 ms for each small
partition, the query 2 ms; its `unique=` takes 90 ms for half a million rows, comparing sorted neighbours 5 ms.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.data.calendars import CALENDARS
from pipelines.errors import ContractViolation
from pipelines.source import BAR_COLUMNS, MARKET_COLUMNS, TICK_COLUMNS, frame_schema

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

BARS: Mapping[str, str] = {**BAR_COLUMNS, "trade_count": "Int64"}  # of the bars that are made of others, or of trades
PREDICTIONS: Mapping[str, str] = {
    "market_id": "String",
    "ts": "Datetime",  # when the prediction could be made
    "price": "Float64",
    "probability": "Float64",  # 0..1
    "confidence": "Float64",  # 0..1: P(the net edge is above 0)
    "edge": "Float64",  # expected return of buying after cost, a fraction
    "net_edge": "Float64",  # of the better side
    "weight": "Float64",  # fraction of equity for a new position, 0..1
    "action": "String",  # buy | sell | hold
    "reason": "String",
    "model_version": "String",
}
KINDS = ("spot", "fx", "equity", "future", "binary")
_KIND = r"^[a-z][a-z0-9_]{0,19}$"
STATUSES = ("open", "closed", "resolved", "unlisted")  # unlisted: the venue no longer says anything of it
SIDES = ("buy", "sell")
_PRICES = ("open", "high", "low", "close")
_SHOWN = 3  # rows shown of each broken rule


def check_markets(frame: pl.DataFrame, where: str = "markets") -> None:
    """The universe: MARKET_COLUMNS, one row a market, sorted by market_id. Raises ContractViolation."""
    import polars as pl

    rules = {
        f"kind is {', '.join(KINDS)} or a word of your own": pl.col("kind").str.contains(_KIND),
        f"status is one of {', '.join(STATUSES)}": pl.col("status").is_in(STATUSES),
        "resolution of a binary market lies in 0..1": (pl.col("kind") != "binary")
        | pl.col("resolution").is_between(0, 1),
        "a resolved market has its resolution and resolved_at": (pl.col("status") != "resolved")
        | (pl.col("resolution").is_not_null() & pl.col("resolved_at").is_not_null()),
        "interval is seconds such as 300s, or day, week, month": pl.col("interval").str.contains(
            rf"^(?:[1-9]\d*s|{'|'.join(CALENDARS)})$"
        ),
        "interval_seconds is what interval says": pl.when(pl.col("interval").str.ends_with("s"))
        .then(pl.format("{}s", "interval_seconds").eq_missing(pl.col("interval")))
        .otherwise(pl.col("interval_seconds").is_null()),
        "bars have a timezone": pl.col("interval").is_null() | pl.col("timezone").is_not_null(),
        "tick_size > 0": _positive("tick_size"),
        **{f"{name} is finite and >= 0": _not_negative(name) for name in ("volume", "liquidity")},
    }
    required = ("market_id", "source", "external_id", "kind", "status")
    _check(frame, where, MARKET_COLUMNS, required, rules, key=("market_id",))


def check_ticks(frame: pl.DataFrame, where: str = "ticks", *, free: Collection[str] | None = ()) -> None:
    """Price observations: TICK_COLUMNS, sorted and unique by (market_id, ts, seq). Raises ContractViolation.

    `free` are the ids of markets whose price may be zero (binary) or any number (future); None: they are not known.
    """
    import polars as pl

    rules = {
        **_price_rules(("price", "bid", "ask"), free),
        "size is finite and >= 0": _not_negative("size"),
        f"side is one of {', '.join(SIDES)}": pl.col("side").is_in(SIDES),
    }
    required = ("market_id", "ts", "seq", "price")
    _check(frame, where, TICK_COLUMNS, required, rules, key=("market_id", "ts", "seq"))


def check_source_bars(frame: pl.DataFrame, where: str = "ticks", *, free: Collection[str] | None = ()) -> None:
    """Bars as sources give them: BAR_COLUMNS, sorted by (market_id, start), none over before it began, none beginning
    before the one before is over; `free` as in check_ticks. Raises ContractViolation."""
    _check_bars(frame, where, BAR_COLUMNS, {}, free)


def check_bars(
    frame: pl.DataFrame, where: str = "features", *, binary: Collection[str] = (), free: Collection[str] | None = ()
) -> None:
    """Bars made of trades or of other bars: columns BARS, else as check_source_bars. `binary` are the ids of markets
    whose price is a probability. Raises ContractViolation."""
    import polars as pl

    rules = {"trade_count >= 0": pl.col("trade_count") >= 0}
    if binary:
        rules["a binary market's price lies in 0..1"] = ~pl.col("market_id").is_in(list(binary)) | (pl.col("high") <= 1)
    _check_bars(frame, where, BARS, rules, free)


def _check_bars(
    frame: pl.DataFrame,
    where: str,
    columns: Mapping[str, str],
    more: Mapping[str, pl.Expr],
    free: Collection[str] | None,
) -> None:
    quotes = [f"{side}_{name}" for side in ("bid", "ask") for name in _PRICES]
    quotes = [name for name in quotes if name in frame.columns and frame.get_column(name).null_count() < frame.height]
    rules = {**_bar_rules(tuple(quotes), None if free is None else frozenset(free)), **more}
    required = ("market_id", "start", "end", *_PRICES)
    _check(frame, where, columns, required, rules, key=("market_id", "start"))


@lru_cache(maxsize=16)  # for a partition of few rows, making them takes longer than asking them
def _bar_rules(quotes: tuple[str, ...], free: frozenset[str] | None) -> dict[str, pl.Expr]:
    import polars as pl

    is_next = pl.col("market_id") == pl.col("market_id").shift()
    return {
        **_price_rules((*_PRICES, *quotes), free),
        "low <= open, close <= high": pl.min_horizontal("open", "close").ge(pl.col("low"))
        & pl.max_horizontal("open", "close").le(pl.col("high")),
        "volume is finite and >= 0": _not_negative("volume"),
        "end > start": pl.col("end") > pl.col("start"),
        "bars of a market do not overlap": ~is_next | (pl.col("start") >= pl.col("end").shift()),
    }


def check_features(frame: pl.DataFrame, where: str = "features", *, features: Sequence[str] = ()) -> None:
    """Feature rows: market_id, ts and the Float32 columns `features`, sorted and unique by (market_id, ts), each value
    finite or null. Raises ContractViolation."""
    import polars as pl

    columns = {"market_id": "String", "ts": "Datetime"} | dict.fromkeys(features, "Float32")
    rules = {f"{name} is finite or null": pl.col(name).is_finite() for name in features}
    _check(frame, where, columns, ("market_id", "ts"), rules, key=("market_id", "ts"))


def check_predictions(frame: pl.DataFrame, where: str = "inference") -> None:
    """Predictions: PREDICTIONS (more columns are allowed), no nulls in them, sorted and unique by (market_id, ts).
    Raises ContractViolation."""
    import polars as pl

    rules = {
        **{f"{name} lies in 0..1": pl.col(name).is_between(0, 1) for name in ("probability", "confidence", "weight")},
        "price is finite": pl.col("price").is_finite(),
        **{f"{name} is finite": pl.col(name).is_finite() for name in ("edge", "net_edge")},
        "nothing is entered without an edge": (pl.col("action") == "hold") | (pl.col("net_edge") > 0),
        "action is buy, sell or hold": pl.col("action").is_in(["buy", "sell", "hold"]),
    }
    _check(
        frame.select([name for name in frame.columns if name in PREDICTIONS]),
        where,
        PREDICTIONS,
        tuple(PREDICTIONS),
        rules,
        key=("market_id", "ts"),
    )


def check_entries(frame: pl.DataFrame, where: str = "backtest") -> None:
    """Trades (signal_at, entry_at, exit_at): none entered before its signal was known, none left before it was entered.
    Raises ContractViolation."""
    import polars as pl

    columns = dict.fromkeys(("signal_at", "entry_at", "exit_at"), "Datetime")
    rules = {
        "no entry before its signal was known": pl.col("entry_at") >= pl.col("signal_at"),
        "no exit before its entry": pl.col("exit_at") >= pl.col("entry_at"),
    }
    _check(frame.select(*columns), where, columns, ("entry_at", "exit_at"), rules, key=())


def _price_rules(names: Sequence[str], free: Collection[str] | None) -> dict[str, pl.Expr]:
    import polars as pl

    if free is None:
        return {f"{name} is finite": pl.col(name).is_finite() for name in names}
    if not free:
        return {f"{name} is finite and > 0": _positive(name) for name in names}
    is_free = pl.col("market_id").is_in(list(free))
    return {f"{name} is finite and > 0": _positive(name) | (is_free & pl.col(name).is_finite()) for name in names}


def _positive(name: str) -> pl.Expr:
    import polars as pl

    return pl.col(name).is_finite() & (pl.col(name) > 0)  # NaN counts as greater than 0


def _not_negative(name: str) -> pl.Expr:
    import polars as pl

    return pl.col(name).is_finite() & (pl.col(name) >= 0)


def _check(
    frame: pl.DataFrame,
    where: str,
    columns: Mapping[str, str],
    required: Sequence[str],
    rules: Mapping[str, pl.Expr],
    key: Sequence[str],
) -> None:
    """Raise ContractViolation unless `frame` has exactly `columns`, no null in `required`, and keeps `rules`.

    A rule that comes out null (of a null value) is kept: what may be null is decided by `required` alone.
    """
    import polars as pl

    schema = frame_schema(columns)
    rules = {**rules, **_key_rules(tuple(key))}
    if dict(frame.schema) == schema:
        kept = [pl.col(name).is_not_null().all() for name in required]
        kept += [rule.fill_null(True).all() for rule in rules.values()]
        if frame.select(pl.all_horizontal(kept)).item():
            return
    _report(frame, where, schema, required, rules)


def _report(
    frame: pl.DataFrame, where: str, schema: Mapping[str, Any], required: Sequence[str], rules: Mapping[str, pl.Expr]
) -> None:
    """Have pandera find every fault, and raise ContractViolation with them."""
    import pandera.polars as pa

    types = {name: pa.Column(kind, nullable=name not in required) for name, kind in schema.items()}
    checks = [_rule(text, rule) for text, rule in rules.items()]
    try:
        # In two steps: a rule about a column that is missing or of another type would only add noise.
        pa.DataFrameSchema(types, strict=True).validate(frame, lazy=True)
        pa.DataFrameSchema(checks=checks).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise ContractViolation(
            _told(frame, error),
            where=where,
            fix="nothing was published; correct the data at its source, or the code that makes these rows",
        ) from None


@lru_cache
def _key_rules(key: tuple[str, ...]) -> dict[str, pl.Expr]:
    """Sorted and unique, both by comparing each row with the one before it."""
    import polars as pl

    same: pl.Expr = pl.lit(True)
    after: pl.Expr = pl.lit(False)
    for name in key:
        value = pl.col(name)
        after = after | (same & (value > value.shift()))
        same = same & (value == value.shift())
    names = ", ".join(key)
    if not key:
        return {}
    return {f"sorted by ({names})": after | same, f"unique by ({names})": ~same}


def _rule(text: str, rule: pl.Expr) -> pa.Check:
    import pandera.polars as pa

    return pa.Check(lambda data: data.lazyframe.select(rule.fill_null(True)), name=text, error=text)


def _told(frame: pl.DataFrame, error: SchemaErrors) -> str:
    """Every broken rule with its number of rows and the first of them."""
    cases = error.failure_cases
    lines = []
    for (check, column), broken in cases.group_by("check", "column", maintain_order=True):
        rows = broken.get_column("index").drop_nulls().unique().sort()
        if rows.is_empty():
            lines.append(_schema_fault(str(check), str(column), broken.item(0, "failure_case")))
            continue
        rule = f"{column} is not null" if check == "not_nullable" else check
        lines.append(f"rule broken in {len(rows)} of {frame.height} rows: {rule}")
        lines += [f"  row {row}: {_row_text(frame.row(row, named=True))}" for row in rows.head(_SHOWN)]
    return "\n    ".join(["the data breaks its contract:", *lines])


def _row_text(row: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)


def _schema_fault(check: str, column: str, case: str) -> str:
    if check == "column_in_dataframe":
        return f"column {case!r} is missing"
    if check == "column_in_schema":
        return f"column {case!r} does not belong here"
    return f"column {column!r} is {case}, expected {check}"
