"""Where an output came from and who used it: from the outputs on record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agent.core.answers import Line, Ref, joined
from agent.core.model import InputRecord
from pipelines.values import dataclass

_SOURCE = "source:"
Versions = Mapping[str, Mapping[str, object]]  # component -> {snapshot_id, …}
_PARTS = 6  # of a source named in a line


@dataclass(frozen=True)
class Made:
    """An output on record. run_id: the run that made it, None where that is forgotten."""

    id: int
    component: str
    version: str
    rows: int
    watermark: datetime | None
    created_at: datetime
    inputs: Mapping[str, InputRecord]
    run_id: int | None


@dataclass(frozen=True)
class Output:
    """An output with the releases that used it, the newest first."""

    made: Made
    releases: tuple[str, ...]


def used_by(outputs: Sequence[Made], releases: Iterable[tuple[str, Versions]]) -> list[Output]:
    """The outputs of one component, each with the names of the `releases` (with their versions) that it is behind."""
    found: dict[object, list[str]] = {}
    component = outputs[0].component if outputs else ""
    for name, versions in releases:
        found.setdefault(versions.get(component, {}).get("snapshot_id"), []).append(name)
    return [Output(one, tuple(found.get(one.id, ()))) for one in outputs]


def origins(start: Made, known: Mapping[int, Made]) -> list[Line]:
    """From output `start` up to the files of the sources: a line for each output behind it, nearest first. `known`:
    outputs by their number; one that gc has taken is named by its version alone."""
    lines: list[Line] = []
    waiting, seen = [start], {start.id}
    for made in waiting:  # grows meanwhile
        read = [_read(name, record) for name, record in sorted(made.inputs.items())]
        by = () if made.run_id is None else (" made in run ", Ref("run", str(made.run_id), str(made.run_id)))
        what: Line = joined(read, ", ") if read else ("nothing",)
        lines.append((_named(made.component), f" {made.version[:8]}", *by, " read ", *what))
        for record in made.inputs.values():
            if record.snapshot_id in known and record.snapshot_id not in seen:
                seen.add(record.snapshot_id)
                waiting.append(known[record.snapshot_id])
    return lines


def _read(name: str, record: InputRecord) -> Line:
    if not name.startswith(_SOURCE):
        return (_named(name), f" {record.version[:8]}")
    parts = sorted(record.parts)
    listed = f": {', '.join(parts[:_PARTS])}" if parts else f" {record.version[:8]}"
    more = f" and {len(parts) - _PARTS} more" if len(parts) > _PARTS else ""
    return (f"source {name.removeprefix(_SOURCE)}{listed}{more}",)


def _named(component: str) -> Ref:
    return Ref("component", component, component)
