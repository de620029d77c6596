"""The graph of components: who comes before whom. Pure: specs in, names out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.core.model import Spec
from agent.errors import UsageError
from pipelines.plugins.ordering import in_order


def order(specs: Mapping[str, Spec]) -> tuple[str, ...]:
    """All names, each after everything it reads; the same for equal specs, however the mapping is ordered.

    Raises SettingsError where an upstream is unknown or components read each other in a circle, with the names.
    """
    return in_order(reads_of(specs))


def reads_of(specs: Mapping[str, Spec]) -> dict[str, tuple[str, ...]]:
    """Component -> names of what it reads."""
    return {name: tuple(spec.upstream) for name, spec in specs.items()}


def upstream_of(specs: Mapping[str, Spec], names: Iterable[str]) -> frozenset[str]:
    """`names` and everything they read, directly or through others. Raises UsageError for an unknown name."""
    return _closure(names, reads_of(specs))


def downstream_of(specs: Mapping[str, Spec], names: Iterable[str]) -> frozenset[str]:
    """`names` and everything that reads them, directly or through others. Raises UsageError for an unknown name."""
    readers: dict[str, tuple[str, ...]] = {
        name: tuple(other for other, spec in specs.items() if name in spec.upstream) for name in specs
    }
    return _closure(names, readers)


def require_known(specs: Mapping[str, Spec], names: Iterable[str], where: str = "") -> None:
    """Raise UsageError, with the possible names, where one of `names` is no component."""
    unknown = sorted(set(names) - set(specs))
    if unknown:
        raise UsageError(
            f"there is no component {', '.join(repr(name) for name in unknown)}",
            where=where,
            fix=f"the components are: {', '.join(sorted(specs))}",
        )


def _closure(names: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in edges:
            readers = [reader for reader, read in edges.items() if name in read]
            raise UsageError(
                f"there is no component {name!r}",
                where=f"upstream of component {readers[0]}" if readers else "targets",
                fix=f"the components are: {', '.join(sorted(edges))}",
            )
        if name not in found:
            found.add(name)
            waiting.extend(edges[name])
    return frozenset(found)
