"""A grid of tries: axes as they are typed, cells in an order that computes least, and a table of what differs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.try_grid import Axis, Cell, cells_of, read_axes, table_of, to_compute
from agent.errors import UsageError

ORDER = ("markets", "ticks", "features", "model", "inference", "backtest")


def test_axes_are_read_as_agent_toml_would() -> None:
    assert read_axes(["model.horizon_bars=1, 3,6", "model.learner=logistic,gbm", "a.b=true,0.5,'x,y'"]) == (
        Axis("model.horizon_bars", (1, 3, 6)),
        Axis("model.learner", ("logistic", "gbm")),
        Axis("a.b", (True, 0.5, "x,y")),
    )
    assert [axis.values for axis in read_axes(["a.b=x,y z", 'a.c="p,q","r"', "a.d=[1],[1,2]", "a.e=1979-05-27,a"])] == [
        ("x", "y z"),
        ("p,q", "r"),
        ([1], [1, 2]),
        ("1979-05-27", "a"),
    ]


@pytest.mark.parametrize(
    ("given_axes", "message"),
    [
        (["horizon=1,2"], "no axis"),
        (["model.horizon_bars"], "no axis"),
        (["model.horizon_bars="], "no axis"),
        (["model.a=1", "model.a=2"], "there twice"),
        (["model..a=1"], "no axis"),
        (["model.a= "], "no axis"),
        (["model.a=1,2,1"], "the value 1 twice"),
        (["model.a=1,1.0"], "twice"),
        (["model.a=[1],[1.0]"], "twice"),
        (["model.a=x,x"], "twice"),
        (["model.a=a,,b"], "empty value"),
        (["model.a=1,"], "empty value"),
        (['model.a="p,q",r'], "no list of values"),
        (["model.a=it's,this"], "no list of values"),
        (["model.a=[1,2],nan"], "no number"),
        (["model.a=1,inf"], "no number"),
        (["model.a=1", "model.a.b=2"], "there twice"),
        (["model.a.b=1", "model.a=2"], "there twice"),
        (["model.fixed=1,2"], "--set sets model.fixed"),
        (["model.fixed.a=1,2"], "--set sets model.fixed"),
    ],
)
def test_what_is_no_axis_is_refused(given_axes: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        read_axes(given_axes, fixed=["model.fixed"])
    assert found.value.exit_code == 2


def test_true_is_not_one() -> None:
    assert read_axes(["model.a=1,true"]) == (Axis("model.a", (1, True)),)


def test_a_typing_mistake_is_not_a_thousand_computations() -> None:
    with pytest.raises(UsageError, match="1,001 values"):
        read_axes(["model.a=" + ",".join(map(str, range(1001)))])
    with pytest.raises(UsageError, match="1,001 cells"):
        read_axes(["model.a=" + ",".join(f"'{number}'" for number in range(1001))])
    with pytest.raises(UsageError, match="1,600 cells"):
        read_axes([f"model.{key}=" + ",".join(map(str, range(40))) for key in "ab"])
    with pytest.raises(UsageError, match="1,600 cells"):
        cells_of([Axis("model.a", tuple(range(40))), Axis("model.b", tuple(range(40)))], ORDER)


axes = st.lists(
    st.tuples(st.sampled_from(ORDER), st.integers(1, 4)), min_size=1, max_size=4, unique_by=lambda one: one[0]
).map(lambda ones: [Axis(f"{name}.x", tuple(range(count))) for name, count in ones])


@given(axes)
def test_every_combination_is_a_cell_once_and_early_components_change_least(some: list[Axis]) -> None:
    cells = cells_of(some, ORDER)
    assert len(cells) == math.prod(len(axis.values) for axis in some)
    assert len({tuple(sorted(cell.items())) for cell in cells}) == len(cells)
    keys = sorted((axis.key for axis in some), key=lambda key: ORDER.index(key.partition(".")[0]))
    made: set[tuple[object, ...]] = set()
    before: tuple[object, ...] = ()
    for cell in cells:  # what a component reads comes from one run of cells: nothing is computed, left and needed again
        for depth in range(1, len(keys) + 1):
            prefix = tuple(cell[key] for key in keys[:depth])
            assert prefix == before[:depth] or prefix not in made
            made.add(prefix)
        before = tuple(cell[key] for key in keys)


@given(st.lists(st.sampled_from([None, "COMPLETED", "FAILED", "CANCELLED", "QUEUED", "RUNNING"])), st.integers(1, 5))
def test_a_budget_takes_the_first_that_are_neither_done_nor_under_way(states: list[str | None], most: int) -> None:
    cells = [Cell(f"g.{number}", {}, status) for number, status in enumerate(states)]
    wanted = [cell for cell in cells if cell.status in (None, "FAILED", "CANCELLED")]
    assert to_compute(cells, None) == wanted
    assert to_compute(cells, most) == wanted[:most]


def metrics(earned: float) -> dict[str, object]:
    return {"model": {"rows": 10}, "backtest": {"model": {"total_return": earned, "trades": 7}}}


def test_the_table_has_what_differs_and_is_sorted_by_value() -> None:
    cells = [
        Cell("g.1", {"model.a": 1, "model.b": 5}, "COMPLETED", metrics(-0.5), 1.0, 1000),
        Cell("g.2", {"model.a": 10, "model.b": 5}, "COMPLETED", metrics(10.25)),
        Cell("g.3", {"model.a": 9, "model.b": 5}, "COMPLETED", metrics(9.0)),
        Cell("g.4", {"model.a": 2, "model.b": 5}),
    ]
    names = [column.name for column in table_of(cells[:3]).columns]
    assert names == ["cell", "status", "model.a", "total return of the backtest", "seconds", "rows computed"]
    found = table_of(cells)
    assert [row[0][0] for row in found.sorted_by("total return of the backtest", is_descending=True).rows] == [
        "2",
        "3",
        "1",
        "4",
    ]
    assert [row[0][0] for row in found.sorted_by("total return of the backtest").rows] == ["1", "3", "2", "4"]
    assert [row[0][0] for row in found.sorted_by("model.a").rows] == ["1", "4", "3", "2"]
    assert found.sorted_by("no such column") == found
