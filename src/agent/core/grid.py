"""What happened to each component in each of the last runs, as a grid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from agent.core.model import Reason
from pipelines.values import dataclass

Outcome = Literal[
    "computed", "same", "up to date", "deferred", "blocked", "failed", "crashed", "cancelled", "running", "waiting"
]
# What stands in a cell: never the colour alone.
SIGNS: Mapping[Outcome, str] = {
    "computed": "●",
    "same": "=",
    "up to date": "○",
    "deferred": "…",
    "blocked": "⊘",
    "failed": "✕",
    "crashed": "☇",
    "cancelled": "–",
    "running": "▶",
    "waiting": "",
}
MEANINGS: Mapping[Outcome, str] = {
    "computed": "computed: its output is new",
    "same": "came out the same",
    "up to date": "up to date, nothing to do",
    "deferred": "deferred by its policy",
    "blocked": "blocked by another component",
    "failed": "failed",
    "crashed": "its process died",
    "cancelled": "cancelled",
    "running": "running",
    "waiting": "not reached",
}


@dataclass(frozen=True)
class Tried:
    """The newest attempt of a component in a run. is_cut_off: it came out as it was before."""

    run_id: int
    component: str
    status: str
    is_cut_off: bool
    seconds: float | None


@dataclass(frozen=True)
class Passed:
    """A component that a run did not compute: skipped, deferred or blocked."""

    run_id: int
    component: str
    phase: str


@dataclass(frozen=True)
class Column:
    """A run: when it began, how long it took (None while it is open), its status."""

    run_id: int
    began: datetime
    seconds: float | None
    status: str


@dataclass(frozen=True)
class Cell:
    """What happened to a component in a run."""

    run_id: int
    component: str
    outcome: Outcome
    seconds: float | None = None


@dataclass(frozen=True)
class Grid:
    """columns: runs, the oldest first; rows: component and a cell for each column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def longest(self) -> float:
        """Seconds of the run that took longest; 0 where none is over."""
        return max((one.seconds or 0.0 for one in self.columns), default=0.0)


_PASSED: Mapping[str, Outcome] = {"skipped": "up to date", "deferred": "deferred", "blocked": "blocked"}
_TRIED: Mapping[str, Outcome] = {
    "succeeded": "computed",
    "failed": "failed",
    "crashed": "crashed",
    "cancelled": "cancelled",
    "running": "running",
}


def outcome_of(status: str, *, is_cut_off: bool) -> Outcome:
    """What an attempt with this status came to."""
    return "same" if status == "succeeded" and is_cut_off else _TRIED[status]


def lay_out(
    columns: Iterable[Column], components: Sequence[str], tried: Iterable[Tried], passed: Iterable[Passed]
) -> Grid:
    """The grid of these runs; `components` in the order they are shown, those that no longer exist after them.

    What was tried counts before what was passed over; of several attempts the last one given counts.
    """
    cells: dict[tuple[int, str], Cell] = {}
    for one in passed:
        if one.phase in _PASSED:
            cells[one.run_id, one.component] = Cell(one.run_id, one.component, _PASSED[one.phase])
    for attempt in tried:
        where = (attempt.run_id, attempt.component)
        cells[where] = Cell(*where, outcome_of(attempt.status, is_cut_off=attempt.is_cut_off), attempt.seconds)
    ordered = sorted(columns, key=lambda one: one.run_id)
    shown = {one.run_id for one in ordered}
    gone = sorted({name for run_id, name in cells if run_id in shown}.difference(components))
    rows = tuple(
        (name, tuple(cells.get((one.run_id, name), Cell(one.run_id, name, "waiting")) for one in ordered))
        for name in (*components, *gone)
    )
    return Grid(tuple(ordered), rows)


def evidence_rows(reasons: Iterable[Reason]) -> list[tuple[str, str, str, str]]:
    """Code, subject, before and after of each reason, as a person compares them."""
    return [(str(one.code), one.subject or one.detail or "–", one.old or "–", one.new or "–") for one in reasons]
