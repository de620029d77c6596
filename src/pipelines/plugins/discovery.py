"""Names to objects: components and sources, found by file name, module or entry point, loaded on demand.

No list of plug-ins exists anywhere: a file in components/ or sources/ is one; so is a module that `[project] modules`
in agent.toml names, and an entry point in the groups tidemill.components and tidemill.sources. A source is a class with
the contract of pipelines.source, SOURCE, or one with that of pipelines.feed, FEED, which is read from its inbox.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipelines.component import Component, NoSettings
from pipelines.errors import SettingsError
from pipelines.plugins.closure import Module, find_module, module_at
from pipelines.plugins.modules import entry_points, load_entry, load_module, name_of_file, shown_name
from pipelines.signatures import require_settings, require_source
from pipelines.source import Source

if TYPE_CHECKING:
    from pipelines.feed import Feed

_ROOT = Path(__file__).parents[1]
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
                fix="let it name a function under @component(…)",
            )
        _add(found, [loaded])
    for module in modules:
        _add(found, _components_in(load_module(module, base)))
    return found


def component_roots(modules: Sequence[str] = (), base: Path | None = None) -> list[Module]:
    """The modules that `load_components` would import, found without importing them. Left out: what has no source."""
    offered = [entry.module for entry in entry_points(COMPONENT_GROUP)]
    return [*_builtin_roots("components", builtin_names("components")), *named_roots([*offered, *modules], base)]


def named_roots(names: Iterable[str], base: Path | None = None) -> list[Module]:
    """The modules behind dotted names, or paths of .py files relative to `base`; what has no source is
    left out."""
    found = []
    for name in names:
        path = (base or Path.cwd()) / name
        if not name.endswith(".py"):
            module = find_module(name)
            found += [] if module is None else [module]
        elif path.is_file():
            found.append(module_at(name_of_file(path), path.absolute()))
    return found


def source_roots(names: Iterable[str]) -> list[Module]:
    """The modules that `load_source` would import for these sources, found without importing them."""
    wanted = set(names)
    found = _builtin_roots("sources", wanted.intersection(builtin_names("sources")))
    return [*found, *named_roots(entry.module for entry in entry_points(SOURCE_GROUP) if entry.name in wanted)]


def load_source(name: str) -> type[Source]:
    """The source class behind `[sources.NAME]`. Raises SettingsError, with the nearest name, where there is none."""
    if name in builtin_names("sources"):
        module = importlib.import_module(f"pipelines.sources.{name}")
        return _source(getattr(module, "FEED", None) or getattr(module, "SOURCE", None), name)
    for entry in entry_points(SOURCE_GROUP):
        if entry.name == name:
            return _source(load_entry(entry), name)
    known = source_names()
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean [sources.{near[0]}]?" if near else f"known are: {', '.join(known)}"
    raise SettingsError(f"there is no source {name!r}", where=f"[sources.{name}]", fix=hint)


def load_feed(name: str) -> type[Feed]:
    """The feed behind `[sources.NAME]`. Raises SettingsError where there is no such source, or where it is local."""
    found = load_source(name)
    if not is_remote(found):
        raise SettingsError(
            f"source {name!r} is local: nothing of it is collected",
            where=f"[sources.{name}]",
            fix=f"name one of {', '.join(feed_names())}",
        )
    feed_class: type[Feed] = found.feed_class  # type: ignore[attr-defined]
    return feed_class


def is_remote(cls: type[Source]) -> bool:
    """Whether a source is a feed's, read from its inbox."""
    return hasattr(cls, "feed_class")


def feed_names() -> tuple[str, ...]:
    """Names of all remote sources, built in or from entry points."""
    return tuple(name for name in source_names() if is_remote(load_source(name)))


def _source(loaded: Any, name: str) -> type[Source]:
    loaded = source_of(loaded)
    require_source(loaded, f"source {name!r}")
    require_settings(settings_of_source(loaded), f"source {name!r}")
    cls: type[Source] = loaded
    return cls


def source_of(loaded: Any) -> Any:
    """The source class of what a plug-in gives: a feed is read from its inbox, a source is one."""
    if not (isinstance(loaded, type) and hasattr(loaded, "next_request")):
        return loaded
    from pipelines.inbox.collected import collected  # a start without remote sources does without

    return collected(loaded)


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


def _builtin_roots(room: str, names: Iterable[str]) -> list[Module]:
    return [module_at(f"pipelines.{room}.{name}", (_ROOT / room / f"{name}.py").absolute()) for name in names]


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
                fix='give one of them another name: its file\'s, or @component(name="…")',
            )
        found[name] = component
