"""A project opened for work: its settings, components, database and lake in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agent import settings as agent_settings
from agent.core.model import Spec
from agent.errors import AgentError
from agent.execution.host.hosts import Hosts, OneShot
from agent.execution.host.interface import Host, Origin, ProjectFacts
from agent.settings import HOME_FOLDER, Settings
from agent.store import state
from agent.store.database import engine, migrations
from agent.store.database.engine import Database
from pipelines.lake import Lake
from pipelines.private import close_folder
from pipelines.project import Project, load_project
from pipelines.settings import Faults, read_toml
from pipelines.values import dataclass


@dataclass(frozen=True)
class Workspace:
    """Everything that reading or running a project needs. `hosts` is where its code comes from, `host` the code as it
    was loaded for this block, from what `origin` says."""

    settings: Settings
    database: Database
    origin: Origin
    host: Host
    hosts: Hosts = field(default_factory=OneShot)

    @property
    def facts(self) -> ProjectFacts:
        """Components and sources as everybody but their own code knows them."""
        return self.host.facts

    @property
    def base(self) -> Path:
        """The project's folder, where relative paths in its settings start from."""
        return self.origin.base

    @property
    def project(self) -> Project:
        """The project with its classes, for commands that compute here what no run does. Raises AgentError where its
        code changed while this process loaded it."""
        found = getattr(self.host, "project", None)
        if not isinstance(found, Project):
            raise AgentError(
                "the project's code changed while it was loaded", where=str(self.base), fix="run the command again"
            )
        return found

    @cached_property
    def specs(self) -> dict[str, Spec]:
        """The graph: one spec per component."""
        return {
            name: Spec(name, component.upstream, component.reads_sources)
            for name, component in self.facts.components.items()
        }

    @cached_property
    def releasing(self) -> frozenset[str]:
        """Names of the components that make releases."""
        return frozenset(name for name, component in self.facts.components.items() if component.is_release)

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_path)

    @property
    def is_try(self) -> bool:
        """Whether what is computed is a try's: it shows nowhere but in its own state and the lake."""
        return self.database.try_id != 0

    @property
    def is_historical(self) -> bool:
        """Whether every source is: then "now" is the newest tick."""
        return all(source.is_historical for source in self.facts.sources.values())

    def ensure_rows(self) -> None:
        """Let every component have its row of state."""
        with self.database.reading() as connections:
            known = state.load_states(connections.project)
        missing = [name for name in self.specs if name not in known]
        if missing:
            with self.database.writing() as connections:
                state.ensure_rows(connections.project, missing)

    @contextmanager
    def renewed(self) -> Iterator[Workspace]:
        """The same project with its code as it is now, for the length of a block. Settings stay as they were parsed."""
        origin = replace(self.origin, is_fresh=True)
        with self.hosts.lease(origin) as host:
            _require_good(host, self.settings)
            yield replace(self, origin=origin, host=host)


def read_settings(base: Path | None = None) -> tuple[Settings, Project]:
    """Settings and project of a folder, every fault in agent.toml and the environment reported together."""
    folder = (base or Path.cwd()).resolve()
    faults = Faults(str(folder / agent_settings.SETTINGS_FILE))
    settings = agent_settings.load(folder, faults=faults)
    return settings, load_project(
        settings.file, required=False, faults=faults, others=agent_settings.section_names(), inbox=settings.inbox_path
    )


def close_home(settings: Settings) -> None:
    """Let only its owner into the home that an earlier version left open. A folder that AGENT_HOME names may hold other
    things: that one is left alone."""
    if settings.home.name == HOME_FOLDER:
        close_folder(settings.home)


@contextmanager
def open_workspace(
    base: Path | None = None,
    *,
    control: Settings | None = None,
    project_id: int = 0,
    hosts: Hosts | None = None,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values,
    other_code: Path | None = None,
) -> Iterator[Workspace]:
    """Open the project in folder `base` (default: the current one), its database migrated or checked, its rows there.

    `control` are the server's settings when the project is another than the server's own: runs and events are then
    kept in the server's database; state and catalog in schema `project_ID` of the same database where that is
    PostgreSQL and the project names no database of its own, else in the project's database. `hosts` is where its code
    is loaded, by default in this process. `change` makes of what agent.toml says what a try is to have; `other_code` is
    the folder of its own modules, where that is another.
    """
    folder, hosts = (base or Path.cwd()).resolve(), hosts or OneShot()
    faults = Faults(str(folder / agent_settings.SETTINGS_FILE))
    values = change(read_toml(folder / agent_settings.SETTINGS_FILE))
    settings = agent_settings.load(folder, faults=faults, sections_read=values)
    if control is not None and not faults.found:
        settings = agent_settings.for_project(folder, control, project_id, values)
    close_home(settings)
    origin = replace(origin_of(settings, values), other_code=other_code)
    with hosts.lease(origin) as host:
        _require_good(host, settings, faults)
        with open_database(settings, control=control, project_id=project_id) as database:
            workspace = Workspace(settings, database, origin, host, hosts)
            workspace.ensure_rows()
            yield workspace


@contextmanager
def open_database(settings: Settings, *, control: Settings | None = None, project_id: int = 0) -> Iterator[Database]:
    """The databases of a project, migrated or checked, without its code."""
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
        yield database
    finally:
        database.close()


def origin_of(settings: Settings, values: Mapping[str, Any]) -> Origin:
    """What the project's code is loaded from, where agent.toml says `values`."""
    others = agent_settings.section_names()
    # The agent's sections have the database, tokens and addresses of the server: the project's code does not see them.
    own = {name: value for name, value in values.items() if name not in others}
    return Origin(
        settings.base,
        own,
        settings.lake_path,
        settings.home / "cache" / "code.json",
        others,
        False,
        settings.inbox_path,
    )


def _require_good(host: Host, settings: Settings, faults: Faults | None = None) -> None:
    """Raise SettingsError that names every fault."""
    faults = faults if faults is not None else Faults(str(settings.file))
    faults.add_texts(host.facts.faults)
    faults.raise_if_any()
