"""What every component must do, as tests to inherit: the same input gives the same bytes, part of the work gives the
result of all of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.component import Component, perform
from pipelines.lake import TABLE_SUFFIX, Lake
from pipelines.snapshot import ALL_COLUMNS, Partition, Reads, Snapshot

if TYPE_CHECKING:
    import polars as pl

    from pipelines.source import Source


@dataclass(frozen=True)
class Moment:
    """What a component finds at one moment.

    lake: where the files of `inputs` lie, and where the component writes. inputs: upstream -> its output (see
    `write_snapshot`). sources: by name, where it reads any. base: the folder of agent.toml.
    """

    lake: Lake
    inputs: Mapping[str, Snapshot]
    sources: Mapping[str, Source] = field(default_factory=dict)
    base: Path = Path()


def write_snapshot(
    lake: Lake, component: str, content: Mapping[str, pl.DataFrame | bytes], *, time: str | None = None
) -> Snapshot:
    """An output of `component` with these partitions: key -> table or bytes. `time` names the tables' event time."""
    attempt = _attempt()
    written: list[Partition] = []
    for key, value in content.items():
        if isinstance(value, bytes):
            written.append(lake.write_bytes(component, key, value, attempt=attempt))
        else:
            written.append(lake.write_table(component, key, value, attempt=attempt, time=time))
    return Snapshot(component, tuple(written))


class ComponentSuite:
    """Tests of a component. Inherit in a class called Test…, and give `component` and `moments`.

    component: what `@component` made.
    """

    component: ClassVar[Component]

    def moments(self, folder: Path) -> Iterable[Moment]:
        """What the component finds at successive moments, at least two: rows added, corrected, removed, a partition
        more or less. `folder` is empty. Told one after the other, so that files may change between them."""
        raise NotImplementedError("give the suite its moments: def moments(self, folder): yield Moment(…)")

    def settings(self) -> Any:
        """The settings to test with; the defaults unless you return others."""
        return self.component.settings()

    def test_the_same_input_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """Twice from scratch: equal content, and equal files for tables."""
        moment = next(iter(self.moments(tmp_path)))
        one, two = self.run(moment), self.run(moment)
        assert one.partitions, "the component wrote nothing at the first moment"
        _same(one, two, "computed twice from the same input")
        files = {
            part.key
            for part, other in zip(one.partitions, two.partitions, strict=True)
            if part.path.endswith(TABLE_SUFFIX) and part.file_hash != other.file_hash
        }
        assert not files, f"files differ between two runs on the same input: {sorted(files)}"

    def test_an_update_gives_what_a_run_from_scratch_gives(self, tmp_path: Path) -> None:
        """At each moment, what changed is computed and the rest carried over: the same as computing everything."""
        kept: Snapshot | None = None
        before: Moment | None = None
        count = 0
        for count, moment in enumerate(self.moments(tmp_path), start=1):
            kept = self.run(moment, kept, before)
            _same(self.run(moment), kept, f"at moment {count}, updated instead of computed from scratch")
            before = moment
        assert count >= 2, "give the suite two moments at least"

    def test_nothing_new_changes_nothing(self, tmp_path: Path) -> None:
        """Asked again with the same input, and asked to redo every partition."""
        moment = next(iter(self.moments(tmp_path)))
        made = self.run(moment)
        _same(made, self.run(moment, made, moment), "asked again without a change")
        redo = frozenset(made.by_key)
        _same(made, self.run(moment, made, moment, redo), "asked to redo every partition")

    def test_columns_that_are_not_declared_do_not_count(self, tmp_path: Path) -> None:
        """Without the columns that `upstream` does not name, the result is the same: a change in them is no reason to
        run, so it must not matter to what is computed."""
        moment = next(iter(self.moments(tmp_path)))
        inputs = {name: _declared(moment, name, reads) for name, reads in self.component.upstream.items()}
        less = Moment(moment.lake, inputs, moment.sources, moment.base)
        _same(self.run(moment), self.run(less), "without the columns that upstream does not declare")

    def run(
        self,
        moment: Moment,
        previous: Snapshot | None = None,
        before: Moment | None = None,
        redo: frozenset[str] = frozenset(),
    ) -> Snapshot:
        """The component's output at `moment`: from scratch, or with `previous`, its output at the moment `before`."""
        component = self.component
        return perform(
            component,
            self.settings(),
            {name: moment.inputs[name] for name in component.upstream},
            lake=moment.lake,
            attempt=_attempt(),
            previous=previous,
            previous_inputs=None if before is None else {name: before.inputs[name] for name in component.upstream},
            redo=redo,
            sources=moment.sources if component.reads_sources else {},
            base=moment.base,
        )


def _declared(moment: Moment, name: str, reads: Reads) -> Snapshot:
    """The input with the declared columns alone."""
    snapshot = moment.inputs[name]
    if reads.columns == ALL_COLUMNS:
        return snapshot
    attempt = _attempt()
    kept = []
    for partition in snapshot.partitions:
        columns = [column for column in partition.column_hashes if column in reads.columns]
        if columns and len(columns) < len(partition.column_hashes):
            frame = moment.lake.read_table(partition, columns)
            fewer = moment.lake.write_table(name, partition.key, frame, attempt=attempt)
            partition = replace(fewer, min_ts=partition.min_ts, max_ts=partition.max_ts)
        kept.append(partition)
    return Snapshot(name, tuple(kept))


def _same(wanted: Snapshot, found: Snapshot, when: str) -> None:
    one, two = ({part.key: part.content_hash for part in snapshot.select()} for snapshot in (wanted, found))
    assert one.keys() == two.keys(), f"{when}: partitions differ: {sorted(one.keys() ^ two.keys())}"
    differing = sorted(key for key in one if one[key] != two[key])
    assert not differing, f"{when}: content differs in {differing}"


def _attempt() -> str:
    return f"suite-{uuid.uuid4().hex[:12]}"
