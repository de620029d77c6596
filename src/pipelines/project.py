"""agent.toml as a whole: the components, sources and settings of one project, checked together.

    [project]       modules = ["my_component.py"]   own components; the section's other settings are the agent's
    [sources.NAME]  settings of a source; without any, the embedded sample is the only source
    [COMPONENT]     settings of a component, built in or own

Sections of other packages (the orchestrator's) are handed over as they are: this package does not know them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pipelines.component import Component, perform
from pipelines.data.file_tables.find import REMOTE_FOLDER
from pipelines.errors import SettingsError
from pipelines.inbox import INBOX_FOLDER
from pipelines.lake import Lake
from pipelines.plugins.discovery import load_components, load_source, other_sections, settings_of_source
from pipelines.settings import Faults, build, read_toml
from pipelines.snapshot import Snapshot
from pipelines.source import Source
from pipelines.values import dataclass

SETTINGS_FILE = "agent.toml"
DEFAULT_SOURCE = "sample"


@dataclass(frozen=True)
class Project:
    """What agent.toml says, ready for use.

    base: folder that relative paths start from (where agent.toml lies). modules: own modules, as written there.
    components: name -> component.
    settings: component -> its Settings. sources: name -> source. source_settings: name -> its Settings.
    extra: sections of other packages that are there, as TOML values.
    """

    base: Path
    modules: tuple[str, ...]
    components: Mapping[str, Component]
    settings: Mapping[str, Any]
    sources: Mapping[str, Source]
    source_settings: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)


def load_project(
    agent_toml: Path | None = None,
    *,
    required: bool = True,
    faults: Faults | None = None,
    others: Collection[str] | None = None,
    inbox: Path | None = None,
) -> Project:
    """The project of settings file `agent_toml`; None means agent.toml of the current folder, or defaults without one.

    A file that is named must be there unless `required` is off. `faults` are those found elsewhere in the same file, to
    be reported together with the ones found here. `others` are the sections that are not this package's; where they are
    not given they are found through entry points. `inbox`: where replies of remote sources lie, by default below the
    folder of agent.toml. Raises SettingsError that names every unknown section or setting,
    every bad value and every module that cannot be loaded.
    """
    path = Path(SETTINGS_FILE) if agent_toml is None else agent_toml
    if agent_toml is not None and required and not path.is_file():
        raise SettingsError("there is no such settings file", where=str(path), fix="correct the path after --settings")
    faults = faults if faults is not None else Faults(str(path))
    project = build_project(read_toml(path), path.resolve().parent, faults, others, inbox)
    faults.raise_if_any()
    assert project is not None
    return project


def build_project(
    values: Mapping[str, Any],
    base: Path,
    faults: Faults,
    others: Collection[str] | None = None,
    inbox: Path | None = None,
    code_base: Path | None = None,
) -> Project | None:
    """The project in folder `base` whose agent.toml says `values`; None where something is wrong, which `faults` then
    names. `others` and `inbox` as in `load_project`. `code_base`: folder of own modules, where that is not `base`."""
    before = len(faults.found)
    modules = modules_in(values, faults)
    others = ("project", *(other_sections() if others is None else others))
    components = _components(values, modules, code_base or base, others, faults)
    settings = {
        name: build(component.settings, _section(values, name, faults), name, faults)
        for name, component in components.items()
    }
    classes, source_settings = _sources(_section(values, "sources", faults), faults)
    if len(faults.found) > before:
        return None
    return Project(
        base=base,
        modules=modules,
        components=components,
        settings=settings,
        sources={
            name: _made(cls, source_settings[name], base, inbox or base / INBOX_FOLDER) for name, cls in classes.items()
        },
        source_settings=source_settings,
        extra={name: values[name] for name in others if name in values},
    )


def _made(cls: type[Source], settings: Any, base: Path, inbox: Path) -> Source:
    if getattr(cls, "keeps_copies", False):
        return cls(settings, base, inbox.parent / REMOTE_FOLDER.name)  # type: ignore[call-arg]
    # A start without remote sources loads nothing of what reads them.
    return cls(settings, base, inbox) if hasattr(cls, "feed_class") else cls(settings, base)  # type: ignore[call-arg]


def compute(
    project: Project, component: Component, made: Mapping[str, Snapshot], *, lake: Lake, attempt: str
) -> Snapshot:
    """A component's output from nothing, of what those that it reads have `made`. Raises what components raise."""
    return perform(
        component,
        project.settings[component.name],
        {name: made[name] for name in component.upstream},
        lake=lake,
        attempt=attempt,
        sources=project.sources if component.reads_sources else None,
        base=project.base,
    )


def source_names_in(values: Mapping[str, Any]) -> list[str]:
    """Names of the sources that `values` of an agent.toml configures."""
    sections = values.get("sources", {})
    return sorted(sections) if isinstance(sections, Mapping) and sections else [DEFAULT_SOURCE]


def modules_in(values: Mapping[str, Any], faults: Faults) -> tuple[str, ...]:
    """Own modules that `values` of an agent.toml names."""
    modules = _section(values, "project", faults).get("modules", [])
    if isinstance(modules, list) and all(isinstance(name, str) for name in modules):
        return tuple(modules)
    faults.add("project", f"modules = {modules!r} is not a list of text")
    return ()


def named_modules(values: Mapping[str, Any]) -> list[str]:
    """Own modules that any section of an agent.toml names: of components, of features."""
    lists = (section.get("modules") for section in values.values() if isinstance(section, Mapping))
    return [name for one in lists if isinstance(one, list) for name in one if isinstance(name, str)]


def _components(
    values: Mapping[str, Any], modules: tuple[str, ...], base: Path, others: Collection[str], faults: Faults
) -> dict[str, Component]:
    try:
        components = load_components(modules, base)
    except SettingsError as error:
        faults.add("project", f"{error.what} ({error.where}); {error.fix}")
        return {}
    for name in components:
        if name in others or name == "sources":
            faults.add("project", f"a component cannot be called {name!r}: [{name}] is another section")
    known = (*components, "sources", *others)
    for name in values:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean [{near[0]}]?" if near else f"known are: {', '.join(known)}"
            faults.add(name, f"unknown section; {hint}")
    return components


def _sources(sections: Mapping[str, Any], faults: Faults) -> tuple[dict[str, type[Source]], dict[str, Any]]:
    classes: dict[str, type[Source]] = {}
    settings: dict[str, Any] = {}
    for name in source_names_in({"sources": sections}):
        try:
            classes[name] = load_source(name)
        except SettingsError as error:
            faults.add(f"sources.{name}", f"{error.what}; {error.fix} ({error.where})")
            continue
        section = _section(sections, name, faults, f"sources.{name}")
        settings[name] = build(settings_of_source(classes[name]), section, f"sources.{name}", faults)
    return classes, settings


def _section(values: Mapping[str, Any], name: str, faults: Faults, shown: str = "") -> Mapping[str, Any]:
    section = values.get(name, {})
    if isinstance(section, Mapping):
        return section
    faults.add(shown or name, f"{name} = {section!r} is not a section; write [{shown or name}]")
    return {}
