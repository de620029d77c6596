"""Why a component is stale: recorded state against what is true now. Pure; only `too_old` looks at a time.

Of a row's flag only the mark counts here: `is_dirty` and `dirty_reason` show what an evaluation found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from agent.core.model import Code, Current, InputRecord, Mark, Reason, Spec, State

SOURCE = "source:"  # an input of this name is a source's probe, not an upstream

_MOST_PARTS = 3  # of a source, named in a reason
_MOST_KEYS = 5  # more damaged partitions than this are named in one reason
_ORDER = {code: position for position, code in enumerate(Code)}
# The previous output is right as far as it goes: changed, damaged and marked partitions alone are due. (A failed
# attempt recorded nothing: the inputs on record are those of the last success.)
_PARTIAL = {
    Code.INPUT_CHANGED,
    Code.SOURCE_NEW_DATA,
    Code.OUTPUT_MISSING,
    Code.OUTPUT_ALTERED,
    Code.FAILED,
    Code.RETRAIN_DUE,
}


def decide_reasons(
    spec: Spec, state: State, current: Current, *, now: datetime, forced: bool = False
) -> tuple[Reason, ...]:
    """Every reason why the component is stale, in the order of Code; empty where it is up to date.

    `status` "running" counts as failed: whoever decides holds no lease on it, so that attempt's process died.
    """
    never = state.output_snapshot_id is None or state.code_version is None
    found = [*_asked_for(state, forced=forced), *_failed(state)]
    if never:
        found.append(Reason(Code.NEVER_RUN))
    else:
        found += _code(state, current)
        found += _settings(state, current)
        found += _libraries(state, current)
        found += _inputs(spec, state, current)
        found += _damage(current)
        found += _age(state, current, now)
    return tuple(sorted(found, key=lambda reason: _ORDER[reason.code]))


def can_carry_over(reasons: Iterable[Reason]) -> bool:
    """Whether partitions of the previous output may be kept: False where all of them are in doubt."""
    return all(reason.code in _PARTIAL or (reason.code == Code.MARKED and bool(reason.subject)) for reason in reasons)


def redo_keys(reasons: Iterable[Reason], state: State, current: Current) -> frozenset[str]:
    """Output partitions to recompute although no input changed: the damaged ones and those a person marked."""
    marked = any(reason.code == Code.MARKED for reason in reasons)
    asked = (state.mark.partitions or ()) if marked and state.mark is not None else ()
    return frozenset((*current.missing, *current.altered, *asked))


def mark_in(reasons: Iterable[Reason]) -> Mark | None:
    """The mark among the reasons of an attempt; None where there is none.

    An attempt clears the mark when it starts. Where it fails or its process dies, the mark is set again from this.
    """
    for reason in reasons:
        if reason.code == Code.MARKED:
            return Mark(
                by=reason.new or "",
                at=datetime.fromisoformat(reason.old) if reason.old else None,
                reason=reason.detail,
                partitions=tuple(reason.subject.split(", ")) if reason.subject else None,
            )
    return None


def _asked_for(state: State, *, forced: bool) -> Iterator[Reason]:
    if forced:
        yield Reason(Code.FORCED)
    mark = state.mark
    if mark is not None:
        yield Reason(
            Code.MARKED,
            subject=", ".join(mark.partitions or ()),
            old=None if mark.at is None else mark.at.isoformat(),
            new=mark.by or None,
            detail=mark.reason,
        )


def _failed(state: State) -> Iterator[Reason]:
    if state.status == "running":
        yield Reason(Code.FAILED, detail="the process that ran it died")
    elif state.status == "failed":
        yield Reason(Code.FAILED, detail=(state.last_error or "").partition("\n")[0])


def _code(state: State, current: Current) -> Iterator[Reason]:
    """One reason that names every changed definition; its subject and detail are lists in step with each other."""
    if state.code_version == current.code_version:
        return
    old, new = _definitions(state.code_files), _definitions(current.code_files)
    changed = definitions_apart(state.code_files, current.code_files)
    one = len(changed) == 1
    yield Reason(
        Code.CODE_CHANGED,
        subject=", ".join(changed),
        old=old.get(changed[0]) if one else state.code_version,
        new=new.get(changed[0]) if one else current.code_version,
        detail=", ".join(current.definitions.get(name, "removed") for name in changed),
    )


def definitions_apart(old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> list[str]:
    """ "module:definition" of what differs between the code of two outputs, in order."""
    before, after = _definitions(old), _definitions(new)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _definitions(files: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {f"{module}:{name}": value for module, names in files.items() for name, value in names.items()}


def _settings(state: State, current: Current) -> Iterator[Reason]:
    if state.settings_hash == current.settings_hash:
        return
    changed = changed_settings(state.settings, current.settings)
    for name, (old, new) in changed.items():
        yield Reason(Code.SETTINGS_CHANGED, subject=name, old=old, new=new)
    if not changed:
        yield Reason(Code.SETTINGS_CHANGED, detail="a setting whose value is not shown")


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Dotted name -> (value before, value after) as JSON, of the settings that differ; None where one has it not."""
    old, new = _flat(before), _flat(after)
    _fold_tables(old, new)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return {name: (old.get(name), new.get(name)) for name in names}


def _fold_tables(old: dict[str, str], new: dict[str, str]) -> None:
    """Make one entry of a numbered table that is on one side alone: a dataset added is one change, not one a field."""
    for side, other in ((old, new), (new, old)):
        tables = {
            table for name in side if (table := _table_of(name)) and not any(_table_of(n) == table for n in other)
        }
        for table in tables:
            fields = {name: side.pop(name) for name in [*side] if _table_of(name) == table}
            side[table] = ", ".join(f"{name.removeprefix(table + '.')} = {value}" for name, value in fields.items())


def _table_of(name: str) -> str:
    """`a.b[1]` of `a.b[1].c`; empty for a setting that is in no list."""
    return name[: name.rindex("]") + 1] if "]" in name else ""


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings as dotted name -> JSON, so that values compare alike before and after a trip through the database.

    Tables in a list are numbered from 0: `sources.files.datasets[1].path`. What is not set in them is left out.
    """
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                known = {key: one for key, one in dict(item).items() if one is not None}
                flat.update(_flat(known, f"{prefix}{name}[{number}]."))
        else:
            flat[f"{prefix}{name}"] = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return flat


def _libraries(state: State, current: Current) -> Iterator[Reason]:
    for name in sorted(state.libraries.keys() | current.libraries.keys()):
        old, new = state.libraries.get(name), current.libraries.get(name)
        if old != new:
            yield Reason(Code.LIBRARY_CHANGED, subject=name, old=old, new=new)


def _inputs(spec: Spec, state: State, current: Current) -> Iterator[Reason]:
    others = sorted((state.inputs.keys() | current.inputs.keys()) - spec.upstream.keys())
    for name in (*spec.upstream, *others):
        old, new = state.inputs.get(name), current.inputs.get(name)
        if _same(old, new):
            continue
        is_source = name.startswith(SOURCE)
        yield Reason(
            Code.SOURCE_NEW_DATA if is_source else Code.INPUT_CHANGED,
            subject=name.removeprefix(SOURCE),
            old=old.read_version if old else None,
            new=new.read_version if new else None,
            detail=_changed_parts(old, new) if new else "it is no input any more",
        )


def _changed_parts(old: InputRecord | None, new: InputRecord) -> str:
    """Parts of a source that differ: "prices.csv changed, july.csv is new"; empty where that is not on record."""
    if old is None or not old.parts or not new.parts:
        return ""
    answer = [
        f"{part} is new" if part not in old.parts else f"{part} is gone" if part not in new.parts else f"{part} changed"
        for part in sorted(old.parts.keys() | new.parts.keys())
        if old.parts.get(part) != new.parts.get(part)
    ]
    more = len(answer) - _MOST_PARTS
    return ", ".join([*answer[:_MOST_PARTS], *([f"and {more} more"] if more > 0 else [])])


def _same(old: InputRecord | None, new: InputRecord | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.version == new.version or old.read_version == new.read_version


def _damage(current: Current) -> Iterator[Reason]:
    for code, keys in ((Code.OUTPUT_MISSING, current.missing), (Code.OUTPUT_ALTERED, current.altered)):
        if len(keys) > _MOST_KEYS:
            shown = ", ".join(keys[:_MOST_KEYS])
            yield Reason(code, detail=f"{len(keys)} partitions: {shown}, …")
        else:
            yield from (Reason(code, subject=key) for key in keys)


def _age(state: State, current: Current, now: datetime) -> Iterator[Reason]:
    if current.max_age_seconds is None or state.last_run_at is None:
        return
    age = (now - state.last_run_at).total_seconds()
    if age > current.max_age_seconds:
        yield Reason(Code.TOO_OLD, old=f"{age:.0f}", new=f"{current.max_age_seconds:.0f}", detail="seconds")
