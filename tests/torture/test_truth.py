"""The truth tests in full: 300 simulated null sets and 50 with a little momentum (about ten CPU minutes). Their seeds
are others than those on which the estimators were chosen and which CI looks at."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.truth import momentum_shown, null_shown

IS_LONG = os.environ.get("TORTURE") == "long"
FIRST_SEED = 10_000
COVERING = ("covers", "covers_area", "covers_direction")
pytestmark = [pytest.mark.torture, pytest.mark.skipif(not IS_LONG, reason="the bounded form runs in make audit")]


def test_intervals_cover_and_noise_is_not_skill() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        shown = list(pool.map(null_shown, range(FIRST_SEED, FIRST_SEED + 300)))
    assert sum(one.verdict == "EDGE" for one in shown) <= 15
    covered = {name: sum(getattr(one, name) for one in shown) / len(shown) for name in COVERING}
    print(covered, Counter(one.verdict for one in shown))
    assert all(0.92 <= share <= 0.98 for share in covered.values()), covered


def test_a_coefficient_of_a_twentieth_is_found() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        shown = list(pool.map(momentum_shown, range(FIRST_SEED, FIRST_SEED + 50)))
    assert sum(one.verdict == "EDGE" for one in shown) >= 40
