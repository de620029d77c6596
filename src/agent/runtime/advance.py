"""How far a run that goes on has come, for people who look from another process: a small file in the project's home.

A component says it as often as it likes, a thousand times a second if it must, and nobody asks for it later. So it is
no row of the database, which has one writer where it is SQLite: it is written over in one file, without waiting, and
removed when the run ends. Whoever reads it in the middle of a change finds nothing that time.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from agent.core.events import Event, Progress
from pipelines.values import dataclass

log = logging.getLogger("tidemill.advance")
_FORGOTTEN_SECONDS = 7 * 86400.0  # left behind by a process that was killed


def load_advance(home: Path, run_id: int) -> dict[str, Progress]:
    """Component -> the last that it said; nothing of a run that says nothing or is over. One that ended meanwhile may
    be among them: its attempt says so."""
    try:
        rows = json.loads(_file(home, run_id).read_bytes().partition(b"\n")[0])
        return {row[0]: Progress(*row) for row in rows}
    except (OSError, ValueError, TypeError):
        return {}


@dataclass
class Noticeboard:
    """A watcher of a run that writes down what its components say of their progress. `run_id` is asked for when one
    does: by then the run has one. `close` it when the run is over."""

    home: Path
    run_id: Callable[[], int]
    _said: dict[str, Progress] = field(default_factory=dict)
    _open: int | None = None
    _is_off: bool = False

    def __call__(self, event: Event | Progress) -> None:
        """Write progress down; a disk that takes no more is no reason to stop a run."""
        if not isinstance(event, Progress) or self._is_off:
            return
        self._said[event.component] = event
        rows = [(one.component, one.done, one.total, one.what) for one in self._said.values()]
        try:
            if self._open is None:
                _forget_old(self.home)
                self._open = os.open(_file(self.home, self.run_id()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.pwrite(self._open, json.dumps(rows).encode() + b"\n", 0)
        except OSError as error:
            log.debug("progress is not shown elsewhere: %s", error)
            self._is_off = True

    def close(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            os.close(self._open)
            self._open, self._is_off = None, True
            _file(self.home, self.run_id()).unlink(missing_ok=True)


def _file(home: Path, run_id: int) -> Path:
    return home / f"progress-{run_id}.json"


def _forget_old(home: Path) -> None:
    for file in home.glob("progress-*.json"):
        if file.stat().st_mtime < time.time() - _FORGOTTEN_SECONDS:
            file.unlink(missing_ok=True)
