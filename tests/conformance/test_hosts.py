"""What every host of a project's code keeps: in this process, and in a process of the project's own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.execution.host import wire
from agent.execution.host.child import ChildHost
from agent.execution.host.interface import AttemptFailed, CodeMoved, Done, Host, Origin, Question, Task
from agent.execution.host.local import LocalHost
from agent.execution.host.process import SECRETS, Process
from agent.version import VERSION
from pipelines.component import Deferral
from pipelines.errors import BadInput, PipelineError
from pipelines.snapshot import Snapshot

OWN = '''"""Components that show where they are."""

import os
import sys
import time
from dataclasses import dataclass
from decimal import Decimal

from pipelines.component import Deferral, component
from pipelines.errors import BadInput
from pipelines.settings import setting

from .helper import FACTOR


@dataclass(frozen=True)
class Settings:
    value: int = setting(1, "a number")


class Refused(BadInput):
    """A class of the project."""


def wait(seen):
    return Deferral(f"{seen.component if hasattr(seen, 'component') else seen.settings.value} more", {"n": 1})


@component(name="product", settings=Settings, heavy=False, policy=wait)
def product(ctx, settings):
    ctx.progress(1, 2, "half")
    print("printed")
    ctx.write_bytes("n", str(settings.value * FACTOR).encode())


def shut(ctx, settings):
    if (ctx.base / "shut").exists():
        raise Refused("the gate is shut", where="shut", fix="open it")


@component(name="gated", heavy=False, gate=shut, projections={"n": "backtest_metrics"})
def gated(ctx, settings):
    ctx.write_bytes("n", b"{}")


@component(name="refused", heavy=False)
def refused(ctx, settings):
    raise Refused("row 7 is bad", where="data.csv, line 7", fix="correct it")


@component(name="broken", heavy=False)
def broken(ctx, settings):
    return 1 / 0


@component(name="dynamic", heavy=False)
def dynamic(ctx, settings):
    sys.path.insert(0, str(ctx.base))
    try:
        __import__("hid" + "den")
    finally:
        sys.path.pop(0)
    ctx.write_bytes("n", b"1")


@component(name="reader", heavy=False, reads_files=["weights.txt"])
def reader(ctx, settings):
    text = (ctx.base / "weights.txt").read_text() + (ctx.base / "other.txt").read_text()
    if text.startswith("edit"):
        (ctx.base / "weights.txt").write_text("later")
    ctx.write_bytes("n", text.encode())


@component(name="slow", heavy=False)
def slow(ctx, settings):
    time.sleep(0.5)
    ctx.write_bytes("n", b"1")


@component(name="places", heavy=False)
def places(ctx, settings):
    found = [os.getcwd(), str("" in sys.path), str(sys.path.index(str(ctx.base)) if str(ctx.base) in sys.path else -1)]
    ctx.write_bytes("n", "\\n".join(found).encode())
'''
NAMES = ("product", "refused", "broken", "dynamic", "reader", "places")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "helper.py").write_text("FACTOR = 10\n")
    (tmp_path / "hidden.py").write_text("X = 1\n")
    (tmp_path / "weights.txt").write_text("w")
    (tmp_path / "other.txt").write_text("o")
    values = {"project": {"modules": ["own.py"]}, "product": {"value": 7}}
    return Origin(tmp_path, values, tmp_path / "lake", tmp_path / "code.json")


@pytest.fixture(params=[LocalHost, ChildHost], ids=["here", "child"])
def host(request: pytest.FixtureRequest, origin: Origin) -> Iterator[Host]:
    with closing(request.param(origin)) as found:
        yield found


def compute(host: Host, name: str) -> Done:
    host.prepare(NAMES, host.facts.contents(NAMES))
    task = Task(name, {}, None, {}, frozenset(), "t1")
    told: list[tuple[int, int, str]] = []
    done = host.compute(task, timeout=60, stop=lambda: None, progress=lambda *one: told.append(one))
    assert told == ([(1, 2, "half")] if name == "product" else [])
    return done


def content(origin: Origin, done: Done) -> str:
    return (origin.lake_path / done.snapshot.by_key["n"].path).read_text()


def test_facts_questions_and_computations(host: Host, origin: Origin) -> None:
    facts = host.facts
    assert facts.faults == ()
    assert {"markets", *NAMES} <= facts.components.keys()
    assert facts.components["product"].settings == {"value": 7}
    assert set(facts.components["product"].code.files) == {"own", "helper"}  # type: ignore[union-attr]
    assert list(facts.sources) == ["sample"]
    assert len(host.probe("sample").tokens) > 0
    nothing = Snapshot("product", ())
    assert host.ask_policy(Question("product", {}, {}, nothing, None, 0)) == Deferral("7 more", {"n": 1})
    assert content(origin, compute(host, "product")) == "70"


def test_of_what_is_found_again_all_but_the_function_is_done(host: Host, origin: Origin) -> None:
    made = compute(host, "gated")
    found = replace(made.snapshot, partitions=tuple(replace(one, key="n") for one in made.snapshot.partitions))
    task = Task("gated", {}, None, {}, frozenset(), "t9", found=found)
    again = host.compute(task, timeout=10, stop=lambda: None, progress=lambda *_: None)
    assert (again.snapshot, again.tables) == (found, {"backtest_metrics": {}})
    assert host.facts.components["gated"].has_gate
    assert host.facts.components["gated"].has_projections
    assert made.environment["python"] == ".".join(map(str, sys.version_info[:2]))
    (origin.base / "shut").touch()
    with pytest.raises(AttemptFailed, match="the gate is shut"):
        host.compute(task, timeout=10, stop=lambda: None, progress=lambda *_: None)


def test_errors_of_the_project_arrive_in_words(host: Host) -> None:
    with pytest.raises(AttemptFailed, match="row 7 is bad") as refused:
        compute(host, "refused")
    assert (refused.value.where, refused.value.fix) == ("data.csv, line 7", "correct it")
    with pytest.raises(AttemptFailed, match="ZeroDivisionError: division by zero") as broken:
        compute(host, "broken")
    assert "own.py, line 53" in broken.value.where
    assert "return 1 / 0" in broken.value.trace


def test_code_imported_by_a_name_put_together_fails_the_attempt(host: Host) -> None:
    with pytest.raises(AttemptFailed, match="imported hidden by a name put together"):
        compute(host, "dynamic")


def test_data_files_count_before_and_after(host: Host, origin: Origin) -> None:
    done = compute(host, "reader")
    assert content(origin, done) == "wo"
    assert len(done.warnings) == 1
    assert str(origin.base / "other.txt") in done.warnings[0]
    (origin.base / "weights.txt").write_text("x")
    with pytest.raises(CodeMoved, match="changed while it was in use"):
        compute(host, "reader")


def test_a_data_file_edited_meanwhile_is_no_success(origin: Origin) -> None:
    (origin.base / "weights.txt").write_text("edit")
    with pytest.raises(CodeMoved):
        compute(LocalHost(origin), "reader")


def test_other_code_than_asked_for_is_not_computed(host: Host, origin: Origin) -> None:
    expected = host.facts.contents(NAMES)
    helper = origin.base / "helper.py"
    for text in ("FACTOR = 1000\n", "FACTOR = 10\n"):  # back again is not the same file for certain
        helper.write_text(text)
        with pytest.raises(CodeMoved) as moved:
            host.prepare(NAMES, expected)
        assert moved.value.files == (str(helper),)


def test_what_was_imported_once_stays_whatever_is_edited_later(host: Host, origin: Origin) -> None:
    host.prepare(NAMES, host.facts.contents(NAMES))
    (origin.base / "helper.py").write_text("FACTOR = 1000\n")
    assert content(origin, compute(host, "product")) == "70"


def test_wrong_settings_are_told_as_faults(origin: Origin) -> None:
    wrong = replace(origin, values={**origin.values, "product": {"valu": 1}, "nonsense": {}})
    with closing(ChildHost(wrong)) as child:
        assert child.facts.faults == LocalHost(wrong).facts.faults
        assert len(child.facts.faults) == 2


# --- only of a process ---------------------------------------------------------------------------------------------


@pytest.mark.from_nothing  # a process that is forked shows the environment of the one it is forked from
def test_a_process_has_no_secret_and_the_projects_folder_is_not_first(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.syspath_prepend(str(origin.base))
    with closing(ChildHost(origin)) as child:
        _, is_empty, place = content(origin, compute(child, "places")).splitlines()
        assert is_empty == "False"
        assert int(place) > 0
        assert b"hunter2" not in Path(f"/proc/{child.pid}/environ").read_bytes()


def test_a_pure_request_is_asked_again_after_a_death(origin: Origin) -> None:
    with closing(ChildHost(origin)) as child:
        first = child.pid
        assert first is not None
        os.kill(first, 9)
        assert child.probe("sample").error is None
        assert child.pid != first


def test_a_process_of_another_version_is_refused(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.execution.host.process.VERSION", "9.9")
    with pytest.raises(AgentError, match=rf"another one \({VERSION}\) than this process \(9.9\)") as refused:
        ChildHost(origin)
    assert refused.value.fix == "restart this process"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os; print('last words', flush=True); os._exit(3)", "exited with code 3"),
        ("raise ValueError('no')", "ValueError: no"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise SystemExit(4)", "SystemExit: 4"),
    ],
)
def test_a_project_that_cannot_be_loaded_says_why(origin: Origin, line: str, said: str) -> None:
    (origin.base / "own.py").write_text(line)
    try:
        with closing(ChildHost(origin)) as child:
            text = "\n".join(child.facts.faults)
    except PipelineError as error:
        text = str(error)
        assert "last words" in text
    assert said in text


def test_a_request_that_was_given_up_has_its_answer_dropped(origin: Origin) -> None:
    class GivenUp(Exception):
        pass

    def give_up() -> None:
        raise GivenUp

    process = Process(origin)
    try:
        process.load(origin, limit=60, wait=lambda: None)
        task = Task("slow", {}, None, {}, frozenset(), "t1")
        with pytest.raises(GivenUp):
            process.ask("compute", task, limit=60, wait=give_up)
        assert process.ask("probe", "sample", limit=60, wait=lambda: None).error is None
    finally:
        process.kill()


def test_only_values_of_ours_can_be_said() -> None:
    class Own(BadInput):
        pass

    assert wire.decode(wire.encode({"$": 1, "a": (1, {2.5}, b"x")})) == {"$": 1, "a": (1, frozenset({2.5}), b"x")}
    with pytest.raises(TypeError, match="Own cannot leave the process"):
        wire.encode({"x": Own("no")})


def test_the_end_of_the_input_is_the_end_of_the_process(origin: Origin) -> None:
    child = ChildHost(origin)
    pid = child.pid
    started = time.monotonic()
    child.close()
    assert time.monotonic() - started < 60
    assert not Path(f"/proc/{pid}").exists()
