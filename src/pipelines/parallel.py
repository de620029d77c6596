"""Work in threads where it pays: hashing and writing let other threads of this process run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_LEAST = 20_000  # rows: starting threads costs as much as hashing so many


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item], rows: int) -> list[_Result]:
    """`work` of each item, in order; by several threads where the items amount to many `rows`."""
    if len(items) < 2 or rows < _LEAST:
        return [work(item) for item in items]
    workers = min(len(items), os.cpu_count() or 1, 4)
    step = -(-len(items) // (4 * workers))  # handing over a single item would cost as much as working on it
    pieces = [items[start : start + step] for start in range(0, len(items), step)]
    with ThreadPoolExecutor(workers) as pool:
        return [one for piece in pool.map(lambda piece: [work(item) for item in piece], pieces) for one in piece]
