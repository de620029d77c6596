"""Many things at once, for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Crowd:
    """Threads that each do one thing again and again until the time is over; the first error ends them all."""

    def __init__(self, seconds: float) -> None:
        self._over = threading.Event()
        self._seconds = seconds
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def add(self, act: Callable[[], None], *, pause: float = 0.0) -> None:
        def again() -> None:
            try:
                while not self._over.is_set():
                    act()
                    self._over.wait(pause)
            except BaseException as error:
                self._errors.append(error)
                self._over.set()

        self._threads.append(threading.Thread(target=again))

    def run(self) -> None:
        """Everything at once, for the time given; raises the first error."""
        for thread in self._threads:
            thread.start()
        self._over.wait(self._seconds)
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
