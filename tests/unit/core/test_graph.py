"""Order and reach of the graph."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.graph import downstream_of, order, upstream_of
from agent.core.model import Spec
from agent.errors import UsageError
from pipelines.errors import SettingsError
from pipelines.snapshot import EVERYTHING


def graph(**upstream: str) -> dict[str, Spec]:
    return {name: Spec(name, dict.fromkeys(reads.split(), EVERYTHING)) for name, reads in upstream.items()}


BUILT_IN = graph(
    backtest="features model",
    features="ticks markets",
    inference="features model markets",
    markets="",
    model="features",
    publish="markets ticks features model inference backtest",
    ticks="markets",
)


def test_built_in_components_come_in_the_order_of_the_seed_whatever_order_they_are_found_in() -> None:
    names = list(BUILT_IN)
    for seed in range(20):
        random.Random(seed).shuffle(names)
        shuffled = {name: BUILT_IN[name] for name in names}
        assert order(shuffled) == ("markets", "ticks", "features", "model", "inference", "backtest", "publish")


def test_reach_includes_the_names_themselves() -> None:
    assert upstream_of(BUILT_IN, ["model"]) == {"markets", "ticks", "features", "model"}
    assert downstream_of(BUILT_IN, ["model"]) == {"model", "inference", "backtest", "publish"}
    assert upstream_of(BUILT_IN, []) == frozenset()


def test_unknown_names_are_named() -> None:
    with pytest.raises(SettingsError, match="component 'features' reads 'tikcs'") as caught:
        order(graph(features="tikcs"))
    assert "features" in caught.value.where
    with pytest.raises(UsageError, match="there is no component 'tikcs'") as caught:
        upstream_of(graph(features="tikcs"), ["features"])
    assert caught.value.where == "upstream of component features"
    with pytest.raises(UsageError, match="'modle'") as caught:
        upstream_of(BUILT_IN, ["modle"])
    assert "model" in caught.value.fix


def test_a_circle_is_named_without_what_merely_hangs_on_it() -> None:
    with pytest.raises(SettingsError, match=r"a → b → c → a|b → c → a → b|c → a → b → c") as caught:
        order(graph(a="b root", b="c", c="a", root="", reader="a"))
    assert "root" not in str(caught.value)
    assert "reader" not in str(caught.value)


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.sets(st.integers(0, 7)), min_size=n, max_size=n)))
def test_everything_comes_after_what_it_reads(reads: list[set[int]]) -> None:
    specs = {
        str(number): Spec(str(number), {str(up): EVERYTHING for up in ups if up < number})
        for number, ups in enumerate(reads)
    }
    found = order(specs)
    assert sorted(found) == sorted(specs)
    assert all(found.index(up) < found.index(name) for name, spec in specs.items() for up in spec.upstream)
    for name in specs:
        assert all((other in upstream_of(specs, [name])) == (name in downstream_of(specs, [other])) for other in specs)
