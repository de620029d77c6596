"""Rows of a page for adapters: fields by name and type, what breaks a rule is set aside, what is unknown is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING, Any

from pipelines.feed import LISTING_COLUMNS, Parsed, Refused, Retry, RowKind
from pipelines.source import BAR_COLUMNS, QUARANTINE_COLUMNS, TICK_COLUMNS, frame_schema

if TYPE_CHECKING:
    import polars as pl

COLUMNS: Mapping[RowKind, Mapping[str, str]] = {
    "markets": LISTING_COLUMNS,
    "bars": BAR_COLUMNS,
    "ticks": TICK_COLUMNS,
}
Row = Mapping[str, Any]
EPOCHS = (631_152_000, 4_102_444_800)  # 1990 to 2100, in seconds: what is outside is no time in seconds


class BadRow(Exception):
    """A field is missing or of another type: the row is quarantined."""


class PassedOver(Exception):
    """The row says nothing, on purpose, such as a bar that is still running."""


def decode(body: bytes) -> Any:
    """A JSON reply. Raises Retry where it is none, or not whole."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise Retry(f"the reply is no whole JSON: {error}") from error


def require_answer(status: int, body: bytes) -> None:
    """Raise Refused where the venue refuses a request, for none of the reasons that its feed knows."""
    if status >= 400:
        raise Refused(f"the venue refuses the request (HTTP {status}): {body[:200].decode(errors='replace')}")


def rows_in(reply: Any, name: str) -> list[Any]:
    """The list `name` of a reply. Raises Refused where there is none."""
    rows = reply.get(name) if isinstance(reply, Mapping) else None
    if not isinstance(rows, list):
        raise Refused(f"the reply has no list called {name}")
    return rows


def parse_rows(
    kind: RowKind,
    rows: Sequence[Any],
    known: Collection[str],
    make: Callable[[Row], Sequence[Mapping[str, Any]] | Mapping[str, Any]],
) -> Parsed:
    """A page of `rows`: `make` gives the columns of each (or of several that it stands for), or raises BadRow or
    PassedOver. `known` are the fields of all generations of the venue's schema."""
    import polars as pl

    columns = COLUMNS[kind]
    found: dict[str, list[Any]] = {name: [] for name in columns}
    bad: list[tuple[str, str, str]] = []
    passed_over: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    known = frozenset(known)
    names = tuple(found.items())
    for number, row in enumerate(rows, 1):
        try:
            if not isinstance(row, Mapping):
                raise BadRow(f"it is {type(row).__name__}, not an object")
            if not row.keys() <= known:
                unknown.update(row.keys() - known)
            made = make(row)
        except BadRow as fault:
            bad.append((f"row {number}", str(fault), json.dumps(row, default=str)))
        except PassedOver as fault:
            passed_over[str(fault)] += 1
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as fault:
            # A shape that no adapter foresaw: its row alone is lost, and listed.
            bad.append((f"row {number}", f"{type(fault).__name__}: {fault}", json.dumps(row, default=str)))
        else:
            for one in (made,) if isinstance(made, Mapping) else made:
                for name, values in names:
                    values.append(one.get(name))
    schema = frame_schema(columns)
    frame = pl.DataFrame({name: pl.Series(name, found[name], schema[name]) for name in columns})
    return Parsed(kind, frame, pl.DataFrame(bad, frame_schema(QUARANTINE_COLUMNS), orient="row"), passed_over, unknown)


def columns_of(body: bytes, name: str, fields: Mapping[str, Any]) -> pl.DataFrame | None:
    """The objects in list `name` of a reply as columns of these types, read at once; None where it is not exactly so:
    another field, one that is missing, one of another type. Read one by one, they show what is wrong."""
    import polars as pl

    try:
        text = pl.DataFrame([pl.Series("reply", [body.decode()])])
        listed = pl.col("reply").str.json_decode(pl.Struct({name: pl.List(pl.Struct(fields))})).struct.field(name)
        # One query, on this core alone: three, or looking for others, cost as much again as a page of 50 kB.
        rows = text.select_seq(listed.explode(empty_as_null=False, keep_nulls=False)).to_series().struct.unnest()
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return None
    is_whole = rows.height > 0 and all(column.null_count() == 0 for column in rows.get_columns())
    return rows if is_whole and body.count(b'":') == len(fields) * rows.height + 1 else None


def samples_of(market_id: str, instants: pl.Series, prices: pl.Series) -> Parsed:
    """Samples of a market's price as a page of ticks."""
    import polars as pl

    count = prices.len()
    known = {
        "market_id": pl.Series([market_id], dtype=pl.String).new_from_index(0, count),
        "ts": instants,
        "seq": pl.Series([0], dtype=pl.Int64).new_from_index(0, count),
        "price": prices,
    }
    nulls, none_bad = _of_every_page()
    columns = [
        known[name].alias(name) if name in known else null.new_from_index(0, count) for name, null in nulls.items()
    ]
    return Parsed("ticks", pl.DataFrame(columns), none_bad)


@cache
def _of_every_page() -> tuple[dict[str, pl.Series], pl.DataFrame]:
    """A null of each column of ticks, and no quarantined row: to make them again takes a fifth of a page's time."""
    import polars as pl

    nulls = {name: pl.Series(name, [None], kind) for name, kind in frame_schema(TICK_COLUMNS).items()}
    return nulls, pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS))


def text(row: Row, name: str) -> str:
    """A text that must be there."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise BadRow(f"{name} is {_shown(row, name)}, not a text")
    return value


def optional_text(row: Row, name: str) -> str | None:
    """A text, or None where it is null, missing or empty."""
    return text(row, name) if row.get(name) not in (None, "") else None


def number(row: Row, name: str) -> Decimal:
    """A number, written as one or as a text, that must be there."""
    found = optional_number(row, name)
    if found is None:
        raise BadRow(f"{name} is {_shown(row, name)}, not a number")
    return found


def real(row: Row, name: str) -> float:
    """A finite number that must be there, as a float: the one nearest to what is written, as by Decimal."""
    value = row.get(name)
    kind = type(value)
    if kind is float or kind is int or (kind is str and value):
        try:
            found = float(value)  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            raise BadRow(f"{name} is {_shown(row, name)}, not a number") from None
        if isfinite(found):
            return found
    raise BadRow(f"{name} is {_shown(row, name)}, not a number")


def optional_number(row: Row, name: str) -> Decimal | None:
    """A finite number, written as one or as a text; None where it is null, missing or an empty text."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(f"{name} is {_shown(row, name)}, not a number")
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise BadRow(f"{name} is {_shown(row, name)}, not a number") from None
    if not found.is_finite():
        raise BadRow(f"{name} is {_shown(row, name)}, not a finite number")
    return found


def instant(row: Row, name: str) -> datetime:
    """A time that must be there, as ISO text; `2026-07-24 00:00:16+00` too, and nanoseconds, which are cut off."""
    found = optional_instant(row, name)
    if found is None:
        raise BadRow(f"{name} is {_shown(row, name)}, not a time")
    return found


def optional_instant(row: Row, name: str) -> datetime | None:
    """A time with its zone, or None where it is null, missing or an empty text."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        return iso(value)
    except (TypeError, ValueError, AttributeError):
        raise BadRow(f"{name} is {_shown(row, name)}, not a time") from None


def iso(value: str) -> datetime:
    """An ISO time with a zone, as UTC. Raises ValueError."""
    head, dot, rest = value.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        value = f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found.astimezone(UTC)


def oldest(rows: Sequence[Any], time: Callable[[Row], datetime]) -> datetime | None:
    """The earliest time of `rows`, of those that have one; None where none has."""
    found = []
    for row in rows:
        try:
            found.append(time(row))
        except (BadRow, AttributeError):
            continue
    return min(found, default=None)


def from_epoch(row: Row, name: str) -> datetime:
    """A time in seconds since 1970, as a number or text, that must be there."""
    value = row.get(name)
    if type(value) is int and EPOCHS[0] <= value <= EPOCHS[1]:
        return datetime.fromtimestamp(value, UTC)
    return epoch(number(row, name), name)


def epoch(seconds: Decimal | int, name: str = "time") -> datetime:
    """A time in seconds since 1970. Raises BadRow for one that is none, such as milliseconds."""
    if not EPOCHS[0] <= seconds <= EPOCHS[1]:
        raise BadRow(f"{name} is {seconds}: no time in seconds since 1970 of this age")
    whole = int(seconds)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=int((seconds - whole) * 1_000_000))


def sequence(*identity: str) -> int:
    """A venue's id of a trade as the whole number that ticks are known by."""
    return int.from_bytes(blake2b("\0".join(identity).encode(), digest_size=8).digest()) >> 1


def _shown(row: Row, name: str) -> str:
    return f"{row[name]!r:.60}" if name in row else "missing"
