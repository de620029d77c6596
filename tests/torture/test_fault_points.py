"""Torture 1: killed at every named fault point, then run again: right, complete, and no trace left.

The points are those that the source names (`sys.audit("tidemill.point", …)`). Each scenario leads to a process that
passes some of them; that every point is passed by one is asserted, so that a new point cannot be forgotten. The bounded
form kills at a choice of them, see tests/torture/choice.py; on PostgreSQL at those that are about the database.
"""

from __future__ import annotations

import ast
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.paths import PROJECT
from tests.processes import Process
from tests.torture.beside import Beside
from tests.torture.choice import ALWAYS, chosen, family, tree
from tests.torture.faults import points_of_runs, read_log
from tests.torture.world import World

pytestmark = pytest.mark.torture
# What writes where a crash may leave half a thing, in the files that write what must outlive one.
_WRITES = {"fsync", "write_bytes", "write_parquet", "replace", "symlink_to", "rmtree", "unlink"}
_WRITERS = ("src/pipelines/lake.py", "src/agent/execution/release.py", "src/agent/execution/upkeep/gc.py")
_HELPERS = {"fsync_folder"}  # called between two points by those who need it


@dataclass(frozen=True)
class Scenario:
    """`prepare` leads up to the victim; `arguments` are the victim's; `during` acts while it runs; `after` undoes what
    would disturb the run that follows. `points` are those that it is there for, or the families of them; the first
    scenario is there for all that no other one names."""

    name: str
    points: tuple[str, ...] = ()
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


def _came_back(world: World) -> None:
    """Data of which every result is known."""
    world.run()
    world.write(1, [9])
    world.run()
    world.write(1, [1, 2, 3])


def _broken(world: World) -> None:
    world.run()
    world.flag("broken")
    world.write(3, [7])


def _fixed(world: World) -> None:
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
    Scenario(
        "run after a killed one, with new data",
        ("run.recovering", "lake.file.discarding", "lake.file.discarded"),
        _again,
    ),
    Scenario("data that came back", ("attempt.result.held", "attempt.result.found", "commit.result.moved"), _came_back),
    Scenario("failing", ("attempt.failed", "attempt.failure_recorded"), _broken, after=_fixed),
    Scenario("release altered by hand", ("release.altered.moved",), _altered, ("--force", "bulletin")),
    Scenario("gc", ("gc",), _litter, (str(24 * 60),), program="gc"),
    Scenario(
        "long attempt", ("heartbeat",), _slow, during=lambda world, process: _let_beat(world, process), after=_quick
    ),
    Scenario("stopped", ("attempt.abandoning", "attempt.abandoned"), _slow, during=_stop_it, after=_quick),
    Scenario("in a child", ("child",), kind="processes"),
)


def scenario_of(point: str) -> Scenario:
    """The one that is there for this point."""
    found = [one for one in SCENARIOS[1:] if {point, family(point)} & set(one.points)]
    assert len(found) <= 1, f"{point} is named by {[one.name for one in found]}"
    return found[0] if found else SCENARIOS[0]


def cases() -> Iterator[Any]:
    """Database and point of each kill of this run, those of one scenario together."""
    points = sorted(points_of_runs(), key=lambda point: SCENARIOS.index(scenario_of(point)))
    is_long = os.environ.get("TORTURE") == "long"
    for point in points if is_long else chosen(points, tree()):
        yield pytest.param("sqlite", point, id=f"sqlite-{point}")
        if is_long or family(point) in ALWAYS:
            yield pytest.param("postgres", point, id=f"postgres-{point}", marks=pytest.mark.postgres)


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
    assert len(points_of_runs()) >= 30
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


def test_the_choice_has_all_of_commits_and_leases_and_another_third_of_the_rest_for_another_tree() -> None:
    points = list(points_of_runs())
    rest = {point for point in points if family(point) not in ALWAYS}
    choices = [chosen(points, str(number)) for number in range(50)]
    assert all(len(rest & set(choice)) == -(-len(rest) // 3) for choice in choices)
    assert all(set(points) - rest < set(choice) for choice in choices)
    assert {point for choice in choices for point in choice} == set(points)
    assert chosen(points, "0") == choices[0] != choices[1]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_scenario_passes_the_points_that_it_is_there_for(
    world: World, scenario: Scenario, figures: Counter[str]
) -> None:
    mine = {point for point in points_of_runs() if scenario_of(point) == scenario}
    _victim(world, scenario, {"do": "note"})
    assert mine, "nothing in the source is left for this scenario: take it out"
    left = mine - set(_passed(world))
    assert not left, f"name these points in the scenario that passes them: {left}"
    figures[f"1 {_kind(world)}: fault points"] += len(mine)


@pytest.mark.parametrize(("database_url", "point"), list(cases()), indirect=["database_url"])
def test_killed_at_a_point(world: World, point: str, is_long: bool, figures: Counter[str]) -> None:
    scenario, times = scenario_of(point), [1]
    if is_long:
        _victim(world, scenario, {"do": "note"})
        scenario.after(world)
        count = _passed(world).count(point)
        times = sorted({*range(1, min(count, 4) + 1), count})
    for nth in times:
        _kill_and_recover(world, scenario, point, nth, is_long)
        figures[f"1 {_kind(world)}: killed at a point and recovered"] += 1


def _kind(world: World) -> str:
    return "SQLite" if world.url.startswith("sqlite") else "PostgreSQL"


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


def test_killed_within_the_commit_of_another_project(beside: Beside, is_long: bool, figures: Counter[str]) -> None:
    """On PostgreSQL it is one commit, with nothing between its parts; two files of SQLite take two, made up for."""
    first = Scenario("first run")
    _victim(beside, first, {"do": "note"})
    passed = _passed(beside)
    commits = [number for number, point in enumerate(passed) if point == "transaction.committing"]
    spans = list(zip(_places(passed, "commit.beginning"), _places(passed, "commit.done"), strict=True))
    assert len(spans) == 4
    count = 2 if beside.url.startswith("sqlite") else 1
    assert [sum(start < number < end for number in commits) for start, end in spans] == [count] * 4
    for start, end in spans if is_long else spans[-1:]:  # the last one makes a release as well
        for number in range(start, end + 1):
            point = passed[number]
            if not is_long and not point.startswith("transaction") and point != "commit.projected":
                continue  # the same as in the default project
            _kill_and_recover(beside, first, point, passed[: number + 1].count(point), is_long)
            figures["1 killed within the commit of a project that is not the default"] += 1


def _places(points: list[str], wanted: str) -> list[int]:
    return [number for number, point in enumerate(points) if point == wanted]


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
    assert survived >= 5  # four successes and the end of the run are recorded retry_while_unavailable
