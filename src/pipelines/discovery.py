"""Names to objects: components and sources, found by file name, module or entry point, loaded on demand.

No list of plug-ins exists anywhere: a file in components/ or sources/ is one; so is a module that `[project] modules`
in agent.toml names, and an entry point in the groups tidemill.components and tidemill.sources.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pipelines
from pipelines.component import Component, NoSettings
from pipelines.errors import SettingsError
from pipelines.modules import entry_points, load_module
from pipelines.source import Source

_ROOT = Path(pipelines.__file__).parent
COMPONENT_GROUP, SOURCE_GROUP = "tidemill.components", "tidemill.sources"


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
        _add(found, [entry.load()])
    for module in modules:
        _add(found, _components_in(load_module(module, base)))
    return found


def load_source(name: str) -> type[Source]:
    """The source class behind `[sources.NAME]`. Raises SettingsError, with the nearest name, where there is none."""
    if name in builtin_names("sources"):
        module = importlib.import_module(f"pipelines.sources.{name}")
        cls: type[Source] = module.SOURCE
        return cls
    for entry in entry_points(SOURCE_GROUP):
        if entry.name == name:
            loaded: type[Source] = entry.load()
            return loaded
    known = source_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean [sources.{near[0]}]?" if near else f"known are: {', '.join(known)}"
    raise SettingsError(f"there is no source {name!r}", where=f"[sources.{name}]", mend=hint)


def settings_of_source(cls: type[Source]) -> type[Any]:
    """The settings class of a source: `Settings` in its module, or NoSettings where there is nothing to set."""
    found: type[Any] = getattr(sys.modules[cls.__module__], "Settings", NoSettings)
    return found


def source_names() -> tuple[str, ...]:
    """Names of all sources, built in or from entry points."""
    return tuple(sorted({*builtin_names("sources"), *(entry.name for entry in entry_points(SOURCE_GROUP))}))


def _components_in(module: ModuleType) -> list[Component]:
    return [
        value for value in vars(module).values() if isinstance(value, Component) and value.module == module.__name__
    ]


def _add(found: dict[str, Component], new: Iterable[Component]) -> None:
    for component in new:
        name = component.name
        if name in found:
            raise SettingsError(
                f"two components are called {name!r}: in {found[name].module} and {component.module}",
                mend="give one of them another name",
            )
        found[name] = component
