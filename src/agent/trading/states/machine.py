"""A state machine as a table: (state, event) -> state. Pure; the tables lie beside this module and in kill_switch.

What the platform reports never ends our process: an event that the table does not know leaves the state as it is and
is a discrepancy. What we ask for ourselves and the table does not know is a fault of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum

from agent.core.lifecycle import Table
from agent.errors import Conflict

UNEXPECTED = "unexpected_event"


class IllegalTransition(Conflict):
    """We asked for a move that there is none of."""


@dataclass(frozen=True)
class Machine:
    """One table and what it leaves out. own: events that we ask for, all others come from outside. quiet: event ->
    states in which it says nothing new, since messages overtake each other. discrepancies: moves that are one, by kind.
    """

    name: str
    start: str
    states: type[StrEnum]
    events: type[StrEnum]
    table: Table
    own: Set[str] = frozenset()
    quiet: Mapping[str, Set[str]] = field(default_factory=dict)
    discrepancies: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """Where an event leads. discrepancy: the kind to record, None where all is as expected."""

    state: str
    discrepancy: str | None = None


def step(machine: Machine, state: str, event: str) -> Move:
    """Where `event` leads from `state`. Raises IllegalTransition for what we ask for ourselves and the table lacks."""
    after = machine.table.get((state, event))
    if after is not None:
        return Move(str(after), machine.discrepancies.get((state, event)))
    if state in machine.quiet.get(event, ()):
        return Move(state)
    if event not in machine.own:
        return Move(state, UNEXPECTED)
    possible = [known for (before, known) in machine.table if before == state and known in machine.own]
    raise IllegalTransition(
        f"{machine.name}: {event!r} was asked for where the state is {state!r}",
        where=f"the machine {machine.name!r} of the trading agent",
        fix=f"possible now: {', '.join(possible) or 'nothing'}; please report it: the program asked for this itself",
    )
