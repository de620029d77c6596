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
    with ThreadPoolExecutor(min(len(items), os.cpu_count() or 1, 4)) as pool:
        return list(pool.map(work, items))
