"""What the passes of a proof say of a component. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.execution.proving.values import Evidence, Finding, PassResult

_FIXES: Mapping[str, str] = {
    "clock": "take times from the data, such as the newest row of an input; what looks at the clock belongs in a gate",
    "randomness": "make a generator of your own with a seed from the settings: random.Random(settings.seed), "
    "numpy.random.default_rng(settings.seed)",
    "environment": "make it a field of Settings, so that a change of it makes the component stale",
    "file": "declare it, @component(reads_files=[…]), or make what it holds an input",
    "network": "fetch in a source (pipelines/sources), which is probed and counted; components read snapshots",
    "program": "do the work in Python, or in a source",
    "locale": "format and compare without the locale: f-strings, sorted() on plain text",
    "column": "declare it: upstream={NAME: Reads(columns=(…))}",
    "machine": "leave it out: the result would be another on another machine",
    "state": "keep nothing between calls: use local variables, or a memo (a partition whose key starts with a dot)",
    "hash": "sort what comes out of a set before it is used, and use hashlib instead of hash() and id()",
    "threads": "keep results in the order of their inputs (pool.map, or sort them); add floats in a fixed order",
    "time zone": "name the zone: datetime.fromtimestamp(seconds, tz=UTC)",
    "random": "look for random numbers without a seed, clocks, and addresses of objects",
    "history": "compute each partition from its inputs alone, in one fixed order of additions; read memos and previous "
    "output only for what a run from scratch would come to as well",
    "look-back": "compute again every partition that the changed input reaches: a longer look-back",
    "failure": "look at the line named; the component must compute any of its partitions alone",
}
_NATURE: Mapping[str, str] = {
    "hash": "the order of a set or hash() goes into the result",
    "time zone": "the machine's time zone goes into the result",
    "locale": "the machine's locale goes into the result",
    "threads": "the number or the order of threads goes into the result",
    "column": "columns that are not declared go into the result",
    "random": "the result is another each time",
    "history": "a run from scratch gives another result than the updates did",
    "state": "the result depends on what was computed before in the same process",
}


def certain(component: str, results: Iterable[PassResult]) -> list[Finding]:
    """A finding for each thing that the component asked for and must not, once."""
    seen = {(one.kind, one.what, one.where) for result in results for one in result.evidence if one.is_certain}
    return [Finding(component, kind, what, where, _FIXES[kind]) for kind, what, where in sorted(seen)]


def differing(recorded: Mapping[str, str], results: Iterable[PassResult]) -> dict[str, list[str]]:
    """Pass -> keys that it computed otherwise than is recorded."""
    found = {
        one.name: sorted(key for key, content in one.written.items() if recorded.get(key) != content) for one in results
    }
    return {name: keys for name, keys in found.items() if keys}


def suspects(results: Iterable[PassResult]) -> list[Evidence]:
    """What may be innocent, and explains a difference where there is one."""
    found = {(one.kind, one.what): one for result in results for one in result.evidence if not one.is_certain}
    return [found[key] for key in sorted(found)]


def unlike_update(update: PassResult, scratch: PassResult) -> tuple[str, str] | None:
    """The kind of fault and the first key in which an update differs from a run from scratch; None where they agree as
    far as both are known."""
    for key, content in scratch.written.items():
        if key in update.written and update.written[key] != content:
            return "history", key
        if key in update.kept and update.kept[key] != content:
            return "look-back", key
    return None


def of_update(component: str, kind: str, key: str, module: str) -> Finding:
    """The finding of an update that differs."""
    how = (
        "was taken over although the changed input reaches it"
        if kind == "look-back"
        else "was updated to something else than a run from scratch gives"
    )
    what = f"with fewer rows in one input partition, output {key!r} {how}: incremental is not full"
    return Finding(component, kind, what, module, _FIXES[kind])


def of_difference(
    component: str, kinds: Sequence[str], keys: Sequence[str], why: Sequence[Evidence], module: str
) -> list[Finding]:
    """The findings of partitions that came out otherwise than recorded, by what was found to make the difference."""
    shown = ", ".join(repr(key) for key in keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    found = []
    for kind in kinds:
        known = [one for one in why if one.kind == kind] or ([] if kind in _NATURE else list(why))
        seen = f"; it {known[0].what}" if known else ""
        nature = _NATURE.get(kind, "the result is another each time")
        what = f"output {shown} comes out otherwise when computed again: {nature}{seen}"
        found.append(Finding(component, kind, what, known[0].where if known else module, _FIXES[kind]))
    return found


def of_failure(component: str, result: PassResult, module: str) -> Finding:
    """The finding of a pass over the recorded inputs that failed."""
    what = f"it fails when a partition is computed again ({result.name}): {result.error}"
    return Finding(component, "failure", what, module, _FIXES["failure"])
