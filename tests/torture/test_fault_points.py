"""Torture 1: killed at every named fault point, then run again: right, complete, and no trace left.

The points are those that the source names (`sys.audit("tidemill.point", …)`). Each scenario leads to a process that
passes some of them; that every point is passed by one is asserted, so that a new point cannot be forgotten.
"""

from __future__ import annotations

import ast
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.paths import PROJECT
from tests.torture.faults import points_in_source, read_log
from tests.torture.world import Process, World

pytestmark = pytest.mark.torture
# What writes where a crash may leave half a thing, in the files that write what must outlive one.
_WRITES = {"fsync", "write_bytes", "write_parquet", "replace", "symlink_to", "rmtree", "unlink"}
_WRITERS = ("src/pipelines/lake.py", "src/agent/execution/release.py", "src/agent/execution/upkeep/gc.py")
_IN_DATABASE = {"attempt", "commit", "transaction"}
_HELPERS = {"fsync_folder"}  # called between two points by those who need it


@dataclass(frozen=True)
class Scenario:
    """`prepare` leads up to the victim; `arguments` are the victim's; `during` acts while it runs; `after` undoes what
    would disturb the run that follows."""

    name: str
    prepare: Callable[[World], None] = lambda world: None
    arguments: tuple[str, ...] = ()
    program: str = "orchestrator"
    during: Callable[[World, Process], None] = lambda world, process: None
    after: Callable[[World], None] = lambda world: None
    kind: str = "inline"


def _again(world: World) -> None:
    """A second run with new data, after one that was killed."""
    world.run()
    killed = world.start_run("--force", "sums", fault={"point": "attempt.opened", "do": "kill"})
    assert killed.wait() == -signal.SIGKILL
    world.write(3, [7])


def _broken(world: World) -> None:
    world.run()
    world.flag("broken")
    world.write(3, [7])


def _mended(world: World) -> None:
    world.flag("broken", on=False)


def _slow(world: World) -> None:
    world.lease_seconds = 0.6
    world.settings()
    world.flag("slow")


def _quick(world: World) -> None:
    world.lease_seconds = 60.0
    world.settings()
    world.flag("slow", on=False)


def _stop_it(world: World, process: Process) -> None:
    """SIGTERM as soon as it computes."""
    while not process.is_over and not world.rows(
        "SELECT 1 FROM attempts WHERE component='totals' AND status='running'"
    ):
        pass
    if not process.is_over:
        process.signal(signal.SIGTERM)


def _altered(world: World) -> None:
    world.run()
    (release,) = (path for path in (world.folder / ".tidemill/releases").iterdir() if path.name != "current")
    (release / "metrics.json").write_text("{}")


def _litter(world: World) -> None:
    """Something for gc: replaced outputs, files of a dead attempt, an old release and its draft."""
    world.run()
    world.write(1, [100])
    killed = world.start_run(fault={"point": "release.moved", "do": "kill"})
    assert killed.wait() == -signal.SIGKILL
    world.write(1, [101])
    world.run()


SCENARIOS = (
    Scenario("first run"),
    Scenario("run after a killed one, with new data", _again),
    Scenario("failing", _broken, after=_mended),
    Scenario("release altered by hand", _altered, ("--force", "bulletin")),
    Scenario("gc", _litter, (str(24 * 60),), program="gc"),
    Scenario("long attempt", _slow, during=lambda world, process: _let_beat(world, process), after=_quick),
    Scenario("stopped", _slow, during=_stop_it, after=_quick),
    Scenario("in a child", kind="processes"),
)


def _let_beat(world: World, process: Process) -> None:
    """Let the slow component go on when the lease has been extended, or its process is dead."""
    log = world.folder / "points"
    while not process.is_over and "heartbeat.extended" not in read_log(log):
        pass
    world.flag("slow", on=False)


def _victim(world: World, scenario: Scenario, fault: dict[str, Any]) -> Process:
    """Lead up to the victim and start it; it has ended on return."""
    world.kind = scenario.kind
    world.settings()
    world.reset()
    scenario.prepare(world)
    log = world.folder / "points"
    log.unlink(missing_ok=True)
    arguments = (*(("--target", "bulletin") if scenario.program == "orchestrator" else ()), *scenario.arguments)
    process = world.start(scenario.program, *arguments, fault={**fault, "log": str(log)})
    scenario.during(world, process)
    process.wait()
    return process


def _passed(world: World) -> list[str]:
    return read_log(world.folder / "points")


def test_there_are_thirty_points_and_every_write_has_one() -> None:
    assert len(points_in_source()) >= 30
    bare = []
    for name in _WRITERS:
        tree = ast.parse((PROJECT / name).read_text(encoding="utf-8"))
        calls = {node: _called(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        with_point = {function.name for function, called in calls.items() if "audit" in called}
        bare += [
            f"{Path(name).name}:{function.lineno} {function.name}"
            for function, called in calls.items()
            if function.name not in _HELPERS and called & _WRITES and not called & {"audit", *with_point}
        ]
    assert not bare, f"they write, and have no point that a test could kill them at: {bare}"


def _called(function: ast.FunctionDef) -> set[str]:
    """Last part of the names of all that a function calls."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return {ast.unparse(call.func).rpartition(".")[2] for call in calls}


def test_killed_at_every_point(world: World, is_long: bool, figures: Counter[str]) -> None:
    is_sqlite = world.url.startswith("sqlite")
    left = dict(points_in_source())
    kind = "SQLite" if is_sqlite else "PostgreSQL"
    for scenario in SCENARIOS:
        _victim(world, scenario, {"do": "note"})
        scenario.after(world)
        passed = Counter(_passed(world))
        new = [point for point in passed if point in left]
        for point in new:
            del left[point]
            if not is_long and not is_sqlite and point.partition(".")[0] not in _IN_DATABASE:
                continue  # the bounded form does what is the same on both databases once
            for nth in sorted({*range(1, min(passed[point], 4) + 1), passed[point]}) if is_long else [1]:
                _kill_and_recover(world, scenario, point, nth, is_long)
                figures[f"1 {kind}: killed at a point and recovered"] += 1
        figures[f"1 {kind}: fault points"] += len(new)
    assert not left, f"no scenario passes these points: {left}"


def _kill_and_recover(world: World, scenario: Scenario, point: str, nth: int, is_long: bool) -> None:
    victim = _victim(world, scenario, {"point": point, "nth": nth, "do": "kill"})
    assert victim.wait() == -signal.SIGKILL, f"{point} ({nth}) in {scenario.name!r} was not reached:\n{victim.said()}"
    scenario.after(world)
    if not is_long:  # a child takes a second to start, and what is recovered from was left before it
        world.kind = "inline"
        world.settings()
    recovery = world.start_run()
    try:
        assert recovery.wait() == 0
        world.require_sound()
    except AssertionError as error:
        error.add_note(f"killed at {point} ({nth}) in {scenario.name!r}\n{victim.said()}\n{recovery.said()}")
        raise


@pytest.mark.parametrize("point", ["transaction.committing", "transaction.committed"])
def test_a_connection_lost_around_any_commit(world: World, point: str, is_long: bool, figures: Counter[str]) -> None:
    """Before COMMIT nothing is recorded; after it everything is, and nobody was told. Nothing is done twice."""
    if not is_long and not world.url.startswith("sqlite"):
        pytest.skip("the bounded form loses answers of one database")
    _victim(world, Scenario("first run"), {"do": "note"})
    survived = 0
    times = Counter(_passed(world))[point]
    for nth in range(1, times + 1):
        victim = _victim(world, Scenario("first run"), {"point": point, "nth": nth, "do": "lose"})
        assert victim.wait() in (0, 2), victim.said()
        assert "Traceback" not in victim.said(), victim.said()
        survived += victim.wait() == 0
        world.run()
        world.require_sound()
        figures["1 connections lost around a commit"] += 1
    assert survived >= 5  # four successes and the end of the run are recorded patiently
