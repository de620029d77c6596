"""The four verdicts, their order, and what may be traded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.assessment import Verdict, assess
from pipelines.evaluation.evidence import PRICE, REVERSAL, VOLATILITY
from tests.unit.pipelines.evaluation.made import evidence, skilled


def test_noise_has_no_edge() -> None:
    found = assess(evidence())
    assert found.verdict is Verdict.NO_EDGE
    assert not found.tradable
    assert found.reason == "NO EDGE: nothing that chance does not show"


def test_skill_that_pays_is_tradable() -> None:
    found = assess(skilled())
    assert found.verdict is Verdict.EDGE
    assert found.tradable
    assert found.reason == ""
    assert found.sentence.startswith("EDGE: information coefficient 0.")


def test_skill_below_costs_says_what_it_breaks_even_at() -> None:
    found = assess(skilled(cost=np.full(3000, 0.02)))
    assert found.verdict is Verdict.EDGE
    assert not found.tradable
    even = found.figures.earnings.break_even_bps
    assert even is not None
    assert found.reason == f"EDGE, below costs: breaks even at {even:.1f} bp per fill"
    again = assess(skilled(cost=np.full(3000, 2 * even * 1e-4)))
    assert again.figures.earnings.net is not None
    assert again.figures.earnings.net.value == pytest.approx(0, abs=1e-12)


def test_worse_than_base_comes_first_even_where_the_direction_is_known() -> None:
    sure = skilled()
    loud = skilled(probability=np.clip(0.5 + 400 * sure.expected, 0.001, 0.999))
    found = assess(loud)
    assert found.figures.ic is not None
    assert found.figures.ic.low > 0
    assert found.verdict is Verdict.WORSE
    assert found.sentence.startswith("WORSE THAN BASE: Brier score +0.")


@pytest.mark.parametrize(("blocks", "verdict"), [(9, Verdict.NO_EDGE), (10, Verdict.EDGE)])
def test_fewer_than_ten_blocks_are_too_short_to_say(blocks: int, verdict: Verdict) -> None:
    found = assess(skilled(block=np.arange(3000) * blocks // 3000))
    assert found.verdict is verdict
    assert ("too short to say" in found.sentence) is (blocks < 10)


def test_volatility_alone_is_no_edge() -> None:
    rng = np.random.default_rng(1)
    volatility = rng.uniform(0.001, 0.02, 3000)
    realised = rng.normal(0, 1, 3000) * volatility
    label = (realised > 0.005).astype(float)
    found = assess(
        evidence(
            label=label,
            realised=realised,
            probability=np.clip(label.mean() + 12 * (volatility - 0.0105), 0.01, 0.9),
            baselines={"base rate": np.full(3000, label.mean())},
        )
    )
    assert found.verdict is Verdict.VOLATILITY_ONLY
    assert not found.tradable
    assert "not which way" in found.reason


def test_an_edge_must_beat_volatility_and_hour() -> None:
    good = skilled()
    baselines = {**good.baselines, VOLATILITY: good.probability}
    assert assess(skilled(baselines=baselines)).verdict is Verdict.VOLATILITY_ONLY
    baselines[VOLATILITY] = np.full(3000, 0.31)
    assert assess(skilled(baselines=baselines)).verdict is Verdict.EDGE


def test_an_outcome_that_the_price_knows_as_well_is_no_volatility() -> None:
    good = skilled()
    sharper = {**good.baselines, PRICE: np.clip(good.label * 0.9 + 0.05, 0, 1)}
    binary = np.ones(3000, dtype=bool)
    found = assess(skilled(baselines=sharper, is_binary=binary, to_resolution=True))
    assert found.verdict is Verdict.NO_EDGE
    assert "does not beat the market's price (Brier +" in found.sentence


def test_skill_that_fades_within_a_bar_is_said() -> None:
    good = skilled()
    quick = skilled(later={1: np.random.default_rng(1).normal(size=3000), 5: good.realised})
    assert "; most of it gone when the entry comes one bar later" in assess(quick).sentence
    assert "gone when" not in assess(skilled(later={1: good.realised, 5: good.realised})).sentence


def test_on_binary_markets_an_edge_must_beat_the_price() -> None:
    good = skilled()
    binary = np.ones(3000, dtype=bool)
    sharper = np.clip(good.label * 0.9 + 0.05, 0, 1)
    baselines = {**good.baselines, PRICE: sharper}
    assert assess(skilled(baselines=baselines, is_binary=binary)).verdict is Verdict.VOLATILITY_ONLY
    baselines[PRICE] = np.full(3000, 0.31)
    assert assess(skilled(baselines=baselines, is_binary=binary)).verdict is Verdict.EDGE


def test_a_known_effect_explains_an_edge_and_does_not_take_it_away() -> None:
    good = skilled()
    found = assess(skilled(beyond_by={REVERSAL: good.beyond}))
    assert found.verdict is Verdict.EDGE
    assert found.tradable
    assert found.sentence.endswith("; mostly reversal")


def test_skill_that_is_gone_one_bar_later_is_seen() -> None:
    good = skilled()
    stale = np.random.default_rng(2).normal(size=3000)
    assert assess(skilled(later={1: stale})).figures.fades
    assert not assess(skilled(later={1: good.realised})).figures.fades


def test_without_rows_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no out-of-fold rows"):
        assess(evidence().where(np.zeros(3000, dtype=bool)))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    whole = skilled(rows=400)
    order = np.random.default_rng(seed).permutation(400)
    one, two = assess(whole), assess(whole.where(order))
    assert one.verdict is two.verdict
    assert one.figures.brier.low == pytest.approx(two.figures.brier.low)
    assert one.figures.ic is not None
    assert two.figures.ic is not None
    assert one.figures.ic.low == pytest.approx(two.figures.ic.low)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.0, 0.001, 0.05]))
def test_only_an_edge_that_pays_is_tradable(seed: int, blocks: int, cost: float) -> None:
    make = skilled if seed % 2 else evidence
    found = assess(make(seed, 200, block=np.arange(200) % blocks, cost=np.full(200, cost)))
    net = found.figures.earnings.net
    assert found.tradable == (found.verdict is Verdict.EDGE and net is not None and net.value > 0)
    assert found.tradable == (found.reason == "")
    assert found.sentence
