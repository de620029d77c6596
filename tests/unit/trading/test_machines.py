"""Every pair of state and event of the trading agent's machines; the documentation's diagrams are drawn from them."""

from __future__ import annotations

import re

import pytest

from agent.core.lifecycle import mermaid
from agent.store import ledger_tables, trading_tables
from agent.trading.kill_switch import KILL_SWITCH
from agent.trading.states.machine import UNEXPECTED, IllegalTransition, Machine, Move, step
from agent.trading.states.ooda import OODA
from agent.trading.states.orders import FINAL, IN_FLIGHT, ORDER, OrderEvent, OrderState
from agent.trading.states.permissions import BRINGS, MAY, Reason, Send, TradingState, held_back_by, resumed, state_of
from agent.trading.states.positions import POSITION
from tests.paths import PROJECT

MACHINES = [ORDER, POSITION, OODA, KILL_SWITCH]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: one.name)
def test_each_pair_is_a_move_nothing_new_a_discrepancy_or_refused(machine: Machine) -> None:
    for state in machine.states:
        for event in machine.events:
            if (state, event) in machine.table:
                assert state not in machine.quiet.get(event, ()), f"{state}, {event}: a move, and nothing new?"
                expected = Move(machine.table[state, event], machine.discrepancies.get((state, event)))
                assert step(machine, state, event) == expected
            elif state in machine.quiet.get(event, ()):
                assert step(machine, state, event) == Move(state)
            elif event in machine.own:
                with pytest.raises(IllegalTransition, match=re.escape(repr(str(event)))) as caught:
                    step(machine, state, event)
                assert "possible now" in caught.value.fix
            else:
                assert step(machine, state, event) == Move(state, UNEXPECTED)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: one.name)
def test_every_state_is_reached_and_every_event_used(machine: Machine) -> None:
    reached, waiting = {machine.start}, [machine.start]
    while waiting:
        here = waiting.pop()
        for (before, _), after in machine.table.items():
            if before == here and after not in reached:
                reached.add(after)
                waiting.append(after)
    assert reached == set(machine.states)
    assert {event for _, event in machine.table} == set(machine.events)
    assert set(machine.discrepancies) <= set(machine.table)
    assert machine.own <= set(machine.events)
    assert not set(machine.quiet) & machine.own


# The specification's table of orders, row by row: state, event, next, discrepancy.
ORDER_ROWS = """
prepared | refused locally | denied |
prepared | sending | sending |
prepared | recovered after a crash | abandoned |
sending | acknowledged | open |
sending | refused by the platform | rejected |
sending | no clear answer | unknown |
sending, open, unknown, partial | filled in part | partial |
cancelling | filled in part | cancelling |
sending, open, partial, unknown, cancelling | filled | filled |
unknown | acknowledged | open |
unknown | found open | open |
unknown | proven not to be there | not_placed |
unknown | not found, not proven | unknown |
open, partial | cancel | cancelling |
sending, open, partial, unknown, cancelling | cancelled by the platform | cancelled |
sending, open, partial, unknown, cancelling | expired | expired |
sending, unknown, open | refused by the platform | rejected |
cancelling | cancel unanswered | cancelling |
cancelled, expired, rejected, not_placed, abandoned | filled in part | = | late_fill
cancelled, expired, rejected, not_placed, abandoned | filled | = | late_fill
cancelled, expired, rejected, not_placed | found open | cancelling | found_open
filled | filled beyond its quantity | filled | overfill
open | filled beyond its quantity | filled | overfill
filled | filled | filled |
cancelled | cancelled by the platform | cancelled |
filled | cancelled by the platform | filled | unexpected_event
prepared | found open | prepared | unexpected_event
denied | filled | denied | unexpected_event
"""


def test_orders_move_as_specified() -> None:
    for line in ORDER_ROWS.strip().splitlines():
        states, event, after, kind = (part.strip() for part in line.split("|"))
        for state in states.split(", "):
            expected = Move(state if after == "=" else after, kind or None)
            assert step(ORDER, state, event) == expected, line


def test_what_was_sent_is_never_sent_again() -> None:
    for state in OrderState:
        if state is not OrderState.PREPARED:
            with pytest.raises(IllegalTransition):
                step(ORDER, state, OrderEvent.SEND)


def test_a_fill_is_never_dropped_and_never_lowers_a_state() -> None:
    """Whatever an order's state: a fill leaves it filled, live, or as it was; a final one never becomes open again."""
    for state in OrderState:
        for event in (OrderEvent.PART_FILL, OrderEvent.FULL_FILL, OrderEvent.OVERFILL):
            move = step(ORDER, state, event)
            assert move.state in ({state} if state in FINAL or state == "prepared" else {"partial", "filled", state})
    assert set(OrderState) == FINAL | IN_FLIGHT
    assert not FINAL & IN_FLIGHT


def test_tables_know_the_states() -> None:
    def words(table: object, column: str) -> set[str]:
        (check,) = [one for one in table.constraints if one.name == f"ck_{table.name}_{column}"]  # type: ignore[attr-defined]  # a table
        return set(re.findall(r"'(\w+)'", str(check.sqltext)))

    assert words(trading_tables.orders, "status") == set(OrderState)
    assert words(trading_tables.agents, "ooda_state") == set(OODA.states)
    assert words(trading_tables.agents, "trading_state") == set(TradingState)
    assert words(ledger_tables.positions, "state") == set(POSITION.states)
    assert words(trading_tables.kill_switch, "state") == set(KILL_SWITCH.states) - {"armed"} | {"reset"}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: one.name)
def test_the_documented_diagram_is_this_table(machine: Machine) -> None:
    page = (PROJECT / "docs" / "concepts" / "trading-states.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(machine.table, machine.start)}```" in page


def test_who_may_send_what_is_documented() -> None:
    page = (PROJECT / "docs" / "concepts" / "trading-states.md").read_text(encoding="utf-8")
    for state, may in MAY.items():
        cells = " | ".join("yes" if one in may else "no" for one in Send)
        assert f"| {state} | {cells} |" in page
    for reason, state in BRINGS.items():
        assert f"| `{reason}` | {state} |" in page


def test_the_strongest_state_holds_until_its_last_reason_is_gone() -> None:
    assert state_of(()) == "active"
    assert state_of({Reason.PERSON}) == "paused"
    assert state_of({Reason.PERSON, Reason.MISMATCH}) == "reducing"
    assert state_of(set(Reason)) == "halted"
    assert state_of(resumed({Reason.PERSON, Reason.MISMATCH, Reason.KILL})) == "halted"
    assert state_of(resumed({Reason.PERSON, Reason.ANALYSIS_FAILURES})) == "paused"
    assert state_of(resumed({Reason.PERSON, Reason.MONITOR})) == "active"


def test_a_stronger_state_allows_no_more_opening() -> None:
    order = list(TradingState)
    opens = [Send.OPEN in MAY[state] for state in order]
    assert opens == [True, False, False, False]
    assert all({Send.CANCEL, Send.QUERY} <= MAY[state] for state in order)


def test_only_what_holds_the_agent_back_is_named_as_that() -> None:
    assert held_back_by({"resumed": "resumed by me: back", "daily_loss": "2 % lost", "person": "x"}) == "2 % lost; x"
    assert state_of([Reason.RESUMED]) is TradingState.ACTIVE
