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
from agent.execution.proving.state import remembered
from agent.execution.proving.values import Conditions, Evidence, Pass
from agent.execution.proving.watch import Forbidden, Watch
from pipelines.component import Component, perform
from pipelines.lake import Lake
from pipelines.plugins.generation import import_all, import_from_source

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
    files = [Path(one) for one in host.data_files(component.name)]
    root, lake = Path(request["root"]), Lake(origin.lake_path)
    with _jittered(conditions.is_jittered):
        return [
            _pass(component, host.project.settings[component.name], Pass(**one), lake, root / str(number), own,
                  [root.parent, origin.lake_path, *files], origin.base, conditions)
            for number, one in enumerate(request["passes"])
        ]  # fmt: skip


def _pass(
    component: Component,
    settings: Any,
    task: Pass,
    below: Lake,
    root: Path,
    own: Sequence[str],
    allowed: Sequence[Path],
    base: Path,
    conditions: Conditions,
) -> dict[str, Any]:
    """One pass, as the fields of a PassResult."""
    watch = Watch(own, allowed)
    module = sys.modules[component.function.__module__]

    def noticed(upstream: str, what: str) -> None:
        watch.asked(f"reads {what} of {upstream}", inspect.currentframe())

    lake = ProvingLake(root, _CutLake(root.parents[1], below), task.limit, noticed)
    lake.declare(task.inputs, component.upstream, hides=conditions.hides_columns)
    kept: dict[str, str] = {}
    error = ""
    before, numbers = remembered(own), _numpy_state()
    with watch:
        try:
            made = perform(
                component,
                settings,
                {name: task.inputs[name] for name in component.upstream},
                lake=lake,
                attempt="prove",
                previous=task.previous,
                previous_inputs=task.previous_inputs,
                redo=task.redo,
                base=base,
            )
            kept = {one.key: one.content_hash for one in made.counted}
        except Enough:
            pass
        except (Exception, SystemExit) as raised:
            error = _line(raised, own)
    after = remembered(own)
    evidence = list(watch.found.values())
    changed = sorted(name for name in after if name in before and before[name] != after[name])
    place = getattr(module, "__file__", "") or ""
    evidence += [Evidence("state", f"keeps {name} between calls", place, False) for name in changed]
    if numbers != _numpy_state():
        evidence.append(Evidence("randomness", "draws from NumPy's random numbers that all share", place, False))
    written = {key: one.content_hash for key, one in lake.written.items()}
    kept = {key: content for key, content in kept.items() if key not in written}
    return {
        "name": task.name,
        "written": written,
        "kept": kept,
        "error": error,
        "evidence": [dict(vars(one)) for one in evidence],
    }


class _CutLake(Lake):
    """The inputs that were cut for the proof, and, what is not there, the project's lake."""

    def __init__(self, root: Path, below: Lake) -> None:
        super().__init__(root)
        self._below = below

    def path_of(self, partition: Any) -> Path:
        own = super().path_of(partition)
        return own if partition.path.startswith("cut/") else self._below.path_of(partition)


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
