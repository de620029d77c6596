"""Work in threads where it pays: hashing and flushing let other threads of this process run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
MANY_ROWS = 20_000  # of a table that is hashed: starting threads costs as much as hashing so many


def in_threads(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int | None = None
) -> list[_Result]:
    """`work` of each item, in order, by so many threads (None: one for each of up to four cores; 1: none). Raises what
    `work` raises."""
    workers = min(len(items), workers or min(os.cpu_count() or 1, 4))
    if workers < 2:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # a run with nothing to do needs none

    step = -(-len(items) // (4 * workers))  # handing over a single item would cost as much as working on it
    pieces = [items[start : start + step] for start in range(0, len(items), step)]
    with ThreadPoolExecutor(workers) as pool:
        return [one for piece in pool.map(lambda piece: [work(item) for item in piece], pieces) for one in piece]
