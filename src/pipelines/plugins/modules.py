"""Modules by name or by file, and entry points: how code from outside this package is brought in."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipelines.errors import PipelineError, SettingsError
from pipelines.signatures import place_in

if TYPE_CHECKING:
    import importlib.metadata


_LOCAL_PACKAGE = "tidemill_local_"
_NO_PROGRAM = 'put what makes it a program under `if __name__ == "__main__":`, so that it can be imported too'


def load_module(name: str, base: Path | None) -> ModuleType:
    """A module by dotted name, or by path of a .py file (relative to `base`). Raises SettingsError."""
    if name.endswith(".py"):
        return _load_file(name, (base or Path.cwd()) / name)
    try:
        return importlib.import_module(name)
    except PipelineError:
        raise  # says what, where and the fix by itself
    except ImportError as error:
        fix = "install it, put it on PYTHONPATH, or give the path of a .py file"
        raise SettingsError(f"cannot import module {name!r}: {error}", where="agent.toml", fix=fix) from error
    except (Exception, SystemExit) as error:
        fix = _NO_PROGRAM if isinstance(error, SystemExit) else "correct the module"
        raise SettingsError(
            f"cannot import module {name!r}: {type(error).__name__}: {error}", where="agent.toml", fix=fix
        ) from error


def name_of_file(path: Path) -> str:
    """Name in sys.modules of a module that is loaded by path: one of its own, so that two files called alike in two
    projects do not shadow each other or a package."""
    mark = hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    return f"{_LOCAL_PACKAGE}{mark}.{path.stem}"


def _load_file(name: str, path: Path) -> ModuleType:
    module_name = name_of_file(path)
    package = module_name.partition(".")[0]
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = _spec_of(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"there is no file {name!r}", where=str(path), fix="correct the path in agent.toml")
    # A package to be in: `from .helper import x` needs it.
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = [str(path.parent)]
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that leaves must not take the process along
        del sys.modules[module_name]
        if isinstance(error, PipelineError):
            raise  # says what, where and the fix by itself
        raise SettingsError(
            f"cannot load {name!r}: {type(error).__name__}: {error}",
            where=place_in(error, path),
            fix=_fix_for(error, path),
        ) from error
    return module


def _spec_of(module_name: str, path: Path) -> importlib.machinery.ModuleSpec | None:
    """How Python itself would load it there, so that what holds for imports holds for it (see plugins.generation)."""
    importlib.invalidate_caches()
    found = importlib.machinery.PathFinder.find_spec(module_name, [str(path.parent)])
    if found is not None and found.origin == str(path):
        return found
    return importlib.util.spec_from_file_location(module_name, path)


def _fix_for(error: BaseException, path: Path) -> str:
    if isinstance(error, SystemExit):
        return _NO_PROGRAM
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (path.parent / f"{missing}.py").is_file():
        return f"{missing}.py lies beside it: write `from .{missing} import …`, which works wherever it is started from"
    return "correct the file"


def shown_name(module: str) -> str:
    """A module as its user calls it: the name of the file, where it was loaded by path."""
    package, _, name = module.partition(".")
    return f"{name}.py" if package.startswith(_LOCAL_PACKAGE) else module


def entry_points(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    """What installed packages offer in `group`.

    importlib.metadata takes 25 ms to load and to read all packages, in every run; looking for the group's name in their
    entry_points.txt takes 2, and mostly there is none.
    """
    if not any(f"[{group}]" in _offered(folder) for folder in sys.path if folder):
        return ()
    import importlib.metadata

    return importlib.metadata.entry_points(group=group)


def load_entry(entry: importlib.metadata.EntryPoint) -> Any:
    """What an entry point leads to. Raises SettingsError where it cannot be loaded."""
    try:
        return entry.load()
    except PipelineError:
        raise
    except (Exception, SystemExit) as error:
        package = f" of package {entry.dist.name}" if entry.dist else ""
        raise SettingsError(
            f"cannot load entry point {entry.name!r}{package}: {type(error).__name__}: {error}",
            where=f"{entry.value} in group {entry.group}",
            fix="correct or uninstall that package, or rename a file or folder here that is called like it",
        ) from error


def installed_version(name: str) -> str | None:
    """Version of an installed distribution; None where it is absent.

    It stands in the name of the distribution's folder: importlib.metadata would read the whole of its METADATA.
    """
    bare = _bare(name)
    for folder in sys.path:
        found = _installed(folder or ".").get(bare)
        if found is not None:
            return found
    import importlib.metadata

    try:
        return importlib.metadata.version(name)  # in a zip file, or installed in an older way
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(folder: str) -> Mapping[str, str]:
    """Distribution -> version, of those installed in `folder` now."""
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116 - many a run: pathlib takes longer
    except OSError:
        return {}


@functools.lru_cache(maxsize=64)
def _listed(folder: str, _changed_ns: int) -> Mapping[str, str]:
    with os.scandir(folder) as entries:
        names = [entry.name.removesuffix(".dist-info") for entry in entries if entry.name.endswith(".dist-info")]
    parts = [name.rpartition("-") for name in names]
    return {_bare(name): version for name, dash, version in parts if dash}


def _bare(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _offered(folder: str) -> frozenset[str]:
    """Headings of all entry_points.txt of packages installed in `folder`."""
    found: set[str] = set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # Path.glob takes three times as long
        for entry in entries:
            if entry.name.endswith((".dist-info", ".egg-info")):
                path = Path(entry.path, "entry_points.txt")
                with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
                    found |= {line.strip() for line in file if line.startswith("[")}
    return frozenset(found)
