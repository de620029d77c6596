"""Names to objects: components and sources, found by file name, module or entry point, loaded on demand.

No list of plug-ins exists anywhere: a file in components/ or sources/ is one; so is a module that `[project] modules`
in agent.toml names, and an entry point in the groups tidemill.components and tidemill.sources.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.code import FRAMEWORK
from pipelines.component import Component, NoSettings
from pipelines.errors import SettingsError
from pipelines.modules import LOADING, entry_points, load_entry, load_module, local_folders, shown_name
from pipelines.signatures import require_settings, require_source
from pipelines.source import Source

_ROOT = Path(__file__).parent
COMPONENT_GROUP, SOURCE_GROUP, SECTION_GROUP = "tidemill.components", "tidemill.sources", "tidemill.sections"


def builtin_names(room: str) -> tuple[str, ...]:
    """Plug-in names in a folder of this package, such as "components", in alphabetical order; nothing is imported."""
    return tuple(sorted(p.stem for p in (_ROOT / room).glob("*.py") if not p.stem.startswith("_")))


def summary(room: str, name: str) -> str:
    """First line of a plug-in's docstring, read without importing it."""
    text = (_ROOT / room / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def load_components(modules: Sequence[str] = (), base: Path | None = None) -> dict[str, Component]:
    """All components: the built-in ones, those of entry points, and those in `modules` (dotted names, or paths of
    files relative to `base`). Raises SettingsError for a module that cannot be loaded or a name taken twice."""
    found: dict[str, Component] = {}
    for name in builtin_names("components"):
        _add(found, _components_in(importlib.import_module(f"pipelines.components.{name}")))
    for entry in entry_points(COMPONENT_GROUP):
        loaded = load_entry(entry)
        if not isinstance(loaded, Component):
            raise SettingsError(
                f"entry point {entry.name!r} leads to {type(loaded).__name__}, not to a component",
                where=f"{entry.value} in group {COMPONENT_GROUP}",
                mend="let it name a function under @component(…)",
            )
        _add(found, [loaded])
    for module in modules:
        _add(found, _components_in(load_module(module, base)))
    return found


def load_source(name: str) -> type[Source]:
    """The source class behind `[sources.NAME]`. Raises SettingsError, with the nearest name, where there is none."""
    if name in builtin_names("sources"):
        module = importlib.import_module(f"pipelines.sources.{name}")
        return _source(getattr(module, "SOURCE", None), name)
    for entry in entry_points(SOURCE_GROUP):
        if entry.name == name:
            return _source(load_entry(entry), name)
    known = source_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean [sources.{near[0]}]?" if near else f"known are: {', '.join(known)}"
    raise SettingsError(f"there is no source {name!r}", where=f"[sources.{name}]", mend=hint)


def _source(loaded: Any, name: str) -> type[Source]:
    require_source(loaded, f"source {name!r}")
    require_settings(settings_of_source(loaded), f"source {name!r}")
    cls: type[Source] = loaded
    return cls


def settings_of_source(cls: type[Source]) -> type[Any]:
    """The settings class of a source: `Settings` in its module, or NoSettings where there is nothing to set."""
    found: type[Any] = getattr(sys.modules[cls.__module__], "Settings", NoSettings)
    return found


def source_names() -> tuple[str, ...]:
    """Names of all sources, built in or from entry points."""
    return tuple(sorted({*builtin_names("sources"), *(entry.name for entry in entry_points(SOURCE_GROUP))}))


def other_sections() -> tuple[str, ...]:
    """Names of the sections of agent.toml that other packages own: an entry point of SECTION_GROUP names a package with
    a file per section."""
    folders = [Path(folder) for entry in entry_points(SECTION_GROUP) for folder in entry.load().__path__]
    return tuple(sorted(path.stem for folder in folders for path in folder.glob("*.py") if path.stem[0] != "_"))


def forget_changed() -> tuple[str, ...]:
    """Unload the project's modules if a file of one of them changed since it was loaded; returns which did.

    A process that lives long (server, worker) calls this before each run, so that it computes with the code on disk.
    All of them go, since whoever imported a changed module holds its old objects; so does a run of another thread,
    which goes on with them. Installed packages and the framework stay: a change there needs a new process.
    """
    with LOADING:
        return _forget_changed()


def _forget_changed() -> tuple[str, ...]:
    looked_ns = time.time_ns()
    paths = {name: path for name, module in list(sys.modules.items()) if (path := _project_file(name, module))}
    loaded = {name: _mark(path) for name, path in paths.items()}  # once: a file may be edited this very moment
    changed = tuple(sorted(name for name, mark in loaded.items() if _LOADED.has_changed(name, mark)))
    if changed:
        for name in loaded:
            sys.modules.pop(name, None)
            parent, _, own = name.rpartition(".")
            if parent in sys.modules:  # `from parent import own` would find the old module there
                vars(sys.modules[parent]).pop(own, None)
        importlib.invalidate_caches()
    _LOADED.note({} if changed else loaded, looked_ns)
    return changed


@dataclass
class _Loaded:
    """Size and modification time of the project's files as they were when their modules were loaded.

    A module met for the first time was loaded after the last look, so that a file older than it has not changed since.
    """

    last_look_ns: int
    marks: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)

    def has_changed(self, name: str, mark: tuple[int, int] | None) -> bool:
        if name in self.marks:
            return mark != self.marks[name]
        return mark is None or mark[1] >= self.last_look_ns

    def note(self, marks: Mapping[str, tuple[int, int] | None], looked_ns: int) -> None:
        self.last_look_ns = looked_ns
        self.marks = marks


_LOADED = _Loaded(time.time_ns())


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _project_file(name: str, module: ModuleType) -> Path | None:
    """File of a loaded module that belongs to a project; None for libraries, the framework and the agent itself."""
    place = getattr(module, "__file__", None)
    top = name.partition(".")[0]
    if place is None or top in ("agent", "dashboard", "__main__") or name in FRAMEWORK:
        return None
    path = Path(place)
    if top == "pipelines":
        return path if path.is_relative_to(_ROOT) else None
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return None
    return path if any(path.is_relative_to(folder) for folder in local_folders()) else None


def _components_in(module: ModuleType) -> list[Component]:
    return [
        value for value in vars(module).values() if isinstance(value, Component) and value.module == module.__name__
    ]


def _add(found: dict[str, Component], new: Iterable[Component]) -> None:
    for component in new:
        name = component.name
        if name in found:
            raise SettingsError(
                f"two components are called {name!r}",
                where=f"{shown_name(found[name].module)} and {shown_name(component.module)}",
                mend='give one of them another name: its file\'s, or @component(name="…")',
            )
        found[name] = component
