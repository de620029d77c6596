"""Looks at the whole data before a release: is every market's data sound, and are bars still those of the sources?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.component import Input
from pipelines.data.checks import check_bars, check_source_bars
from pipelines.errors import ContractViolation

if TYPE_CHECKING:
    import polars as pl

_OWN, _MADE = "bars/", "bars/made/"


def broken_markets(features: Input) -> dict[str, str]:
    """Market -> the first rule of the data contract that its bars break; empty where all keep all. Looks at what
    changed since the last release: that one was refused unless the rest was sound."""
    found: dict[str, str] = {}
    for key in features.keys:
        if not key.startswith(_OWN) or key not in features.changed:
            continue
        check = check_bars if key.startswith(_MADE) else check_source_bars
        frame = features.lake.read_table(features.require(key))
        try:
            check(frame, key)
        except ContractViolation as all_of_them:
            for (market,), part in frame.group_by("market_id", maintain_order=True):
                try:
                    check(part, key)
                except ContractViolation as fault:
                    found.setdefault(str(market), fault.what)
            if not found:  # a rule between markets: the order of the rows
                found["every market"] = all_of_them.what
    return found


def newest_bars(
    features: Input, markets: pl.DataFrame, sources: Collection[str]
) -> dict[str, tuple[datetime, timedelta]]:
    """Source -> end and length of the newest bar of each of `sources` that has one. `markets` has market_id, source.

    Reads partitions from the newest backwards until every source was met.
    """
    import polars as pl

    found: dict[str, tuple[datetime, timedelta]] = {}
    bars = features.snapshot.select(_OWN)
    timed = sorted(((p.max_ts, p.key) for p in bars if p.max_ts is not None), reverse=True)
    names = markets.filter(pl.col("source").is_in(list(sources))).select("market_id", "source")
    for newest, key in timed:
        if found.keys() == set(sources) and all(end >= newest for end, _ in found.values()):
            break
        frame = features.read(key, ("market_id", "start", "end")).join(names, on="market_id")
        last = frame.sort("end", "start").group_by("source", maintain_order=True).last()
        for source, start, end in last.select("source", "start", "end").iter_rows():
            if source not in found or end > found[source][0]:
                found[source] = (end, end - start)
    return found


def scrambled_partitions(ticks: Input, features: Input) -> list[str]:
    """Partitions of the sources' bars that features neither refers to as they are nor has bars made of."""
    found = []
    for key in ticks.keys:
        if not key.startswith(_OWN):
            continue
        given, seen = ticks.require(key), features.partition(key)
        made = features.partition(_MADE + key.removeprefix(_OWN))
        is_same = seen is not None and seen.content_hash == given.content_hash
        if not is_same and (seen is not None or made is None):
            found.append(key)
    return found
