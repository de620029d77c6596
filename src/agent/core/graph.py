"""The graph of components: who comes before whom. Pure: specs in, names out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.core.model import Spec
from agent.errors import UsageError


def order(specs: Mapping[str, Spec]) -> tuple[str, ...]:
    """All names, each after everything it reads; the same for equal specs, however the mapping is ordered.

    Raises UsageError where an upstream is unknown or the graph has a cycle, with the names.
    """
    depths = _depths(specs)
    # Which of two independent components goes first is free. The later name first puts inference, which people wait
    # for, before backtest.
    return tuple(sorted(sorted(specs, reverse=True), key=depths.__getitem__))


def upstream_of(specs: Mapping[str, Spec], names: Iterable[str]) -> frozenset[str]:
    """`names` and everything they read, directly or through others. Raises UsageError for an unknown name."""
    return _closure(names, {name: tuple(spec.upstream) for name, spec in specs.items()})


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
            mend=f"the components are: {', '.join(sorted(specs))}",
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
                mend=f"the components are: {', '.join(sorted(edges))}",
            )
        if name not in found:
            found.add(name)
            waiting.extend(edges[name])
    return frozenset(found)


def _depths(specs: Mapping[str, Spec]) -> dict[str, int]:
    """Length of the longest way from a component that reads no other."""
    for name, spec in specs.items():
        require_known(specs, spec.upstream, where=f"upstream of component {name}")
    depths: dict[str, int] = {}
    while len(depths) < len(specs):
        ready = [
            name
            for name, spec in specs.items()
            if name not in depths and all(upstream in depths for upstream in spec.upstream)
        ]
        if not ready:
            circle = " → ".join(_circle(specs, depths))
            raise UsageError(
                f"components read each other in a circle: {circle}",
                where="upstream of these components",
                mend="take one of these upstreams out of its @component(upstream=…)",
            )
        for name in ready:
            depths[name] = max((depths[upstream] + 1 for upstream in specs[name].upstream), default=0)
    return depths


def _circle(specs: Mapping[str, Spec], done: Mapping[str, int]) -> list[str]:
    """One circle among the components that are not `done`: each of them has an upstream that is not done either."""
    walk = [min(name for name in specs if name not in done)]
    while True:
        following = min(name for name in specs[walk[-1]].upstream if name not in done)
        if following in walk:
            return [*walk[walk.index(following) :], following]
        walk.append(following)
