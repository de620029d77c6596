"""The order of components: each after everything it reads. Pure, and the one place that works it out (graphlib)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from pipelines.errors import SettingsError


def levels(upstream: Mapping[str, Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """The names of `upstream` (component -> what it reads), grouped by the longest way from one that reads nothing.

    Members of a level do not read each other, so their order is free: the later name goes first, which puts inference,
    which people wait for, before backtest. Equal for equal mappings, however they are ordered. Raises SettingsError
    where something that is read does not exist, or where components read each other in a circle.
    """
    reads = {name: sorted(upstream[name]) for name in sorted(upstream)}
    for name, others in reads.items():
        for other in others:
            if other not in reads:
                raise SettingsError(
                    f"component {name!r} reads {other!r}, which does not exist",
                    where=f"upstream of component {name}",
                    fix=f"correct its upstream; the components are: {', '.join(reads)}",
                )
    sorter = TopologicalSorter(reads)
    try:
        sorter.prepare()
    except CycleError as error:
        raise SettingsError(
            f"components read each other in a circle: {' → '.join(reversed(error.args[1]))}",
            where="upstream of these components",
            fix="take one of these upstreams out of its @component(upstream=…)",
        ) from error
    found: list[tuple[str, ...]] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        found.append(tuple(sorted(ready, reverse=True)))
        sorter.done(*ready)
    return tuple(found)


def in_order(upstream: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The same as one sequence. Raises SettingsError as `levels` does."""
    return tuple(name for level in levels(upstream) for name in level)
