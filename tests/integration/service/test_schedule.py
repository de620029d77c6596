"""The schedule: its rhythm, missed times, overlap, clocks that are set, failures, and what signals do to it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from agent.errors import DatabaseError, UsageError
from agent.service.schedule import Rule, Schedule, _trigger, rule_of
from agent.store.control import schedules
from agent.store.database.engine import Database, open_engine
from tests.served import wait_until
from tests.tiny import tiny_project
from tests.torture.world import Nursery, World


@dataclass
class Recorded:
    """When cycles began, by a clock that nobody sets; the schedule is asked to stop after `last` of them."""

    last: int
    act: Callable[[int], None] = lambda number: None
    begun: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def cycle(self) -> None:
        self.begun.append(time.clock_gettime(time.CLOCK_BOOTTIME))
        self.act(len(self.begun))
        if len(self.begun) >= self.last:
            self.over.set()

    def stop(self) -> str | None:
        return "enough" if self.over.is_set() else None

    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.begun, self.begun[1:], strict=False)]


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    engine = open_engine(sqlite_url)
    yield Database(control=engine, project=engine)
    engine.dispose()


def run(database: Database, rule: Rule, recorded: Recorded) -> Schedule:
    schedule = Schedule(rule, database, recorded.cycle, recorded.stop)
    schedule.run()
    return schedule


def next_runs(cron: str, count: int, after: datetime) -> list[datetime]:
    trigger, found, previous = _trigger(rule_of(None, cron, 1), 0), [], None
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, after if previous is None else previous)
        found.append(previous)
    return found


def test_the_first_run_is_now_and_the_due_time_is_kept(database: Database) -> None:
    recorded = Recorded(last=2)
    began = datetime.now(UTC)
    run(database, Rule(interval_seconds=0.3), recorded)
    assert recorded.gaps()[0] == pytest.approx(0.3, abs=0.25)
    with database.reading() as connections:
        known = schedules.load_due(connections.project, "orchestrator")
    assert known is not None
    assert known.rule == "interval 0.3 s"
    assert known.last_started_at is not None
    assert known.last_started_at < known.next_due_at < began + timedelta(seconds=30)


def test_a_time_missed_while_no_scheduler_ran_is_caught_up_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Rule(interval_seconds=3600)
    missed = datetime.now(UTC) - timedelta(hours=7)
    with database.writing() as connections:
        schedules.save_due(connections.project, "orchestrator", str(rule), missed, missed - timedelta(hours=1))
    recorded = Recorded(last=1)
    with caplog.at_level(logging.WARNING):
        run(database, rule, recorded)
    assert len(recorded.begun) == 1
    (said,) = [record.getMessage() for record in caplog.records if "caught up" in record.getMessage()]
    assert f"{missed:%Y-%m-%d %H:%M:%S}" in said


def test_overlap_is_left_out_and_told(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    active: list[int] = []

    def act(number: int) -> None:
        active.append(number)
        assert len(active) == 1
        threading.Event().wait(0.7 if number == 1 else 0)
        active.clear()

    recorded = Recorded(last=2, act=act)
    with caplog.at_level(logging.WARNING):
        run(database, Rule(interval_seconds=0.2), recorded)
    assert recorded.gaps()[0] >= 0.7
    assert "interval 0.2 s is shorter than a run" in caplog.text


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_set_neither_doubles_nor_delays_a_run(database: Database, hours: int) -> None:
    traveller = time_machine.travel(datetime.now(UTC) + timedelta(hours=hours), tick=True)
    recorded = Recorded(last=3, act=lambda number: (traveller.start(), None)[1] if number == 1 else None)
    try:
        run(database, Rule(interval_seconds=1.2), recorded)
    finally:
        traveller.stop()
    # Wide bounds, since each gap ends with a write to disk: a doubled run comes at once, a delayed one hours later.
    assert all(0.5 < gap < 10 for gap in recorded.gaps()), recorded.gaps()


class LateWatch(Schedule):
    """A schedule on a busy machine: its first run has begun before it gets to watch the clocks."""

    def _watch_clocks(self, offset: timedelta) -> None:
        wait_until(lambda: self._last_started_at is not None, seconds=60)
        wait_until(lambda: self.clock.now() - self._last_started_at > timedelta(hours=1), seconds=60)
        super()._watch_clocks(offset)


def test_a_clock_that_is_set_before_it_is_watched_is_seen(database: Database) -> None:
    traveller = time_machine.travel(datetime.now(UTC) + timedelta(hours=3), tick=True)
    recorded = Recorded(last=2, act=lambda number: (traveller.start(), None)[1] if number == 1 else None)
    try:
        LateWatch(Rule(interval_seconds=1.2), database, recorded.cycle, recorded.stop).run()
    finally:
        traveller.stop()
    assert recorded.gaps()[0] > 0.5


def test_what_a_clock_set_back_does_to_cron(database: Database) -> None:
    noon = datetime(2026, 3, 2, 12, 0, 0, 300, tzinfo=UTC)
    schedule = Schedule(Rule(cron="0 * * * *"), database, lambda: None, lambda: None)
    schedule._last_started_at = noon
    for now, due in (
        (noon - timedelta(seconds=20), noon.replace(hour=13, microsecond=0)),  # noon has had its run
        (noon - timedelta(days=300), noon.replace(microsecond=0) - timedelta(days=300) + timedelta(hours=1)),
    ):
        with time_machine.travel(now, tick=False):
            assert schedule._due_after_setting(-20.0) == due


def test_a_clock_set_back_by_ten_minutes_runs_at_the_next_due_wall_time(database: Database) -> None:
    """It had been wrong: what it shows now counts, and each of its due times runs once."""
    ran = datetime(2026, 3, 2, 12, 0, 0, 300, tzinfo=UTC)
    schedule = Schedule(Rule(cron="0 * * * *"), database, lambda: None, lambda: None)
    schedule._last_started_at = ran
    for shows, due in (
        (ran - timedelta(minutes=9), ran.replace(microsecond=0)),
        (ran - timedelta(minutes=1), ran.replace(microsecond=0)),
        (ran + timedelta(minutes=20), ran.replace(hour=13, microsecond=0)),
    ):
        with time_machine.travel(shows, tick=False):
            assert schedule._due_after_setting(-600.0) == due


def test_a_cron_rule_in_a_time_zone() -> None:
    rule = rule_of(None, "30 9 * * mon-fri", 1, "America/New_York")
    assert str(rule) == "cron 30 9 * * mon-fri America/New_York"
    trigger = _trigger(rule, 0)
    friday = datetime(2026, 3, 6, 15, tzinfo=UTC)  # daylight saving begins on the Sunday after it
    assert trigger.get_next_fire_time(None, friday) == datetime(2026, 3, 9, 13, 30, tzinfo=UTC)
    late = datetime(2026, 3, 20, 13, 30, tzinfo=UTC)
    assert trigger.get_next_fire_time(friday, late) == late, "what was missed is one run, not many"
    for zone in ("Europe/Pariss", "", "../etc/passwd", "\0"):
        with pytest.raises(UsageError, match="time zone"):
            rule_of(None, "0 * * * *", 1, zone)
    with pytest.raises(UsageError, match="without a cron expression"):
        rule_of(None, None, 1, "UTC")


def test_a_failing_cycle_does_not_end_the_schedule(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def act(number: int) -> None:
        if number == 1:
            raise DatabaseError("no such table: runs", where="here", fix="run `agent db upgrade`")
        if number == 2:
            raise ZeroDivisionError

    recorded = Recorded(last=3, act=act)
    run(database, Rule(interval_seconds=0.2), recorded)
    assert len(recorded.begun) == 3
    assert "this run did not go on: no such table: runs" in caplog.text
    assert "fault of the program" in caplog.text


def test_weekdays_are_those_of_cron() -> None:
    sunday = datetime(2026, 3, 1, tzinfo=UTC)
    expected = {"1-5": "Mon Tue Wed Thu Fri Mon", "0": "Sun Sun", "7": "Sun Sun", "0-2": "Sun Mon Tue Sun"}
    for field_text, days in {**expected, "mon-fri": "Mon Tue Wed Thu Fri Mon", "5,6": "Fri Sat Fri"}.items():
        names = [f"{at:%a}" for at in next_runs(f"0 9 * * {field_text}", len(days.split()), sunday)]
        assert names == days.split(), field_text


@pytest.mark.parametrize("cron", ["", "0 * * *", "61 * * * *", "0 0 * * 8", "0 0 * * 1-", "a b c d e"])
def test_a_cron_expression_that_cannot_be_read_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match="cron expression"):
        rule_of(None, cron, 3600)


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6 *"])
def test_a_cron_expression_that_never_comes_true_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match="never comes true"):
        rule_of(None, cron, 3600)


def test_an_interval_that_makes_no_sense_is_refused() -> None:
    for seconds in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(UsageError, match="makes no sense"):
            rule_of(seconds, None, 3600)
    with pytest.raises(UsageError, match="at once"):
        rule_of(60, "0 * * * *", 3600)
    assert str(rule_of(None, None, 3600)) == "interval 3600 s"


# --- the program ----------------------------------------------------------------------------------------------------


@contextmanager
def scheduled(folder: Path, nursery: Nursery, url: str, *arguments: str) -> Iterator[World]:
    """A scheduler in a project of its own; it is asked to stop at the end, and does."""
    world = World(folder, url, nursery)
    process = world.start("orchestrator", "--mode", "scheduled", "--interval-sec", "0.3", *arguments)
    try:
        yield world
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.said()
        assert "Traceback" not in process.said(), process.said()
    finally:
        world.kill_all()


def test_a_failing_component_backs_off_and_the_others_keep_their_rhythm(
    tmp_path: Path, nursery: Nursery, sqlite_url: str
) -> None:
    with scheduled(tmp_path / "project", nursery, sqlite_url, "--target", "bulletin") as world:
        wait_until(lambda: len(world.versions()) == 4 and None not in world.versions().values(), seconds=60)
        world.flag("broken")
        for number in range(3):  # new data each time: readings and sums go on, totals failed once and waits
            world.write(number + 3, [number])
            wait_until(lambda: world.versions()["sums"] == world.expected_versions()["sums"], seconds=60)
    (row,) = world.rows("SELECT failure_count, next_retry_at FROM orchestrator_state WHERE component = 'totals'")
    assert row["failure_count"] == 1
    assert row["next_retry_at"] is not None
    deferred = [e for e in world.history() if e["payload"].get("phase") == "deferred"]
    assert "UTC, after 1 failure in a row" in deferred[0]["payload"]["until"]
    assert {e["type"] for e in world.history()} >= {"RUN_COMPLETED", "RUN_FAILED"}
    world.run("--force", "readings", code=1)  # a person's run does not wait
    (row,) = world.rows("SELECT failure_count FROM orchestrator_state WHERE component = 'totals'")
    assert row["failure_count"] == 2


def test_options_of_a_run_mean_the_same_on_a_schedule(tmp_path: Path, nursery: Nursery, sqlite_url: str) -> None:
    """A dry run shows the plan and ends; JSON is one object a run; what a schedule alone knows needs one."""
    world = World(tmp_path / "project", sqlite_url, nursery)
    dry = world.start("orchestrator", "--mode", "scheduled", "--dry-run", "--target", "readings")
    assert dry.wait() == 0, dry.said()
    assert "compute" in dry.said()
    assert world.rows("SELECT id FROM runs") == []
    for option in (("--interval-sec", "5"), ("--cron", "0 * * * *")):
        mixed = world.start("orchestrator", *option)
        assert mixed.wait() == 2, mixed.said()
        assert "add --mode scheduled" in mixed.said()
    with scheduled(tmp_path / "other", nursery, sqlite_url, "--target", "readings", "--json") as world:
        wait_until(lambda: len(world.rows("SELECT id FROM runs WHERE status = 'COMPLETED'")) >= 3, seconds=60)
        said = world.started[-1].said()
    assert len([line for line in said.splitlines() if line.startswith('{"run_id": ')]) >= 2


def test_stopped_in_the_middle_of_a_component(tmp_path: Path, nursery: Nursery, sqlite_url: str) -> None:
    with scheduled(tmp_path / "project", nursery, sqlite_url, "--target", "bulletin") as world:
        world.flag("slow")
        wait_until(lambda: world.attempts("running") == 1 and world.attempts("succeeded") == 2, seconds=60)
    assert world.attempts("cancelled") == 1
    assert world.rows("SELECT status, error FROM runs ORDER BY id DESC LIMIT 1") == [
        {"status": "CANCELLED", "error": "the process was asked to stop"}
    ]
    world.flag("slow", on=False)
    world.run()
    world.require_sound()


def test_two_schedulers_do_nothing_twice(tmp_path: Path, nursery: Nursery, sqlite_url: str) -> None:
    with scheduled(tmp_path / "project", nursery, sqlite_url, "--target", "bulletin") as world:
        world.flag("slow")
        wait_until(lambda: world.attempts("running") == 1 and world.attempts("succeeded") == 2, seconds=60)
        other = world.start("orchestrator", "--mode", "scheduled", "--interval-sec", "0.3", "--target", "bulletin")
        wait_until(lambda: "component totals is being run by" in other.said(), seconds=60)
        world.flag("slow", on=False)
        wait_until(lambda: world.attempts("succeeded") >= 4, seconds=60)
        other.signal(signal.SIGTERM)
        assert other.wait() == 0
    world.run()
    world.require_sound()


def test_code_edited_under_a_scheduler_is_computed_with(tmp_path: Path, nursery: Nursery, sqlite_url: str) -> None:
    folder = tiny_project(tmp_path / "project", url=sqlite_url)
    with scheduled(folder, nursery, sqlite_url, "--target", "board") as world:
        tiny_project(folder, url=sqlite_url)  # World has written a settings file of its own
        wait_until(lambda: _value(world, "board") is not None, seconds=60)
        before = _value(world, "board")
        source = (folder / "tiny.py").read_text()
        (folder / "tiny.py").write_text(source.replace('b"total "', 'b"sum "'))
        wait_until(lambda: _value(world, "board") not in (None, before), seconds=60)


def _value(world: World, component: str) -> str | None:
    found = world.rows("SELECT output_version FROM orchestrator_state WHERE component = :name", name=component)
    return found[0]["output_version"] if found else None
