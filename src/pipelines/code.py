"""The code behind a component: its own file and those it imports inside the project, each hashed by its tokens.

What counts, and what does not:
- the component's own module, and what it imports, and what that imports, as long as it is the project's: modules of
  the same top-level package, files beside it, and anything else on sys.path that is neither the standard library nor
  installed in site-packages (installed libraries count by `library_versions`, where a component declares them);
- of the package `pipelines`, everything except FRAMEWORK, which counts as one through fingerprint.FORMAT_VERSION;
- imports inside functions count, those under `if TYPE_CHECKING:` do not. A module imported by a name that is put
  together at run time is not seen: name it in the component's `extra_modules`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import fingerprint
from pipelines.errors import PipelineError
from pipelines.private import close_file, make_folder

if TYPE_CHECKING:
    import ast

# What carries components rather than computes for them. A change here that alters their output raises FORMAT_VERSION.
FRAMEWORK = frozenset(
    {
        "pipelines",
        "pipelines.components",
        "pipelines.sources",
        "pipelines.errors",
        "pipelines.private",
        "pipelines.snapshot",
        "pipelines.ordering",
        "pipelines.signatures",
        "pipelines.testing",
        "pipelines.fingerprint",
        "pipelines.lake",
        "pipelines.code",
        "pipelines.settings",
        "pipelines.source",
        "pipelines.component",
        "pipelines.feature",
        "pipelines.checks",
        "pipelines.modules",
        "pipelines.discovery",
        "pipelines.project",
        "pipelines.loading",
        "pipelines.run_all",
    }
)
_NEVER = frozenset({"agent", "dashboard", *sys.stdlib_module_names})  # top-level names that are never a component's

_HERE = str(Path(__file__).parents[1])  # holds the package `pipelines`, be it installed or a checkout
_STANDARD = str(Path(os.__file__).parent)

# A single file gets a module name with a hash of its folder, which differs between hosts: see discovery.load_module.
_LOCAL = re.compile(r"tidemill_local_[0-9a-f]+\.")
# A file changed so shortly before it was hashed may be changed once more within the clock tick of its file system.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Code:
    """Code of a component, and the evidence behind its version.

    files: module -> {top-level definition: hash}. definitions: "module:definition" -> "path:line", the path relative to
    the folder that holds the module's top-level package.
    """

    version: str
    files: Mapping[str, Mapping[str, str]]
    definitions: Mapping[str, str]


@dataclass(frozen=True)
class FileFacts:
    """One file: its hash, its definitions (name -> hash, line), and what it imports (dots first where relative)."""

    source: str
    definitions: Mapping[str, tuple[str, int]]
    imports: tuple[str, ...]


@dataclass
class CodeCache:
    """Facts of files by (path, size, modification time), kept in one JSON file so that a clean run hashes nothing.

    A cache file that is broken, or cannot be written, is ignored: it saves time and nothing else.
    """

    path: Path | None = None
    _unsaved: bool = False

    def facts(self, file: Path) -> FileFacts:
        """Facts of `file`, from the cache where it has not changed. Raises PipelineError where it is no Python."""
        try:
            stat = file.stat()
        except OSError as error:
            raise PipelineError(
                f"cannot read code: {error.strerror}", where=str(file), mend="put the file back, or let it be read"
            ) from error
        key, mark = str(file), f"{stat.st_size}:{stat.st_mtime_ns}"
        known = self._entries.get(key)
        if known is not None and known["mark"] == mark:
            return FileFacts(
                known["source"],
                {name: (value, line) for name, (value, line) in known["definitions"].items()},
                tuple(known["imports"]),
            )
        facts = _read_facts(file)
        if time.time_ns() - stat.st_mtime_ns > _SETTLED_NS:
            self._entries[key] = {
                "mark": mark,
                "source": facts.source,
                "definitions": facts.definitions,
                "imports": facts.imports,
            }
            self._unsaved = True
        return facts

    def save(self) -> None:
        """Write the cache file if anything is new."""
        if self.path is None or not self._unsaved:
            return
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            make_folder(self.path.parent)
            part.write_text(json.dumps({"made_by": _made_by(), "files": self._entries}), encoding="utf-8")
            close_file(part)
            part.replace(self.path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)  # what was written of it before the disk was full
            return
        self._unsaved = False

    @cached_property
    def _entries(self) -> dict[str, dict[str, Any]]:
        if self.path is None:
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            entries: dict[str, dict[str, Any]] = content["files"]
            whole = all({"mark", "source", "definitions", "imports"} <= entry.keys() for entry in entries.values())
            return entries if whole and content["made_by"] == _made_by() else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


_IMPORTS = CodeCache(None)  # of files_behind: in memory, since nothing of a project is believed there yet


@dataclass(frozen=True)
class _Module:
    """A module that counts, by a name that is the same on every host; `base` is the folder of its top-level package."""

    name: str
    file: Path
    base: Path

    @property
    def package(self) -> str:
        """What relative imports start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


def code_of(module: str, *, cache: CodeCache) -> Code:
    """Code of the component in `module` (a dotted name; it is found as Python finds it, or already loaded).

    Raises PipelineError where a file cannot be read or is not Python, or where there is no source file at all.
    """
    facts: dict[str, tuple[_Module, FileFacts]] = {}
    for found in _project_modules(_root(module), cache):
        name = found.name
        while name in facts:  # two files that their importers know by one name
            name += "'"
        facts[name] = found, cache.facts(found.file)
    cache.save()
    hashes = {name: known.source for name, (_, known) in facts.items()}
    return Code(
        version=fingerprint.code_version({**hashes, "": str(fingerprint.FORMAT_VERSION)}),
        files={
            name: {definition: value for definition, (value, _) in known.definitions.items()}
            for name, (_, known) in facts.items()
        },
        definitions={
            f"{name}:{definition}": f"{place}:{line}"
            for name, (found, known) in facts.items()
            for place in [found.file.relative_to(found.base).as_posix()]
            for definition, (_, line) in known.definitions.items()
        },
    )


def files_behind(module: str, base: Path) -> list[Path]:
    """Files of the project that loading `module` executes: a dotted name, or the path of a .py file relative to `base`.

    Read as text; nothing is imported. Empty where there is no such file, and without what a file that is not Python
    would import.
    """
    finder = _Finder()
    if module.endswith(".py"):
        file = (base / module).absolute()
        roots = [_Module(file.stem, file, file.parent)] if file.is_file() else []
    else:
        roots = list(finder.imported(module, _Module("", base / "agent.toml", base)))
    found = {root.file: None for root in roots}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        try:
            imports = _IMPORTS.facts(one.file).imports
        except PipelineError:
            continue
        for name in imports:
            new = [other for other in finder.imported(_absolute(name, one), one) if other.file not in found]
            found |= {other.file: None for other in new}
            waiting += new
    return list(found)


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed distributions by major.minor version, such as {"polars": "2.1"}; absent ones are left out."""
    if not names:
        return {}
    from importlib import metadata

    found = {}
    for name in names:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = ".".join(version.split(".")[:2])
    return found


def _root(name: str) -> _Module:
    """The component's own module."""
    from importlib.util import find_spec

    loaded = sys.modules.get(name)
    place = getattr(loaded, "__file__", None)
    if place is None and loaded is None:
        try:
            spec = find_spec(name)
        except ImportError:
            spec = None
        place = spec.origin if spec is not None else None
    if place is None or not place.endswith(".py"):
        raise PipelineError(
            "the component's code has no source file, so that a change of it could not be seen",
            where=f"module {name}",
            mend='keep the .py file, or give the component a version: @component(version="1")',
        )
    file = Path(place).absolute()
    if _LOCAL.match(name):
        stem = _LOCAL.sub("", name)
        return _Module(stem, file, file.parent)
    return _module(name, file)


def _project_modules(root: _Module, cache: CodeCache) -> list[_Module]:
    """`root` and everything of the project that it imports, directly or through others."""
    found: dict[Path, _Module] = {}
    finder = _Finder()
    waiting = [root, *finder.imported(root.name, root)]
    while waiting:
        module = waiting.pop()
        if module.file in found:
            continue
        found[module.file] = module
        for name in cache.facts(module.file).imports:
            waiting += finder.imported(_absolute(name, module), module)
    return list(found.values())


def _absolute(name: str, importer: _Module) -> str:
    """An import's dotted name, with the dots of a relative one resolved."""
    bare = name.lstrip(".")
    dots = len(name) - len(bare)
    if dots == 0:
        return bare
    parts = importer.package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], bare]).strip(".")


class _Finder:
    """Finds the project's modules among what is imported; asks the disk once for each name."""

    def __init__(self) -> None:
        self._shared = [folder or "." for folder in sys.path if not _is_library(folder)]
        self._known: dict[tuple[str, Path], _Module | None] = {}

    def imported(self, name: str, importer: _Module) -> Iterator[_Module]:
        """The modules that `import name` executes: the packages on the way and the module itself."""
        parts = name.split(".")
        if parts[0] in _NEVER:
            return
        for count in range(1, len(parts) + 1):
            prefix = ".".join(parts[:count])
            if prefix in FRAMEWORK:
                continue
            key = prefix, importer.base
            if key not in self._known:
                self._known[key] = self._find(prefix, self._folders(parts[0], importer))
            module = self._known[key]
            if module is not None:
                yield module

    def _folders(self, package: str, importer: _Module) -> list[str]:
        """Where modules of top-level `package` may lie that count for `importer`."""
        if package == "pipelines":
            return [_HERE]
        base = str(importer.base)
        if package == importer.name.partition(".")[0]:
            return [base]
        return self._shared if _is_library(base) else [base, *self._shared]

    def _find(self, name: str, folders: list[str]) -> _Module | None:
        inside = name.replace(".", "/")
        for folder in folders:
            for candidate in (f"{folder}/{inside}/__init__.py", f"{folder}/{inside}.py"):
                if os.access(candidate, os.F_OK):  # many a run: pathlib takes five times as long
                    return _module(name, Path(candidate).absolute())
        return None


def _module(name: str, file: Path) -> _Module:
    levels = name.count(".") + (file.name == "__init__.py")
    return _Module(name, file, file.parents[levels])


def _is_library(folder: str) -> bool:
    """Whether a folder of sys.path holds the standard library or installed packages."""
    return folder.startswith(_STANDARD) or "site-packages" in folder or "dist-packages" in folder


def _made_by() -> list[int]:
    """Marks the code that made the cache, so that entries of an earlier version of it are not believed."""
    return [Path(file).stat().st_mtime_ns for file in (__file__, str(fingerprint.__file__))]


def _read_facts(file: Path) -> FileFacts:
    import tokenize

    try:
        with tokenize.open(file) as text:
            source = text.read()
        imports = tuple(_imports(source))  # first: the parser says where a fault is, the tokenizer does not
        return FileFacts(fingerprint.source_hash(source), fingerprint.definition_hashes(source), imports)
    except (OSError, SyntaxError, UnicodeDecodeError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None)
        raise PipelineError(
            f"cannot read code: {getattr(error, 'msg', error)}",
            where=f"{file}:{line}" if line else str(file),
            mend="correct the file",
        ) from error


def _imports(source: str) -> list[str]:
    """What a file imports, in order: "a.b", ".sibling"; of `from a import b` both "a" and "a.b", a possible module."""
    import ast

    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            joint = "." if node.module else ""
            found.add(start)
            found.update(f"{start}{joint}{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return sorted(found)


def _is_type_checking(test: ast.expr) -> bool:
    import ast

    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
