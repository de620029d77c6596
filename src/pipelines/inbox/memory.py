"""Pages that this process has read before. A part that grew by a page is read whole again, and with it every part that
has rows of the same market and day: a process that lives on, as a scheduler's, parses each page once.

A page is known by its content and by what reads it: nothing that is remembered can be out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from pipelines.feed import Parsed

_LEAST_BYTES = 4096  # of a page with few rows
Key = tuple[str | int | bytes, ...]


class PageMemory:
    """The pages that were read last, as many as `most_bytes` hold. Threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[Key, Parsed] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: Key, parse: Callable[[], Parsed]) -> Parsed:
        """What `parse` makes of the page known by `key`, or made of it before. Raises what `parse` raises."""
        with self._lock:
            known = self._pages.get(key)
            if known is not None:
                self._pages.move_to_end(key)
                return known
        made = parse()
        with self._lock:
            if key not in self._pages:
                self._pages[key] = made
                self._bytes += _size(made)
            while self._bytes > self._most:
                _, oldest = self._pages.popitem(last=False)
                self._bytes -= _size(oldest)
        return made


def _size(page: Parsed) -> int:
    return _LEAST_BYTES + int(page.frame.estimated_size()) + int(page.quarantined.estimated_size())
