"""What `ticks` remembers of each source part: its token, and a hash of what it contributed to which partition.

Kept as a memo partition of the snapshot itself, so that memory and output are committed together or not at all.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

PartId = tuple[str, str]  # source, part
Pair = tuple[str, str]  # partition key, market_id
MEMO_KEY = ".parts"
_COLUMNS: Mapping[str, str] = {
    "source": "String",
    "part": "String",
    "token": "String",
    "key": "String",  # null in the row that stands for the part itself
    "market_id": "String",
    "kind": "String",
    "interval": "String",
    "grain": "Int8",
    "hash": "String",
    "replaced": "Int64",  # of its rows there, by later ones
    "repeated": "Int64",
    "counts": "String",  # JSON, in the row that stands for the part itself
}


@dataclass
class PartRecord:
    """One part as it was when its content went into the output. A token of None means: read it again.

    counts: what became of its rows before they were put together with those of other parts: read, filtered, running,
    quarantined. lost: pair -> how many of its rows were replaced by others, and how many repeat others.
    """

    token: str | None
    hashes: dict[Pair, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lost: dict[Pair, tuple[int, int]] = field(default_factory=dict)


def load(data: bytes | None, universe: pl.DataFrame | None) -> dict[PartId, PartRecord] | None:
    """The memo in `data`; None where there is none or it cannot be read, so that everything is read again.

    A part with a market that has meanwhile left `universe`, or has another kind, interval or partition span there,
    loses its token (without a universe none does): its ticks would come out differently.
    """
    import polars as pl

    if data is None:
        return None
    try:
        table = pl.read_parquet(io.BytesIO(data))
    except (OSError, pl.exceptions.PolarsError):
        return None
    if dict(table.schema) != _schema():
        return None
    facts = ("kind", "interval", "grain")
    if universe is None:
        return _records(table.with_columns(is_same=True))
    wanted = universe.select("market_id", *(pl.col(name).alias(f"now_{name}") for name in facts), known=True)
    seen = table.join(wanted, on="market_id", how="left", maintain_order="left")
    is_same = pl.all_horizontal(
        pl.col("known").fill_null(False), *(pl.col(name).eq_missing(pl.col(f"now_{name}")) for name in facts)
    )
    return _records(seen.with_columns(is_same=is_same))


def _records(table: pl.DataFrame) -> dict[PartId, PartRecord]:
    records: dict[PartId, PartRecord] = {}
    columns = ("source", "part", "token", "key", "market_id", "hash", "replaced", "repeated", "counts", "is_same")
    for source, part, token, key, market, text, replaced, repeated, counts, same in table.select(columns).iter_rows():
        record = records.setdefault((source, part), PartRecord(token))
        if key is None:
            record.counts = json.loads(counts)
        else:
            record.hashes[key, market] = text
            if replaced or repeated:
                record.lost[key, market] = (replaced, repeated)
            if not same:
                record.token = None
    return records


def dump(records: Mapping[PartId, PartRecord], universe: pl.DataFrame) -> bytes:
    """`records` as the bytes that `load` reads."""
    import polars as pl

    table = pl.DataFrame(list(_rows(records)), schema=_schema(exclude=("kind", "interval", "grain")), orient="row")
    table = table.join(universe.drop("_market"), on="market_id", how="left", maintain_order="left")
    buffer = io.BytesIO()
    table.select(*_COLUMNS).write_parquet(buffer)
    return buffer.getvalue()


def _rows(records: Mapping[PartId, PartRecord]) -> Iterable[tuple[str | int | None, ...]]:
    for (source, part), record in sorted(records.items()):
        yield source, part, record.token, None, None, None, None, None, json.dumps(record.counts)
        for (key, market), text in sorted(record.hashes.items()):
            yield source, part, record.token, key, market, text, *record.lost.get((key, market), (0, 0)), None


def _schema(exclude: tuple[str, ...] = ()) -> dict[str, pl.DataType]:
    import polars as pl

    return {name: getattr(pl, kind) for name, kind in _COLUMNS.items() if name not in exclude}
