"""JSON as tables: lines of records, or one array of them. Times stay the text that they are."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def read_json_lines(data: bytes) -> pl.DataFrame:
    """Lines of JSON as a table, its columns from all lines. Raises ValueError or a PolarsError for other content."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.json

    options = pyarrow.json.ReadOptions(block_size=len(data) + 1)  # one block: a column's type is from all of its lines
    try:
        lines = pyarrow.json.read_json(pa.BufferReader(data), read_options=options)
        as_written = pa.schema([field.with_type(_without_times(field.type)) for field in lines.schema])
        if as_written != lines.schema:
            # Arrow takes text for times and drops their zone: it is to stay the text that it is.
            parsing = pyarrow.json.ParseOptions(explicit_schema=as_written)
            lines = pyarrow.json.read_json(pa.BufferReader(data), read_options=options, parse_options=parsing)
        table = pl.from_arrow(lines)
    except pa.ArrowInvalid as error:
        # Polars makes text of a column with values of several types, so that the odd ones can be named; it takes
        # 25 times as long to infer the columns (measured on a stream of 1.9 MB: 1.8 s).
        if "changed from" not in str(error):
            raise _with_line(data) or error from error
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    assert isinstance(table, pl.DataFrame)
    return table


def _with_line(data: bytes) -> ValueError | None:
    """The first line that is no JSON, and why; None where each is."""
    for number, line in enumerate(data.splitlines(), 1):
        try:
            json.loads(line or b"null")
        except ValueError as error:
            return ValueError(f"line {number} is no JSON: {error}")
    return None


def _without_times(kind: Any) -> Any:
    """An Arrow type with text in place of times, at any depth."""
    import pyarrow as pa

    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    return kind


def read_json_array(data: bytes) -> pl.DataFrame:
    """One array as a table: of records, or of arrays, whose columns are then column_1, column_2 and so on.

    Raises ValueError or a PolarsError for other content.
    """
    import polars as pl

    rows = json.loads(data)
    if not isinstance(rows, list):
        raise ValueError("it is no array of rows; where records lie deeper, write one of them on each line (.jsonl)")
    if all(isinstance(row, list) for row in rows):
        width = max(map(len, rows), default=0)
        names = [f"column_{number}" for number in range(1, width + 1)]
        padded = [row + [None] * (width - len(row)) for row in rows]
        return pl.DataFrame(padded, schema=names, orient="row", infer_schema_length=None, strict=False)
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    return read_json_lines(lines)
