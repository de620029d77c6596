"""The files that make up a module's code: its own and those of the project that it imports, found without importing.

What counts, and what does not:
- the module itself, what it imports, and what that imports, as long as it is the project's: modules of the same
  top-level package, files beside it, and anything else on sys.path that is neither the standard library nor installed
  in site-packages (installed libraries count by their version, where a component declares them);
- of the package `pipelines`, everything except FRAMEWORK, which counts as one through fingerprint.FORMAT_VERSION;
- imports inside functions count, those under `if TYPE_CHECKING:` do not. A module imported by a name that is put
  together at run time is not seen: name it in the component's `extra_modules`.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pipelines.values import dataclass

# What carries components rather than computes for them. A change here that alters their output raises FORMAT_VERSION.
FRAMEWORK = frozenset(
    {
        "pipelines",
        "pipelines.components",
        "pipelines.data",
        "pipelines.features",
        "pipelines.figures",  # how numbers are written, by components and by the agent alike
        "pipelines.modelling",
        "pipelines.modelling.annual",  # what of a backtest is shown, by reports and by the agent's pages alike
        "pipelines.plugins",
        "pipelines.sources",
        "pipelines.errors",
        "pipelines.private",
        "pipelines.snapshot",
        "pipelines.plugins.ordering",
        "pipelines.parallel",
        "pipelines.signatures",
        "pipelines.testing",
        "pipelines.fingerprint",
        "pipelines.lake",
        "pipelines.column_hashes",
        "pipelines.plugins.closure",
        "pipelines.plugins.code",
        "pipelines.plugins.generation",
        "pipelines.settings",
        "pipelines.source",
        "pipelines.component",
        "pipelines.feature",
        "pipelines.data.checks",
        "pipelines.plugins.modules",
        "pipelines.plugins.discovery",
        "pipelines.project",
        "pipelines.loading",
        "pipelines.run_all",
        "pipelines.values",
    }
)
# What was imported after this module, from a file that had not changed since then, is that file: see
# pipelines.plugins.generation.
BEGUN_NS = time.time_ns()
_NEVER = frozenset({"agent", "dashboard", *sys.stdlib_module_names})  # top-level names that are never a component's

_HERE = str(Path(__file__).parents[2])  # holds the package `pipelines`, be it installed or a checkout
_STANDARD = str(Path(os.__file__).parent)

# A single file gets a module name with a hash of its folder, which differs between hosts: see modules.load_module.
_LOCAL = re.compile(r"tidemill_local_[0-9a-f]+\.")


@dataclass(frozen=True)
class Module:
    """A module that counts.

    name: the same on every host. file, base: its file and the folder of its top-level package. imported_as: the name
    that its importer has it under in sys.modules, which differs from `name` for files loaded by path and their
    relative imports.
    """

    name: str
    file: Path
    base: Path
    imported_as: str

    @cached_property
    def key(self) -> tuple[str, str]:
        """File and name in memory, as texts: paths take long to hash and to compare, and there are many lookups."""
        return str(self.file), self.imported_as

    @property
    def package(self) -> str:
        """What relative imports start from."""
        return _package(self.name, self.file)

    def import_of(self, written: str) -> tuple[str, str]:
        """Name and sys.modules name of an import as written here: "a.b", or with dots first where it is relative."""
        bare = written.lstrip(".")
        dots = len(written) - len(bare)
        if dots == 0:
            return bare, bare
        return _resolved(self.package, dots, bare), _resolved(_package(self.imported_as, self.file), dots, bare)


def module_at(imported_as: str, file: Path) -> Module:
    """The module with this name in sys.modules whose source is `file`."""
    if _LOCAL.match(imported_as):
        return Module(_LOCAL.sub("", imported_as), file, file.parent, imported_as)
    levels = imported_as.count(".") + (file.name == "__init__.py")
    return Module(imported_as, file, file.parents[levels], imported_as)


def find_module(name: str) -> Module | None:
    """The module that `import name` would load, found on sys.path without importing anything; None where it has no
    source file there."""
    inside = name.replace(".", "/")
    for folder in (folder or "." for folder in sys.path):
        for candidate in (f"{folder}/{inside}/__init__.py", f"{folder}/{inside}.py"):
            if os.access(candidate, os.F_OK):
                return module_at(name, Path(candidate).absolute())
    return None


def is_library(folder: str) -> bool:
    """Whether a folder or file belongs to the standard library or to installed packages."""
    return folder.startswith(_STANDARD) or "site-packages" in folder or "dist-packages" in folder


def is_framework(name: str) -> bool:
    """Whether a module is the framework's own, by its name in sys.modules."""
    return name in FRAMEWORK or name.partition(".")[0] in _NEVER


class Finder:
    """Finds the project's modules among what is imported; asks the disk once for each name, and follows each module
    once. `imports_in` gives what a file imports, as written there."""

    def __init__(self, imports_in: Callable[[Path], Sequence[str]]) -> None:
        self._imports_in = imports_in
        self._shared = [folder or "." for folder in sys.path if not is_library(folder)]
        self._known: dict[tuple[str, str], Path | None] = {}
        self._followed: dict[tuple[str, str, str], list[Module]] = {}
        self._executed: dict[tuple[str, str, str], Sequence[Module]] = {}

    def closure(self, root: Module) -> list[Module]:
        """`root` and everything of the project that it imports, directly or through others. A file that is imported
        under two names is there twice."""
        found: dict[tuple[str, str], Module] = {}
        waiting = [root, *self._imported(root.name, root.imported_as, root)]
        while waiting:
            module = waiting.pop()
            if module.key in found:
                continue
            found[module.key] = module
            waiting += self._imports_of(module)
        return list(found.values())

    def _imports_of(self, module: Module) -> list[Module]:
        key = *module.key, module.name
        known = self._followed.get(key)
        if known is None:
            written = [one for one in self._imports_in(module.file) if one.partition(".")[0] not in _NEVER]
            known = [found for one in written for found in self._imported(*module.import_of(one), module)]
            self._followed[key] = known
        return known

    def imported_from(self, name: str, base: Path) -> Sequence[Module]:
        """The modules that importing `name` executes where `base` is the project's folder."""
        return self._imported(name, name, Module("", base / "agent.toml", base, ""))

    def _imported(self, name: str, imported_as: str, importer: Module) -> Sequence[Module]:
        """The modules that importing `name` executes: the packages on the way and the module itself. The same import
        stands in many modules."""
        key = name, imported_as, str(importer.base)
        known = self._executed.get(key)
        if known is None:
            known = self._executed[key] = tuple(self._found(name, imported_as, importer))
        return known

    def _found(self, name: str, imported_as: str, importer: Module) -> Iterator[Module]:
        parts, real = name.split("."), imported_as.split(".")
        if parts[0] in _NEVER:
            return
        extra, base = len(real) - len(parts), str(importer.base)
        for count in range(1, len(parts) + 1):
            prefix = ".".join(parts[:count])
            if prefix in FRAMEWORK:
                continue
            key = prefix, base
            if key not in self._known:
                self._known[key] = self._find(prefix, self._folders(parts[0], importer))
            file = self._known[key]
            if file is not None:
                levels = prefix.count(".") + (file.name == "__init__.py")
                yield Module(prefix, file, file.parents[levels], ".".join(real[: count + extra]))

    def _folders(self, package: str, importer: Module) -> list[str]:
        """Where modules of top-level `package` may lie that count for `importer`."""
        if package == "pipelines":
            return [_HERE]
        base = str(importer.base)
        if package == importer.name.partition(".")[0]:
            return [base]
        return self._shared if is_library(base) else [base, *self._shared]

    def _find(self, name: str, folders: list[str]) -> Path | None:
        inside = name.replace(".", "/")
        for folder in folders:
            for candidate in (f"{folder}/{inside}/__init__.py", f"{folder}/{inside}.py"):
                if os.access(candidate, os.F_OK):  # many a run: pathlib takes five times as long
                    return Path(candidate).absolute()
        return None


def _package(name: str, file: Path) -> str:
    return name if file.name == "__init__.py" else name.rpartition(".")[0]


def _resolved(package: str, dots: int, bare: str) -> str:
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], bare]).strip(".")
