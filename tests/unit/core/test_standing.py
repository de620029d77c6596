"""How a component stands is judged by what a run would do now, and by its row where that is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.model import Block, Code, Compute, Defer, Mark, Reason, Skip, State, Step
from agent.core.standing import DIED, Standing, standing

RAN = State("model", is_dirty=False, run_count=3)
DIRTY = replace(RAN, is_dirty=True, dirty_reason="features changed")
MARKED = (Reason(Code.MARKED),)


@pytest.mark.parametrize(
    ("row", "step", "expected"),
    [
        (RAN, Skip("model"), Standing("up to date")),
        (DIRTY, Skip("model"), Standing("up to date")),  # what was found then no longer holds: a change was taken back
        (RAN, Compute("model", MARKED), Standing("stale", "it was marked by a person (marked without a reason)")),
        (
            RAN,
            Compute("model", MARKED, may_be_cut_off=True),
            Standing("maybe stale", "it was marked by a person (marked without a reason)"),
        ),
        (State("model"), Compute("model", (Reason(Code.NEVER_RUN),)), Standing("never run")),
        (RAN, Defer("model", (), "tomorrow"), Standing("deferred", "until tomorrow")),
        (
            RAN,
            Defer("model", MARKED, "noon"),
            Standing("deferred", "until noon, though it was marked by a person (marked without a reason)"),
        ),
        (RAN, Block("model", by="features"), Standing("blocked", "by features")),
        (RAN, None, Standing("up to date")),
        (DIRTY, None, Standing("stale", "features changed")),
        (replace(DIRTY, mark=Mark("ann", reason="odd")), None, Standing("stale", "ann: odd; features changed")),
        (State("model"), None, Standing("never run")),
        (
            replace(RAN, status="failed", last_error="no disk\n  where: /"),
            Skip("model"),
            Standing("failed", "no disk\n  where: /"),
        ),
    ],
)
def test_a_component_stands_as_a_run_would_find_it(row: State, step: Step | None, expected: Standing) -> None:
    assert standing(row, step, is_at_work=False) == expected


def test_a_row_that_says_running_is_believed_while_somebody_runs_it() -> None:
    row = replace(DIRTY, status="running")
    for step in (None, Compute("model", MARKED)):
        assert standing(row, step, is_at_work=True) == Standing("running")
        assert standing(row, step, is_at_work=False) == DIED
