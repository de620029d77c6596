"""A part as it comes from its source: which rows are good, which break a rule, and which bars are still running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pipelines.data.tick_parts.frames import is_empty
from pipelines.data.tick_parts.offer import offer_of
from pipelines.errors import BadInput, PipelineError
from pipelines.source import (
    BAR_COLUMNS,
    QUARANTINE_COLUMNS,
    TICK_COLUMNS,
    Batch,
    Bulk,
    broken_rules,
    frame_schema,
    rules_broken,
)
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

OnBadRows = Literal["fail", "quarantine"] | tuple[str, ...]  # as [ticks] on_bad_rows says; the texts of rules
_SHOWN = 5  # bad rows shown in an error, and markets


@dataclass(frozen=True)
class Intake:
    """The good rows of some parts, the bad ones as part, row, rule, text, and how many bars were still running.

    of_part: number of each good row's part among the parts. running: of each part. broken: bad rows that the source had
    taken for good ones.
    """

    batch: Batch
    of_part: pl.Series
    bad: pl.DataFrame
    running: tuple[int, ...]
    broken: int

    def counts(self, bulk: Bulk, number: int) -> dict[str, int]:
        """What became of the rows of part `number` so far; empty for one that has none by its nature."""
        read = bulk.read[number]
        if read is None:
            return {}
        bad = self.bad.height  # only a part that comes alone has some
        filtered = read - bulk.lengths[number] - (bad - self.broken)
        return {"read": read, "filtered": filtered, "running": self.running[number], "quarantined": bad}


def take_in(source: str, bulk: Bulk, universe: pl.DataFrame) -> Intake | None:
    """Sort out the rows of some parts of `source`; None where several come together and one has a bad row: they are to
    be taken in one by one, so that it can be named.

    Raises PipelineError for a frame of other columns, BadInput for rows of a market that `universe` (see
    tick_parts.frames.ranked) lacks or knows as one of the other kind.
    """
    import polars as pl

    batch, part = bulk.batch, f"{source}:{bulk.parts[0]}"
    of_part = _repeated(bulk.lengths)
    columns = frame_schema(BAR_COLUMNS if batch.kind == "bars" else TICK_COLUMNS)
    if dict(batch.frame.schema) != columns:
        raise PipelineError(
            f"the source gave columns {dict(batch.frame.schema)}",
            where=part,
            fix=f"a source's fetch() gives {', '.join(columns)} with the types of pipelines.source",
        )
    quotes = [name for name in columns if name.startswith(("bid", "ask"))]
    has_quotes = not all(is_empty(batch.frame, name) for name in quotes)
    rule = rules_broken(batch.frame, broken_rules(batch.kind, *_bounds(universe), has_quotes=has_quotes))
    named = pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS)) if batch.quarantined is None else batch.quarantined
    count = 0 if rule is None else batch.frame.height - rule.null_count()
    if rule is not None:
        if len(bulk.parts) > 1:
            return None
        named = pl.concat([named, _broken(batch, rule)])
        batch, of_part = batch.only(rule.is_null()), of_part.filter(rule.is_null())
    bad = named.select(pl.lit(part).alias("part"), pl.col("where").alias("row"), "rule", text=pl.col("row"))
    is_over = _is_over(batch, of_part, bulk.written_at)
    running = (0,) * len(bulk.parts)
    if is_over is not None:
        left_out = Counter(of_part.filter(~is_over))
        running = tuple(left_out[number] for number in range(len(bulk.parts)))
        batch, of_part = batch.only(is_over), of_part.filter(is_over)
    _check_markets(batch, part, universe)
    return Intake(batch, of_part, bad, running, count)


def _bounds(universe: pl.DataFrame) -> tuple[pl.Expr | None, pl.Expr | None]:
    """Which rows are of binary markets, and which of markets whose price may be zero and below."""
    import polars as pl

    def is_one(kind: str) -> pl.Expr | None:
        ids = universe.filter(pl.col("kind") == kind).get_column("market_id")
        if ids.is_empty():
            return None
        return pl.lit(True) if len(ids) == universe.height else pl.col("market_id").is_in(ids.implode())

    return is_one("binary"), is_one("future")


def _broken(batch: Batch, rule: pl.Series) -> pl.DataFrame:
    import polars as pl

    numbers = rule.is_not_null().arg_true().to_list()
    return batch.frame.filter(rule.is_not_null()).select(
        pl.Series("where", [batch.place(number) for number in numbers], dtype=pl.String),
        rule.drop_nulls().alias("rule"),
        pl.struct(batch.frame.columns).struct.json_encode().alias("row"),
    )


def _repeated(lengths: Sequence[int]) -> pl.Series:
    import numpy as np
    import polars as pl

    return pl.Series(np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths))


def _is_over(batch: Batch, of_part: pl.Series, written_at: Sequence[datetime | None]) -> pl.Series | None:
    """Which bars were over when their part was written; None where all were.

    Where even the first bar of a part began after the part was written, its time of change says nothing (archives and
    images set it to a fixed one), and all its bars count.
    """
    import polars as pl

    if batch.kind != "bars" or batch.frame.is_empty() or all(one is None for one in written_at):
        return None
    known = pl.Series(written_at, dtype=pl.Datetime("us", "UTC")).gather(of_part)
    rows = batch.frame.select("start", "end", pl.lit(of_part).alias("part"), pl.lit(known).alias("written"))
    says_nothing = pl.col("start").min().over("part") > pl.col("written")
    over = (pl.col("end") <= pl.col("written")) | says_nothing
    is_over = rows.select(over.fill_null(True)).to_series()
    return None if is_over.all() else is_over


def _check_markets(batch: Batch, part: str, universe: pl.DataFrame) -> None:
    """Raise BadInput where the markets of a batch are unknown or of the other kind."""
    import polars as pl

    runs = batch.frame.get_column("market_id").rle().struct.field("value")
    ids = runs.unique(maintain_order=True).alias("market_id").to_frame()
    seen = ids.join(universe, on="market_id", how="left")
    unknown = seen.filter(pl.col("_market").is_null()).get_column("market_id").sort().to_list()
    if unknown:
        raise BadInput(
            f"ticks of {len(unknown)} markets that are not in the universe: {', '.join(unknown[:_SHOWN])}",
            where=part,
            fix="run again (markets are then listed again); if it stays, the source does not list them",
        )
    has_interval = pl.col("interval").is_not_null()
    odd = seen.filter(~has_interval if batch.kind == "bars" else has_interval).get_column("market_id").to_list()
    if odd:
        have, want = ("bars", "single ticks") if batch.kind == "bars" else ("single ticks", "bars")
        raise BadInput(
            f"the part has {have} of {odd[0]}, which elsewhere is a market of {want}",
            where=part,
            fix="give the bars another market name than the single ticks, or take only one of them",
        )


def stopping(bad: pl.DataFrame, on_bad_rows: OnBadRows) -> pl.DataFrame:
    """Those of the rows that break a rule which are to stop the run."""
    import polars as pl

    if on_bad_rows == "quarantine":
        return bad.clear()
    return bad.filter(~pl.col("rule").is_in(_left_out(on_bad_rows)).fill_null(False))


def _left_out(on_bad_rows: OnBadRows) -> list[str]:
    return [] if isinstance(on_bad_rows, str) else list(on_bad_rows)


def bad_rows(bad: pl.DataFrame, on_bad_rows: OnBadRows) -> BadInput:
    """The error for rows that break a rule, where they may not. It offers to leave out those like the first."""
    count = "a row breaks a rule" if bad.height == 1 else f"{bad.height} rows break a rule, the first"
    shown = [f"{row}: {rule}: {text}" for row, rule, text in bad.select("row", "rule", "text").head(_SHOWN).iter_rows()]
    offer = offer_of(bad.item(0, "rule"), _left_out(on_bad_rows))
    # The first line stands alone wherever there is room for one only: it names the row and the rule.
    first = f"{count}: {bad.item(0, 'row')}: {bad.item(0, 'rule')}"
    more = [f"and {bad.height - _SHOWN} more"] if bad.height > _SHOWN else []
    return BadInput(
        "\n    ".join([first, *shown, *more]),
        where=bad.item(0, "part"),
        fix=f"correct the data, or {offer} to leave such rows out and list them",
    )
