"""Torture 2: killed at random times, again and again, while data are appended."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest

from tests.torture.world import World

pytestmark = pytest.mark.torture


@pytest.mark.parametrize("kind", ["inline", "processes"])
def test_killed_at_random_times(world: World, kind: str, is_long: bool, seed: int, figures: Counter[str]) -> None:
    if kind == "processes" and not is_long:
        pytest.skip("the bounded form kills with inline computing alone: a child takes a second to start")
    draw = random.Random(seed)
    world.kind = kind
    world.settings()
    rounds = (200 if kind == "inline" else 30) if is_long else 12
    started = time.monotonic()
    world.run()
    longest = time.monotonic() - started
    days, kills = 2, 0
    name = f"2 {'SQLite' if world.url.startswith('sqlite') else 'PostgreSQL'}, {kind}"
    for number in range(1, rounds + 1):
        if draw.random() < 0.7:
            days += draw.random() < 0.5
            world.write(draw.randint(max(1, days - 3), days), draw.choices(range(100), k=5))
        victim = world.start_run()
        victim.wait_at_most(draw.uniform(0, longest))
        victim.kill()
        killed = victim.wait() == -signal.SIGKILL
        kills += killed
        longest *= 1.1 if killed else 0.9  # about as long as a run takes now, on this machine
        figures[f"{name}: rounds"] += 1
        figures[f"{name}: kills"] += killed
        if number % 20 == 0 or number == rounds:
            try:
                world.run()
                world.require_sound()
            except AssertionError as error:
                error.add_note(f"seed {seed}, round {number}")
                raise
            figures[f"{name}: recoveries"] += 1
    figures[f"{name}: attempts left by the dead and closed"] += world.attempts("crashed")
    assert kills > rounds / 4
