"""Tables that describe markets: which columns are what, and to which prices they belong."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.data.guessing.look import Look, as_numbers
from pipelines.data.guessing.meaning import Meaning, ids_of
from pipelines.data.guessing.times import find_times
from pipelines.data.guessing.words import end_name, folded, outcome_names, question_name, resolved_names
from pipelines.errors import BadInput

if TYPE_CHECKING:
    pass


def key_of(look: Look, other: Meaning | None) -> tuple[str, ...] | None:
    """The fewest columns that tell the rows of a table of markets apart, of those that the prices have too."""
    import polars as pl

    ids = ids_of(look)
    if other is not None:
        ids = [name for name in ids if name in other.look.names]
    for count in (1, 2, 3):
        for names in combinations(ids, count):
            rows = look.table.select(names).drop_nulls()
            if rows.is_duplicated().any():
                continue
            if other is None:
                return names
            mine = rows.select(pl.col(name).cast(pl.String) for name in names)
            theirs = other.look.table.select(pl.col(name).cast(pl.String) for name in names).unique()
            if count == 1 and not folded(names[0]).startswith("market") and len(ids) > 1:
                continue  # a part of the name, which happens to be unique
            if theirs.join(mine, on=list(names), how="semi").height >= 0.5 * theirs.height:
                return names
    return None


def table_settings(look: Look, key: tuple[str, ...], unsure: list[str]) -> dict[str, Any] | None:
    """Settings of a dataset's `markets`, but the path; None where the outcome cannot be read."""
    found: dict[str, Any] = {"id": key[0] if len(key) == 1 else "-".join(f"{{{name}}}" for name in key)}
    question = question_name(look.names)
    if question is not None:
        found["question"] = question
    outcome = next((name for name in outcome_names(look.names) if _is_outcome(look, name)), None)
    end = end_name(look.names)
    resolved = _latest(look, resolved_names(look.names))
    if outcome is not None:
        found["outcome"] = outcome
        if resolved is None and end is not None:
            resolved = end
            unsure.append(f"no column says when an outcome became known: {end!r} is taken")
        if resolved is None:
            del found["outcome"]
            unsure.append(f"the outcome {outcome!r} is left out: nothing says when it became known")
    if end is not None:
        found["end"] = end
    if "outcome" in found:
        found["resolved_at"] = resolved
    for name in {one for one in (end, found.get("resolved_at")) if one is not None}:
        times = find_times(look.table.filter(look.table.get_column(name).is_not_null()), [name])
        if times is not None:
            found |= {one: times.settings[one] for one in ("ts_unit", "ts_format", "timezone") if one in times.settings}
    return found


def _is_outcome(look: Look, name: str) -> bool:
    import polars as pl

    kind = look.table.schema[name]
    if not (kind.is_numeric() or kind in (pl.String, pl.Boolean)):
        return False
    values = as_numbers(look.table, name, {}).drop_nulls()
    return len(values) > 0 and bool(values.is_between(0, 1).all())


def _latest(look: Look, names: list[str]) -> str | None:
    """Of several times of resolution the one that is never earlier than the others: nothing is then used too early."""
    import polars as pl

    best: tuple[float, str] | None = None
    for name in names:
        given = look.table.filter(look.table.get_column(name).is_not_null())
        if given.is_empty() or find_times(given, [name]) is None:
            continue
        middle = find_times(given, [name]).instants.cast(pl.Int64).mean()  # type: ignore[union-attr]
        if isinstance(middle, float) and (best is None or middle > best[0]):
            best = (middle, name)
    return None if best is None else best[1]


def ends_too_early(look: Look, found: dict[str, Any], prices: Meaning, key: tuple[str, ...]) -> bool:
    """Whether prices go on after the end and before the outcome is known: then that end was a plan."""
    import polars as pl

    end, resolved = found.get("end"), found.get("resolved_at")
    if end is None or resolved is None or end == resolved:
        return False
    rules = TimeRules(found.get("ts_unit"), found.get("ts_format"), found.get("timezone") or "UTC")
    try:
        times = {
            "end": to_utc(look.table.get_column(end), rules, "")[0],
            "known": to_utc(look.table.get_column(resolved), rules, "")[0],
        }
    except BadInput:
        return False
    table = look.table.select(pl.col(name).cast(pl.String) for name in key).with_columns(**times)
    rows = prices.look.table.select(pl.col(name).cast(pl.String) for name in key).with_columns(ts=prices.times.instants)
    between = rows.join(table, on=list(key)).filter(
        (pl.col("ts") >= pl.col("end")) & ((pl.col("ts") < pl.col("known")) | pl.col("known").is_null())
    )
    return between.height > 0.001 * rows.height
