"""The order of components, in levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SettingsError
from pipelines.plugins.ordering import in_order, levels


def test_a_level_is_the_longest_way_and_the_later_name_goes_first() -> None:
    graph = {"a": [], "z": ["a"], "b": ["a"], "c": ["a", "z"]}
    assert levels(graph) == (("a",), ("z", "b"), ("c",))
    assert in_order(dict(reversed(graph.items()))) == ("a", "z", "b", "c")
    assert levels({}) == ()


@pytest.mark.parametrize(("graph", "circle"), [({"a": ["a"]}, "a → a"), ({"a": ["b"], "b": ["a"], "c": ["a"]}, "→ b")])
def test_a_circle_is_named(graph: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(SettingsError, match=circle) as caught:
        levels(graph)
    assert "c" not in caught.value.what.rpartition(":")[2].split(" → ")


@given(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=8))
def test_each_stands_one_level_below_the_lowest_that_it_reads(reads: list[set[int]]) -> None:
    graph = {str(number): [str(up) for up in ups if up < number] for number, ups in enumerate(reads)}
    depth = {name: number for number, level in enumerate(levels(graph)) for name in level}
    assert depth == {name: max((depth[up] + 1 for up in ups), default=0) for name, ups in graph.items()}
