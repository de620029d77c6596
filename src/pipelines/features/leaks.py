"""The leak test: no value of a feature changes when what came after it is taken away or turned into something else.

Each partition is tested at one cut, drawn from its key. The rows of the last look-back before the cut are computed
again, once from bars that end at the cut and once with other bars behind it: both start at the same bar, so the two
must agree to the last bit, and with what was written but for rounding. And the newest row of each market is computed
from exactly the bars that the feature declares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pipelines.errors import ContractViolation
from pipelines.feature import Feature
from pipelines.features.windows import OWN_ROW, longest, values
from pipelines.plugins.modules import shown_name
from pipelines.snapshot import digest
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_LEAST_MARKETS = 8  # tested in every partition, where there are so many
_SAMPLED = 7  # under unchanged code one new partition in so many is tested: at most 15 % of the features' time
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # rounding of rolling sums that start at another bar
_CHANGED = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "bid",
    "ask",
    "spread",
    "trade_count",
    "log_return",
    "market_return",
)
_KEYS = ("market_id", "ts")


@dataclass(frozen=True)
class Leak:
    """A feature that depends on what it must not. what: "future" or "span"; rows: how many values changed."""

    feature: Feature
    what: str
    rows: int
    market: str
    ts: datetime


@dataclass(frozen=True)
class Tested:
    """What one partition showed. names: features with values on both sides of the cut, which count as tested."""

    names: frozenset[str]
    leaks: tuple[Leak, ...]


def is_sampled(key: str) -> bool:
    """Whether partition `key` is among those that are tested under unchanged code."""
    return int(digest([key])[:8], 16) % _SAMPLED == 0


def find_leaks(
    key: str,
    written: pl.DataFrame,
    frame: pl.DataFrame,
    features: Sequence[Feature],
    max_reach: float,
    here: Collection[str],
    tested: Collection[str],
) -> Tested:
    """Test the rows `written` for partition `key`, which are the values of `frame` (of windows.counted). here: names of
    the features that this partition can test (`testable`); tested: of those that others have tested already.

    In a wide universe on some of the markets, others for each partition, so that the test costs less than the
    partition did."""
    import polars as pl

    span = longest(features)
    drawn = _drawn(key, frame, span)
    rows = written.filter(pl.col("market_id").is_in(drawn))
    spans = _value_spans(rows, features)
    if missing := sorted(set(here) - _between_two(spans)):
        drawn += _markets_of(written, missing)
        rows = written.filter(pl.col("market_id").is_in(drawn))
        spans = _value_spans(rows, features)
    written, frame = rows, frame.filter(pl.col("market_id").is_in(drawn))
    cut = _cut(key, written, spans, tested)
    if cut is None:
        return Tested(frozenset(), ())
    is_before = pl.col("ts") <= cut
    before = frame.filter(is_before).group_by("market_id", maintain_order=True).tail(2 * span)
    after = frame.filter(~is_before).group_by("market_id", maintain_order=True).head(span)
    newest = pl.int_range(pl.len(), 0, -1).over("market_id") <= span
    before = before.with_columns((newest & pl.col(OWN_ROW)).alias(OWN_ROW))
    other = pl.concat([before, _scrambled(after).with_columns(pl.lit(False).alias(OWN_ROW))])
    few = frame.filter(is_before & pl.col("market_id").is_in(drawn[:_LEAST_MARKETS]))
    looks = _spans(few, features)
    ended, changed, *alone = _values_of([before, other.sort(*_KEYS), *looks.values()], features, max_reach)
    actual = written.join(ended.select(_KEYS), on=_KEYS, how="semi", maintain_order="left")
    leaks = [
        *_differing(features, ended, changed, "future"),
        *_differing(features, actual, ended, "future", _scales(ended, features)),
    ]
    known = {leak.feature.name for leak in leaks}
    sound = [one for one in features if one.name not in known]
    leaks += _beyond_span(dict(zip(looks, alone, strict=True)), sound, ended)
    return Tested(_on_both_sides(written, features, cut), tuple(leaks))


def refuse(leaks: Iterable[Leak]) -> None:
    """Raise ContractViolation for the first of `leaks`, if there is one."""
    for leak in leaks:
        name, where = leak.feature.name, f"{shown_name(leak.feature.module)}, first at {leak.market}"
        if leak.what == "span":
            raise ContractViolation(
                f"feature {name!r} depends on more than the {leak.feature.bars} bars it declares",
                where=f"{where}, {leak.ts:%Y-%m-%d %H:%M} UTC",
                fix="write into @feature(bars=…) on how many bars a value depends; no sums from the first bar on",
            )
        raise ContractViolation(
            f"feature {name!r} sees the future: {leak.rows} values change with later bars",
            where=f"{where}, {leak.ts:%Y-%m-%d %H:%M} UTC",
            fix="shift by positive numbers, use windows that end at the bar; no shift(-n), no whole-column mean",
        )


def not_tested(features: Sequence[Feature], own: Sequence[Feature], memo: Mapping[str, Any]) -> list[str]:
    """Features that no partition tested, by the `memo` of all partitions: lists `tested`, and `filled` of those that a
    cut can test.

    A built-in feature without values (log odds, where no market is binary) or with those of a single instant tells a
    model nothing; an own one that never has a value is a fault of its own.
    """
    tested, filled, mine = set(memo["tested"]), set(memo["filled"]), {one.name for one in own}
    return [one.name for one in features if one.name not in tested and (one.name in filled or one.name in mine)]


def _drawn(key: str, frame: pl.DataFrame, span: int) -> list[str]:
    """The markets that are tested in partition `key`: one of each kind at least, and as many as take about a third of
    the rows that the partition had; each takes five times the look-back."""
    most = max(_LEAST_MARKETS, frame.height // (3 * 5 * span))
    markets = frame.select("market_id", "kind").unique()
    if markets.height <= most:
        return markets.get_column("market_id").to_list()
    order = {name: digest([key, name]) for name in markets.get_column("market_id")}
    ordered = sorted(markets.iter_rows(), key=lambda row: order[row[0]])
    firsts = {kind: name for name, kind in reversed(ordered)}
    return list(dict.fromkeys([*firsts.values(), *(name for name, _ in ordered)]))[:most]


def testable(written: pl.DataFrame, features: Sequence[Feature]) -> set[str]:
    """The names of the features with values at two instants of `written` or more: some cut lies between them."""
    return _between_two(_value_spans(written, features))


def _between_two(spans: Mapping[str, tuple[datetime, datetime]]) -> set[str]:
    return {name for name, (first, last) in spans.items() if first < last}


def _value_spans(written: pl.DataFrame, features: Sequence[Feature]) -> dict[str, tuple[datetime, datetime]]:
    """Feature -> the first and the last instant at which it has a value."""
    import polars as pl

    held = [pl.col("ts").filter(pl.col(one.name).is_not_null()) for one in features]
    ends = [end.alias(f"{n}") for n, end in enumerate(end for times in held for end in (times.min(), times.max()))]
    found = written.select(ends).row(0)
    pairs = zip(features, found[::2], found[1::2], strict=True)
    return {one.name: (first, last) for one, first, last in pairs if first is not None}


def _markets_of(written: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """The first and the last market that have a value of each of the features `names`, in order of time."""
    import polars as pl

    found: list[str] = []
    for name in names:
        markets = written.filter(pl.col(name).is_not_null()).sort("ts").get_column("market_id")
        found += markets[0], markets[-1]
    return found


def _cut(
    key: str, written: pl.DataFrame, spans: Mapping[str, tuple[datetime, datetime]], tested: Collection[str]
) -> datetime | None:
    """An instant of the partition, drawn from its key among those that lie between values of most features, of those
    not yet tested first: where a volume hardly ever changes, say, its z-score has few. spans: of _value_spans."""
    times = written.get_column("ts").unique().sort().to_list()
    if len(times) < 2:
        return None
    new = [ends for name, ends in spans.items() if name not in tested]
    between = list(zip(_counts(times, new), _counts(times, spans.values()), strict=True))[:-1]
    most = max(between)
    best = [time for time, count in zip(times, between, strict=False) if count == most]
    found: datetime = best[int(digest([key, "cut"])[:8], 16) % len(best)]
    return found


def _counts(times: Sequence[datetime], spans: Iterable[tuple[datetime, datetime]]) -> list[int]:
    """How many of `spans` each of the sorted `times` lies in, the first instant with it, the last without."""
    steps = Counter[datetime]()
    for first, last in spans:
        steps[first] += 1
        steps[last] -= 1
    return list(accumulate(steps[time] for time in times))


def _scrambled(after: pl.DataFrame) -> pl.DataFrame:
    """Bars with prices up and down in turn, so that no highest, lowest, mean or last value stays what it was."""
    import polars as pl

    place = pl.int_range(pl.len()).over("market_id")
    factor = pl.when(place % 2 == 0).then(16.0).otherwise(1 / 16) * (1 + (place % 5) / 7)
    changed = [(pl.col(name) * factor).cast(after.schema[name]) for name in _CHANGED if name in after.columns]
    return after.with_columns(changed)


def _values_of(frames: Sequence[pl.DataFrame], features: Sequence[Feature], max_reach: float) -> list[pl.DataFrame]:
    """windows.values of each frame, worked out together: a market of one frame is none of another's."""
    import polars as pl

    market = pl.col("market_id")
    together = pl.concat(
        [frame.with_columns(pl.format("{} {}", pl.lit(n), market).alias("market_id")) for n, frame in enumerate(frames)]
    )
    found, offset = [], 0
    rows = values(together, features, max_reach)
    for frame in frames:
        own = frame.filter(OWN_ROW).get_column("market_id")
        found.append(rows.slice(offset, len(own)).with_columns(own))
        offset += len(own)
    return found


def _differing(
    features: Sequence[Feature],
    one: pl.DataFrame,
    two: pl.DataFrame,
    what: str,
    scales: Mapping[str, float] | None = None,
) -> list[Leak]:
    """The features whose values in two tables of the same rows differ, with `scales` by more than rounding does."""
    import polars as pl

    two = one.select(_KEYS).join(two, on=_KEYS, how="left", maintain_order="left")
    pair = pl.concat([one, two.drop(_KEYS).rename(lambda name: f"{name} other")], how="horizontal")
    differs = {one.name: _differs(one.name, None if scales is None else scales[one.name]) for one in features}
    flags = pair.select(flag.any().alias(name) for name, flag in differs.items())
    found = []
    for feature in [one for one in features if flags.item(0, one.name)]:
        rows = pair.filter(differs[feature.name]).select(_KEYS)
        found.append(Leak(feature, what, rows.height, *rows.row(0)))
    return found


def _scales(rows: pl.DataFrame, features: Sequence[Feature]) -> dict[str, float]:
    """How large a feature's values are in the mean: what a rolling sum of them that should be 0 may miss it by."""
    import polars as pl

    sizes = rows.select(pl.col(one.name).cast(pl.Float64).fill_nan(None).abs().mean() for one in features).row(0)
    return {one.name: size or 0.0 for one, size in zip(features, sizes, strict=True)}


def _differs(name: str, scale: float | None) -> pl.Expr:
    """Whether a row's value differs from the other one's; scale: of _scales, None for to the last bit."""
    import polars as pl

    left, right = pl.col(name), pl.col(f"{name} other")
    if scale is None:
        return left.ne_missing(right)
    a, b = left.cast(pl.Float64), right.cast(pl.Float64)
    room = _RELATIVE * pl.max_horizontal(a.abs(), b.abs()) + _ABSOLUTE * scale
    return left.ne_missing(right) & ((a - b).abs() > room).fill_null(value=True)


def _spans(before: pl.DataFrame, features: Sequence[Feature]) -> dict[int, pl.DataFrame]:
    """Number of bars -> each market's last so many bars, the newest marked, where it is the partition's own."""
    import polars as pl

    is_last = pl.int_range(pl.len(), 0, -1).over("market_id") == 1
    marked = before.with_columns((is_last & pl.col(OWN_ROW)).alias(OWN_ROW))
    markets = marked.group_by("market_id", maintain_order=True)
    return {bars: markets.tail(bars) for bars in sorted({one.bars for one in features})}


def _beyond_span(alone: Mapping[int, pl.DataFrame], features: Sequence[Feature], ended: pl.DataFrame) -> list[Leak]:
    """The features whose newest value of a market is another one when computed from the declared bars `alone`."""
    if not features:
        return []
    keys = next(iter(alone.values())).select(_KEYS)
    mine = keys.with_columns(alone[one.bars].get_column(one.name) for one in features)
    whole = keys.join(ended, on=_KEYS, how="inner", maintain_order="left")
    same = mine.join(whole.select(_KEYS), on=_KEYS, how="semi", maintain_order="left")
    return _differing(
        features, whole.select(*_KEYS, *(one.name for one in features)), same, "span", _scales(ended, features)
    )


def _on_both_sides(written: pl.DataFrame, features: Sequence[Feature], cut: datetime) -> frozenset[str]:
    import polars as pl

    names = [one.name for one in features]
    sides = [written.filter(side).select(pl.col(names).count()) for side in (pl.col("ts") <= cut, pl.col("ts") > cut)]
    return frozenset(name for name in names if all(side.item(0, name) > 0 for side in sides))
