"""Torture 3 and 6: orchestrators, people, killers and gc at once; what must hold is read off the events."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter

import pytest

from tests.torture.crowd import Crowd
from tests.torture.world import COMPONENTS, World

pytestmark = pytest.mark.torture


def test_four_orchestrators_and_four_people(world: World, is_long: bool, seed: int, figures: Counter[str]) -> None:
    draw = random.Random(seed)
    kind = "SQLite" if world.url.startswith("sqlite") else "PostgreSQL"
    world.lease_seconds = 5
    world.settings()
    world.run()
    crowd = Crowd(120 if is_long else 3)
    marks: list[str] = []

    def orchestrate() -> None:
        process = world.start_run(*draw.choice([(), ("--wait",)]))
        status = process.wait()
        assert status in (0, 1, 3), f"exit {status}\n{process.said()}"
        assert "Traceback" not in process.said(), process.said()
        figures[f"3 {kind}: runs"] += 1
        figures[f"3 {kind}: runs told that another one is busy"] += status == 3

    def mark() -> None:
        text = f"mark-{len(marks)}-of-a-person"
        marks.append(text)
        process = world.start("agent", "mark-dirty", draw.choice(COMPONENTS), "--reason", text)
        assert process.wait() == 0, process.said()

    def cancel() -> None:
        for row in world.rows("SELECT id FROM runs WHERE status = 'RUNNING'")[:1]:
            process = world.start("agent", "cancel", str(row["id"]))
            assert process.wait() in (0, 3), process.said()
            figures[f"3 {kind}: cancelled"] += 1

    def append() -> None:
        world.write_new(draw.randint(1, 9), draw)

    def kill() -> None:
        process = world.start_run()
        process.wait_at_most(draw.uniform(0, 0.4))
        process.kill()
        process.wait()
        figures[f"3 {kind}: killed"] += 1

    for _ in range(4):
        crowd.add(orchestrate)
    for act, pause in ((mark, 0.2), (mark, 0.3), (cancel, 0.5), (append, 0.15), (kill, 0.7)):
        crowd.add(act, pause=pause)
    try:
        crowd.run()
        world.run("--wait")
        world.run("--wait")
        world.require_sound()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
    told = " ".join(
        reason for e in world.history() if e["payload"].get("phase") == "started" for reason in e["payload"]["reasons"]
    )
    assert [mark for mark in marks if mark not in told] == [], told
    figures[f"3 {kind}: marks by people, all honoured"] += len(marks)
    figures[f"3 {kind}: successes, none twice"] += world.attempts("succeeded")
    figures[f"3 {kind}: attempts left by the dead and closed"] += world.attempts("crashed")


def test_gc_beside_attempts(world: World, is_long: bool, seed: int, figures: Counter[str]) -> None:
    draw = random.Random(seed)
    kind = "SQLite" if world.url.startswith("sqlite") else "PostgreSQL"
    world.run()
    crowd = Crowd(120 if is_long else 2)
    lock = threading.Lock()

    def orchestrate() -> None:
        with lock:
            world.write_new(draw.randint(1, 4), draw)
        process = world.start_run(*draw.choice([(), ("--force", "sums")]))
        status = process.wait()
        assert status in (0, 3), f"exit {status}\n{process.said()}"
        figures[f"6 {kind}: runs beside gc"] += status == 0

    def kill() -> None:
        process = world.start_run()
        process.wait_at_most(draw.uniform(0, 0.4))
        process.kill()
        process.wait()
        figures[f"6 {kind}: attempts killed beside gc"] += 1

    def collect() -> None:
        world.collect(minutes=30)  # replaced outputs wait for readers a quarter, drafts for their writers an hour
        figures[f"6 {kind}: collections"] += 1

    crowd.add(orchestrate)
    crowd.add(orchestrate)
    crowd.add(kill, pause=0.3)
    crowd.add(collect)
    try:
        crowd.run()
        world.require_files()
        world.run("--wait")
        world.require_sound()
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise


def test_a_run_that_looked_long_ago_computes_nothing_that_another_one_has_computed_since(world: World) -> None:
    """It stands still with what it saw of the source, while newer data come in and are computed."""
    world.run()
    world.write_new(1, random.Random(1))
    late = world.start_run(fault={"point": "attempt.opening", "do": "stop"})
    late.wait_until_stopped()
    world.write_new(1, random.Random(2))
    world.run()
    late.signal(signal.SIGCONT)
    assert late.wait() == 0, late.said()
    world.require_sound()
    assert world.successes(world.history())["readings"] == 2
