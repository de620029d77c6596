"""Whatever happens, in any order: the recorded outputs are those of a full recompute, and nothing runs for nothing.

A model of the whole machine in plain values: a random graph of pure functions over small tables, whose code, settings,
sources and files change at random, also while components run; attempts fail, crash and are marked. Each component is
decided by `decide_step` and performed as the engine performs it, partition by partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core.graph import order
from agent.core.model import Block, Compute, Current, InputRecord, Mark, Reason, Skip, Spec, State
from agent.core.plan import decide_step, make_plan, why_unavailable
from agent.core.staleness import can_carry_over, mark_in, redo_keys
from pipelines.snapshot import Reads, digest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("2011", "2012", "2013")
COLUMNS = ("price", "volume")
Table = dict[str, dict[str, int]]  # partition key -> column -> value

names = st.sampled_from(["a", "b", "c", "d", "e"])
keys = st.sampled_from(KEYS)
small = st.integers(0, 2)


def version(table: Mapping[str, Mapping[str, int]], columns: tuple[str, ...] = COLUMNS) -> str:
    return digest(f"{key} {column} {table[key][column]}" for key in sorted(table) for column in columns)


@dataclass
class World:
    """What people and markets change."""

    code: dict[str, int]
    setting: dict[str, int]
    source: dict[str, dict[str, int]]

    def compute(self, name: str, key: str, inputs: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        """One partition. Few distinct values, so that equal results (early cutoff) are common."""
        read = sum(value for columns in inputs.values() for value in columns.values())
        total = self.code[name] + self.setting[name] * 2 + read + self.source[name][key]
        return {"price": total % 2, "volume": total % 3}


class AnyHistory(RuleBasedStateMachine):
    """Rules change the world or run the pipeline; the invariant compares with a full recompute."""

    @initialize(reads=st.lists(st.tuples(names, names, st.sampled_from([COLUMNS, ("price",)])), max_size=8))
    def graph(self, reads: list[tuple[str, str, tuple[str, ...]]]) -> None:
        upstream: dict[str, dict[str, Reads]] = {name: {} for name in "abcde"}
        for one, other, columns in reads:
            if one < other:
                upstream[other][one] = Reads(columns)
        self.specs = {name: Spec(name, ups) for name, ups in upstream.items()}
        self.world = World(
            dict.fromkeys("abcde", 0),
            dict.fromkeys("abcde", 0),
            {name: dict.fromkeys(KEYS, 0) for name in "abcde"},
        )
        self.states = {name: State(name) for name in self.specs}
        self.snapshots: dict[int, Table] = {}
        self.source_seen: dict[int, dict[str, int]] = {}
        self.files: dict[int, dict[str, int]] = {}  # snapshot -> partition -> its file, which several may share
        self.damaged: set[int] = set()  # files
        self.wrong: set[int] = set()
        self.broken: set[str] = set()
        self.lost_marks: dict[str, tuple[Reason, ...]] = {}
        self.ids = count(1)
        self.breaks: dict[str, str] = {}
        self.settled = False

    # --- what happens to it ---------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["code", "setting"]), name=names, value=small)
    def edit(self, what: str, name: str, value: int) -> None:
        getattr(self.world, what)[name] = value
        self.settled = False

    @rule(name=names, key=keys, value=small)
    def new_data(self, name: str, key: str, value: int) -> None:
        self.world.source[name][key] = value
        self.settled = False

    @rule(name=names, marked=st.one_of(st.none(), st.sets(keys, min_size=1)))
    def mark(self, name: str, marked: set[str] | None) -> None:
        self._mark(name, "by hand", None if marked is None else tuple(sorted(marked)))
        self.settled = False

    @rule(name=names, wrong=keys, others=st.none() | st.sets(keys))
    def a_person_sees_a_wrong_file(self, name: str, wrong: str, others: set[str] | None) -> None:
        """A damage that no check finds: the mark alone gets it recomputed."""
        snapshot_id = self.states[name].output_snapshot_id
        if snapshot_id is not None:
            self.wrong.add(self.files[snapshot_id][wrong])
            self.mark(name, None if others is None else {wrong, *others})

    @rule(name=names, key=keys)
    def damage_a_file(self, name: str, key: str) -> None:
        snapshot_id = self.states[name].output_snapshot_id
        if snapshot_id is not None:
            self.damaged.add(self.files[snapshot_id][key])
            self.settled = False

    @rule(name=names, how=st.sampled_from(["fails", "crashes"]))
    def will_break(self, name: str, how: str) -> None:
        self.breaks[name] = how

    @rule()
    def run_undisturbed(self) -> None:
        self._run({}, None)

    @rule(during=st.dictionaries(names, st.tuples(names, keys, small), max_size=2), forced=st.none() | names)
    def run(self, during: dict[str, tuple[str, str, int]], forced: str | None) -> None:
        """A run; while a component in `during` computes, some source changes."""
        self._run(during, forced)

    def _run(self, during: Mapping[str, tuple[str, str, int]], forced: str | None) -> None:
        self._restore_lost_marks()
        self.settled = False  # whatever an attempt that crashes leaves behind
        unavailable: dict[str, str] = {}
        for name in order(self.specs):
            current = self._current(name)
            step = decide_step(
                self.specs[name],
                self.states[name],
                current,
                now=NOW,
                unavailable=unavailable,
                forced=name == forced,
            )
            assert isinstance(step, Block) == any(up in unavailable for up in self.specs[name].upstream)
            assert name not in self.broken or not isinstance(step, Skip), "a broken attempt was forgotten"
            if isinstance(step, Compute):
                broke = self._attempt(name, current, step, during.get(name))
                if broke == "crashes":
                    return
                if broke == "fails":
                    unavailable[name] = "failed"
            elif (why := why_unavailable(step)) is not None:
                unavailable[name] = why
        self.settled = not unavailable and not during

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def outputs_are_those_of_a_full_recompute_once_a_run_went_through(self) -> None:
        if not self.settled:
            return
        full = self._full_recompute()
        for name, table in full.items():
            assert self.snapshots[self._output(name)] == table, name

    @precondition(lambda self: self.settled)
    @rule()
    def a_second_run_has_nothing_to_do(self) -> None:
        plan = make_plan(self.specs, self.states, {name: self._current(name) for name in self.specs}, now=NOW)
        assert plan.is_empty, plan

    @rule()
    def a_plan_foresees_every_component_that_runs(self) -> None:
        self._restore_lost_marks()
        currents = {name: self._current(name) for name in self.specs}
        plan = make_plan(self.specs, self.states, currents, now=NOW)
        foreseen = {step.component for step in plan.steps if isinstance(step, Compute)}
        before = {name: state.run_count for name, state in self.states.items()}
        self.breaks.clear()
        self._run({}, None)
        assert {name for name, state in self.states.items() if state.run_count > before[name]} <= foreseen
        sure = {step.component for step in plan.steps if isinstance(step, Compute) and not step.may_be_cut_off}
        assert all(self.states[name].run_count > before[name] for name in sure)

    # --- the engine in small --------------------------------------------------------------------------------------

    def _attempt(self, name: str, current: Current, step: Compute, change: tuple[str, str, int] | None) -> str | None:
        before = self.states[name]
        self._assert_called_for(before, current, step)
        self.states[name] = replace(before, status="running", is_dirty=False, dirty_reason=None, mark=None)
        carry = before.output_snapshot_id is not None and can_carry_over(step.reasons)
        redo = redo_keys(step.reasons, before, current)
        inputs = {up: self.snapshots[record.snapshot_id] for up, record in current.inputs.items() if up in self.specs}
        source = dict(self.world.source[name])
        output: Table = {}
        files: dict[str, int] = {}
        for key in KEYS:
            if carry and key not in redo and not self._changed(before, key, inputs, source):
                output[key] = self.snapshots[self._output(name)][key]
                files[key] = self.files[self._output(name)][key]
                assert files[key] not in self.damaged | self._known_as_wrong(), "a bad partition was carried over"
            else:
                seen = {
                    up: {column: table[key][column] for column in self.specs[name].reads(up).columns}
                    for up, table in inputs.items()
                }
                output[key] = self.world.compute(name, key, seen)
                files[key] = next(self.ids)
        if change is not None:
            self.world.source[change[0]][change[1]] = change[2]
        broke = self._broke(name, step)
        if broke is None:
            self._commit(before, current, output, files, source)
        return broke

    def _known_as_wrong(self) -> set[int]:
        return self.wrong

    def _broke(self, name: str, step: Compute) -> str | None:
        """How the attempt ended without a success; None where it had one."""
        broke = self.breaks.pop(name, None)
        if broke is None:
            self.broken.discard(name)
            return None
        self.lost_marks[name] = step.reasons
        self.broken.add(name)
        if broke == "fails":
            self.states[name] = replace(self.states[name], status="failed", consecutive_failures=1)
        return broke

    def _commit(
        self, before: State, current: Current, output: Table, files: dict[str, int], source: dict[str, int]
    ) -> None:
        name, snapshot_id = before.component, next(self.ids)
        self.snapshots[snapshot_id], self.files[snapshot_id] = output, files
        self.source_seen[snapshot_id] = source
        self.states[name] = replace(
            self.states[name],
            status="idle",
            run_count=before.run_count + 1,
            last_run_at=NOW,
            code_version=current.code_version,
            settings_hash=current.settings_hash,
            settings=current.settings,
            inputs=current.inputs,
            output_version=version(output),
            output_snapshot_id=snapshot_id,
        )

    def _assert_called_for(self, before: State, current: Current, step: Compute) -> None:
        """Nothing is computed whose fingerprint is that of its last success, unless someone or something asked."""
        same = (before.code_version, before.settings_hash) == (current.code_version, current.settings_hash) and {
            name: record.read_version for name, record in before.inputs.items()
        } == {name: record.read_version for name, record in current.inputs.items()}
        asked = before.is_dirty or before.status != "idle" or bool(current.altered)
        assert not same or asked or any(reason.code == "forced" for reason in step.reasons)

    def _changed(self, before: State, key: str, inputs: Mapping[str, Table], source: Mapping[str, int]) -> bool:
        if self.source_seen[self._output(before.component)][key] != source[key]:
            return True
        return any(
            self.snapshots[before.inputs[up].snapshot_id][key][column] != table[key][column]
            for up, table in inputs.items()
            for column in self.specs[before.component].reads(up).columns
        )

    def _current(self, name: str) -> Current:
        state, world = self.states[name], self.world
        probe = digest(f"{key} {value}" for key, value in sorted(world.source[name].items()))
        inputs = {"source:own": InputRecord(0, probe, probe)}
        for up, reads in self.specs[name].upstream.items():
            snapshot_id = self.states[up].output_snapshot_id
            if snapshot_id is not None:
                table = self.snapshots[snapshot_id]
                inputs[up] = InputRecord(snapshot_id, version(table), version(table, reads.columns))
        return Current(
            code_version=f"code {world.code[name]}",
            settings_hash=f"settings {world.setting[name]}",
            settings={"setting": world.setting[name]},
            inputs=inputs,
            altered=tuple(
                key for key, file in self.files.get(state.output_snapshot_id or 0, {}).items() if file in self.damaged
            ),
        )

    def _full_recompute(self) -> dict[str, Table]:
        full: dict[str, Table] = {}
        for name in order(self.specs):
            full[name] = {
                key: self.world.compute(
                    name,
                    key,
                    {
                        up: {c: full[up][key][c] for c in reads.columns}
                        for up, reads in self.specs[name].upstream.items()
                    },
                )
                for key in KEYS
            }
        return full

    def _mark(self, name: str, text: str, marked: tuple[str, ...] | None) -> None:
        state = self.states[name]
        if state.mark is not None and marked is not None:
            before = state.mark.partitions
            marked = None if before is None else tuple(sorted({*before, *marked}))
        self.states[name] = replace(state, is_dirty=True, mark=Mark(reason=text, partitions=marked))

    def _restore_lost_marks(self) -> None:
        for name, reasons in self.lost_marks.items():
            mark = mark_in(reasons)
            if mark is not None:
                self._mark(name, mark.reason, mark.partitions)
        self.lost_marks = {}

    def _output(self, name: str) -> int:
        snapshot_id = self.states[name].output_snapshot_id
        assert snapshot_id is not None
        return snapshot_id


TestAnyHistory = AnyHistory.TestCase
# The number of examples is the profile's (100 unless told), so that a long run needs no edit.
TestAnyHistory.settings = settings(stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
