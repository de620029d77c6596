"""Which partitions of bars and features have to be computed again, and the computing of them.

The output equals a full recompute byte for byte: bars of a partition depend on its ticks, on what is said of its
markets and on whether its last bars are over; features depend on the bars from the look-back on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.bars import make_bars, market_intervals
from pipelines.checks import check_bars, check_features
from pipelines.component import Context
from pipelines.errors import LakeError
from pipelines.feature import Feature
from pipelines.snapshot import Reads, diff
from pipelines.windows import check_backward, compute_features, look_back

if TYPE_CHECKING:
    import polars as pl

_TIME_KEY = re.compile(r"\d{4}(-\d{2}){0,2}")  # the partitions of ticks that hold ticks
_MEMO = ".memo.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A bar is over once a tick of any market lies in the last hundredth of its interval, or later. To ask for a tick after
# its end would leave the last bar of every day undecided until the next day; one in the bar's middle tells nothing.
_LAST_PART = 100


class FeatureWork:
    """One attempt: what has to be computed again, and the computing."""

    def __init__(
        self,
        ctx: Context,
        *,
        features: Sequence[Feature],
        own: Sequence[Feature],
        interval_seconds: int | None,
        max_reach: float,
    ) -> None:
        """`own` are those of `features` that come from outside this package; `interval_seconds` None means auto."""
        import polars as pl

        self.ctx, self.features, self.own, self.max_reach = ctx, features, own, max_reach
        self.markets = ctx.inputs["markets"].read_all()
        self.intervals = market_intervals(self.markets, interval_seconds)
        self.widest_interval = _longest_interval(self.intervals)
        self.binary = set(self.markets.filter(pl.col("kind") == "binary").get_column("market_id"))
        ticks = ctx.inputs["ticks"]
        self.keys = [key for key in ticks.keys if _TIME_KEY.fullmatch(key)]
        newest = [p.max_ts for key in self.keys if (p := ticks.partition(key)) and p.max_ts]
        self.newest = max(newest, default=_EPOCH)
        self.facts = self._facts()
        self.unfinished: list[str] = []
        before = self._read_memo()
        self.were_unfinished = set(before["unfinished"])
        old = before["markets"]
        self.other_markets = {one for one in self.facts.keys() | old.keys() if self.facts.get(one) != old.get(one)}

    def build_bars(self) -> None:
        """Write or carry over bars/KEY for each ticks partition."""
        due = [key for key in self.keys if self._bars_are_due(key) or not self.ctx.carry(f"bars/{key}")]
        for number, key in enumerate(due):
            self.ctx.progress(number, len(due), f"bars {key}")
            bars = make_bars(self.ctx.inputs["ticks"].read(key), self.intervals)
            over = self._over(bars)
            if over.height < bars.height:
                self.unfinished.append(key)
            if over.height:
                check_bars(over, f"features, partition bars/{key}", binary=self.binary)
                self.ctx.write_table(f"bars/{key}", over, time="ts")

    def build_features(self) -> None:
        """Write or carry over features/KEY for each partition of bars."""
        self.bars = self.ctx.result()
        changed = diff(self.ctx.previous, self.bars, Reads(prefix="bars/"))
        keys = [p.key.removeprefix("bars/") for p in self.bars.select("bars/")]
        due = [key for key in keys if self._features_are_due(key, changed) or not self.ctx.carry(f"features/{key}")]
        for number, key in enumerate(due):
            self.ctx.progress(number, len(due), f"features {key}")
            bars = self._read_bars([key])
            start, interval = _span(key)[0], _longest_interval(bars)
            older = self._read_bars(self._reached(key, interval, keys))
            if self.own and number == 0:
                check_backward(bars, older, self.markets, self.own, start=start, max_reach=self.max_reach)
            rows = compute_features(bars, older, self.markets, self.features, start=start, max_reach=self.max_reach)
            check_features(rows, f"features, partition features/{key}", features=[one.name for one in self.features])
            self.ctx.write_table(f"features/{key}", rows, time="ts")

    def write_memo(self) -> None:
        """Leave behind what the next attempt compares with."""
        memo = {"markets": self.facts, "unfinished": sorted(self.unfinished)}
        self.ctx.write_bytes(_MEMO, json.dumps(memo, sort_keys=True).encode(), suffix=".json")

    def _over(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars that no tick is awaited for any more: the newest one of live data is still being made."""
        import polars as pl

        last_part = pl.duration(microseconds=pl.col("interval_seconds") * (1_000_000 // _LAST_PART))
        return bars.filter(pl.col("ts") - last_part <= self.newest)

    def _bars_are_due(self, key: str) -> bool:
        if key in self.ctx.inputs["ticks"].changed or key in self.were_unfinished:
            return True
        old = self.ctx.previous.by_key.get(f"bars/{key}") if self.ctx.previous else None
        if old is None or old.max_ts is None or old.max_ts > self.newest:
            return True
        return self._holds_other_markets(f"bars/{key}")

    def _features_are_due(self, key: str, changed: frozenset[str]) -> bool:
        name = f"bars/{key}"
        if name in changed or self._holds_other_markets(name):
            return True
        others = [one.removeprefix("bars/") for one in changed]
        near = self._reached(key, self.widest_interval, others)
        return bool(near) and bool(self._reached(key, _longest_interval(self._read_bars([key])), near))

    def _reached(self, key: str, interval_seconds: int, others: Iterable[str]) -> list[str]:
        """Those of `others` that a look-back from partition `key`, with bars of `interval_seconds`, reaches into."""
        reach = look_back(self.features, interval_seconds, self.max_reach)
        # A bar belongs to the partition it starts in, and may end one interval after that partition does.
        earliest = _span(key)[0] - reach - timedelta(seconds=interval_seconds)
        return [one for one in others if len(one) == len(key) and one < key and _span(one)[1] >= earliest]

    def _read_bars(self, keys: Sequence[str]) -> pl.DataFrame:
        return self.ctx.lake.read_tables([self.bars.by_key[f"bars/{key}"] for key in keys])

    def _holds_other_markets(self, name: str) -> bool:
        """Whether the earlier partition `name` has bars of a market whose facts are not what they were."""
        old = self.ctx.previous.by_key.get(name) if self.ctx.previous and self.other_markets else None
        if old is None:
            return False
        held = self.ctx.lake.read_table(old, ["market_id"]).get_column("market_id").unique()
        return not self.other_markets.isdisjoint(held)

    def _facts(self) -> dict[str, list[Any]]:
        """What bars and features depend on of each market."""
        import polars as pl

        columns = ["market_id", "interval_seconds", "from_bars", "kind", "end_at"]
        facts = self.intervals.join(self.markets.drop("interval_seconds"), on="market_id", maintain_order="left")
        rows = facts.with_columns(pl.col("end_at").dt.epoch("us")).select(columns).iter_rows()
        return {market: list(rest) for market, *rest in rows}

    def _read_memo(self) -> dict[str, Any]:
        """The memo of the last success; where it is damaged an empty one, to which every market is another."""
        try:
            data = self.ctx.previous_bytes(_MEMO)
        except LakeError:
            data = None
        memo: dict[str, Any] = json.loads(data) if data else {"markets": {}, "unfinished": []}
        return memo


@lru_cache(maxsize=4096)
def _span(key: str) -> tuple[datetime, datetime]:
    """Start and end of the time that partition `key` (2013, 2013-01 or 2013-01-05) stands for."""
    year, month, day = (*(int(part) for part in key.split("-")), 0, 0)[:3]
    start = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return start, datetime(year + 1, 1, 1, tzinfo=UTC)


def _longest_interval(frame: pl.DataFrame) -> int:
    return int(frame.select("interval_seconds").max().item() or 0)
