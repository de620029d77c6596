"""Which partitions of bars and features have to be computed again, and the computing of them.

The output equals a full recompute byte for byte. `bars/KEY` is the source's own partition, by reference;
`bars/made/KEY` has the bars that are made here, which depend on the ticks, on what is known of their markets and on
whether they are over; features depend on the bars from the look-back on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.component import Context
from pipelines.data.calendars import longest_seconds
from pipelines.data.checks import check_bars, check_features
from pipelines.data.spans import span_key, span_of
from pipelines.errors import LakeError
from pipelines.feature import LEAKS, Feature
from pipelines.features.bars import TRADES_READ, bars_of_trades, join_bars, look_at, market_intervals
from pipelines.features.leaks import find_leaks, is_sampled, not_tested, refuse, testable
from pipelines.features.windows import columns_of, counted, look_back, values
from pipelines.figures import percent_text
from pipelines.snapshot import Reads, diff
from pipelines.source import BAR_COLUMNS

if TYPE_CHECKING:
    import polars as pl

OWN, MADE, TRADES, FEATURES = "bars/", "bars/made/", "trades/", "features/"
_TICKS_KEY = re.compile(r"(?:bars|trades)/(\d{4}(?:-\d{2}){0,2})")
_MEMO = ".memo.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A bar made of trades is over once one of any market lies in the last hundredth of its interval, or later. To ask for
# one after its end would leave the last bar of every day undecided until the next day; one in the bar's middle tells
# nothing.
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
        self.joined = set(self.intervals.filter("from_bars", pl.col("seconds").is_not_null()).get_column("market_id"))
        self.widest_interval = self._widest_interval()
        self.binary = set(self.markets.filter(pl.col("kind") == "binary").get_column("market_id"))
        self.free = self.binary | set(self.markets.filter(pl.col("kind") == "future").get_column("market_id"))
        self.ticks = ctx.inputs["ticks"]
        found = (_TICKS_KEY.fullmatch(key) for key in self.ticks.keys)
        self.keys = sorted({match[1] for match in found if match})
        newest = [p.max_ts for key in self.ticks.keys if (p := self.ticks.partition(key)) and p.max_ts]
        self.newest = max(newest, default=_EPOCH)
        self.facts = self._facts()
        self.unfinished: list[str] = []
        self.columns = columns_of(features)
        self.seen: dict[str, list[pl.DataFrame]] = {}  # bars of spans that were read
        before = self._read(_MEMO, {"markets": {}, "unfinished": []})
        self.were_unfinished = set(before["unfinished"])
        old = before["markets"]
        known = self._read(LEAKS, {"tested": [], "filled": []})
        self.tested, self.filled = set(known["tested"]), set(known["filled"])
        self.other_markets = {one for one in self.facts.keys() | old.keys() if self.facts.get(one) != old.get(one)}

    def build_bars(self) -> None:
        """Refer to the source's bars of each span, and write or carry over those that are made."""
        due = []
        for key in self.keys:
            has_own = self.ticks.partition(OWN + key) is not None
            is_whole = has_own and not self._holds_joined(key)
            if is_whole:
                self.ctx.refer(OWN + key, self.ticks, OWN + key)
            has_more = self.ticks.partition(TRADES + key) is not None or (has_own and not is_whole)
            if has_more and (self._bars_are_due(key) or not self.ctx.carry(MADE + key)):
                due.append(key)
        for number, key in enumerate(due):
            self.ctx.progress(number, len(due), f"bars {key}")
            bars = self._made(key)
            if bars.height:
                check_bars(bars, f"features, partition {MADE}{key}", binary=self.binary, free=self.free)
                self.ctx.write_table(MADE + key, bars, time="end")

    def build_features(self) -> None:
        """Write or carry over features/KEY for each span that has bars."""
        self.bars = self.ctx.result()
        changed = frozenset(span_key(name) for name in diff(self.ctx.previous, self.bars, Reads(prefix=OWN)))
        keys = sorted({span_key(p.key) for p in self.bars.select(OWN)})
        due = [key for key in keys if self._features_are_due(key, changed) or not self.ctx.carry(FEATURES + key)]
        spent = 0.0, 0.0
        for number, key in enumerate(due):
            self.ctx.progress(number, len(due), f"features {key}")
            near = {key, *self._reached(key, self.widest_interval, keys)}
            self.seen = {name: tables for name, tables in self.seen.items() if name in near}
            bars = self._read_bars([key])
            start, interval = span_of(key)[0], _longest_interval(bars)
            older = self._read_bars(self._reached(key, interval, keys))
            frame = counted(bars, older, self.markets, self.features, start, self.max_reach)
            began = time.perf_counter()
            rows = values(frame, self.features, self.max_reach)
            computed = time.perf_counter()
            self._test(key, rows, frame)
            spent = spent[0] + computed - began, spent[1] + time.perf_counter() - computed
            check_features(rows, f"features, partition features/{key}", features=[one.name for one in self.features])
            self.ctx.write_table(FEATURES + key, rows, time="ts")
        if spent[1] > 0:
            share = spent[1] / max(spent[0], 1e-9)
            took = f"the leak test took {spent[1]:.1f} s"
            self.ctx.note(f"{took}, {percent_text(share, 0)} of the {spent[0]:.1f} s for the features")

    def _test(self, key: str, rows: pl.DataFrame, frame: pl.DataFrame) -> None:
        """Refuse a partition that a later bar would change; note which features could be tested at all."""
        here = testable(rows, self.features)
        self.filled |= here
        if self.ctx.previous is not None and not is_sampled(key) and here <= self.tested:
            return
        found = find_leaks(key, rows, frame, self.features, self.max_reach, here, self.tested)
        refuse(found.leaks)
        self.tested |= found.names

    def write_memo(self) -> None:
        """Leave behind what the next attempt compares with."""
        memo = {"markets": self.facts, "unfinished": sorted(self.unfinished)}
        self.ctx.write_bytes(_MEMO, json.dumps(memo, sort_keys=True).encode(), suffix=".json")
        leaks: dict[str, list[str]] = {"tested": sorted(self.tested), "filled": sorted(self.filled)}
        leaks["not_tested"] = not_tested(self.features, self.own, leaks)
        self.ctx.write_bytes(LEAKS, json.dumps(leaks, sort_keys=True).encode(), suffix=".json")

    def _made(self, key: str) -> pl.DataFrame:
        """The bars of one span that are made here: of trades, of shorter bars, and the source's own where its partition
        also has shorter ones that are joined."""
        import polars as pl

        frames = []
        if self.ticks.partition(TRADES + key) is not None:
            bars = bars_of_trades(self.ticks.read(TRADES + key, TRADES_READ), self.intervals)
            length = (pl.col("end") - pl.col("start")).dt.total_microseconds()
            over_at = pl.col("end") - pl.duration(microseconds=length // _LAST_PART)
            frames.append(self._over(key, bars, bars.select(over_at).to_series()))
        if self.ticks.partition(OWN + key) is not None and self._holds_joined(key):
            own = self.ticks.read(OWN + key, tuple(BAR_COLUMNS))
            is_joined = pl.col("market_id").is_in(list(self.joined))
            longer = join_bars(own.filter(is_joined), self.intervals)
            frames.append(self._over(key, longer, longer.get_column("end")))
            frames.append(own.filter(~is_joined).with_columns(trade_count=pl.lit(None, pl.Int64)))
        return pl.concat(frames).sort("market_id", "start")

    def _over(self, key: str, bars: pl.DataFrame, over_at: pl.Series) -> pl.DataFrame:
        """The bars that nothing is awaited for any more: the newest one of live data is still being made."""
        is_over = over_at <= self.newest
        if not is_over.all():
            self.unfinished.append(key)
        return bars.filter(is_over)

    def _holds_joined(self, key: str) -> bool:
        """Whether the source's bars of a span include shorter ones than are wanted."""
        if not self.joined:
            return False
        held = self.ticks.read(OWN + key, ("market_id",)).get_column("market_id").unique()
        return not self.joined.isdisjoint(held)

    def _bars_are_due(self, key: str) -> bool:
        if {OWN + key, TRADES + key} & self.ticks.changed or key in self.were_unfinished:
            return True
        old = self.ctx.previous.by_key.get(MADE + key) if self.ctx.previous else None
        if old is None or old.max_ts is None or old.max_ts > self.newest:
            return True
        return self._holds_other_markets(key)

    def _features_are_due(self, key: str, changed: frozenset[str]) -> bool:
        if key in changed or self._holds_other_markets(key):
            return True
        near = self._reached(key, self.widest_interval, changed)
        if not near:
            return False
        interval = _longest_interval(self._read_bars([key]))
        del self.seen[key]
        return bool(self._reached(key, interval, near))

    def _reached(self, key: str, interval_seconds: int, others: Iterable[str]) -> list[str]:
        """Those of `others` that a look-back from span `key`, with bars of `interval_seconds`, reaches into."""
        reach = look_back(self.features, interval_seconds, self.max_reach)
        # A bar belongs to the partition it starts in, and may end one interval after that partition does.
        earliest = span_of(key)[0] - reach - timedelta(seconds=interval_seconds)
        return sorted(one for one in others if len(one) == len(key) and one < key and span_of(one)[1] >= earliest)

    def _read_bars(self, keys: Sequence[str]) -> pl.DataFrame:
        """The bars of some spans as features see them."""
        import polars as pl

        frames = [table for key in keys for table in self._seen_bars(key)]
        return pl.concat(frames) if frames else pl.DataFrame()

    def _seen_bars(self, key: str) -> list[pl.DataFrame]:
        """The bars of one span, own and made ones. They are kept as long as a look-back reaches into it."""
        if key not in self.seen:
            parts = [self.bars.by_key[name] for name in (OWN + key, MADE + key) if name in self.bars.by_key]
            tables = [look_at(self.ctx.lake.read_table(part)) for part in parts]
            columns = self.columns
            self.seen[key] = (
                tables
                if columns is None
                else [table.select(name for name in table.columns if name in columns) for table in tables]
            )
        return self.seen[key]

    def _holds_other_markets(self, key: str) -> bool:
        """Whether the earlier bars of a span are of a market whose facts are not what they were."""
        if self.ctx.previous is None or not self.other_markets:
            return False
        parts = [self.ctx.previous.by_key.get(name) for name in (OWN + key, MADE + key)]
        held = self.ctx.lake.read_tables([one for one in parts if one is not None], ["market_id"])
        return not held.is_empty() and not self.other_markets.isdisjoint(held.get_column("market_id").unique())

    def _widest_interval(self) -> int:
        """Seconds that no bar of any market is longer than."""
        own = self.markets.get_column("interval").drop_nulls().unique()
        made = self.intervals.get_column("seconds").drop_nulls().unique()
        # A bar made of others spans them whole: up to one of them more.
        longest = max((longest_seconds(one) for one in own), default=0)
        return longest + max(made, default=0)

    def _facts(self) -> dict[str, list[Any]]:
        """What bars and features depend on of each market."""
        import polars as pl

        columns = ["market_id", "interval", "seconds", "from_bars", "kind", "end_at"]
        columns += [name for name in ("history",) if name in self.markets.columns]
        facts = self.intervals.join(self.markets, on="market_id", maintain_order="left")
        rows = facts.with_columns(pl.col("end_at").dt.epoch("us")).select(columns).iter_rows()
        return {market: list(rest) for market, *rest in rows}

    def _read(self, name: str, otherwise: dict[str, Any]) -> dict[str, Any]:
        """A memo of the last success; `otherwise` where it is damaged, and every market is then another."""
        try:
            data = self.ctx.previous_bytes(name)
        except LakeError:
            data = None
        memo: dict[str, Any] = json.loads(data) if data else otherwise
        return memo


def _longest_interval(frame: pl.DataFrame) -> int:
    return int(frame.select("interval_seconds").max().item() or 0)
