"""A project opened for work: its settings, components, database and lake in one value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agent import settings as agent_settings
from agent.core.model import Spec
from agent.settings import HOME_FOLDER, Settings
from agent.store import engine, migrations, state
from agent.store.engine import Database
from pipelines.code import CodeCache
from pipelines.lake import Lake
from pipelines.private import close_folder
from pipelines.project import Project, load_project
from pipelines.settings import Faults


@dataclass(frozen=True)
class Workspace:
    """Everything that reading or running a project needs."""

    settings: Settings
    project: Project
    database: Database

    @cached_property
    def specs(self) -> dict[str, Spec]:
        """The graph: a spec a component."""
        return {
            name: Spec(name, component.upstream, component.reads_sources)
            for name, component in self.project.components.items()
        }

    @cached_property
    def releasing(self) -> frozenset[str]:
        """Names of the components that make releases."""
        return frozenset(name for name, component in self.project.components.items() if component.is_release)

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_path)

    @cached_property
    def code_cache(self) -> CodeCache:
        return CodeCache(self.settings.home / "cache" / "code.json")

    @property
    def is_historical(self) -> bool:
        """Whether every source is: then "now" is the newest tick."""
        return all(source.historical for source in self.project.sources.values())


def read_settings(base: Path | None = None) -> tuple[Settings, Project]:
    """Settings and project of a folder, every fault in agent.toml and the environment reported together."""
    folder = (base or Path.cwd()).resolve()
    faults = Faults(str(folder / agent_settings.SETTINGS_FILE))
    settings = agent_settings.load(folder, faults=faults)
    return settings, load_project(settings.file, required=False, faults=faults, others=agent_settings.section_names())


def close_home(settings: Settings) -> None:
    """Let only its owner into the home that an earlier version left open. A folder that AGENT_HOME names may hold other
    things: that one is left alone."""
    if settings.home.name == HOME_FOLDER:
        close_folder(settings.home)


@contextmanager
def open_workspace(
    base: Path | None = None, *, control: Settings | None = None, project_id: int = 0
) -> Iterator[Workspace]:
    """Open the project in folder `base` (default: the current one), its database migrated or checked, its rows there.

    `control` are the server's settings when the project is another than the server's own: runs and events are then
    kept in the server's database; state and catalog in schema `project_ID` of the same database where that is
    PostgreSQL and the project names no database of its own, else in the project's database.
    """
    settings, project = read_settings(base)
    if control is not None:
        settings = agent_settings.for_project(settings.base, control, project_id)
    close_home(settings)
    outer = engine.open_engine(settings.database_url if control is None else control.database_url)
    if control is None:
        own = outer
    elif settings.is_embedded and outer.dialect.name == "postgresql":
        own = engine.of_project(outer, project_id)
    else:
        own = engine.open_engine(settings.database_url)
    database = Database(control=outer, project=own, project_id=project_id)
    try:
        # A project's tables follow those of the server, which was let in with them at this version.
        migrations.ensure_current(own, automatic=settings.is_embedded or control is not None)
        workspace = Workspace(settings, project, database)
        with database.reading() as connections:
            known = state.load_states(connections.project)
        missing = [name for name in workspace.specs if name not in known]
        if missing:
            with database.writing() as connections:
                state.ensure_rows(connections.project, missing)
        yield workspace
    finally:
        database.close()
