"""Work in threads where it pays: hashing, flushing and fitting let other threads of this process run meanwhile."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
MANY_ROWS = 20_000  # of a table that is hashed: starting threads costs as much as hashing so many


MOST_WORKERS = 4


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_done(work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int) -> Iterator[_Result]:
    """`work` of each item, in order, each as soon as it is there, by `workers` threads; by none of its own for one.
    Raises what `work` raises."""
    if workers < 2 or len(items) < 2:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(workers, len(items))) as pool:
        yield from pool.map(work, items)


class _Pin:
    """Held by everyone who computes with pinned threads: the first lays it, the last takes it away."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.holders = 0
        self.undo = ExitStack()


_pin = _Pin()


@contextmanager
def pinned(openmp: int = 1, ignored: type[Warning] | None = None) -> Iterator[None]:
    """Linear algebra by one thread, for its sums depend on how many there are, and no warnings of the kind `ignored`,
    while any thread is in here; loops of OpenMP that this thread begins by at most `openmp`. Load the libraries before:
    a later one is not pinned."""
    from threadpoolctl import threadpool_limits

    with _pin.lock:
        _pin.holders += 1
        if ignored is not None:  # filters are the process's own, as the pin is
            _pin.undo.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", category=ignored)
        # Each holder pins: it may have loaded a library that those before had not.
        _pin.undo.enter_context(threadpool_limits(1, user_api="blas"))
    try:
        with threadpool_limits(openmp, user_api="openmp"):  # OpenMP keeps this number per thread
            yield
    finally:
        with _pin.lock:
            _pin.holders -= 1
            if not _pin.holders:
                _pin.undo.close()


def in_threads(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int | None = None
) -> list[_Result]:
    """`work` of each item, in order, by so many threads (None: one for each of up to four cores; 1: none). Raises what
    `work` raises."""
    workers = min(len(items), workers or min(os.cpu_count() or 1, MOST_WORKERS))
    if workers < 2:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # a run with nothing to do needs none

    step = -(-len(items) // (4 * workers))  # handing over a single item would cost as much as working on it
    pieces = [items[start : start + step] for start in range(0, len(items), step)]
    with ThreadPoolExecutor(workers) as pool:
        return [one for piece in pool.map(lambda piece: [work(item) for item in piece], pieces) for one in piece]
