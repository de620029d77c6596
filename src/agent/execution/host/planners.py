"""Warm processes, one for each project, for what lives long: server, worker, scheduler, dashboard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path

from agent.execution.host.child import ChildHost, loaded, no_wait
from agent.execution.host.interface import Host, Origin, ProjectBusy
from pipelines.values import dataclass

IDLE_SECONDS = 300.0
MOST = 20
_LOOK_SECONDS = 1.0
_TURN_SECONDS = 0.2


@dataclass
class _Planner:
    """A project's warm process. `users` are the blocks that have it now."""

    host: ChildHost
    origin: Origin
    users: int = 0
    used_at: float = 0.0
    is_retired: bool = False


@dataclass
class Planners:
    """Warm processes, one for each project, for what lives long (server, worker, scheduler, dashboard).

    One is replaced when a file that it loaded changes, by the next block that asks; blocks that have it keep it to
    their end, so that a run sees one generation of code. It is ended after `idle_seconds` without a block, and beyond
    `most` of them the one that was idle longest. `close` ends them all.
    """

    idle_seconds: float = IDLE_SECONDS
    most: int = MOST
    _planners: dict[Path, _Planner] = field(default_factory=dict)
    _retired: list[_Planner] = field(default_factory=list)
    _loading: dict[Path, threading.Lock] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _keeper: threading.Thread | None = None
    _epoch: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def lease(self, origin: Origin) -> Iterator[Host]:
        """See `Hosts`."""
        planner = self._taken(origin)
        try:
            yield planner.host
        finally:
            self._give_back(planner)

    def pids(self) -> list[int]:
        """The processes that there are."""
        with self._lock:
            return [pid for one in self._planners.values() if (pid := one.host.pid) is not None]

    def stop_loading(self) -> None:
        """Let those go who wait for a project to be loaded: this process is to leave."""
        self._epoch += 1

    def close(self) -> None:
        """End all of them, whoever uses them. The next block starts again."""
        self.stop_loading()
        self._over.set()
        with self._lock:
            found = [*self._planners.values(), *self._retired]
            self._planners, self._retired = {}, []
            keeper, self._keeper = self._keeper, None
        for one in found:
            one.host.close()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join()

    def _taken(self, origin: Origin) -> _Planner:
        base, epoch = origin.base, self._epoch

        def wait() -> None:
            if self._epoch != epoch:
                raise ProjectBusy("this process is to leave", where=str(base), fix="ask the next one")

        with self._lock:
            loading = self._loading.setdefault(base, threading.Lock())
        while not loading.acquire(timeout=_TURN_SECONDS):
            wait()
        try:
            with self._lock:
                known = self._planners.get(base)
                if known is not None:
                    known.users += 1  # nobody ends it while it is looked at
            if known is not None:
                try:
                    if known.origin == origin and known.host.is_current():
                        return known
                except BaseException:
                    self._give_back(known)
                    raise
                self._retire(base, known)
            host = loaded(origin, wait)
            host.wait = no_wait
            planner = _Planner(host, replace(origin, is_fresh=False), users=1, used_at=time.monotonic())
            with self._lock:
                self._planners[base] = planner
            self._keep()
            return planner
        finally:
            loading.release()

    def _retire(self, base: Path, planner: _Planner) -> None:
        """Give it to nobody any more; it goes when the last block that has it ends."""
        with self._lock:
            planner.is_retired = True
            if self._planners.get(base) is planner:
                del self._planners[base]
            self._retired.append(planner)
        self._give_back(planner)

    def _give_back(self, planner: _Planner) -> None:
        with self._lock:
            planner.users -= 1
            planner.used_at = time.monotonic()
            is_over = planner.is_retired and planner.users == 0
            if is_over and planner in self._retired:
                self._retired.remove(planner)
        if is_over:
            planner.host.close()
        self._end_idle()

    def _end_idle(self) -> None:
        """End those that nobody has: unused for long, or, where there are too many, unused for the longest."""
        now = time.monotonic()
        with self._lock:
            idle = sorted((one.used_at, str(base), base) for base, one in self._planners.items() if one.users == 0)
            surplus = len(self._planners) - self.most
            ended = []
            for number, (used_at, _, base) in enumerate(idle):
                if number < surplus or now - used_at >= self.idle_seconds:
                    ended.append(self._planners.pop(base))
        for one in ended:
            one.host.close()

    def _keep(self) -> None:
        """See to it that idle ones are ended although nobody asks any more."""
        with self._lock:
            if self._keeper is not None and self._keeper.is_alive():
                return
            self._over.clear()
            self._keeper = threading.Thread(target=self._look, name="planners", daemon=True)
            self._keeper.start()

    def _look(self) -> None:
        while not self._over.wait(min(_LOOK_SECONDS, self.idle_seconds)):
            self._end_idle()
            with self._lock:
                if not self._planners and not self._retired:
                    self._keeper = None
                    return
