"""A part as it comes from its source: which rows are good, which break a rule, and which bars are still running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.errors import BadInput, PipelineError
from pipelines.source import BAR_COLUMNS, QUARANTINE_COLUMNS, TICK_COLUMNS, Batch, broken_rule, frame_schema

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 5  # bad rows shown in an error, and markets


@dataclass(frozen=True)
class Intake:
    """A part's good rows, the bad ones as part, row, rule, text, and how many bars were still running."""

    batch: Batch
    bad: pl.DataFrame
    running: int


def take_in(batch: Batch, part: str, universe: pl.DataFrame) -> Intake:
    """Sort out the rows of `part`. Raises PipelineError for a frame of other columns, BadInput for rows of a market
    that `universe` (see tick_parts.frames.ranked) lacks or knows as one of the other kind."""
    import polars as pl

    columns = frame_schema(BAR_COLUMNS if batch.kind == "bars" else TICK_COLUMNS)
    if dict(batch.frame.schema) != columns:
        raise PipelineError(
            f"the source gave columns {dict(batch.frame.schema)}",
            where=part,
            mend=f"a source's fetch() gives {', '.join(columns)} with the types of pipelines.source",
        )
    binary = universe.filter(pl.col("kind") == "binary").get_column("market_id")
    highest = pl.col("high" if batch.kind == "bars" else "price")
    is_odd = (highest > 1) & pl.col("market_id").is_in(binary.implode())
    beyond = pl.when(is_odd).then(pl.lit("the price of a binary market is above 1"))
    rule = batch.frame.select(pl.coalesce(broken_rule(batch.kind), beyond).alias("rule")).to_series()
    named = pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS)) if batch.quarantined is None else batch.quarantined
    if rule.null_count() < batch.frame.height:
        named = pl.concat([named, _broken(batch, rule)])
        batch = batch.only(rule.is_null())
    bad = named.select(pl.lit(part).alias("part"), pl.col("where").alias("row"), "rule", text=pl.col("row"))
    batch, running = _without_running(batch)
    _check_markets(batch, part, universe)
    return Intake(batch, bad, running)


def _broken(batch: Batch, rule: pl.Series) -> pl.DataFrame:
    import polars as pl

    numbers = rule.is_not_null().arg_true().to_list()
    return batch.frame.filter(rule.is_not_null()).select(
        pl.Series("where", [batch.place(number) for number in numbers], dtype=pl.String),
        rule.drop_nulls(),
        pl.struct(batch.frame.columns).struct.json_encode().alias("row"),
    )


def _without_running(batch: Batch) -> tuple[Batch, int]:
    """The batch without bars that were not over when it was written, and how many those are.

    Where even the first bar began after the part was written, its time of change says nothing (archives and images set
    it to a fixed one), and all bars count.
    """
    if batch.kind != "bars" or batch.written_at is None or batch.frame.is_empty():
        return batch, 0
    first = batch.frame.get_column("start").min()
    assert isinstance(first, datetime)
    if first > batch.written_at:
        return batch, 0
    is_over = batch.frame.get_column("end") <= batch.written_at
    running = batch.frame.height - int(is_over.sum())
    return (batch.only(is_over) if running else batch), running


def _check_markets(batch: Batch, part: str, universe: pl.DataFrame) -> None:
    """Raise BadInput where the markets of a batch are unknown or of the other kind."""
    import polars as pl

    ids = batch.frame.select(pl.col("market_id").unique(maintain_order=True))
    seen = ids.join(universe, on="market_id", how="left")
    unknown = seen.filter(pl.col("_market").is_null()).get_column("market_id").sort().to_list()
    if unknown:
        raise BadInput(
            f"ticks of {len(unknown)} markets that are not in the universe: {', '.join(unknown[:_SHOWN])}",
            where=part,
            mend="run again (markets are then listed anew); if it stays, the source does not list them",
        )
    has_interval = pl.col("interval").is_not_null()
    odd = seen.filter(~has_interval if batch.kind == "bars" else has_interval).get_column("market_id").to_list()
    if odd:
        have, want = ("bars", "single ticks") if batch.kind == "bars" else ("single ticks", "bars")
        raise BadInput(
            f"the part has {have} of {odd[0]}, which elsewhere is a market of {want}",
            where=part,
            mend="give the bars another market name than the single ticks, or take only one of them",
        )


def bad_rows(bad: pl.DataFrame) -> BadInput:
    """The error for rows that break a rule, where none may."""
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
