"""What a spreadsheet would run gets an apostrophe; ids, numbers and everything else stay as they are."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.csv_text import neutralised


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://x")', "-"]
)
def test_a_formula_is_text(cell: str) -> None:
    frame = pl.DataFrame({"question": [cell], "kind": pl.Series([cell], dtype=pl.Categorical)})
    assert neutralised(frame).rows() == [("'" + cell, "'" + cell)]


def test_ids_numbers_and_plain_text_stay() -> None:
    frame = pl.DataFrame(
        {
            "market_id": ["=x"],
            "id": ["-x"],
            "price": [-1.5],
            "count": [-2],
            "name": ["a=b"],
            "none": [None],
            "empty": [""],
        }
    )
    assert neutralised(frame).equals(frame)


@given(st.lists(st.one_of(st.none(), st.text(max_size=5))))
def test_nothing_is_lost_and_nothing_is_a_formula(cells: list[str | None]) -> None:
    column = neutralised(pl.DataFrame({"name": pl.Series(cells, dtype=pl.String)})).get_column("name").to_list()
    for before, after in zip(cells, column, strict=True):
        assert after in (before, f"'{before}")
        assert not after or after[0] not in "=+-@\t\r\n"
