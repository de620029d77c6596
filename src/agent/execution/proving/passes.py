"""Which passes a proof makes. Pure, but for the cut input, which is written."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.execution.proving.values import Conditions, Pass
from pipelines.lake import Lake
from pipelines.snapshot import ALL_COLUMNS, Partition, Reads, Snapshot
from pipelines.values import dataclass

CUT = "cut"  # folder, below that of the proof, of the inputs that were cut
# Partitions that the passes other than the sample compute: 3 + 3 early, 3 + 1 late, 1 + 1 again.
_FIXED, _EARLY, _LATE = 12, 3, 3
Inputs = Mapping[str, Snapshot]


@dataclass(frozen=True)
class Subject:
    """A component's output as recorded, and what it was made of. mine: keys that it computed, in order."""

    component: str
    reads: Mapping[str, Reads]
    inputs: Inputs
    output: Snapshot
    mine: tuple[str, ...]

    @property
    def hides(self) -> bool:
        """Whether an input has columns that are not declared."""
        return any(reads.columns != ALL_COLUMNS for reads in self.reads.values())


def of_output(component: str, reads: Mapping[str, Reads], inputs: Inputs, output: Snapshot) -> Subject:
    """The subject of a proof. Partitions that it only refers to are another's work."""
    mine = tuple(one.key for one in output.counted if one.path.startswith(f"{component}/"))
    return Subject(component, reads, inputs, output, mine)


def as_in_production(rng: random.Random) -> Conditions:
    """The conditions of a run, but for the order of sets, which is another in each process anyway."""
    return Conditions(rng.randrange(1, 2**31))


def otherwise(rng: random.Random, *, has_locale: bool, hides: bool) -> Conditions:
    """All at once that a result must not depend on; `has_locale`: another one is installed, `hides`: there are columns
    to hide."""
    return Conditions(
        rng.randrange(1, 2**31),
        timezone=rng.choice(("PRV-5:45", "PRV+9:30", "PRV-12:45")),
        is_foreign=has_locale,
        threads=1,
        is_jittered=True,
        hides_columns=hides,
    )


def one_by_one(base: Conditions, other: Conditions) -> dict[str, Conditions]:
    """What is different between the two, each alone, by the kind of fault it shows."""
    return {
        "random": base,
        "hash": replace(base, hash_seed=other.hash_seed),
        "time zone": replace(base, timezone=other.timezone),
        "locale": replace(base, is_foreign=other.is_foreign),
        "threads": replace(base, threads=other.threads, is_jittered=True),
        "column": replace(base, hides_columns=other.hides_columns),
    }


def cut_at(subject: Subject, number: int, root: Path, lake: Lake) -> Inputs | None:
    """The inputs as if partition `number` of the upstream that has most of them had only the first half of its rows; a
    file that is no table is left out. None where there is nothing to cut."""
    parts = {up: one.select(subject.reads[up].prefix) for up, one in subject.inputs.items()}
    upstream = max(parts, key=lambda up: len(parts[up]), default=None)
    if upstream is None or not parts[upstream]:
        return None
    victim = parts[upstream][number % len(parts[upstream])]
    others = [one for one in subject.inputs[upstream].partitions if one.key != victim.key]
    half = _half(victim, root, lake)
    if not half and not others:
        return None
    return {**subject.inputs, upstream: Snapshot(subject.inputs[upstream].component, (*others, *half))}


def _half(victim: Partition, root: Path, lake: Lake) -> list[Partition]:
    if not victim.column_hashes or victim.rows < 2:
        return []
    frame = lake.read_table(victim)
    half = Lake(root).write_table(CUT, victim.key, frame.head(frame.height // 2), attempt="prove")
    return [replace(half, min_ts=victim.min_ts, max_ts=victim.max_ts)]


def sample_of(subject: Subject, share: float, rng: random.Random) -> frozenset[str]:
    """Keys to compute again: so many that all passes stay within `share`, one at least."""
    count = max(1, int(share * len(subject.mine)) - _FIXED)
    return frozenset(rng.sample(subject.mine, min(count, len(subject.mine))))


def without_memos(snapshot: Snapshot) -> Snapshot:
    """The snapshot as its version sees it."""
    return Snapshot(snapshot.component, snapshot.counted)


def updates(subject: Subject, early: Inputs | None, late: Inputs | None, again: str) -> list[Pass]:
    """What the process under other conditions does: two updates to inputs that were cut, a partition without memos,
    and one more, which finds what the modules remember."""
    now, output = subject.inputs, subject.output
    found = [
        Pass(name, inputs, output, now, frozenset(), limit)
        for name, inputs, limit in (("early update", early, _EARLY), ("late update", late, _LATE))
        if inputs is not None
    ]
    first = frozenset(subject.mine[:1])
    return [
        *found,
        Pass("without memos", now, without_memos(output), now, first, 1),
        Pass("once more", now, output, now, frozenset({again}), 1),
    ]


def full(
    subject: Subject, sample: frozenset[str], early: Inputs | None, late: Inputs | None, beyond: str | None
) -> list[Pass]:
    """What the process under the conditions of a run does: the sample, and from scratch what the updates gave."""
    now, output = subject.inputs, subject.output
    found = [Pass("sample", now, output, now, sample, len(sample))]
    if early is not None:
        found.append(Pass("early scratch", early, None, {}, frozenset(), _EARLY))
    if late is not None and beyond is not None:
        found.append(Pass("late scratch", late, output, late, frozenset({beyond}), 1))
    return found


def beyond(subject: Subject, written: Sequence[str], kept: Sequence[str]) -> str | None:
    """The first partition behind those that an update computed, which it took over instead."""
    last = max(written, default="")
    return next((key for key in subject.mine if key > last and key in set(kept)), None) if written else None
