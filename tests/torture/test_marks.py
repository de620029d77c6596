"""Torture 5: a mark set by plain SQL at any moment of a running attempt is honoured by the next run."""

from __future__ import annotations

import signal
import threading
from collections import Counter

import pytest

from tests.torture.faults import read_log
from tests.torture.world import Process, World

pytestmark = pytest.mark.torture
_BOUNDED = {"attempt", "commit"}


def test_a_mark_at_any_moment_is_honoured(world: World, is_long: bool, figures: Counter[str]) -> None:
    kind = "SQLite" if world.url.startswith("sqlite") else "PostgreSQL"
    world.run()
    log = world.folder / "points"
    world.start_run("--force", "sums", fault={"log": str(log)}).wait()
    passed = Counter(read_log(log))
    moments = [(point, nth) for point, times in passed.items() for nth in range(1, times + 1)]
    if not is_long:
        moments = [(point, nth) for point, nth in moments if nth == 1 and point.partition(".")[0] in _BOUNDED]
    for point, nth in moments:
        before = len(world.history())
        runner = world.start_run("--force", "sums", fault={"point": point, "nth": nth, "do": "stop"})
        _mark_while_stopped(world, runner)
        assert runner.wait() == 0, runner.said()
        world.run()
        started = [e["payload"] for e in world.history()[before:] if e["payload"].get("phase") == "started"]
        honoured = [one for one in started if one["component"] == "sums" and "marked" in one["codes"]]
        assert honoured, f"the mark set at {point} ({nth}) was lost: {started}"
        figures[f"5 {kind}: marks set during an attempt and honoured"] += 1
    world.require_sound()


@pytest.mark.parametrize("ending", ["fails", "is killed", "is stopped", "is overtaken"])
def test_a_mark_outlives_every_end_of_an_attempt(
    world: World, ending: str, is_long: bool, figures: Counter[str]
) -> None:
    """The mark that an attempt began with is there again, however the attempt ended."""
    if not is_long and not world.url.startswith("sqlite") and ending != "is overtaken":
        pytest.skip("the bounded form ends it in every way on one database")
    world.run()
    world.mark("totals")
    world.flag("broken" if ending == "fails" else "slow")
    world.lease_seconds = 0.5
    world.settings()
    process = world.start_run()
    if ending != "fails":
        while not world.attempts("running"):
            assert not process.is_over, process.said()
        assert world.rows("SELECT is_dirty FROM orchestrator_state WHERE component = 'totals'") == [{"is_dirty": 0}]
    if ending == "is killed":
        process.kill()
    elif ending == "is stopped":
        process.signal(signal.SIGTERM)
    elif ending == "is overtaken":
        process.signal(signal.SIGSTOP)
        world.flag("broken")
        world.flag("slow", on=False)
        world.run("--wait", code=1)  # the successor fails as well
        process.signal(signal.SIGCONT)
    process.wait()
    for name in ("broken", "slow"):
        world.flag(name, on=False)
    before = len(world.history())
    world.run()
    (started,) = (e["payload"] for e in world.history()[before:] if e["payload"].get("phase") == "started")
    assert (started["component"], "marked" in started["codes"]) == ("totals", True)
    world.require_sound()
    figures["5 marks that outlived a failed, killed, stopped or overtaken attempt"] += 1


def _mark_while_stopped(world: World, runner: Process) -> None:
    """In a thread: where the process stopped inside a transaction, the UPDATE has to wait until it goes on."""
    runner.wait_until_stopped()
    marking = threading.Thread(target=world.mark, args=("sums",))
    marking.start()
    marking.join(0.05)
    if not runner.is_over:
        runner.signal(signal.SIGCONT)
    marking.join()
