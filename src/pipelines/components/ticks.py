"""What the sources say of every market, in partitions of a day, month or year, each recomputed only when it changed.

Bars stay bars (`bars/KEY`), trades and quotes stay single rows (`trades/KEY`). Sources say which of their parts
changed; a changed part is read whole and what it contributes to each partition and market is compared with what it
contributed before. Where that differs, the market's rows of that partition are built again from every part that
contributes to them. The result depends on the parts alone, not on the order they came in.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.component import Context, component
from pipelines.data.checks import check_source_bars, check_ticks
from pipelines.data.tick_parts.account import accounts
from pipelines.data.tick_parts.frames import BARS, IDENTITY, contribution, numbered, ranked
from pipelines.data.tick_parts.intake import Intake, OnBadRows, bad_rows, stopping, take_in
from pipelines.data.tick_parts.jumps import JUMPS_KEY, Found, find
from pipelines.data.tick_parts.jumps import dump as dump_jumps
from pipelines.data.tick_parts.jumps import load as load_jumps
from pipelines.data.tick_parts.memo import MEMO_KEY, Pair, PartId, PartRecord, dump, load
from pipelines.data.tick_parts.merging import Bar, edges, finish, kind_of, losses, merge, overlap, unfinish
from pipelines.data.tick_parts.spill import Spill
from pipelines.errors import BadInput, LakeError
from pipelines.figures import percent_text
from pipelines.settings import setting
from pipelines.snapshot import Reads
from pipelines.source import QUARANTINE_KEY, Bulk
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Settings:
    """Settings of `[ticks]`."""

    partition: Literal["auto", "day", "month", "year"] = setting(
        "auto", "span of a partition; auto: a year for daily bars, a month for hourly ones, else a day"
    )
    on_bad_rows: OnBadRows = setting(
        "fail",
        "fail: stop at a row that breaks a rule; quarantine: leave it out and list it, as is always done with rows of "
        "live sources; a list of rules, as the error names them: leave those rows out, and stop at any other",
    )
    max_lost_fraction: float | None = setting(
        None,
        "stop where more of a file's rows are lost (quarantined, or replaced by others); unset: warn from 1 % on",
        unit="0..1",
        low=0,
        high=1,
    )

    def check(self) -> Iterator[str]:
        """Faults of values that are fine one by one."""
        for word in ("fail", "quarantine"):
            if word != self.on_bad_rows and word in self.on_bad_rows:
                yield f'on_bad_rows: "{word}" is about every rule: write it without brackets'


def _contract(key: str, frame: pl.DataFrame) -> None:
    if key.startswith(BARS):
        check_source_bars(frame, f"ticks, partition {key}", free=None)
    elif key != QUARANTINE_KEY:
        check_ticks(frame, f"ticks, partition {key}", free=None)


@component(
    upstream={"markets": Reads(("market_id", "source", "external_id", "kind", "interval", "interval_seconds"))},
    settings=Settings,
    reads_sources=True,
    libraries=("polars",),
    contract=_contract,
)
def ingest_ticks(ctx: Context, settings: Settings) -> None:
    """Bring the partitions of ticks up to date with the sources.

    Writes "bars/KEY" (BAR_COLUMNS by market and start) and "trades/KEY" (TICK_COLUMNS by market, ts and seq), one for
    each span, and the rows that broke a rule as "quarantine". Raises BadInput for those that on_bad_rows does not leave
    out, for bars that overlap, and for rows of a market that `markets` lacks.
    """
    universe = ranked(ctx.inputs["markets"].read_all(), settings.partition)
    with tempfile.TemporaryDirectory(prefix="tidemill-ticks-") as folder:
        ingest = _Ingest(ctx, universe, settings.on_bad_rows, settings.max_lost_fraction, Spill(Path(folder)))
        ingest.find_changes()
        ingest.gather()
        ingest.write()


@dataclass
class _Found:
    """What one part contributes (pair -> hash), what became of its rows, and pairs whose rows are to be taken up."""

    hashes: dict[Pair, str]
    counts: dict[str, int]
    wanted: set[Pair] = field(default_factory=set)


@dataclass
class _Ingest:
    """One run of `ticks`: what was remembered, what is found now, and which (partition, market) pairs that affects."""

    ctx: Context
    universe: pl.DataFrame
    on_bad_rows: OnBadRows
    max_lost_fraction: float | None
    spill: Spill
    parts: list[PartId] = field(default_factory=list)
    ranks: dict[PartId, int] = field(default_factory=dict)  # order of the parts: a later one corrects an earlier one
    records: dict[PartId, PartRecord] = field(default_factory=dict)
    affected: set[Pair] = field(default_factory=set)
    taken: dict[PartId, set[Pair]] = field(default_factory=dict)
    bad: dict[PartId, pl.DataFrame] = field(default_factory=dict)  # of every part read in this run
    names: list[str] = field(default_factory=list)  # market_id by rank
    edges: dict[str, pl.DataFrame] = field(default_factory=dict)  # first and last bars of partitions built in this run

    def find_changes(self) -> None:
        """Read the parts that changed; take up the rows that differ from what was remembered."""
        tokens = {
            (name, part): token
            for name in sorted(self.ctx.sources)
            for part, token in sorted(self.ctx.tokens(name).items())
        }
        remembered = self._remembered()
        for part, record in remembered.items():
            self.affected.update(pair for pair in record.hashes if not self._may_carry(pair[0]))
            if part not in tokens:
                self.affected.update(record.hashes)
        stale = [part for part, token in tokens.items() if remembered.get(part, PartRecord(None)).token != token]
        self.ranks = {part: rank for rank, part in enumerate(tokens)}
        self.parts = list(tokens)
        for part, found in self._read(stale, "reading"):
            before = remembered.get(part, PartRecord(None)).hashes
            hashes = found.hashes
            differing = {pair for pair, text in hashes.items() if before.get(pair) != text or pair in self.affected}
            self.taken.setdefault(part, set()).update(differing)
            self.affected |= differing | (before.keys() - hashes.keys())
            earlier = remembered.get(part, PartRecord(None)).lost
            lost = {pair: count for pair, count in earlier.items() if pair in hashes and pair not in differing}
            self.records[part] = PartRecord(tokens[part], hashes, found.counts, lost)
            found.wanted |= differing
        for part in tokens.keys() - self.records.keys():
            self.records[part] = remembered[part]

    def gather(self) -> None:
        """Take up the rows of affected pairs from the parts that contribute to them and did not change there."""
        wanting = {}
        for part, record in sorted(self.records.items()):
            pairs = (record.hashes.keys() & self.affected) - self.taken.get(part, set())
            if pairs:
                wanting[part] = pairs
        for part, found in self._read(list(wanting), "reading again"):
            pairs, hashes = wanting[part], found.hashes
            found.wanted |= pairs
            self.taken.setdefault(part, set()).update(pairs)
            # A file may have changed since the probe. What counts is what went into the output: the next run finds
            # another token and compares with that.
            record = self.records[part]
            record.lost = {pair: count for pair, count in record.lost.items() if pair not in pairs}
            kept = {pair: text for pair, text in record.hashes.items() if pair not in pairs}
            record.hashes = kept | {pair: hashes[pair] for pair in pairs if pair in hashes}

    def write(self) -> None:
        """Write the affected partitions, carry the others over, and remember."""
        markets: dict[str, set[str]] = {}
        for record in self.records.values():
            for key, market in record.hashes:
                markets.setdefault(key, set()).add(market)
        affected: dict[str, set[str]] = {}
        for key, market in self.affected:
            affected.setdefault(key, set()).add(market)
        known, shares = self._known_jumps(), self._of_kind("equity")
        found: dict[str, Found] = {}
        free = self._of_kind("binary", "future")
        for done, key in enumerate(sorted(markets)):
            if key not in affected:
                self.ctx.carry(key)
                found[key] = known.get(key, Found())
                continue
            self.ctx.progress(done, len(markets), key)
            frame = self._build(key, affected[key], markets[key] - affected[key])
            if key.startswith(BARS):
                check_source_bars(frame, f"ticks {key}", free=free)
                self.ctx.write_table(key, frame, time="end")
                found[key] = find(frame, shares)
            else:
                check_ticks(frame, f"ticks {key}", free=free)
                self.ctx.write_table(key, frame, time="ts")
        self._check_neighbours(markets)
        self._refuse_losses()
        self._write_quarantine()
        self.ctx.write_bytes(JUMPS_KEY, dump_jumps(found), suffix=".json")
        self.ctx.write_bytes(MEMO_KEY, dump(self.records, self.universe), suffix=".parquet")

    def _of_kind(self, *kinds: str) -> set[str]:
        import polars as pl

        return set(self.universe.filter(pl.col("kind").is_in(kinds)).get_column("market_id"))

    def _known_jumps(self) -> dict[str, Found]:
        try:
            return load_jumps(self.ctx.previous_bytes(JUMPS_KEY))
        except LakeError:
            return {}

    def _remembered(self) -> dict[PartId, PartRecord]:
        """The memo, or nothing where it is gone, damaged, or of no use: then every part is read again."""
        ctx = self.ctx
        has_quarantine = ctx.previous is not None and QUARANTINE_KEY in ctx.previous.by_key
        if has_quarantine and (not self._may_carry(QUARANTINE_KEY) or self._fails_on_listed()):
            return {}
        try:
            return load(ctx.previous_bytes(MEMO_KEY), self.universe) or {}
        except LakeError:
            return {}

    def _fails_on_listed(self) -> bool:
        """Whether rows that an earlier run left out are to stop this one."""
        assert self.ctx.previous is not None
        listed = self.ctx.lake.read_table(self.ctx.previous.by_key[QUARANTINE_KEY], ("part", "rule"))
        return any(
            not self._stopping(part.partition(":")[0], rows).is_empty()
            for (part,), rows in listed.unique().group_by("part")
        )

    def _stopping(self, source: str, bad: pl.DataFrame) -> pl.DataFrame:
        is_live = getattr(self.ctx.sources.get(source), "quarantines", False)
        return bad.clear() if is_live else stopping(bad, self.on_bad_rows)

    def _may_carry(self, key: str) -> bool:
        previous = self.ctx.previous
        return previous is not None and key in previous.by_key and key not in self.ctx.redo

    def _read(self, parts: Sequence[PartId], verb: str) -> Iterator[tuple[PartId, _Found]]:
        """What each of `parts` contributes. The pairs that are put into `wanted` of what is found are taken up."""
        done = 0
        for source, bulk in self._bulks(parts):
            self.ctx.progress(done, len(parts), f"{verb} {bulk.parts[0]}")
            done += len(bulk.parts)
            intake = take_in(source, bulk, self.universe)
            if intake is None:  # a row of one of them is bad: one by one
                for name in bulk.parts:
                    yield from self._found(source, Bulk.of_one(name, self.ctx.sources[source].fetch(name)))
            else:
                yield from self._found(source, bulk, intake)

    def _found(self, source: str, bulk: Bulk, intake: Intake | None = None) -> Iterator[tuple[PartId, _Found]]:
        intake = take_in(source, bulk, self.universe) if intake is None else intake
        assert intake is not None  # a single part is sorted out whatever its rows are
        stops = self._stopping(source, intake.bad)
        if not stops.is_empty():
            raise bad_rows(stops, self.on_bad_rows)
        ranks = numbered([self.ranks[source, name] for name in bulk.parts], intake.of_part)
        contributed = contribution(intake.batch, self.universe, ranks)
        hashes, found = contributed.hashes, {}
        for number, name in enumerate(bulk.parts):
            part = (source, name)
            self.bad[part] = intake.bad
            counts = intake.counts(bulk, number)
            found[part] = _Found(hashes.get(self.ranks[part], {}), counts)
        yield from found.items()
        wanted = {self.ranks[part]: one.wanted for part, one in found.items() if one.wanted}
        for key, rows in contributed.pick(wanted):
            self.spill.add(key, rows)

    def _bulks(self, parts: Sequence[PartId]) -> Iterator[tuple[str, Bulk]]:
        """The rows of `parts`, many at a time where their source can give them so."""
        for name, source in sorted(self.ctx.sources.items()):
            mine = [part for owner, part in parts if owner == name]
            many = getattr(source, "fetch_many", None)
            bulks = many(mine) if many is not None else (Bulk.of_one(part, source.fetch(part)) for part in mine)
            yield from ((name, bulk) for bulk in bulks)

    def _build(self, key: str, affected: set[str], unaffected: set[str]) -> pl.DataFrame:
        """Partition `key`: affected markets merged again, the others as they were."""
        import polars as pl

        kind, frames, merged = kind_of(key), [], None
        rows = self.spill.take(key)
        if rows is not None:
            merged = merge(rows, kind)
            for (rank, market), lost in losses(rows, merged, kind).items():
                pair = (key, self.universe.item(market, "market_id"))
                self.records[self.parts[rank]].lost[pair] = lost
            frames.append(merged.drop("_part", "_row"))
        if unaffected:
            assert self.ctx.previous is not None
            others = self.universe.filter(pl.col("market_id").is_in(list(unaffected)))
            frames.append(unfinish(self.ctx.lake.read_table(self.ctx.previous.by_key[key]), others, kind))
        if kind == "bars" and merged is not None:
            self._refuse_overlap(merged)
            self.edges[key] = edges(merged)
        # Rows that were merged now are in order, and so are those of an earlier run.
        rows = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal").sort(*IDENTITY[kind])
        return finish(rows, self.universe, kind)

    def _check_neighbours(self, markets: dict[str, set[str]]) -> None:
        """Raise BadInput where a bar of a partition built now overlaps one of the partitions next to it."""
        import polars as pl

        keys: dict[str, list[str]] = {}  # market -> partitions with bars of it, in time order: they are of one span
        for key in sorted(key for key in markets if key.startswith(BARS)):
            for market in markets[key]:
                keys.setdefault(market, []).append(key)
        wanted: dict[str, set[str]] = {}  # partition next to one built now -> markets to look at
        for key, rows in self.edges.items():
            for market in self._names(rows):
                at = bisect_left(keys[market], key)
                for one in (*keys[market][max(0, at - 1) : at], *keys[market][at + 1 : at + 2]):
                    wanted.setdefault(one, set()).add(market)
        frames = list(self.edges.values())
        for key, names in sorted(wanted.items()):
            unseen = names - self._names(self.edges[key]) if key in self.edges else names
            if unseen:
                frames.append(self._edges_in_lake(key, unseen))
        if frames:
            together = pl.concat(frames, how="diagonal").unique(("_market", "start"), keep="first")
            self._refuse_overlap(together.sort("_market", "start"))

    def _names(self, rows: pl.DataFrame) -> set[str]:
        if not self.names:
            self.names.extend(self.universe.get_column("market_id").to_list())
        return {self.names[rank] for rank in rows.get_column("_market").to_list()}

    def _edges_in_lake(self, key: str, names: set[str]) -> pl.DataFrame:
        import polars as pl

        table = self.ctx.lake.read_table(self.ctx.result().by_key[key], ("market_id", "start", "end"))
        others = self.universe.filter(pl.col("market_id").is_in(list(names))).select("market_id", "_market")
        rows = table.join(others, on="market_id", how="inner", maintain_order="left").select("_market", "start", "end")
        return edges(rows)

    def _refuse_overlap(self, bars: pl.DataFrame) -> None:
        found = overlap(bars, self.universe)
        if found is None:
            return
        first, second = found
        spacing = second.start - first.start
        raise BadInput(
            f"two bars of {first.market} overlap: {self._place(first)} and {self._place(second)}",
            where=self._part_of(first) or self._part_of(second) or first.market,
            fix=f"set the interval to how far apart bars are, here {spacing} "
            '(interval = "day", "week" or "month" where they go by the calendar); where the times are the ends of '
            'bars, ts_is = "end"; where rows are of several markets, columns = { market = … }',
        )

    def _refuse_losses(self) -> None:
        """Raise BadInput for a part that lost more of its rows than is allowed."""
        limit = self.max_lost_fraction
        found = [one for one in accounts(self.records) if limit is not None and one.lost_fraction > limit]
        if found:
            worst = max(found, key=lambda one: one.lost_fraction)
            raise BadInput(
                f"{percent_text(worst.lost_fraction)} of its rows are lost: {worst.reasons}"
                + (f"; so it is with {len(found) - 1} more" if len(found) > 1 else ""),
                where=f"{worst.source}:{worst.part}",
                fix="look at `agent sources report`, correct the data or how it is read, or raise [ticks] "
                "max_lost_fraction",
            )

    def _part_of(self, bar: Bar) -> str | None:
        if bar.part is None:
            return None
        source, part = self.parts[bar.part]
        return f"{source}:{part}"

    def _place(self, bar: Bar) -> str:
        """Where a bar stands and what it spans."""
        span = f"{bar.start:%Y-%m-%d %H:%M:%S} to {bar.end:%Y-%m-%d %H:%M:%S} UTC"
        if bar.part is None or bar.row is None:
            return f"the one from {span}"
        source, part = self.parts[bar.part]
        # Read again: only now is the line of interest.
        intake = take_in(source, Bulk.of_one(part, self.ctx.sources[source].fetch(part)), self.universe)
        assert intake is not None
        batch = intake.batch
        place = batch.place(bar.row) if bar.row < batch.frame.height else part
        return f"{place} ({span})"

    def _write_quarantine(self) -> None:
        """List the rows left out: those of the parts read now, and the known ones of parts that were not."""
        import polars as pl

        frames = [bad for bad in self.bad.values() if not bad.is_empty()]
        previous = None if self.ctx.previous is None else self.ctx.previous.by_key.get(QUARANTINE_KEY)
        if previous is not None and len(self.bad) < len(self.records):
            unread = [f"{source}:{name}" for source, name in self.records.keys() - self.bad.keys()]
            frames.append(self.ctx.lake.read_table(previous).filter(pl.col("part").is_in(unread)))
        table = pl.concat(frames) if frames else pl.DataFrame()
        if not table.is_empty():
            self.ctx.write_table(QUARANTINE_KEY, table, sort_by=("part",))
