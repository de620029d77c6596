"""Blocks and the intervals over them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipelines.evaluation.blocks import DAY, block_length, block_sums, numbered, time_blocks
from pipelines.evaluation.intervals import mean_interval, student_t

HOUR = DAY // 24


def test_a_block_is_a_day_or_twice_the_horizon() -> None:
    assert block_length(5 * HOUR) == DAY
    assert block_length(5 * DAY) == 10 * DAY
    ts = np.array([0, DAY - 1, DAY, 3 * DAY])
    assert time_blocks(ts, HOUR).tolist() == [0, 0, 1, 3]
    assert time_blocks(ts, DAY).tolist() == [0, 0, 0, 1]


def test_the_rows_of_an_event_are_one_block_whenever_they_are() -> None:
    ts = np.array([0, 0, 9 * DAY, 9 * DAY, 9 * DAY])
    got = numbered(ts, HOUR, ["a", None, "a", "b", None]).tolist()
    assert got[0] == got[2]
    assert len(set(got)) == 4


@given(
    st.lists(st.integers(0, 400 * DAY), min_size=1, max_size=60),
    st.integers(1, 30 * DAY),
)
def test_rows_of_one_block_are_no_farther_apart_than_its_length(moments: list[int], horizon: int) -> None:
    ts = np.array(moments)
    block = numbered(ts, horizon, [None] * len(ts))
    for one in np.unique(block):
        assert np.ptp(ts[block == one]) < block_length(horizon)
    assert block_sums(block, np.ones(len(ts))).sum() == len(ts)


def test_with_a_row_a_block_it_is_the_textbook_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, 14)
    got = mean_interval(values, np.arange(14))
    assert got is not None
    low, high = stats.t.interval(0.95, 13, loc=values.mean(), scale=stats.sem(values))
    assert (got.low, got.high) == pytest.approx((low, high))
    assert got.blocks == 14


def test_blocks_that_have_no_rows_do_not_count() -> None:
    values = np.arange(6.0)
    close, far = (mean_interval(values, np.array(blocks)) for blocks in ([0, 0, 1, 1, 2, 2], [0, 0, 7, 7, 90, 90]))
    assert close == far


@pytest.mark.parametrize("blocks", [[0, 0, 0], [4, 4, 4]])
def test_one_block_says_nothing_of_the_spread(blocks: list[int]) -> None:
    got = mean_interval(np.array([1.0, 2.0, 3.0]), np.array(blocks))
    assert got is not None
    assert (got.value, got.low, got.high) == (2.0, -math.inf, math.inf)
    assert got.to_json() == {"value": 2.0, "low": None, "high": None, "blocks": 1}


def test_no_rows_no_interval() -> None:
    assert mean_interval(np.empty(0), np.empty(0, dtype=int)) is None


def test_rows_that_move_together_widen_the_interval() -> None:
    shared = np.repeat(np.random.default_rng(2).normal(0, 1, 30), 20)
    together = mean_interval(shared, np.repeat(np.arange(30), 20))
    apart = mean_interval(shared, np.arange(600))
    assert together is not None
    assert apart is not None
    assert together.high - together.low > 4 * (apart.high - apart.low)


@pytest.mark.parametrize("blocks", [10, 14, 40])
def test_the_interval_covers_in_95_of_100(blocks: int) -> None:
    rng, draws, covered = np.random.default_rng(blocks), 1500, 0
    number = np.repeat(np.arange(blocks), 8)
    for _ in range(draws):
        values = rng.normal(0, 1, blocks).repeat(8) + rng.normal(0, 1, blocks * 8)
        got = mean_interval(values, number)
        assert got is not None
        covered += got.low < 0 < got.high
    assert 0.93 < covered / draws < 0.97


def test_student_t_has_heavy_tails_with_few_blocks() -> None:
    assert student_t(13) == pytest.approx(2.160, abs=1e-3)
    assert student_t(10_000) == pytest.approx(1.960, abs=1e-3)
    assert student_t(0) == math.inf
