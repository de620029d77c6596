"""The inside of a proving process: it loads the project under given conditions, makes its passes, answers and ends."""

from __future__ import annotations

import contextlib
import inspect
import locale
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.execution.host import wire
from agent.execution.host.failures import failure_of
from agent.execution.host.interface import Origin
from agent.execution.host.local import LocalHost
from agent.execution.proving.lake import Enough, ProvingLake
from agent.execution.proving.passes import CUT
from agent.execution.proving.state import remembered
from agent.execution.proving.values import Conditions, Evidence, Pass
from agent.execution.proving.watch import Forbidden, Watch
from pipelines.component import Component, perform
from pipelines.lake import Lake
from pipelines.plugins.generation import import_all, import_from_source
from pipelines.values import dataclass

_STEP_SECONDS, _STEPS = 0.004, 8


def serve() -> None:
    """Read one request from standard input, answer it on what was standard output, and end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    frame = wire.read_frame(sys.stdin.buffer)
    assert frame is not None
    request = frame[1]
    sys.path[:] = request["path"]
    import_from_source()
    try:
        answer: dict[str, Any] = {"done": _prove(request)}
    except (Exception, SystemExit) as error:
        answer = {"failed": failure_of(error)}
    wire.write_frame(answers, 1, answer)
    answers.close()
    os._exit(0)  # threads that a component left behind do not hold it up


def _prove(request: dict[str, Any]) -> list[dict[str, Any]]:
    origin: Origin = request["origin"]
    conditions = Conditions(**request["conditions"])
    _settle(conditions)
    host = LocalHost(origin)
    component = host.project.components[request["component"]]
    modules = host.modules_of([component.name])
    import_all(modules)
    _import_usual()
    own = [str(module.file) for module in modules if not module.imported_as.startswith(("pipelines.", "agent."))]
    root, files = Path(request["root"]), [Path(one) for one in host.data_files(component.name)]
    bench = _Bench(
        component,
        host.project.settings[component.name],
        Lake(origin.lake_path),
        own,
        [root.parent, origin.lake_path, *files],
        origin.base,
        conditions.hides_columns,
    )
    with _jittered(conditions.is_jittered):
        return [bench.make(Pass(**one), root / str(number)) for number, one in enumerate(request["passes"])]


@dataclass(frozen=True)
class _Bench:
    """The component under proof. own: files of its code; allowed: files and folders that it may read."""

    component: Component
    settings: Any
    below: Lake
    own: Sequence[str]
    allowed: Sequence[Path]
    base: Path
    hides_columns: bool

    def make(self, task: Pass, root: Path) -> dict[str, Any]:
        """One pass, its files below `root`, as the fields of a PassResult."""
        watch = Watch(self.own, self.allowed)

        def noticed(upstream: str, what: str) -> None:
            watch.asked(f"reads {what} of {upstream}", inspect.currentframe())

        lake = ProvingLake(root, _CutLake(root.parents[1], self.below), task.limit, noticed)
        lake.declare(task.inputs, self.component.upstream, hides=self.hides_columns)
        before, numbers = remembered(self.own), _numpy_state()
        with watch:
            kept, error = self._computed(task, lake)
        evidence = [*watch.found.values(), *self._left_behind(before, numbers)]
        written = {key: one.content_hash for key, one in lake.written.items()}
        return {
            "name": task.name,
            "written": written,
            "kept": {key: content for key, content in kept.items() if key not in written},
            "error": error,
            "evidence": [dict(vars(one)) for one in evidence],
        }

    def _computed(self, task: Pass, lake: ProvingLake) -> tuple[dict[str, str], str]:
        """The output's key -> content hash, {} where the pass was ended early, and the error."""
        try:
            made = perform(
                self.component,
                self.settings,
                {name: task.inputs[name] for name in self.component.upstream},
                lake=lake,
                attempt="prove",
                previous=task.previous,
                previous_inputs=task.previous_inputs,
                redo=task.redo,
                base=self.base,
            )
        except Enough:
            return {}, ""
        except (Exception, SystemExit) as raised:
            return {}, _line(raised, self.own)
        return {one.key: one.content_hash for one in made.counted}, ""

    def _left_behind(self, before: dict[str, str], numbers: bytes | None) -> list[Evidence]:
        """What the component's modules, and NumPy's shared numbers, remember of the pass."""
        place = getattr(sys.modules[self.component.function.__module__], "__file__", None) or ""
        after = remembered(self.own)
        changed = sorted(name for name in after if name in before and before[name] != after[name])
        found = [Evidence("state", f"keeps {name} between calls", place, False) for name in changed]
        if numbers != _numpy_state():
            found.append(Evidence("randomness", "draws from NumPy's random numbers that all share", place, False))
        return found


class _CutLake(Lake):
    """The inputs that were cut for the proof, and, what is not there, the project's lake."""

    def __init__(self, root: Path, below: Lake) -> None:
        super().__init__(root)
        self._below = below

    def path_of(self, partition: Any) -> Path:
        own = super().path_of(partition)
        return own if partition.path.startswith(f"{CUT}/") else self._below.path_of(partition)


def _line(error: BaseException, own: Sequence[str]) -> str:
    """The error and the line of the component's own code it came from."""
    if isinstance(error, Forbidden):
        return ""
    lines = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in own]
    place = f" ({lines[-1].filename}:{lines[-1].lineno})" if lines else ""
    return f"{type(error).__name__}: {error}{place}"


def _settle(conditions: Conditions) -> None:
    if conditions.is_foreign:
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, "")
    if conditions.threads is not None:
        count = conditions.threads
        os.cpu_count = lambda: count


def _import_usual() -> None:
    """What most components import when they are called: an import inside a pass would hide what the pass does."""
    import numpy as np
    import polars as pl

    pl.DataFrame({"a": [1]}).lazy().collect()
    np.random.get_state()


def _numpy_state() -> bytes | None:
    random = getattr(sys.modules.get("numpy"), "random", None)
    if random is None:
        return None
    state = random.get_state()
    return bytes(state[1].tobytes()) + repr(state[2:]).encode()


@contextlib.contextmanager
def _jittered(is_on: bool) -> Iterator[None]:
    """Let what was begun first in threads end last: each piece of work waits, the earlier the longer."""
    if not is_on:
        yield
        return
    from concurrent.futures import ThreadPoolExecutor

    submit, run, begun = ThreadPoolExecutor.submit, threading.Thread.run, [0]

    def pause() -> None:
        begun[0] += 1
        time.sleep(_STEP_SECONDS * (_STEPS - begun[0] % _STEPS))

    def later(self: ThreadPoolExecutor, work: Any, /, *arguments: Any, **options: Any) -> Any:
        def paused(*given: Any, **named: Any) -> Any:
            pause()
            return work(*given, **named)

        return submit(self, paused, *arguments, **options)

    def run_later(self: threading.Thread) -> None:
        if not self.daemon and not self.name.startswith("ThreadPool"):
            pause()
        run(self)

    ThreadPoolExecutor.submit = later  # type: ignore[method-assign, assignment]
    threading.Thread.run = run_later  # type: ignore[method-assign]
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        ThreadPoolExecutor.submit, threading.Thread.run = submit, run  # type: ignore[method-assign]
