"""Times of files as UTC instants. What a file does not say (zone, unit) is a setting, never a guess."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pipelines.data.calendars import from_clock
from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_ZONED = r":.*(?:[+-]\d{2}(?::?\d{2})?|[zZ])$"
_HOURS_ALONE = r"(:.*[+-]\d{2})$"  # an offset as PostgreSQL writes it: +00
_BASIC = r"^(\d{4})(\d{2})(\d{2})[T ](\d{2})(\d{2})(\d{2})?"  # 20240102T093000
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")
_NAIVE_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")
_FIRST_YEAR, _LAST_YEAR = 1800, 2600  # beyond these a unit is wrong; forecasts run to 2525


@dataclass(frozen=True)
class Bars:
    """Rows that are bars: the market of each, and how long a bar is in seconds."""

    markets: pl.Series
    seconds: float


@dataclass(frozen=True)
class TimeRules:
    """What the settings say of times: unit of whole numbers, format of text, zone of times without one."""

    unit: Literal["s", "ms", "us", "ns"] | None
    format: str | None
    timezone: str | None
    is_one_file: bool = True  # the rows are in the order of one file, by which an hour that comes twice is told
    bars: Bars | None = None  # what rows are, where each is a bar


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


def since_midnight(raw: pl.Series, unit: str, day: date) -> pl.Series:
    """What clocks show, from times that count in `unit` since midnight of `day`; null where that is no number."""
    import polars as pl

    per_second = _PER_SECOND[unit]
    micros = (raw.cast(pl.Float64, strict=False) * (1_000_000 / per_second)).round().cast(pl.Int64, strict=False)
    return (micros.cast(pl.Duration("us")) + datetime.combine(day, time())).rename(raw.name)


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
    per_second = _PER_SECOND[rules.unit]
    if raw.dtype.is_float():
        micros = (raw * (1_000_000 / per_second)).round().cast(pl.Int64, strict=False)
    elif per_second > 1_000_000:
        micros = raw.cast(pl.Int64) // (per_second // 1_000_000)
    else:
        micros = raw.cast(pl.Int64) * (1_000_000 // per_second)
    times = micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    _refuse_other_unit(raw, times, rules, where)
    return times


_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_FIRST_LIKELY = datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1e6


def _refuse_other_unit(raw: pl.Series, times: pl.Series, rules: TimeRules, where: str) -> None:
    """Raise BadInput where all times are before 1990 or after tomorrow, and with another unit none would be."""
    micros = times.to_physical()
    least, most = micros.min(), micros.max()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    if least is None or not (most < _FIRST_LIKELY or least > tomorrow.timestamp() * 1e6):  # type: ignore[operator]
        return
    first = raw.drop_nulls()[0]
    for unit, per_second in _PER_SECOND.items():
        factor = _PER_SECOND[str(rules.unit)] / per_second
        low, high = float(least) * factor, float(most) * factor  # type: ignore[arg-type]
        if low >= _FIRST_LIKELY and high <= tomorrow.timestamp() * 1e6:
            raise BadInput(
                f"with ts_unit = {rules.unit!r} every time is before 1990 or after tomorrow, such as {first}",
                where=where,
                fix=f"set ts_unit = {unit!r}: the times are then of {_day(low)} to {_day(high)}",
            )


def _day(micros: float) -> str:
    return f"{datetime.fromtimestamp(micros / 1e6, UTC):%Y-%m-%d}"


def _from_text(raw: pl.Series, rules: TimeRules, where: str) -> tuple[pl.Series, pl.Series]:
    import polars as pl

    text = raw.str.strip_chars()
    text = text.zip_with(text != "", _nothing(text))
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
    text = text.str.replace(_BASIC, "$1-$2-${3}T$4:$5:$6").str.replace(r":($|[+-]|[zZ])", ":00$1")
    is_zoned = text.str.contains(_ZONED)
    iso = text.str.replace(" ", "T", literal=True).str.replace("[zZ]$", "+00:00").str.replace(_HOURS_ALONE, "${1}:00")
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
    return f"this hour does not exist in {rules.timezone}"


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
    """Naive times in the zone of the settings; null where that hour does not exist."""
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
    utc = local.dt.convert_time_zone("UTC")
    if utc.null_count() == naive.null_count():
        return utc
    # A day without a midnight begins with its first instant.
    is_midnight = (naive.dt.time() == time()).fill_null(False)
    first = from_clock(naive.zip_with(is_midnight, _nothing(naive)), rules.timezone)
    utc = utc.zip_with(utc.is_not_null(), first)
    return utc.zip_with(utc.is_not_null(), _by_order(naive, utc, rules))


def _by_order(naive: pl.Series, utc: pl.Series, rules: TimeRules) -> pl.Series:
    """Times of an hour that comes twice, by the order of the rows: where the clock goes back among them, or a market
    has another bar of the whole hour, the second of the two hours begins. (In a table from the newest to the oldest
    the other way round.)"""
    import polars as pl

    known = utc.drop_nulls()
    is_falling = len(known) > 1 and known[0] > known[-1]
    if not rules.is_one_file:
        raise BadInput("an hour comes twice", where=f"times in {rules.timezone}", fix="read the files one by one")
    early, late = (
        naive.dt.replace_time_zone(str(rules.timezone), ambiguous=one, non_existent="null").dt.convert_time_zone("UTC")
        for one in ("earliest", "latest")
    )
    frame = pl.DataFrame({"shown": naive, "early": early, "late": late, "known": utc}).with_row_index("row")
    if rules.bars is not None:
        frame = frame.with_columns(market=rules.bars.markets)
    twice = frame.filter(pl.col("known").is_null() & pl.col("early").is_not_null())
    found: list[datetime | None] = [None] * len(naive)
    row_before, shown_before, is_second = -2, None, False
    seen: set[Any] = set()
    for one in twice.iter_rows(named=True):
        row, shown, bar = one["row"], one["shown"], (one.get("market"), one["shown"])
        if row != row_before + 1:
            is_second = False  # another day, or another market of the file
            seen.clear()
        elif shown_before is not None and (shown > shown_before if is_falling else shown < shown_before):
            is_second = True
        elif rules.bars is not None and bar in seen:
            # Bars as long as what comes twice, or longer, begin in one of the two each, when clocks show the same.
            is_second = is_second or rules.bars.seconds >= (one["late"] - one["early"]).total_seconds()
        found[row] = one["late" if is_second != is_falling else "early"]
        row_before, shown_before = row, shown
        seen.add(bar)
    return pl.Series(found, dtype=utc.dtype)
