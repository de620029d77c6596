"""Price observations of every market, in partitions of a day, month or year, each recomputed only when it changed.

Sources say which of their parts changed; a changed part is read whole and what it contributes to each partition and
market is compared with what it contributed before. Where that differs, the market's ticks of that partition are built
anew from every part that contributes to them. The result depends on the parts alone, not on the order they came in.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.checks import check_ticks
from pipelines.component import Context, component
from pipelines.errors import BadInput, LakeError, PipelineError
from pipelines.settings import setting
from pipelines.snapshot import Reads
from pipelines.source import (
    BAR_COLUMNS,
    QUARANTINE_COLUMNS,
    QUARANTINE_KEY,
    TICK_COLUMNS,
    Batch,
    broken_rule,
    frame_schema,
)
from pipelines.tick_parts.frames import Contribution, contribution, finish, merge, ranked, unfinish
from pipelines.tick_parts.memo import MEMO_KEY, Pair, PartId, PartRecord, dump, load
from pipelines.tick_parts.spill import Spill

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 5  # bad rows shown in an error


@dataclass(frozen=True)
class Settings:
    """Settings of `[ticks]`."""

    partition: Literal["auto", "day", "month", "year"] = setting(
        "auto", "span of a partition; auto: a year for daily bars, a month for hourly ones, else a day"
    )
    on_bad_rows: Literal["fail", "quarantine"] = setting(
        "fail", "fail: stop at a row that breaks a rule; quarantine: leave it out and list it"
    )


def _contract(key: str, frame: pl.DataFrame) -> None:
    if key != QUARANTINE_KEY:
        check_ticks(frame, f"ticks, partition {key}")


@component(
    upstream={"markets": Reads(("market_id", "source", "external_id", "interval_seconds"))},
    settings=Settings,
    reads_sources=True,
    libraries=("polars",),
    contract=_contract,
)
def ingest_ticks(ctx: Context, settings: Settings) -> None:
    """Bring the partitions of ticks up to date with the sources.

    Writes TICK_COLUMNS sorted by (market_id, ts, seq), a partition a span, and the rows that broke a rule as partition
    "quarantine". Raises BadInput for such rows (on_bad_rows = "fail"), or ticks of a market that `markets` lacks.
    """
    universe = ranked(ctx.inputs["markets"].read_all(), settings.partition)
    with tempfile.TemporaryDirectory(prefix="tidemill-ticks-") as folder:
        ingest = _Ingest(ctx, universe, settings.on_bad_rows == "fail", Spill(Path(folder)))
        ingest.find_changes()
        ingest.gather()
        ingest.write()


@dataclass
class _Ingest:
    """One run of `ticks`: what was remembered, what is found now, and which (partition, market) pairs that affects."""

    ctx: Context
    universe: pl.DataFrame
    fails_on_bad_rows: bool
    spill: Spill
    ranks: dict[PartId, int] = field(default_factory=dict)  # order of the parts: a later one corrects an earlier one
    records: dict[PartId, PartRecord] = field(default_factory=dict)
    affected: set[Pair] = field(default_factory=set)
    taken: dict[PartId, set[Pair]] = field(default_factory=dict)
    bad: dict[PartId, pl.DataFrame] = field(default_factory=dict)  # of every part read in this run

    def find_changes(self) -> None:
        """Read the parts that changed; take up the rows that differ from what was remembered."""
        tokens = {
            (name, part): token
            for name, source in sorted(self.ctx.sources.items())
            for part, token in sorted(source.probe().parts.items())
        }
        remembered = self._remembered()
        for part, record in remembered.items():
            self.affected.update(pair for pair in record.hashes if not self._may_carry(pair[0]))
            if part not in tokens:
                self.affected.update(record.hashes)
        stale = [part for part, token in tokens.items() if remembered.get(part, PartRecord(None)).token != token]
        self.ranks = {part: rank for rank, part in enumerate(tokens)}
        for done, part in enumerate(stale):
            self.ctx.progress(done, len(stale), f"reading {part[1]}")
            before = remembered.get(part, PartRecord(None)).hashes
            found = self._read(part)
            hashes = found.hashes
            differing = {pair for pair, text in hashes.items() if before.get(pair) != text or pair in self.affected}
            self._take(part, found, differing)
            self.affected |= differing | (before.keys() - hashes.keys())
            self.records[part] = PartRecord(tokens[part], hashes)
        for part in tokens.keys() - self.records.keys():
            self.records[part] = remembered[part]

    def gather(self) -> None:
        """Take up the rows of affected pairs from the parts that contribute to them and did not change there."""
        wanting = []
        for part, record in sorted(self.records.items()):
            pairs = (record.hashes.keys() & self.affected) - self.taken.get(part, set())
            if pairs:
                wanting.append((part, pairs))
        for done, (part, pairs) in enumerate(wanting):
            self.ctx.progress(done, len(wanting), f"reading {part[1]} again")
            found = self._read(part)
            hashes = found.hashes
            self._take(part, found, pairs)
            # A file may have changed since the probe. What counts is what went into the output: the next run finds
            # another token and compares with that.
            kept = {pair: text for pair, text in self.records[part].hashes.items() if pair not in pairs}
            self.records[part].hashes = kept | {pair: hashes[pair] for pair in pairs if pair in hashes}

    def write(self) -> None:
        """Write the affected partitions, carry the others over, and remember."""
        markets: dict[str, set[str]] = {}
        for record in self.records.values():
            for key, market in record.hashes:
                markets.setdefault(key, set()).add(market)
        affected: dict[str, set[str]] = {}
        for key, market in self.affected:
            affected.setdefault(key, set()).add(market)
        for done, key in enumerate(sorted(markets)):
            self.ctx.progress(done, len(markets), key)
            if key not in affected:
                self.ctx.carry(key)
                continue
            frame = self._build(key, affected[key], markets[key] - affected[key])
            check_ticks(frame, f"ticks {key}")
            self.ctx.write_table(key, frame, time="ts")
        self._write_quarantine()
        self.ctx.write_bytes(MEMO_KEY, dump(self.records, self.universe), suffix=".parquet")

    def _remembered(self) -> dict[PartId, PartRecord]:
        """The memo, or nothing where it is gone, damaged, or of no use: then every part is read again."""
        ctx = self.ctx
        has_quarantine = ctx.previous is not None and QUARANTINE_KEY in ctx.previous.by_key
        if has_quarantine and (self.fails_on_bad_rows or not self._may_carry(QUARANTINE_KEY)):
            return {}
        try:
            return load(ctx.previous_bytes(MEMO_KEY), self.universe) or {}
        except LakeError:
            return {}

    def _may_carry(self, key: str) -> bool:
        previous = self.ctx.previous
        return previous is not None and key in previous.by_key and key not in self.ctx.redo

    def _read(self, part: PartId) -> Contribution:
        source, name = part
        batch, bad = _split(self.ctx.sources[source].fetch(name), f"{source}:{name}")
        if self.fails_on_bad_rows and not bad.is_empty():
            raise _bad_rows(bad)
        self.bad[part] = bad
        self._check_markets(batch, name)
        return contribution(batch, self.universe)

    def _check_markets(self, batch: Batch, part: str) -> None:
        """Raise BadInput where the markets of a batch are unknown or of the other kind."""
        import polars as pl

        ids = batch.frame.select(pl.col("market_id").unique(maintain_order=True))
        seen = ids.join(self.universe, on="market_id", how="left")
        unknown = seen.filter(pl.col("_market").is_null()).get_column("market_id").sort().to_list()
        if unknown:
            raise BadInput(
                f"ticks of {len(unknown)} markets that are not in the universe: {', '.join(unknown[:_SHOWN])}",
                where=part,
                mend="run again (markets are then listed anew); if it stays, the source does not list them",
            )
        has_interval = pl.col("interval_seconds").is_not_null()
        odd = seen.filter(~has_interval if batch.kind == "bars" else has_interval).get_column("market_id").to_list()
        if odd:
            have, want = ("bars", "single ticks") if batch.kind == "bars" else ("single ticks", "bars")
            raise BadInput(
                f"the part has {have} of {odd[0]}, which elsewhere is a market of {want}",
                where=part,
                mend="give the bars another market name than the single ticks, or take only one of them",
            )

    def _take(self, part: PartId, found: Contribution, pairs: set[Pair]) -> None:
        import polars as pl

        for key, rows in found.pick(pairs):
            self.spill.add(key, rows.with_columns(pl.lit(self.ranks[part], pl.UInt32).alias("_part")))
        self.taken.setdefault(part, set()).update(pairs)

    def _build(self, key: str, affected: set[str], unaffected: set[str]) -> pl.DataFrame:
        """Partition `key`: affected markets merged anew, the others as they were."""
        import polars as pl

        frames = []
        rows = self.spill.take(key)
        if rows is not None:
            frames.append(merge(rows))
        if unaffected:
            assert self.ctx.previous is not None
            others = self.universe.filter(pl.col("market_id").is_in(list(unaffected)))
            frames.append(unfinish(self.ctx.lake.read_table(self.ctx.previous.by_key[key]), others))
        return finish(pl.concat(frames).sort("_market", "ts", "seq"), self.universe)

    def _write_quarantine(self) -> None:
        """List the rows left out: those of the parts read now, and the known ones of parts that were not."""
        import polars as pl

        frames = list(self.bad.values())
        previous = None if self.ctx.previous is None else self.ctx.previous.by_key.get(QUARANTINE_KEY)
        if previous is not None and len(self.bad) < len(self.records):
            unread = [f"{source}:{name}" for source, name in self.records.keys() - self.bad.keys()]
            frames.append(self.ctx.lake.read_table(previous).filter(pl.col("part").is_in(unread)))
        table = pl.concat(frames) if frames else pl.DataFrame()
        if not table.is_empty():
            self.ctx.write_table(QUARANTINE_KEY, table, sort_by=("part",))


def _split(batch: Batch, part: str) -> tuple[Batch, pl.DataFrame]:
    """A batch without the rows that break a rule, and those rows as `part`, `row`, `rule`, `text`."""
    import polars as pl

    columns = BAR_COLUMNS if batch.kind == "bars" else {k: v for k, v in TICK_COLUMNS.items() if k != "synthetic"}
    if dict(batch.frame.schema) != frame_schema(columns):
        raise PipelineError(
            f"the source gave columns {dict(batch.frame.schema)}",
            where=part,
            mend=f"a source's fetch() gives {', '.join(columns)} with the types of pipelines.source",
        )
    rule = batch.frame.select(broken_rule(batch.kind).alias("rule")).to_series()
    named = pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS)) if batch.quarantined is None else batch.quarantined
    if rule.null_count() < batch.frame.height:
        numbered = batch.frame.with_row_index("_row", 1)
        found = numbered.filter(rule.is_not_null()).select(
            pl.format("row {}", "_row").alias("where"),
            rule.drop_nulls(),
            pl.struct(batch.frame.columns).struct.json_encode().alias("row"),
        )
        named = pl.concat([named, found])
        batch = Batch(batch.kind, batch.frame.filter(rule.is_null()))
    return batch, named.select(pl.lit(part).alias("part"), pl.col("where").alias("row"), "rule", text=pl.col("row"))


def _bad_rows(bad: pl.DataFrame) -> BadInput:
    count = "a row breaks a rule" if bad.height == 1 else f"{bad.height} rows break a rule, the first"
    shown = [f"{row}: {rule}: {text}" for row, rule, text in bad.select("row", "rule", "text").head(_SHOWN).iter_rows()]
    # The first line stands alone wherever there is room for one only: it names the row and the rule.
    first = f"{count}: {bad.item(0, 'row')}: {bad.item(0, 'rule')}"
    more = [f"and {bad.height - _SHOWN} more"] if bad.height > _SHOWN else []
    return BadInput(
        "\n    ".join([first, *shown, *more]),
        where=bad.item(0, "part"),
        mend='correct the data, or set on_bad_rows = "quarantine" under [ticks] to leave such rows out and list them',
    )
