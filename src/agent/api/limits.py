"""How often a client may ask: changing requests in a minute, and wrong tokens. Pure but for what it remembers."""

from __future__ import annotations

from collections import deque
from dataclasses import field

from pipelines.values import dataclass

_WINDOW_SECONDS = 60.0
_MOST_CLIENTS = 10_000


@dataclass
class RateLimit:
    """At most `most` changing requests a client in a minute."""

    most: int
    _times: dict[str, deque[float]] = field(default_factory=dict)

    def wait_seconds(self, client: str, now: float) -> float:
        """0 where the request may go on (it is counted), else how long to wait."""
        times = _lately(self._times, client, now)
        if len(times) >= self.most:
            return times[0] + _WINDOW_SECONDS - now
        times.append(now)
        return 0.0


@dataclass
class WrongTokens:
    """Slows down who guesses tokens, and never locks anyone out: only the answer to a wrong one is late.

    The first `free` wrong ones of a client in a minute are answered at once, the next ones one after the other, `step`
    seconds apart, however many are sent at the same time. One that would wait longer than `longest` is not kept
    waiting: connections would pile up.
    """

    free: int = 5
    step: float = 1.0
    longest: float = 10.0
    _times: dict[str, deque[float]] = field(default_factory=dict)

    def delay_seconds(self, client: str, now: float) -> float | None:
        """How long to wait before the answer to a wrong token of `client`; None: say at once that it is too often."""
        answers = _lately(self._times, client, now)
        due = max(now, answers[-1] + self.step) if len(answers) >= self.free else now
        if due - now > self.longest:
            return None
        answers.append(due)
        return due - now


def _lately(known: dict[str, deque[float]], client: str, now: float) -> deque[float]:
    """The times of `client` in the last minute. Silent clients are forgotten once there are many."""
    if len(known) > _MOST_CLIENTS:
        for name in [name for name, times in known.items() if not times or times[-1] <= now - _WINDOW_SECONDS]:
            del known[name]
    times = known.setdefault(client, deque())
    while times and times[0] <= now - _WINDOW_SECONDS:
        times.popleft()
    return times
