"""Work with a project's code: in a thread of the project's own, so that one that hangs takes no thread from others.

Requests wait on the event loop for their turn: a few, for a while. Beyond that the answer is 503 with Retry-After.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from typing import TypeVar

from agent.execution.host.interface import LOAD_SECONDS, ProjectBusy
from pipelines.values import dataclass

MOST_WAITING = 8
_T = TypeVar("_T")


@dataclass
class _Lane:
    thread: ThreadPoolExecutor
    waiting: int = 0


@dataclass
class Lanes:
    """One lane for each project that is asked about; it goes when nobody asks any more."""

    wait_seconds: float = LOAD_SECONDS
    _lanes: dict[int, _Lane] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def run(self, project_id: int, work: Callable[[], _T]) -> _T:
        """What `work` returns, done after what came before it for the same project. Raises what it raises, and
        ProjectBusy where too many wait, or its turn does not come in time."""
        future = self.submit(project_id, work)
        turn = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({turn}, timeout=self.wait_seconds)
        if not done and future.cancel():
            raise _busy(project_id, f"it did not come to this request within {self.wait_seconds:g} s")
        return await turn

    def submit(self, project_id: int, work: Callable[[], _T]) -> Future[_T]:
        """Begin `work` after what came before it for the same project. Raises ProjectBusy where too many wait."""
        with self._lock:
            lane = self._lanes.get(project_id)
            if lane is None:
                lane = _Lane(ThreadPoolExecutor(1, thread_name_prefix=f"project-{project_id}"))
                self._lanes[project_id] = lane
            if lane.waiting >= MOST_WAITING:
                raise _busy(project_id, f"{lane.waiting} requests wait for it")
            lane.waiting += 1
            future = lane.thread.submit(work)
        future.add_done_callback(lambda _: self._over(project_id, lane))
        return future

    def close(self) -> None:
        """Drop what waits; what is under way comes to its end."""
        with self._lock:
            lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.thread.shutdown(wait=False, cancel_futures=True)

    def _over(self, project_id: int, lane: _Lane) -> None:
        with self._lock:
            lane.waiting -= 1
            if lane.waiting or self._lanes.get(project_id) is not lane:
                return
            del self._lanes[project_id]
        lane.thread.shutdown(wait=False)


def _busy(project_id: int, why: str) -> ProjectBusy:
    return ProjectBusy(f"the code of project {project_id} is busy: {why}", where="projects", fix="try again later")
