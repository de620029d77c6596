"""What was known at an instant: a project whose remote sources read only pages that were asked for by then.

Each page of the inbox says when it was asked for, so that the pages up to an instant are what was known at it. A
correction that came later leaves what was known before as it was, byte for byte. Files and databases of one's own do
not say when they came: they are read as they are now.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipelines.component import Component
from pipelines.errors import PipelineError
from pipelines.lake import Lake
from pipelines.plugins.ordering import in_order
from pipelines.project import Project, compute
from pipelines.snapshot import Snapshot


def project_as_known(project: Project, at: datetime) -> Project:
    """The project as it was known at `at` (aware). Raises PipelineError for a naive instant, and where no source says
    when what it gives came."""
    from pipelines.inbox.collected import CollectedSource

    if at.tzinfo is None:
        raise PipelineError(f"{at} has no time zone", where="as_known_at", fix="say which: datetime(…, tzinfo=UTC)")
    if not any(isinstance(one, CollectedSource) for one in project.sources.values()):
        raise PipelineError(
            "no source here says when its data came",
            where="as_known_at",
            fix="leave it out, or collect from a remote source (agent sources add SOURCE)",
        )
    sources = {
        name: type(one)(one.settings, project.base, one.inbox.folder.parent, at)
        if isinstance(one, CollectedSource)
        else one
        for name, one in project.sources.items()
    }
    return replace(project, sources=sources)


@contextmanager
def computed(project: Project, name: str) -> Iterator[tuple[Lake, Snapshot]]:
    """The output of a component, computed from nothing with all that it reads, in a lake that is gone afterwards.
    Raises PipelineError for an unknown component, and what components raise."""
    if name not in project.components:
        raise PipelineError(
            f"there is no component {name!r}", where="load", fix=f"name one of: {', '.join(project.components)}"
        )
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        lake, made = Lake(Path(folder)), dict[str, Snapshot]()
        for component in _needed(project.components, name):
            made[component.name] = compute(project, component, made, lake=lake, attempt="as-known")
        yield lake, made[name]


def _needed(components: Mapping[str, Component], name: str) -> list[Component]:
    """A component after all that it reads, and nothing else."""
    wanted, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in wanted:
            wanted.add(one)
            waiting += components[one].upstream
    return [components[one] for one in in_order({one: components[one].upstream for one in sorted(wanted)})]
