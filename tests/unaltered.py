"""That production is what it was: its tables row by row, and its releases byte by byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from agent.store import dump
from agent.store.database.engine import consistent

# No try writes to these; to the others it adds rows of its own.
SAME = (
    *("orchestrator_state", "markets", "predictions", "releases", "backtest_metrics"),
    *("runner", "schedules", "alerts"),
)
KEPT = ("snapshots", "partitions", "runs", "attempts", "events")


@dataclass(frozen=True)
class Production:
    """Table -> its rows in the order of their keys; path -> content of each file of a release, or where a link leads
    to."""

    rows: dict[str, list[str]]
    releases: dict[str, str]

    def require_kept(self, later: Production) -> None:
        """What it was is what it is: the same rows, and none lost or altered where a try adds some."""
        for name in SAME:
            assert later.rows[name] == self.rows[name], name
        for name in KEPT:
            lost = set(self.rows[name]) - set(later.rows[name])
            assert not lost, f"{name} lost or changed {sorted(lost)[:3]}"
        assert later.releases == self.releases


def production(engine: sa.Engine, home: Path) -> Production:
    """As it is now; `home` is the folder that has releases/."""
    with consistent(engine) as conn:
        rows = {name: [repr(row) for row in dump.rows_of(conn, name)] for name in (*SAME, *KEPT)}
    found = sorted((home / "releases").rglob("*"))
    said = {path: str(path.readlink()) if path.is_symlink() else _hash(path) for path in found}
    return Production(rows, {path.relative_to(home).as_posix(): text for path, text in said.items()})


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
