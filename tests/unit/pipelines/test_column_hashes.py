"""The content hash of a column: values and type count, and nothing of how they lie in memory."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.column_hashes import column_hashes

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.Float64: st.floats(),
    pl.Float32: st.floats(width=32),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.Int8: st.integers(-128, 127),
    pl.Boolean: st.booleans(),
    pl.String: st.sampled_from(["", "a", "b", "ab", "é"]),
    pl.Date: st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    pl.List(pl.Float64): st.lists(st.sampled_from([0.5, 1.0]), max_size=2),
    pl.Enum(["x", "y"]): st.sampled_from(["x", "y"]),
    pl.Binary: st.binary(max_size=2),
}


@st.composite
def columns(draw: st.DrawFn) -> pl.Series:
    kind = draw(st.sampled_from(list(VALUES)))
    return pl.Series("c", draw(st.lists(st.none() | VALUES[kind], max_size=6)), dtype=kind)


def of(*values: Any, kind: Any = None) -> str:
    return column_hashes(pl.DataFrame({"c": pl.Series(values, dtype=kind)}))["c"]


def folded(series: pl.Series) -> list[Any]:
    """Values with which equal columns compare equal: NaN as a text, zero without a sign."""
    values = series.to_list()
    return ["nan" if isinstance(one, float) and one != one else one for one in values]


@given(columns(), columns())
def test_equal_columns_have_equal_hashes_and_others_do_not(one: pl.Series, two: pl.Series) -> None:
    is_same = one.dtype == two.dtype and folded(one) == folded(two)
    assert (of(*one, kind=one.dtype) == of(*two, kind=two.dtype)) == is_same


@given(columns(), st.data())
def test_the_cut_into_chunks_and_other_columns_do_not_count(column: pl.Series, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(column)))
    cut = pl.concat([column[:at], column[at:]], rechunk=False)
    frame = pl.DataFrame({"a": pl.Series(range(len(column)), dtype=pl.Int64), "c": cut, "z": column})
    hashes = column_hashes(frame)
    assert hashes["c"] == hashes["z"] == of(*column, kind=column.dtype)
    assert list(hashes) == ["a", "c", "z"]


def test_zero_has_one_hash_and_so_has_nan() -> None:
    assert of(0.0, 1.0) == of(-0.0, 1.0)
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    assert of(float("nan"), float("nan")) == column_hashes(pl.DataFrame({"c": odd}))["c"]
    assert of(-0.0, kind=pl.Float32) == of(0.0, kind=pl.Float32) != of(0.0, kind=pl.Float64)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([None, 0.0], [0.0, None]),
        (["a", "b"], ["ab", ""]),
        (["a", "a", "b"], ["a", "b", "b"]),
        (["", None], [None, ""]),
        ([1], [1.0]),
        ([True], [1]),
        ([datetime(2020, 1, 1, tzinfo=UTC)], [date(2020, 1, 1)]),
        ([], [None]),
    ],
)
def test_what_differs_has_another_hash(one: list[Any], two: list[Any]) -> None:
    assert of(*one) != of(*two)
