"""Jumps of a share's price that look like a split: found in each partition of bars, and between one and the next.

A split is no return: unadjusted, a model learns it and a backtest trades it. It is reported, never repaired by itself:
only the source knows. Shares alone: a coin or a contract may halve in a day.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

JUMPS_KEY = ".jumps"  # the memo partition of ticks
_MOVE = 0.4  # a jump by more than this, at about the same turnover
_TURNOVER = 2.0  # factor within which the turnover counts as the same
_CRASH = 3.0  # a fall at so many times the turnover is one; nobody trades more because of a split
_NEAR = 0.05  # how near a ratio of closes is to 2, 3, 4 …
_MOST = 30

Close = tuple[str, float, float | None]  # ISO start of a bar, its close, its turnover


@dataclass(frozen=True)
class Jump:
    """Two neighbouring closes of a market that look like the eve and the day of a split."""

    market: str
    at: str  # ISO start of the later bar
    before: float
    after: float

    @property
    def ratio(self) -> str:
        """As people write splits: 4:1, or 1:10 where ten became one."""
        down = self.before / self.after
        return f"{down:.3g}:1" if down >= 1 else f"1:{1 / down:.3g}"


@dataclass(frozen=True)
class Found:
    """Of one partition: jumps inside it, and each market's first and last close."""

    jumps: tuple[Jump, ...] = ()
    first: Mapping[str, Close] | None = None
    last: Mapping[str, Close] | None = None


def is_like_a_split(before: float, after: float, turnover: float | None) -> bool:
    """Whether a close of `after` behind one of `before` looks like a split; `turnover` is the later one divided by the
    earlier one, None where it is not known."""
    if before <= 0 or after <= 0:
        return False
    ratio = max(before / after, after / before)
    whole = round(ratio)
    is_crash = after < before and turnover is not None and turnover > _CRASH
    if 2 <= whole <= _MOST and abs(ratio / whole - 1) < _NEAR and not is_crash:
        return True
    is_same = turnover is not None and 1 / _TURNOVER < turnover < _TURNOVER
    return is_same and abs(after / before - 1) > _MOVE


def find(bars: pl.DataFrame, markets: Iterable[str]) -> Found:
    """The jumps among finished `bars` (BAR_COLUMNS, sorted) of `markets`."""
    import polars as pl

    wanted = list(markets)
    mine = bars.filter(pl.col("market_id").is_in(wanted)) if wanted else bars.clear()
    if mine.is_empty():
        return Found()
    close, market = pl.col("close"), pl.col("market_id")
    rows = mine.select(market, pl.col("start"), close, turnover=close * pl.col("volume"))
    ratio = (close / close.shift()).over(market)
    wide = rows.with_columns(
        before=close.shift().over(market),
        change=(pl.col("turnover") / pl.col("turnover").shift()).over(market),
        # Cheap and wide first; the rule itself looks at the few that are left.
    ).filter((ratio.log().abs() > math.log(1.4 - _NEAR)).fill_null(False))
    jumps = tuple(
        Jump(one, start.isoformat(), before, after)
        for one, start, after, before, change in wide.select(
            "market_id", "start", "close", "before", "change"
        ).iter_rows()
        if is_like_a_split(before, after, change)
    )
    first, last = (rows.group_by("market_id", maintain_order=True).agg(pl.exclude("market_id").get(n)) for n in (0, -1))
    return Found(jumps, _closes(first), _closes(last))


def _closes(rows: pl.DataFrame) -> dict[str, Close]:
    return {market: (start.isoformat(), close, turnover) for market, start, close, turnover in rows.iter_rows()}


def all_jumps(found: Mapping[str, Found]) -> list[Jump]:
    """Every jump, by market and time: inside partitions, and from each to the next one that has the market."""
    jumps = [jump for one in found.values() for jump in one.jumps]
    before: dict[str, Close] = {}
    for key in sorted(found):
        for market, (at, close, turnover) in (found[key].first or {}).items():
            old = before.get(market)
            if old is not None:
                change = turnover / old[2] if turnover is not None and old[2] else None
                if is_like_a_split(old[1], close, change):
                    jumps.append(Jump(market, at, old[1], close))
        before.update(found[key].last or {})
    return sorted(jumps, key=lambda jump: (jump.market, jump.at))


def warnings(jumps: Iterable[Jump]) -> list[str]:
    """A sentence for each market."""
    by_market: dict[str, list[Jump]] = {}
    for jump in jumps:
        by_market.setdefault(jump.market, []).append(jump)
    texts = []
    for market, mine in by_market.items():
        one = mine[-1]
        day = datetime.fromisoformat(one.at)
        count = "a possible split" if len(mine) == 1 else f"{len(mine)} possible splits, the newest"
        texts.append(
            f"{market}: {count} of about {one.ratio} on {day:%Y-%m-%d} ({one.before:.6g} to {one.after:.6g}); where it "
            'is one, splits = "FILE" (or adjusted_close, where the data has it) adjusts earlier prices'
        )
    return texts


def dump(found: Mapping[str, Found]) -> bytes:
    """`found` as the bytes that `load` reads."""
    plain = {
        key: [[[j.market, j.at, j.before, j.after] for j in one.jumps], one.first or {}, one.last or {}]
        for key, one in sorted(found.items())
        if one.first  # a partition without shares has nothing to remember
    }
    return json.dumps(plain, sort_keys=True).encode()


def load(data: bytes | None) -> dict[str, Found]:
    """The jumps in `data`, by partition; nothing where there is none or it cannot be read."""
    try:
        plain: dict[str, Any] = json.loads(data or b"{}")
        return {
            key: Found(
                tuple(Jump(*one) for one in jumps),
                {market: tuple(close) for market, close in first.items()},
                {market: tuple(close) for market, close in last.items()},
            )
            for key, (jumps, first, last) in plain.items()
        }
    except (ValueError, TypeError):
        return {}
