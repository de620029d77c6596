"""Torture 2: killed at random times, again and again, while data are appended."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from agent.store.database.engine import open_engine, reading
from agent.store.state import load_states
from tests.small import small_project
from tests.torture.world import Nursery, World

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
            world.write_new(draw.randint(max(1, days - 3), days), draw)
        victim = world.start_run()
        victim.wait_at_most(draw.uniform(0, longest))
        victim.kill()
        killed = victim.wait() == -signal.SIGKILL
        kills += killed
        longest *= 1.25 if killed else 0.8  # such that half of them are killed, on this machine, now
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
    assert kills >= rounds / 10  # by chance fewer than half: fewer than this would be no torture


def test_the_real_components_killed(
    tmp_path: Path, database_url: str, nursery: Nursery, is_long: bool, seed: int, figures: Counter[str]
) -> None:
    """The seven components on real files, killed at random times: the same versions as undisturbed."""
    if not is_long:
        pytest.skip("the bounded form kills small components alone: the real ones take seconds")
    draw = random.Random(seed)
    calm, project = tmp_path / "calm", tmp_path / "disturbed"
    for folder in (calm, project):
        folder.mkdir()
        small_project(folder)
    started = time.monotonic()
    undisturbed = nursery.start(calm, "orchestrator", [], calm / "output")
    assert undisturbed.wait() == 0, undisturbed.said()
    longest = time.monotonic() - started
    with (project / "agent.toml").open("a") as file:
        file.write(f"[database]\nurl = {json.dumps(database_url)}\n")
    kills = 0
    while kills < 10:
        force = ["--force", draw.choice(["ticks", "features", "model", "backtest"])] if draw.random() < 0.7 else []
        victim = nursery.start(project, "orchestrator", force, project / "output")
        victim.wait_at_most(draw.uniform(0, longest))
        victim.kill()
        killed = victim.wait() == -signal.SIGKILL
        kills += killed
        longest *= 1.25 if killed else 0.8
    last = nursery.start(project, "orchestrator", [], project / "output")
    assert last.wait() == 0, last.said()
    assert _versions(database_url) == _versions(f"sqlite:///{calm / '.tidemill' / 'state.sqlite'}"), f"seed {seed}"
    figures[f"2 {'SQLite' if database_url.startswith('sqlite') else 'PostgreSQL'}, real components: kills"] += kills


def _versions(url: str) -> dict[str, tuple[str, str]]:
    engine = open_engine(url)
    with reading(engine) as conn:
        states = load_states(conn)
    engine.dispose()
    return {name: (state.status, state.output_version or "") for name, state in states.items()}
