"""A project under torture: its folder and database, processes started and killed in it, and what must hold after."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from agent.store.database.engine import open_engine, reading, writing
from agent.store.tables import metadata
from pipelines.lake import Lake, files_below
from tests.processes import PLUGINS, Nursery, Process

COMPONENTS = ("readings", "sums", "totals", "bulletin")
ENDS = ("RUN_COMPLETED", "RUN_FAILED", "RUN_CANCELLED")


@dataclass
class World:
    """A project and its database."""

    folder: Path
    url: str
    nursery: Nursery
    kind: str = "inline"
    lease_seconds: float = 60.0
    count: int = 0
    started: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(self.url)
        self._expected: dict[bytes, dict[str, str]] = {}  # data -> versions
        self.settings()
        self.write(1, [1, 2, 3])
        self.write(2, [4, 5])

    def settings(self, extra: str = "") -> None:
        """Write agent.toml."""
        text = (
            f"[project]\nmodules = ['tide_steps']\n[sources.tide]\n[database]\nurl = {json.dumps(self.url)}\n"
            f"[executor]\nkind = '{self.kind}'\nlease_seconds = {self.lease_seconds}\nretry_seconds = 0.05\n"
            f"[lake]\nkeep_results_days = 0\n{extra}"
        )
        (self.folder / "agent.toml").write_text(text, encoding="utf-8")

    def write(self, day: int, numbers: Sequence[int]) -> None:
        """Put a day's file in place in one step."""
        self.count += 1
        draft = self.folder / f"draft{self.count}"
        draft.write_text("\n".join(map(str, numbers)), encoding="utf-8")
        draft.replace(self.folder / "data" / f"day{day:03}.txt")

    def write_new(self, day: int, draw: random.Random) -> None:
        """A day with a sum that none had before: data that come back are rightly computed again, and who looks for
        what was done twice could not tell."""
        self.write(day, [*draw.choices(range(100), k=5), 1000 * (self.count + 1)])

    def flag(self, name: str, *, on: bool = True) -> None:
        """Make the components `slow` or `broken`, or not."""
        if on:
            (self.folder / name).touch()
        else:
            (self.folder / name).unlink(missing_ok=True)

    # --- processes -----------------------------------------------------------------------------------------------

    def start(
        self, program: str, *arguments: str, fault: dict[str, Any] | None = None, env: dict[str, str] | None = None
    ) -> Process:
        """Start a program; `fault` as in tests.torture.faults, `env` as in tests.torture.nursery."""
        self.count += 1
        env = dict(env or {})
        if fault is not None:
            env["TIDE_FAULT"] = json.dumps({"nth": 1, "do": "note", "point": "", **fault})
        output = self.folder / "output" / f"{self.count:06}.txt"
        output.parent.mkdir(exist_ok=True)
        process = self.nursery.start(self.folder, program, arguments, output, env)
        self.started.append(process)
        return process

    def start_run(self, *arguments: str, fault: dict[str, Any] | None = None) -> Process:
        return self.start("orchestrator", "--target", "bulletin", *arguments, fault=fault)

    def run(self, *arguments: str, code: int = 0) -> Process:
        """A run that nothing disturbs; it ends with exit code `code`."""
        process = self.start_run(*arguments)
        status = process.wait()
        assert status == code, f"exit {status}:\n{process.said()}"
        return process

    def kill_all(self) -> None:
        """End what still runs."""
        for process in self.started:
            if not process.is_over:
                process.kill()
                process.wait()

    def collect(self, *, minutes: int = 24 * 60) -> None:
        """gc with a clock so many minutes ahead: after a day all is taken that ever may be."""
        process = self.start("gc", str(minutes))
        assert process.wait() == 0, process.said()

    # --- what is on record ---------------------------------------------------------------------------------------

    @contextmanager
    def connected(self, *, write: bool = False) -> Iterator[sa.Connection]:
        try:
            with (writing if write else reading)(self._engine) as conn:
                yield conn
        finally:
            self._engine.dispose()  # its connections; what it has compiled stays

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        with self.connected() as conn:
            return [dict(row) for row in conn.execute(sa.text(sql), values).mappings()]

    def mark(self, component: str) -> None:
        """A person's mark by plain SQL."""
        with self.connected(write=True) as conn:
            sql = sa.text("UPDATE orchestrator_state SET is_dirty = true WHERE component = :name")
            assert conn.execute(sql, {"name": component}).rowcount == 1

    def versions(self) -> dict[str, str]:
        query = "SELECT component, output_version FROM orchestrator_state"
        return {row["component"]: row["output_version"] for row in self.rows(query) if row["component"] in COMPONENTS}

    def attempts(self, status: str) -> int:
        (row,) = self.rows("SELECT count(*) AS n FROM attempts WHERE status = :status", status=status)
        return int(row["n"])

    def history(self) -> list[dict[str, Any]]:
        """Events of all runs in the order they were written: id, run_id, seq, type, payload."""
        found = self.rows("SELECT id, run_id, seq, type, payload FROM events ORDER BY id")
        for row in found:
            if isinstance(row["payload"], str):
                row["payload"] = json.loads(row["payload"])
        return found

    def reset(self) -> None:
        """Forget everything but the data: an empty database and no lake."""
        import shutil

        for name in ("broken", "slow", "points"):
            self.flag(name, on=False)
        shutil.rmtree(self.folder / ".tidemill", ignore_errors=True)
        with self.connected(write=True) as conn:
            for table in reversed(metadata.sorted_tables):
                if table.name == "projects":
                    continue
                conn.execute(sa.delete(table))
        for path in (self.folder / "data").glob("*.txt"):
            path.unlink()
        self.write(1, [1, 2, 3])
        self.write(2, [4, 5])

    def expected_versions(self) -> dict[str, str]:
        """What an undisturbed computation of the present data gives, without state or database."""
        import tempfile

        data = b"".join(path.name.encode() + path.read_bytes() for path in sorted((self.folder / "data").iterdir()))
        if data in self._expected:
            return self._expected[data]
        sys.path.insert(0, str(PLUGINS))
        try:
            import tide_source
            import tide_steps
        finally:
            sys.path.remove(str(PLUGINS))
        from pipelines.component import Component, perform

        steps: dict[str, Component] = {one.name: one for one in vars(tide_steps).values() if isinstance(one, Component)}
        made: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            for name in COMPONENTS:
                made[name] = perform(
                    steps[name],
                    steps[name].settings(),
                    {up: made[up] for up in steps[name].upstream},
                    lake=Lake(Path(folder)),
                    attempt="x",
                    sources={"tide": tide_source.TideSource(None, self.folder)},
                    base=Path(folder),
                )
        self._expected[data] = {name: one.version for name, one in made.items()}
        return self._expected[data]

    # --- what must hold ------------------------------------------------------------------------------------------

    def require_sound(self) -> None:
        """After the last run: nothing is left running, counts agree, the events are whole, the output is right, and
        gc leaves exactly what is referred to."""
        assert self.versions() == self.expected_versions()
        assert self.attempts("running") == 0
        assert not self.rows("SELECT id FROM runs WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')")
        history = self.history()
        require_sound_events(history)
        self._require_counts(history)
        self.collect()
        self.require_files()
        home = self.folder / ".tidemill"
        referred = {row["path"] for row in self.rows("SELECT path FROM partitions")}
        assert {path.relative_to(home / "lake").as_posix() for path in files_below(home / "lake")} == referred
        names = {row["name"] for row in self.rows("SELECT name FROM releases")}
        assert {path.name for path in (home / "releases").iterdir()} == {*names, "current"}

    def require_files(self) -> None:
        """Every file that is referred to is there, and the pointer leads to the release in force."""
        home = self.folder / ".tidemill"
        for row in self.rows("SELECT path, file_size FROM partitions"):
            assert (home / "lake" / row["path"]).stat().st_size == row["file_size"]
        (current,) = self.rows("SELECT name FROM releases WHERE is_current")
        assert str((home / "releases" / "current").readlink()) == current["name"]
        assert (home / "releases" / "current" / "metrics.json").is_file()

    def successes(self, history: Sequence[dict[str, Any]]) -> Counter[str]:
        """Component -> how often it succeeded."""
        return Counter(successful(history))

    def _require_counts(self, history: Sequence[dict[str, Any]]) -> None:
        succeeded = self.successes(history)
        failed = Counter(e["payload"]["component"] for e in history if e["payload"].get("phase") == "failed")
        query = "SELECT component, status, lease_owner, run_count, failure_count, is_dirty FROM orchestrator_state"
        for row in self.rows(query):
            name = row["component"]
            if name not in COMPONENTS:
                continue
            assert (row["status"], row["lease_owner"], bool(row["is_dirty"])) == ("idle", None, False), row
            assert (row["run_count"], row["failure_count"]) == (succeeded[name], failed[name]), row
        for status, counts in (("succeeded", succeeded), ("failed", failed)):
            query = "SELECT component, count(*) AS n FROM attempts WHERE status = :status GROUP BY component"
            assert {row["component"]: row["n"] for row in self.rows(query, status=status)} == dict(counts)


def successful(history: Sequence[dict[str, Any]]) -> list[str]:
    """Components of the successes on record, one a success."""
    return [e["payload"]["component"] for e in history if e["payload"].get("phase") in ("finished", "cut off")]


def require_sound_events(history: Sequence[dict[str, Any]]) -> None:
    """From the events alone: numbered without a gap, one end a run, attempts at a component one after the other with
    growing tokens, and no success twice for the same inputs unless something else asked for it."""
    by_run: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in history:
        by_run[event["run_id"]].append(event)
    for run_id, events in by_run.items():
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), f"run {run_id}"
        ends = [e["type"] for e in events if e["type"] in ENDS]
        assert len(ends) == 1, f"run {run_id} ended {ends}"
    open_token: dict[str, int] = {}
    last_token: dict[str, int] = defaultdict(int)
    asked: dict[str, list[str]] = {}
    known: dict[str, set[str]] = defaultdict(set)
    for event in history:
        payload = event["payload"]
        name, phase, token = payload.get("component", ""), payload.get("phase"), payload.get("token", 0)
        if phase == "started":
            # One still open was left by a dead process: its successor said so, or found nothing left to close.
            assert token > last_token[name], f"{name}: token {token} after {last_token[name]}"
            last_token[name] = open_token[name] = token
            asked[name] = payload["codes"]
        elif phase in ("finished", "cut off", "failed", "cancelled"):
            assert open_token.pop(name, None) == token, f"{name}: {phase} with token {token}, begun was another"
            if phase in ("finished", "cut off"):
                inputs = json.dumps(payload["input_versions"], sort_keys=True)
                only_data = set(asked[name]) <= {"input_changed", "source_new_data"} and "reused_run" not in payload
                assert not (inputs in known[name] and only_data), f"{name} computed twice from {inputs}"
                known[name].add(inputs)
