"""The code version recorded is that of the code that ran, whenever whichever file is edited, and back again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import settings as agent_settings
from agent.execution.engine import Report
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import open_database, open_workspace
from agent.store import state
from agent.store.control import events
from agent.store.database.engine import Connections
from agent.store.outputs import catalog
from pipelines.plugins.closure import module_at
from pipelines.plugins.code import CodeCache, CodeReader, joined
from pipelines.plugins.modules import name_of_file
from tests.examples import examples
from tests.paths import PROJECT
from tests.served import environment

OWN = '''"""first edits what it is told to edit, total adds what it finds."""

import json

from dataclasses import dataclass
from pipelines.component import component
from pipelines.plugins.modules import load_module
from pipelines.settings import setting

OWN = 10


@dataclass(frozen=True)
class Settings:
    plus: int = setting(10, "added")


@component(name="first", heavy=False)
def first(ctx, settings):
    order = ctx.base / "order.json"
    for name, text in json.loads(order.read_text()).items() if order.exists() else ():
        (ctx.base / name).write_text(text)
    ctx.write_bytes("n", b"1")


@component(
    name="total", upstream=["first"], heavy=HEAVY, settings=Settings, extra_modules=lambda settings, base: ["extra.py"],
    reads_files=["weight.txt"],
)
def total(ctx, settings):
    from .helper import FACTOR

    weight = int((ctx.base / "weight.txt").read_text())
    more = [OWN, FACTOR, load_module("extra.py", ctx.base).EXTRA, settings.plus, weight]
    ctx.write_bytes("n", " ".join(str(one) for one in [int(ctx.inputs["first"].read_bytes("n")), *more]).encode())
'''
HELPER, EXTRA, TOML = "FACTOR = {}\n", "EXTRA = {}\n", "plus = {}\n"
TEXTS = {"helper.py": HELPER, "extra.py": EXTRA, "weight.txt": "{}", "own.py": OWN.replace("OWN = 10", "OWN = {}", 1)}
POSITION = {"own.py": 1, "helper.py": 2, "extra.py": 3, "agent.toml": 4, "weight.txt": 5}


@dataclass(frozen=True)
class Mill:
    """A project of the two components."""

    folder: Path
    heavy: bool

    def text(self, name: str, value: int) -> str:
        """Content of a file in which `value` is what counts."""
        if name == "agent.toml":
            return (
                "[project]\nmodules = ['own.py']\n"
                f"[database]\nurl = {json.dumps(f'sqlite:///{self.folder}/own.sqlite')}\n[total]\n{TOML.format(value)}"
            )
        text = TEXTS[name].replace("HEAVY", str(self.heavy))
        return text.replace("OWN = {}", f"OWN = {value}") if name == "own.py" else text.format(value)

    def write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(self.text(name, value))

    def run(self, *force: str) -> Report:
        with open_workspace(self.folder) as workspace:
            return perform(workspace, Request(targets=("total",), force=force))

    def computed(self) -> list[int]:
        """What total found: first's output, then the values of own.py, helper.py, extra.py, agent.toml, weight.txt."""
        with self.reading() as connections:
            found = state.load_states(connections.project)["total"].output_snapshot_id
            assert found is not None
            part = catalog.load_snapshot(connections.project, found).by_key["n"]
        return [int(one) for one in (self.folder / ".tidemill" / "lake" / part.path).read_bytes().split()]

    @contextmanager
    def reading(self) -> Iterator[Connections]:
        """The database, without the project's code."""
        with open_database(agent_settings.load(self.folder)) as database, database.reading() as connections:
            yield connections

    def require_recorded_is_computed(self) -> None:
        """The version and settings recorded with total are those of files with the very values that it found."""
        values = self.computed()
        with self.reading() as connections:
            row = state.load_states(connections.project)["total"]
        with tempfile.TemporaryDirectory() as name:
            copy = Mill(Path(name), self.heavy)
            for file, position in POSITION.items():
                copy.write(file, values[position])
            assert row.code_version == copy.version()
        assert row.settings == {"plus": values[POSITION["agent.toml"]]}

    def version(self) -> str:
        reader = CodeReader(CodeCache())
        roots = [self.folder / "own.py", self.folder / "extra.py"]
        parts = [reader.code(reader.closure(module_at(name_of_file(path), path))) for path in roots]
        return joined([*parts, reader.data_files(self.folder, ["weight.txt"])]).version

    def events(self, report: Report) -> list[str]:
        with self.reading() as connections:
            return [one.type for one in events.load_events(connections.control, report.run_id)]


def mill(folder: Path, template: str, *, heavy: bool) -> Mill:
    made = Mill(folder, heavy)
    shutil.copy(template.removeprefix("sqlite:///"), folder / "own.sqlite")
    for name in POSITION:
        made.write(name, 10)
    return made


CASES = [(False, name) for name in POSITION] + [(True, "helper.py")]


@pytest.mark.parametrize(("heavy", "name"), CASES)
def test_an_edit_while_an_upstream_runs_and_back_again(tmp_path: Path, sqlite_url: str, heavy: bool, name: str) -> None:
    """Edited 10 -> 1000 before the second component computes, back to 10 afterwards: 1000 must not stay as 10's."""
    project = mill(tmp_path, sqlite_url, heavy=heavy)
    (project.folder / "order.json").write_text(json.dumps({name: project.text(name, 1000)}))
    report = project.run()
    assert report.status == "COMPLETED", report.error
    project.require_recorded_is_computed()
    is_parsed_once = name == "agent.toml"
    assert project.computed()[POSITION[name]] == (10 if is_parsed_once else 1000)
    assert project.events(report).count("CODE_CHANGED") == (0 if is_parsed_once else 1)
    assert project.events(report).count("RUN_STARTED") == 1
    (project.folder / "order.json").unlink()
    project.write(name, 10)
    assert project.run().status == "COMPLETED"
    assert project.computed() == [1, 10, 10, 10, 10, 10]
    project.require_recorded_is_computed()


EDITS = st.lists(
    st.tuples(st.integers(0, 150), st.sampled_from(sorted(POSITION)), st.sampled_from([10, 11, 1000])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(heavy=st.booleans(), edits=EDITS)
def test_random_edits_at_random_times(sqlite_url: str, heavy: bool, edits: Sequence[tuple[int, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        project = mill(Path(name), sqlite_url, heavy=heavy)

        def edit() -> None:
            for milliseconds, file, value in edits:
                time.sleep(milliseconds / 1000)
                part = project.folder / f"{file}.part"
                part.write_text(project.text(file, value))
                if value == 11:  # as an editor does that writes in place
                    (project.folder / file).write_bytes(part.read_bytes())
                else:
                    part.replace(project.folder / file)

        editor = threading.Thread(target=edit)
        editor.start()
        try:
            report = project.run()
        finally:
            editor.join()
        if report.status == "COMPLETED":
            project.require_recorded_is_computed()
        last = project.run()
        assert last.status == "COMPLETED", last.error
        wanted = dict.fromkeys(POSITION, 10) | {file: value for _, file, value in edits}
        assert project.computed() == [1, *(wanted[file] for file in POSITION)]
        project.require_recorded_is_computed()


def test_a_file_that_never_rests_ends_the_run_with_an_error(tmp_path: Path, sqlite_url: str) -> None:
    project = mill(tmp_path, sqlite_url, heavy=True)
    over = threading.Event()

    def edit() -> None:
        value = 10
        while not over.is_set():
            value += 1
            project.write("helper.py", value)
            over.wait(0.005)

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        with pytest.raises(Exception, match="changed") as ended:
            project.run()
    finally:
        over.set()
        editor.join()
    assert "helper.py" in str(ended.value)
    assert project.run().status == "COMPLETED"
    project.require_recorded_is_computed()


def test_built_in_modules_of_a_checkout(tmp_path: Path) -> None:
    """A component of this package and what it imports, edited while another one runs; bytecode lies beside them."""
    source = tmp_path / "src"
    shutil.copytree(PROJECT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "alembic", tmp_path / "alembic")
    shutil.copy(PROJECT / "alembic.ini", tmp_path)
    (source / "pipelines" / "tide_factor.py").write_text("FACTOR = 10\n")
    (source / "pipelines" / "components" / "moon.py").write_text(
        "import os\nfrom pathlib import Path\nfrom pipelines.component import component\n"
        "@component(heavy=False)\ndef moon(ctx, settings):\n"
        "    if 'EDIT' in os.environ:\n"
        f"        Path({str(source / 'pipelines' / 'tide_factor.py')!r}).write_text(os.environ['EDIT'])\n"
        "    ctx.write_bytes('n', os.environ.get('MOON', 'x').encode())\n"
    )
    (source / "pipelines" / "components" / "tide.py").write_text(
        "from pipelines.component import component\n"
        "@component(upstream=['moon'])\ndef tide(ctx, settings):\n"
        "    from pipelines.tide_factor import FACTOR\n"
        "    ctx.write_bytes('n', str(FACTOR).encode())\n"
    )
    home = tmp_path / "home"
    home.mkdir()

    def run(**env: str) -> str:
        command = [sys.executable, "-m", "agent.orchestrator", "--target", "tide", "--json"]
        done = subprocess.run(
            command,
            cwd=home,
            env={**environment(PYTHONPATH=str(source)), "PYTHONDONTWRITEBYTECODE": "", **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        files = sorted((home / ".tidemill" / "lake" / "tide").glob("n.*"), key=os.path.getmtime)
        steps = {one["component"]: one["step"] for one in json.loads(done.stdout)["components"]}
        return f"{steps['tide']} {files[-1].read_text()}"

    assert run() == "compute 10"
    assert run(EDIT="FACTOR = 99\n", MOON="y") == "skip 10"  # moon's environment is no input: nothing is due
    (source / "pipelines" / "tide_factor.py").write_text("FACTOR = 11\n")  # the same size, maybe the same second
    assert run() == "compute 11"
    (source / "pipelines" / "tide_factor.py").write_text("FACTOR = 12\n")
    assert run() == "compute 12"
