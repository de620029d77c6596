"""Times of files as UTC instants. What a file does not say (zone, unit) is a setting, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

_ZONED = r":.*(?:[+-]\d{2}:?\d{2}|[zZ])$"
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")
_NAIVE_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")
_FIRST_YEAR, _LAST_YEAR = 1800, 2600  # beyond these a unit is wrong; forecasts run to 2525


@dataclass(frozen=True)
class TimeRules:
    """What the settings say of times: unit of whole numbers, format of text, zone of times without one."""

    unit: Literal["s", "ms", "us", "ns"] | None
    format: str | None
    timezone: str | None


def to_utc(raw: pl.Series, rules: TimeRules, where: str) -> tuple[pl.Series, pl.Series]:
    """`raw` as UTC microseconds, and the rule each value breaks (null for none; a missing time stays null).

    Raises BadInput where no value can be understood without a setting that is not there.
    """
    import polars as pl

    if raw.dtype.is_numeric():
        times = _from_numbers(raw, rules, where)
    elif raw.dtype == pl.String:
        return _from_text(raw, rules, where)
    elif raw.dtype == pl.Date:
        times = _localised(raw.cast(pl.Datetime("us")), rules, where)
    elif isinstance(raw.dtype, pl.Datetime):
        micros = raw.dt.cast_time_unit("us")
        times = micros.dt.convert_time_zone("UTC") if raw.dtype.time_zone else _localised(micros, rules, where)
    elif raw.dtype == pl.Null:
        times = raw.cast(pl.Datetime("us", "UTC"))
    else:
        raise BadInput(f"the column of times has type {raw.dtype}", where=where, fix="map ts to another column")
    return _in_range(times, raw, pl.lit(_no_such_hour(rules)))


def _in_range(times: pl.Series, raw: pl.Series, unread: pl.Expr) -> tuple[pl.Series, pl.Series]:
    """`times` without those of an absurd year, and the rule broken: `unread` where a value gave no time."""
    import polars as pl

    ts, value = pl.col("ts"), pl.col("raw")
    is_absurd = ~ts.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)
    outside = f"time lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}: is ts_unit right?"
    frame = pl.DataFrame({"ts": times, "raw": raw}).select(
        pl.when(~is_absurd).then(ts).alias("ts"),
        pl.when(is_absurd).then(pl.lit(outside)).when(value.is_not_null() & ts.is_null()).then(unread).alias("rule"),
    )
    return frame.get_column("ts"), frame.get_column("rule")


def _from_numbers(raw: pl.Series, rules: TimeRules, where: str) -> pl.Series:
    import polars as pl

    if rules.unit is None:
        raise BadInput(
            f"times are whole numbers such as {raw.drop_nulls().head(1).to_list()}, and their unit is not given",
            where=where,
            fix='set ts_unit = "s", "ms", "us" or "ns"',
        )
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[rules.unit]
    if raw.dtype.is_float():
        micros = (raw * (1_000_000 / per_second)).round().cast(pl.Int64, strict=False)
    elif per_second > 1_000_000:
        micros = raw.cast(pl.Int64) // (per_second // 1_000_000)
    else:
        micros = raw.cast(pl.Int64) * (1_000_000 // per_second)
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _from_text(raw: pl.Series, rules: TimeRules, where: str) -> tuple[pl.Series, pl.Series]:
    import polars as pl

    text = raw.str.strip_chars()
    if rules.unit is not None:
        has_point = bool(text.str.contains(".", literal=True).any())
        numbers = text.cast(pl.Float64 if has_point else pl.Int64, strict=False)
        return _in_range(_from_numbers(numbers, rules, where), raw, pl.lit("time is not a number"))
    if rules.format is not None:
        times = text.str.to_datetime(rules.format, time_unit="us", strict=False)
        unread = pl.lit(f"time is not of the format {rules.format}")
        if times.dtype == pl.Datetime("us"):
            unread = pl.when(pl.lit(times.is_not_null())).then(pl.lit(_no_such_hour(rules))).otherwise(unread)
            times = _localised(times, rules, where)
        return _in_range(times, raw, unread)
    iso = text.str.replace(" ", "T", literal=True).str.replace("[zZ]$", "+00:00")
    is_zoned = text.str.contains(_ZONED)
    zoned = _first_that_fits(iso.zip_with(is_zoned, _nothing(iso)), _ZONED_FORMATS)
    plain = iso.zip_with(~is_zoned, _nothing(iso))
    naive = _first_that_fits(plain, _NAIVE_FORMATS)
    days = _first_that_fits(plain, _DATE_FORMATS)
    naive = naive.zip_with(naive.is_not_null(), days)
    unread = pl.lit("time cannot be read: it is not ISO 8601, and neither ts_format nor ts_unit is set")
    if naive.null_count() < len(naive):
        if rules.timezone is None and zoned.null_count() < len(zoned):
            unread = (
                pl.when(pl.col("raw").str.contains(_ZONED)).then(unread).otherwise(pl.lit("timestamp without zone"))
            )
            return _in_range(zoned, raw, unread)
        zoned = zoned.zip_with(zoned.is_not_null(), _localised(naive, rules, where))
        unread = pl.when(pl.lit(naive.is_not_null())).then(pl.lit(_no_such_hour(rules))).otherwise(unread)
    return _in_range(zoned, raw, unread)


def _no_such_hour(rules: TimeRules) -> str:
    return f"this hour does not exist, or exists twice, in {rules.timezone}"


def _nothing(like: pl.Series) -> pl.Series:
    import polars as pl

    return pl.Series([None], dtype=like.dtype).new_from_index(0, len(like))


def _first_that_fits(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Each text by the first of `formats` that reads it, in UTC where they have a zone."""
    first, *others = (text.str.to_datetime(form, time_unit="us", strict=False) for form in formats)
    for other in others:
        first = first.zip_with(first.is_not_null(), other)
    return first


def _localised(naive: pl.Series, rules: TimeRules, where: str) -> pl.Series:
    """Naive times in the zone of the settings; null where that hour does not exist or exists twice."""
    import polars as pl

    if rules.timezone is None:
        raise BadInput(
            f"timestamp without zone, such as {naive.drop_nulls().item(0)}",
            where=where,
            fix='set timezone = "UTC", or the zone they are meant in, such as "America/New_York"',
        )
    try:
        local = naive.dt.replace_time_zone(rules.timezone, ambiguous="null", non_existent="null")
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"timezone = {rules.timezone!r} is not known", where=where, fix='give a name such as "Europe/London"'
        ) from error
    return local.dt.convert_time_zone("UTC")
