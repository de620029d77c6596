"""Where an attempt computes: here, or in a child process that can be ended, may crash, and starves no heartbeat.

A child is spawned, not forked (a fork after Polars has started its threads deadlocks), serves the attempts of one run
one after the other, and exits when its parent is gone.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import pkgutil
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent.errors import AgentError
from agent.execution.work import Done, Progress, Task, work
from agent.runtime.transient import is_transient
from pipelines.component import Component
from pipelines.discovery import load_components, load_source
from pipelines.errors import PipelineError
from pipelines.source import Source

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_POLL_SECONDS = 0.1
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)
_OF_THE_GROUP = (signal.SIGINT, signal.SIGTERM)


class AttemptFailed(AgentError):
    """The computation failed. Carries the traceback, whether trying again may help, and the memory used if known."""

    def __init__(
        self, error: BaseException, *, trace: str = "", transient: bool = False, peak: int | None = None
    ) -> None:
        if isinstance(error, PipelineError):
            super().__init__(error.what, where=error.where, mend=error.mend)
        else:
            where = _place(trace)
            mend = "correct it there, or what it was given; attempts.traceback has the whole way to it" if where else ""
            super().__init__(f"{type(error).__name__}: {error}", where=where, mend=mend)
        self.trace, self.peak_memory_bytes = trace, peak
        self.transient = transient


def _place(trace: str) -> str:
    """The last line of a traceback that is no installed library's, as `file, line N`; empty where there is none."""
    libraries = ("site-packages", os.path.dirname(os.__file__), "<")  # noqa: PTH120 - a part of a text
    frames = [(path, line) for path, line in _FRAME.findall(trace) if not any(one in path for one in libraries)]
    return f"{frames[-1][0]}, line {frames[-1][1]}" if frames else ""


class Cancelled(AgentError):
    """The attempt was ended because the run was cancelled or the process is to stop."""


class Executor(Protocol):
    """Computes attempts, one at a time."""

    def run(
        self, task: Task, component: Component, *, timeout: float, stop: Callable[[], str | None], progress: Progress
    ) -> Done:
        """The attempt's result. `stop` returns why to end it, or None. Raises AttemptFailed or Cancelled."""

    def close(self) -> None:
        """End what is still running."""


def _late(timeout: float, where: str) -> PipelineError:
    return PipelineError(
        f"took longer than {timeout:g} s and was ended",
        where=where,
        mend="raise [executor] timeout_seconds (or its [executor.timeouts] entry), or give it less to do",
    )


@dataclass
class InlineExecutor:
    """In this process: no child to start, nothing that could end a computation before it returns."""

    sources: Mapping[str, Source]
    base: Path
    lake_path: Path

    def run(
        self, task: Task, component: Component, *, timeout: float, stop: Callable[[], str | None], progress: Progress
    ) -> Done:
        """Compute here. `timeout` is kept only at the points where the component reports progress, and so is `stop`."""
        started = time.monotonic()

        def checked(done: int, total: int, what: str) -> None:
            if time.monotonic() - started >= timeout:
                raise _late(timeout, "in the orchestrator's own process")
            reason = stop()
            if reason is not None:
                raise Cancelled(reason)
            progress(done, total, what)

        try:
            return work(task, component, self.sources, base=self.base, lake_path=self.lake_path, on_progress=checked)
        except Cancelled:
            raise
        except (Exception, SystemExit) as error:  # a component that leaves must not take the orchestrator along
            raise AttemptFailed(error, trace=traceback.format_exc(), transient=is_transient(error)) from error

    def close(self) -> None:
        """Nothing is left running here."""


@dataclass
class ProcessExecutor:
    """In a child process of its own, kept for the attempts of one run and replaced after a crash or a timeout."""

    modules: Sequence[str]
    base: Path
    source_settings: Mapping[str, Any]
    lake_path: Path
    _child: SpawnProcess | None = field(default=None, repr=False)
    _pipe: Connection | None = field(default=None, repr=False)

    def run(
        self, task: Task, component: Component, *, timeout: float, stop: Callable[[], str | None], progress: Progress
    ) -> Done:
        """Compute in the child; end it on timeout or when told to stop, and say how it died if it did."""
        child, pipe = self._started()
        try:
            pipe.send_bytes(_packed(task))
            sys.audit("tidemill.point", "child.asked")
        except OSError as error:  # it died before it could listen
            raise self._death(child, None, stop) from error
        return self._await(child, pipe, timeout, stop, progress)

    def close(self) -> None:
        """End the child, kindly: closing the pipe is its sign to leave."""
        if self._pipe is not None:
            self._pipe.close()
        if self._child is not None:
            self._child.join(timeout=2)
            if self._child.is_alive():
                self._child.kill()
                self._child.join()
            self._child.close()
        self._child = self._pipe = None

    def _started(self) -> tuple[SpawnProcess, Connection]:
        if self._child is not None and self._pipe is not None and self._child.is_alive():
            return self._child, self._pipe
        self.close()
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(
            target=_serve,
            args=(theirs, tuple(self.modules), self.base, _packed(dict(self.source_settings)), self.lake_path),
            name="tidemill-attempt",
            daemon=True,
        )
        with _signals_held_back():
            child.start()
        theirs.close()
        self._child, self._pipe = child, ours
        return child, ours

    def _await(
        self,
        child: SpawnProcess,
        pipe: Connection,
        timeout: float,
        stop: Callable[[], str | None],
        progress: Progress,
    ) -> Done:
        from multiprocessing.connection import wait

        started, peak = time.monotonic(), None
        while True:
            wait([pipe, child.sentinel], timeout=_POLL_SECONDS)
            is_over = not child.is_alive()  # asked first: what it said before it died is then in the pipe
            if pipe.poll():
                try:
                    kind, content = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own child
                except (EOFError, OSError) as error:
                    raise self._death(child, peak, stop) from error
                if kind == "done":
                    sys.audit("tidemill.point", "child.answered")
                    assert isinstance(content, Done)
                    return content
                if kind == "failed":
                    failure, trace, transient, used = content
                    raise AttemptFailed(failure, trace=trace, transient=transient, peak=used)
                progress(*content)
            elif is_over:
                raise self._death(child, peak, stop)
            peak = _peak_memory(child.pid) or peak
            reason = stop()
            if reason is not None:
                self._kill()
                raise Cancelled(reason)
            if time.monotonic() - started >= timeout:
                number = child.pid
                self._kill()
                raise AttemptFailed(_late(timeout, f"child process {number}"), peak=peak)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.join()
        self.close()

    def _death(self, child: SpawnProcess, peak: int | None, stop: Callable[[], str | None]) -> AgentError:
        child.join()
        code, number = child.exitcode, child.pid
        self.close()
        told = stop() if code in (-signal.SIGTERM, -signal.SIGINT) else None
        if told is not None:
            return Cancelled(told)  # a service manager signals the whole group
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            cause = " (often: out of memory)" if name == "SIGKILL" else ""
            what = f"the process that computed it was killed by {name}{cause}"
        else:
            what = f"the process that computed it exited with code {code} before it was done"
        used = f"; it had used {peak / 2**20:.0f} MB" if peak else ""
        return AttemptFailed(
            PipelineError(
                what + used,
                where=f"child process {number}",
                mend="check the machine's memory and the system log, then run again",
            ),
            peak=peak,
        )


class _ByName(pickle.Pickler):
    """Writes classes by their names alone.

    pickle refuses one that its module does not hold any more. So it is in a server once a file has changed: another
    thread forgets the modules that this run has its settings from (pipelines.discovery.forget_changed).
    """

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, type) and obj.__module__ != "builtins":
            return pkgutil.resolve_name, (f"{obj.__module__}:{obj.__qualname__}",)
        return NotImplemented


def _packed(value: object) -> bytes:
    """`value` on its way to the child, where `pickle.loads` has it back."""
    packed = io.BytesIO()
    _ByName(packed, pickle.HIGHEST_PROTOCOL).dump(value)
    return packed.getvalue()


def _serve(pipe: Connection, modules: Sequence[str], base: Path, source_settings: bytes, lake_path: Path) -> None:
    """The child's life: take a task, compute, answer; leave when the parent closes the pipe or dies."""
    for number in _OF_THE_GROUP:  # Ctrl-C and service managers reach the whole group
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_GROUP)
    _leave_with_parent()

    def progress(done: int, total: int, what: str) -> None:
        pipe.send_bytes(pickle.dumps(("progress", (done, total, what))))

    components: Mapping[str, Component] = {}
    sources: Mapping[str, Source] = {}
    while True:
        try:
            received = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        _reset_peak_memory()
        try:
            if not components:
                read: Mapping[str, Any] = pickle.loads(source_settings)  # noqa: S301 - from our own parent
                sources = {name: load_source(name)(settings, base) for name, settings in read.items()}
                components = load_components(modules, base)
            task: Task = pickle.loads(received)  # noqa: S301 - from our own parent
            done = work(task, components[task.component], sources, base=base, lake_path=lake_path, on_progress=progress)
            sys.audit("tidemill.point", "child.computed")
            answer: tuple[str, Any] = (
                "done",
                Done(done.snapshot, done.tables, done.outcomes, _peak_memory(os.getpid())),
            )
        except Exception as error:
            answer = (
                "failed",
                (_portable(error), traceback.format_exc(), is_transient(error), _peak_memory(os.getpid())),
            )
        try:
            pipe.send_bytes(pickle.dumps(answer))
        except OSError:
            return


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A child begun meanwhile inherits the mask, so that Ctrl-C cannot end it before it has learnt to ignore that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it ends the block, so not while we need it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _portable(error: Exception) -> Exception:
    """The error itself where it survives the way to the parent, else its text."""
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - made a line above
            return error
    except Exception as lost:
        return RuntimeError(f"{type(error).__name__}: {error} ({type(lost).__name__} on the way out of the child)")
    return RuntimeError(f"{type(error).__name__}: {error}")


def _leave_with_parent() -> None:
    """A parent killed with SIGKILL can tell no one: watch for its end, so that no orphan computes for nobody."""
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_memory(pid: int | None) -> int | None:
    """Most memory process `pid` has held since the last reset, in bytes; None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        if pid == os.getpid():
            import resource

            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, which has no /proc
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
