"""The assessment on simulated markets whose truth is known: how often it claims skill where there is none, and finds it
where there is some. Seeds are fixed. The long form is tests/torture/test_truth.py."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.truth import Shown, momentum_shown, null_shown

NULL_SETS, MOMENTUM_SETS = 40, 4
LEAST_COVERED = 34  # of 40: fewer come out of intervals of 95 % once in 300 times
# Of areas, which cover 92 to 95 % on all sets: the long form has enough sets to say. Fewer than this come out of
# intervals of 95 % once in 7 700 times, and out of those of 92 %, the least that is taken, once in 270.
LEAST_COVERED_AREAS = 32


def _shown(make: object, number: int) -> list[Shown]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(make, range(number)))  # type: ignore[arg-type]


@pytest.mark.audit
def test_noise_is_seldom_taken_for_skill() -> None:
    shown = _shown(null_shown, NULL_SETS)
    assert sum(one.verdict == "EDGE" for one in shown) <= 4
    assert min(one.blocks for one in shown) >= 40
    assert sum(one.covers for one in shown) >= LEAST_COVERED
    assert sum(one.covers_area for one in shown) >= LEAST_COVERED_AREAS
    assert sum(one.covers_direction for one in shown) >= LEAST_COVERED_AREAS


@pytest.mark.audit
def test_a_little_momentum_is_found() -> None:
    shown = _shown(momentum_shown, MOMENTUM_SETS)
    assert sum(one.verdict == "EDGE" for one in shown) >= 3
