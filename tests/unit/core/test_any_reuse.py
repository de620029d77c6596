"""Whatever happens, in any order, with results that are found again: outputs are those of a run from scratch, and no
result is ever taken from other code, settings, libraries or inputs.

The machine of test_any_history.py with a registry beside it: libraries are upgraded, gc takes what nobody needs at any
time, sources change between plan and reading, files are damaged that several snapshots share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from agent.core.model import Compute, Current, State
from agent.core.results import Ingredients, as_read, distrust, fingerprint, is_pure, may_be_taken
from tests.examples import examples
from tests.unit.core.test_any_history import KEYS, AnyHistory, keys, names, small, version

_SOURCE = "source:own"


@dataclass
class Registered:
    """A result: its snapshot, and what it was really made of."""

    snapshot_id: int
    made_of: Any


class AnyReuse(AnyHistory):
    """As the engine does: look up under what is true now, keep it from gc, take it or compute; register what is
    pure."""

    @initialize()
    def registry(self) -> None:
        self.results: dict[tuple[str, str], Registered] = {}
        self.patch = dict.fromkeys("abcde", 0)  # of a library: no reason to compute, and none to take a result
        self.flickers: dict[str, tuple[str, int]] = {}
        self.has_flickered = False
        self.gc_is_first: set[str] = set()
        self.computed, self.taken = 0, 0
        self.is_in_try = False

    @rule(name=names, value=small)
    def upgrade(self, name: str, value: int) -> None:
        self.patch[name] = value

    @rule(forgotten=st.sets(names))
    def gc(self, forgotten: set[str]) -> None:
        """Results that nobody used lately, and whatever is left that nothing refers to."""
        self.results = {key: one for key, one in self.results.items() if key[0] not in forgotten}
        needed = {one.snapshot_id for one in self.results.values()}
        for state in self._roots():
            needed |= {state.output_snapshot_id or 0} | {one.snapshot_id for one in state.inputs.values()}
        for kept in (self.snapshots, self.files, self.source_seen):
            for snapshot_id in kept.keys() - needed:
                del kept[snapshot_id]  # type: ignore[attr-defined]

    @rule(name=names)
    def gc_will_be_first(self, name: str) -> None:
        self.gc_is_first.add(name)

    @rule(name=names, key=keys, value=small)
    def source_will_change_before_it_is_read(self, name: str, key: str, value: int) -> None:
        self.flickers[name] = key, value

    # Histories that chance would seldom draw: something is put back, and meanwhile something else has happened.

    @rule(name=names, meanwhile=st.sampled_from(["nothing", "upgrade", "damage", "gc", "gc is first"]), key=keys)
    def a_setting_is_tried(self, name: str, meanwhile: str, key: str) -> None:
        setting = self.world.setting[name]
        self.run_undisturbed()
        self.edit("setting", name, (setting + 1) % 3)
        self.run_undisturbed()
        if meanwhile == "upgrade":
            self.upgrade(name, self.patch[name] + 1)
        elif meanwhile == "damage":
            self.damage_a_file(name, key)
        elif meanwhile == "gc":
            self.gc({name})
        elif meanwhile == "gc is first":
            self.gc_will_be_first(name)
        self.edit("setting", name, setting)
        self.run_undisturbed()

    @rule(name=names, key=keys, wrong=keys)
    def a_wrong_file_is_seen_while_other_data_are_there(self, name: str, key: str, wrong: str) -> None:
        before = self.world.source[name][key]
        self.run_undisturbed()
        self.new_data(name, key, (before + 1) % 3)
        self.run_undisturbed()
        self.a_person_sees_a_wrong_file(name, wrong, None)
        self.run_undisturbed()
        self.new_data(name, key, before)
        self.run_undisturbed()

    @rule(name=names, key=keys)
    def data_change_before_they_are_read_and_are_put_back(self, name: str, key: str) -> None:
        before, setting = self.world.source[name][key], self.world.setting[name]
        self.source_will_change_before_it_is_read(name, key, (before + 1) % 3)
        for number in (1, 2):
            self.edit("setting", name, (setting + number) % 3)
            self.run_undisturbed()
        self.new_data(name, key, before)
        self.edit("setting", name, (setting + 1) % 3)
        self.run_undisturbed()

    # --- the engine in small --------------------------------------------------------------------------------------

    def _roots(self) -> Iterator[State]:
        yield from self.states.values()

    def _run(self, during: Mapping[str, tuple[str, str, int]], forced: str | None) -> None:
        self.has_flickered = False
        super()._run(during, forced)
        self.settled = self.settled and not self.has_flickered

    def _attempt(self, name: str, current: Current, step: Compute, change: tuple[str, str, int] | None) -> str | None:
        found = self._earlier(name, current, step)
        if distrust(step.reasons) is not None and not self.is_in_try:  # when the attempt is opened
            self.results = {key: one for key, one in self.results.items() if key[0] != name}
        if found is not None and name not in self.gc_is_first:
            return self._take(name, current, step, found, change)
        if name in self.gc_is_first:
            self.gc_is_first.discard(name)
            self.gc({name})
        if name in self.flickers:
            key, value = self.flickers.pop(name)
            self.world.source[name][key] = value
            self.has_flickered = True
            if change is not None and change[0] == name:
                change = None  # back again before it ends: no token shows that, with results found again or without
        made_of = self._made_of(name, current)
        self.computed += 1
        broke = super()._attempt(name, current, step, change)
        if broke is None:
            mark = self._mark_of(name, current)
            before, after = ({_SOURCE: one.inputs[_SOURCE].version} for one in (current, self._current(name)))
            if mark is not None and is_pure(before, after, ()):
                self.results[name, mark] = Registered(self._output(name), made_of)
            state = self.states[name]
            self.states[name] = replace(state, inputs=as_read(state.inputs, after))
        return broke

    def _earlier(self, name: str, current: Current, step: Compute) -> Registered | None:
        """What may be taken, whole in the lake."""
        mark = self._mark_of(name, current)
        found = self.results.get((name, mark)) if mark is not None and may_be_taken(step.reasons) else None
        if found is None or self.damaged & set(self.files[found.snapshot_id].values()):
            return None
        return found

    def _take(
        self, name: str, current: Current, step: Compute, found: Registered, change: tuple[str, str, int] | None
    ) -> str | None:
        before = self.states[name]
        assert found.made_of == self._made_of(name, current), "a result of something else was taken"
        assert not self._known_as_wrong() & set(self.files[found.snapshot_id].values()), (
            "a result that a person distrusts"
        )
        self.states[name] = replace(before, status="running", is_dirty=False, dirty_reason=None, mark=None)
        if change is not None:
            self.world.source[change[0]][change[1]] = change[2]
        broke = self._broke(name, step)
        if broke is None:
            old = found.snapshot_id
            self._commit(before, current, self.snapshots[old], self.files[old], self.source_seen[old])
            found.snapshot_id = self._output(name)
            self.taken += 1
        return broke

    def _mark_of(self, name: str, current: Current) -> str | None:
        ups = self.specs[name].upstream
        return fingerprint(
            Ingredients(
                component=name,
                format=1,
                program="1",
                code=current.code_version,
                declared_version=None,
                settings_hash=current.settings_hash,
                inputs={up: version(self.snapshots[current.inputs[up].snapshot_id], ups[up].columns) for up in ups},
                sources={_SOURCE: current.inputs[_SOURCE].version},
                environment={"library": str(self.patch[name])},
            )
        )

    def _made_of(self, name: str, current: Current) -> Any:
        """In full what the component's function would be given now: values, no hash of them."""
        world, ups = self.world, self.specs[name].upstream
        inputs = {up: self._seen(self.snapshots[current.inputs[up].snapshot_id], ups[up].columns) for up in ups}
        own = {key: world.source[name][key] for key in KEYS}
        return world.code[name], world.setting[name], self.patch[name], own, inputs

    def _seen(self, table: Mapping[str, Mapping[str, int]], columns: tuple[str, ...]) -> Any:
        return {key: {column: table[key][column] for column in columns} for key in KEYS}


TestAnyReuse = AnyReuse.TestCase
# The long form: EXAMPLES=100000.
TestAnyReuse.settings = settings(
    max_examples=examples(60), stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
