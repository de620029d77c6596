"""All components of a project, one after the other, without state or database."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.component import perform
from pipelines.lake import Lake
from pipelines.project import Project
from pipelines.run_all import steps_of
from pipelines.snapshot import Snapshot


def perform_all(
    project: Project, lake: Lake, attempt: str, before: Mapping[str, Snapshot] | None = None
) -> dict[str, Snapshot]:
    """Component -> output: from scratch, or with the outputs of last time, incrementally."""
    before, now = before or {}, dict[str, Snapshot]()
    for component in steps_of(project.components):
        now[component.name] = perform(
            component,
            project.settings[component.name],
            {name: now[name] for name in component.upstream},
            lake=lake,
            attempt=attempt,
            previous=before.get(component.name),
            previous_inputs={name: before[name] for name in component.upstream if name in before},
            sources=project.sources if component.reads_sources else {},
            base=project.base,
        )
    return now
