"""Every pair of state and event; the documentation's diagrams are drawn from the tables."""

from __future__ import annotations

from enum import StrEnum

import pytest

from agent.core.lifecycle import (
    ATTEMPT_START,
    ATTEMPTS,
    RUN_START,
    RUNS,
    AttemptEvent,
    AttemptState,
    RunEvent,
    RunState,
    Table,
    final_states,
    mermaid,
    require_move,
)
from agent.errors import Conflict
from tests.paths import PROJECT

TABLES: list[tuple[Table, type[StrEnum], type[StrEnum], str]] = [
    (RUNS, RunState, RunEvent, RUN_START),
    (ATTEMPTS, AttemptState, AttemptEvent, ATTEMPT_START),
]
PAIRS = [(table, before, after) for table, states, _, _ in TABLES for before in states for after in states]


@pytest.mark.parametrize(("table", "before", "after"), PAIRS)
def test_each_pair_is_a_move_or_refused_in_words(table: Table, before: StrEnum, after: StrEnum) -> None:
    possible = [state for (known, _), state in table.items() if known == before]
    if after in possible:
        require_move(table, before, after)
        return
    with pytest.raises(Conflict, match=f"^what is {before} cannot become {after}") as caught:
        require_move(table, before, after)
    assert all(one in caught.value.fix for one in possible)
    assert possible or "final" in caught.value.fix


def test_plain_text_from_the_database_works_as_well() -> None:
    require_move(RUNS, "QUEUED", "RUNNING")
    with pytest.raises(Conflict, match="what is COMPLETED cannot become RUNNING"):
        require_move(RUNS, "COMPLETED", "RUNNING")


@pytest.mark.parametrize(("table", "states", "events", "start"), TABLES)
def test_every_state_is_reached_every_event_used_and_every_way_ends(
    table: Table, states: type[StrEnum], events: type[StrEnum], start: str
) -> None:
    reached, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for (before, _), after in table.items():
            if before == state and after not in reached:
                reached.add(after)
                waiting.append(after)
    assert reached == set(states)
    assert {event for _, event in table} == set(events)
    for state in states:
        assert any(_leads_to(table, state, final) for final in final_states(table))


def test_final_states() -> None:
    assert set(final_states(RUNS)) == {"COMPLETED", "FAILED", "CANCELLED"}
    assert set(final_states(ATTEMPTS)) == {"succeeded", "failed", "crashed", "cancelled"}


@pytest.mark.parametrize(("table", "start"), [(RUNS, RUN_START), (ATTEMPTS, ATTEMPT_START)])
def test_the_documented_diagram_is_this_table(table: Table, start: str) -> None:
    page = (PROJECT / "docs" / "concepts" / "lifecycle.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(table, start)}```" in page


def _leads_to(table: Table, state: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = [state]
    while waiting:
        here = waiting.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            waiting += [after for (before, _), after in table.items() if before == here]
    return False
