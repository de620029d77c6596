"""CSV that a spreadsheet only shows: a cell of text that it would take for a formula gets a leading apostrophe.

Excel, LibreOffice and others run what begins with = + - @ (or a tab or line break before it). Names and questions of
markets come from other people's data, and so do rows in quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_STARTS = r"^[=+\-@\t\r\n]"


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with an apostrophe before each cell of text that begins with = + - @, a tab or a line break.

    Ids (`id`, `…_id`) and everything that is no text stay as they are: they are keys and numbers to the reader.
    """
    import polars as pl

    texts = [
        name
        for name, kind in frame.schema.items()
        if kind in (pl.String, pl.Categorical, pl.Enum) and name != "id" and not name.endswith("_id")
    ]
    cells = [pl.col(name).cast(pl.String) for name in texts]
    return frame.with_columns(
        pl.when(cell.str.contains(_STARTS)).then(pl.lit("'") + cell).otherwise(cell).alias(name)
        for name, cell in zip(texts, cells, strict=True)
    )
