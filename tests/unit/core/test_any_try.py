"""Tries in between: whatever is tried, edited, marked, damaged, promoted, dropped and collected by gc, a try comes to
what a run from scratch would, production to its own, and no result with a file that a person distrusts comes from a try
to production.

The machine of test_any_reuse.py with two sequences of states over one lake and one registry. A try reads its sources as
they were when it began; those of a component that it changes are read as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from agent.core.model import Compute, Current, State
from agent.core.results import distrust
from tests.examples import examples
from tests.unit.core.test_any_history import World, names, small
from tests.unit.core.test_any_reuse import AnyReuse

edits = st.tuples(st.sampled_from(["code", "setting"]), names, small)


@dataclass
class Sequence:
    """What one of the two has for itself."""

    states: dict[str, State]
    world: World
    edits: dict[tuple[str, str], int]

    def __post_init__(self) -> None:
        self.broken: set[str] = set()
        self.lost_marks: dict[str, Any] = {}
        self.breaks: dict[str, str] = {}
        self.settled = False


_OWN = ("states", "world", "broken", "lost_marks", "breaks", "settled")


class AnyTry(AnyReuse):
    @initialize()
    def no_try(self) -> None:
        self.other: Sequence | None = None  # the try; while it runs, production
        self.exposed: set[int] = set()  # wrong files that production has computed again

    @precondition(lambda self: self.other is None)
    @rule(edit=edits)
    def a_try_begins(self, edit: tuple[str, str, int]) -> None:
        world = World(
            dict(self.world.code), dict(self.world.setting), {k: dict(v) for k, v in self.world.source.items()}
        )
        # Marks, failures and what runs are production's own.
        states = {name: replace(one, status="idle", is_dirty=False, mark=None) for name, one in self.states.items()}
        self.other = Sequence(states, world, {})
        self._edit_try(edit)

    @precondition(lambda self: self.other is not None)
    @rule(edit=edits)
    def a_try_is_changed(self, edit: tuple[str, str, int]) -> None:
        self._edit_try(edit)

    @precondition(lambda self: self.other is not None)
    @rule(broken=st.none() | st.tuples(names, st.sampled_from(["fails", "crashes"])))
    def the_try_runs(self, broken: tuple[str, str] | None) -> None:
        with self._in_try():
            if broken is not None:
                self.breaks[broken[0]] = broken[1]
            self._run({}, None)
            self.outputs_are_those_of_a_full_recompute_once_a_run_went_through()
        self.settled = self.settled and not self.has_flickered

    @precondition(lambda self: self.other is not None)
    @rule()
    def the_try_is_dropped(self) -> None:
        self.other = None

    @precondition(lambda self: self.other is not None)
    @rule()
    def the_try_is_promoted(self) -> None:
        assert self.other is not None
        for (what, name), value in self.other.edits.items():
            self.edit(what, name, value)
        self.other = None

    @precondition(lambda self: self.other is None and self.settled and not self.breaks)
    @rule(edit=edits)
    def promoting_what_was_tried_computes_nothing(self, edit: tuple[str, str, int]) -> None:
        self.flickers.clear()
        self.gc_is_first.clear()
        if set(self.states) != {name for name, one in self.states.items() if self._current(name).altered == ()}:
            return
        self.a_try_begins(edit)
        self.the_try_runs(None)
        self.the_try_is_promoted()
        before = self.computed
        self.run_undisturbed()
        assert self.computed == before, "a promotion computed"

    # --- the engine in small --------------------------------------------------------------------------------------

    def _edit_try(self, edit: tuple[str, str, int]) -> None:
        assert self.other is not None
        what, name, value = edit
        getattr(self.other.world, what)[name] = value
        self.other.world.source[name] = self.world.source[name]  # of what it changes, it asks the sources
        self.other.edits[what, name] = value
        self.other.settled = False

    @contextmanager
    def _in_try(self) -> Iterator[None]:
        self._swap()
        self.is_in_try = True
        try:
            yield
        finally:
            self._swap()
            self.is_in_try = False

    def _swap(self) -> None:
        assert self.other is not None
        for name in _OWN:
            mine = getattr(self, name)
            setattr(self, name, getattr(self.other, name))
            setattr(self.other, name, mine)

    def _roots(self) -> Iterator[State]:
        yield from super()._roots()
        if self.other is not None:
            yield from self.other.states.values()

    def _attempt(self, name: str, current: Current, step: Compute, change: tuple[str, str, int] | None) -> str | None:
        mark = distrust(step.reasons)
        if mark is not None and not self.is_in_try:
            before = self.states[name].output_snapshot_id
            self.exposed |= self.wrong & set(self.files.get(before or 0, {}).values())
            if self.other is not None:
                self._swap()
                self._mark(name, mark.reason, mark.partitions)
                self._swap()
        return super()._attempt(name, current, step, change)

    def _known_as_wrong(self) -> set[int]:
        return self.wrong & self.exposed if self.is_in_try else self.wrong


TestAnyTry = AnyTry.TestCase
# The long form: EXAMPLES=100000.
TestAnyTry.settings = settings(
    max_examples=examples(60), stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
