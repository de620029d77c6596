"""The leak test of labels: a label changes with nothing that comes after it was known, and is not known before.

At one cut, drawn from the data, the rows before it are labelled again: from bars and payouts that end there, and from
bars that go on with other prices. What was known at the cut must come out the same both times, and what was not known
must be unknown where the bars end. So what a fold trains on is what could be known when it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.modelling.labels import RESOLUTION, with_labels
from pipelines.snapshot import digest
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_KEYS = ["market_id", "ts"]
_COLUMNS = ("forward_return", "label", "label_end")
_SPANS = 20  # label windows before the cut that are labelled again


@dataclass(frozen=True)
class LabelsTested:
    """rows: labels known at the cut, 0 where the test was not possible; changed: labels that later bars change,
    or that were known too early."""

    rows: int
    changed: int


def find_label_leaks(
    bars: pl.DataFrame, spacing: pl.DataFrame, horizon_bars: int, markets: pl.DataFrame
) -> LabelsTested:
    """Test the labels of `bars`, which have market_id, ts, open and close; the rest as for with_labels."""
    import polars as pl

    labelled = with_labels(bars, spacing, horizon_bars, markets).select(*_KEYS, *_COLUMNS)
    ends = labelled.get_column("label_end").drop_nulls().unique().sort()
    if len(ends) < 2:
        return LabelsTested(0, 0)
    cut = ends[int(digest([str(bars.height), str(ends[-1])])[:8], 16) % (len(ends) - 1)]
    span = max(horizon_bars, 1) + 2
    is_before = pl.col("ts") <= cut
    order = bars.sort(_KEYS)
    before = order.filter(is_before).group_by("market_id", maintain_order=True).tail(_SPANS * span)
    if horizon_bars == RESOLUTION:  # an outcome may be known long after a market's last bars
        before = order.filter(is_before)
    after = order.filter(~is_before).group_by("market_id", maintain_order=True).head(2 * span)
    factor = pl.when(pl.int_range(pl.len()).over("market_id") % 2 == 0).then(3.0).otherwise(0.25)
    other = pl.concat([before, after.with_columns(pl.col("open", "close") * factor)]).sort(_KEYS)
    is_paid = pl.col("resolved_at") <= cut
    then = markets.with_columns(
        pl.when(is_paid).then(pl.col(name)).alias(name) for name in ("resolution", "resolved_at")
    )
    actual = labelled.join(before.select(_KEYS), on=_KEYS, how="semi")
    was_known = (pl.col("label_end") <= cut).fill_null(value=False)
    changed = 0
    for made, facts, only in ((before, then, pl.lit(value=True)), (other, markets, was_known)):
        again = with_labels(made, spacing, horizon_bars, facts).select(*_KEYS, *_COLUMNS)
        both = actual.join(again, on=_KEYS, how="left", suffix="_again").filter(only)
        expected = [pl.when(was_known).then(pl.col(name)) for name in _COLUMNS]
        differs = pl.any_horizontal(
            one.ne_missing(pl.col(f"{name}_again")) for one, name in zip(expected, _COLUMNS, strict=True)
        )
        changed += both.select(differs.sum()).item()
    known, unknown = (actual.filter(side).height for side in (was_known, ~was_known))
    return LabelsTested(known if unknown else 0, changed)
