"""The code behind a component: its own file and those it imports inside the project, each hashed by its tokens.

`closure` says which files count. Two hashes are kept of each: one over its tokens, which makes the component's code
version, and one over its bytes, by which the process that computes makes sure that it has this very file loaded
(`generation`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import fingerprint
from pipelines.errors import PipelineError
from pipelines.plugins.closure import FRAMEWORK as FRAMEWORK
from pipelines.plugins.closure import Finder, Module, find_module, module_at
from pipelines.plugins.modules import installed_version
from pipelines.private import close_file, make_folder
from pipelines.values import dataclass

if TYPE_CHECKING:
    import ast

# A file changed so shortly before it was hashed may be changed once more within the clock tick of its file system.
_SETTLED_NS = 2_000_000_000
_CHUNK = 1 << 20
_ENTRY = {"mark", "source", "content", "definitions", "imports"}


@dataclass(frozen=True)
class Code:
    """Code of a component, and the evidence behind its version.

    files: module -> {top-level definition: hash}. definitions: "module:definition" -> "path:line", the path relative to
    the folder that holds the module's top-level package. contents: path of each file on this machine -> hash of its
    bytes.
    """

    version: str
    files: Mapping[str, Mapping[str, str]]
    definitions: Mapping[str, str]
    contents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileFacts:
    """One file: hashes of its tokens and of its bytes, its definitions (name -> hash, line), and what it imports (dots
    first where relative)."""

    source: str
    content: str
    definitions: Mapping[str, tuple[str, int]]
    imports: tuple[str, ...]


_NOTHING = FileFacts("", "", {}, ())
# What this process has read, by path: a server reads the built-in components once, not once for each project's cache.
_SEEN: dict[str, tuple[str, FileFacts]] = {}


@dataclass
class CodeCache:
    """Facts of files by (path, size, modification time), kept in one JSON file so that a clean run hashes nothing.

    A cache file that is broken, or cannot be written, is ignored: it saves time and nothing else. `is_fresh`: believe
    none of its entries, read every file.
    """

    path: Path | None = None
    is_fresh: bool = False
    _unsaved: bool = False

    def facts(self, file: Path) -> FileFacts:
        """Facts of `file`, from the cache where it has not changed. Raises PipelineError where it is no Python."""
        key, mark = str(file), _mark(file)
        known = self._entries.get(key)
        if known is not None and known["mark"] == mark:
            return FileFacts(
                known["source"],
                known["content"],
                {name: (value, line) for name, (value, line) in known["definitions"].items()},
                tuple(known["imports"]),
            )
        seen_mark, facts = _SEEN.get(key, ("", _NOTHING))
        if self.is_fresh or seen_mark != mark:
            facts = _read_facts(file)
        if self._keep(key, mark, facts):
            _SEEN[key] = mark, facts
        return facts

    def content(self, file: Path) -> str:
        """Hash of the bytes of a file that is no code. Raises PipelineError where it cannot be read."""
        key, mark = f"data {file}", _mark(file)
        known = self._entries.get(key)
        if known is not None and known["mark"] == mark:
            return str(known["content"])
        found = content_of(file)
        self._keep(key, mark, FileFacts("", found, {}, ()))
        return found

    def _keep(self, key: str, mark: str, facts: FileFacts) -> bool:
        if time.time_ns() - int(mark.partition(":")[2]) <= _SETTLED_NS:
            return False
        self._entries[key] = {"mark": mark, **vars(facts)}
        self._unsaved = True
        return True

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
        if self.path is None or self.is_fresh:
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            entries: dict[str, dict[str, Any]] = content["files"]
            whole = all(entry.keys() >= _ENTRY for entry in entries.values())
            return entries if whole and content["made_by"] == _made_by() else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


# Libraries that compute in whatever component, whether it declares them or not: distribution -> its module.
_COMPUTING = {"scikit-learn": "sklearn"} | {name: name for name in ("polars", "numpy", "scipy", "lightgbm", "numba")}
_IMPORTS = CodeCache(None)  # of files_behind: in memory, since nothing of a project is believed there yet


class CodeReader:
    """Finds and reads the code of components; looks at each file once, so that all of them see the same."""

    def __init__(self, cache: CodeCache) -> None:
        self._cache, self._finder = cache, Finder(lambda file: self.facts(file).imports)
        self._facts: dict[Path, FileFacts] = {}

    def facts(self, file: Path) -> FileFacts:
        """Facts of `file` as it was at the first look. Raises PipelineError where it is no Python."""
        if file not in self._facts:
            self._facts[file] = self._cache.facts(file)
        return self._facts[file]

    def closure(self, root: Module) -> list[Module]:
        """`root` and what it imports of the project. Raises PipelineError where a file cannot be read."""
        return self._finder.closure(root)

    def data_files(self, base: Path, names: Sequence[str]) -> Code:
        """Data files below `base` as code: they count by their bytes. Raises PipelineError where one is missing."""
        found = {name: self._cache.content(base / name) for name in names}
        return Code(
            version=fingerprint.code_version(found),
            files={name: {"content": value} for name, value in found.items()},
            definitions={f"{name}:content": f"{name}:1" for name in found},
            contents={str((base / name).absolute()): value for name, value in found.items()},
        )

    def code(self, modules: Iterable[Module]) -> Code:
        """The code that consists of `modules`."""
        facts: dict[str, tuple[Module, FileFacts]] = {}
        for found in {module.file: module for module in modules}.values():
            name = found.name
            while name in facts:  # two files that their importers know by one name
                name += "'"
            facts[name] = found, self.facts(found.file)
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
            contents={str(found.file): known.content for found, known in facts.values()},
        )

    def save(self) -> None:
        """Keep what was read for the next process."""
        self._cache.save()


def code_of(module: str, *, cache: CodeCache) -> Code:
    """Code of the component in `module` (a dotted name; as it is loaded, else as Python finds it).

    Raises PipelineError where a file cannot be read or is not Python, or where there is no source file at all.
    """
    reader = CodeReader(cache)
    found = reader.code(reader.closure(root_of(module)))
    reader.save()
    return found


def joined(parts: Sequence[Code]) -> Code:
    """Code that consists of several parts, each with a version of its own."""
    if len(parts) == 1:
        return parts[0]
    return Code(
        version=fingerprint.code_version({str(number): part.version for number, part in enumerate(parts)}),
        files={module: hashes for part in parts for module, hashes in part.files.items()},
        definitions={name: place for part in parts for name, place in part.definitions.items()},
        contents={file: content for part in parts for file, content in part.contents.items()},
    )


def content_of(file: Path) -> str:
    """Hash of a file's bytes. Raises PipelineError where it cannot be read."""
    hasher = hashlib.blake2b(digest_size=16)
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                hasher.update(chunk)
    except OSError as error:
        raise _unreadable(file, error) from error
    return hasher.hexdigest()


def _mark(file: Path) -> str:
    """Size and time of modification. Raises PipelineError where there is no such file."""
    try:
        found = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return f"{found.st_size}:{found.st_mtime_ns}"


def _unreadable(file: Path, error: OSError) -> PipelineError:
    return PipelineError(
        f"cannot read code: {error.strerror}", where=str(file), fix="put the file back, or let it be read"
    )


def files_behind(module: str, base: Path) -> list[Path]:
    """Files of the project that loading `module` executes: a dotted name, or the path of a .py file relative to `base`.

    Read as text; nothing is imported. Empty where there is no such file, and without what a file that is not Python
    would import.
    """
    finder = Finder(_imports_in)
    if module.endswith(".py"):
        file = (base / module).absolute()
        roots = [Module(file.stem, file, file.parent, file.stem)] if file.is_file() else []
    else:
        roots = list(finder.imported_from(module, base))
    closures = (finder.closure(root) for root in roots)
    return list(dict.fromkeys(found.file for closure in closures for found in closure))


def _imports_in(file: Path) -> tuple[str, ...]:
    """What a file imports; nothing where it cannot be read or is not Python."""
    try:
        return _IMPORTS.facts(file).imports
    except PipelineError:
        return ()


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed distributions by major.minor version, such as {"polars": "2.1"}; absent ones are left out."""
    versions = {name: installed_version(name) for name in names}
    return {name: ".".join(one.split(".")[:2]) for name, one in versions.items() if one is not None}


def loaded_versions(names: tuple[str, ...]) -> dict[str, str]:
    """As `library_versions`, but of what this process has loaded: an upgrade on disk meanwhile does not show. What is
    not loaded counts as installed."""
    return {name: ".".join(one.split(".")[:2]) for name, one in _exact(names, loaded=True).items()}


def environment(names: Iterable[str], *, loaded: bool = False) -> dict[str, str]:
    """What results depend on beside code, settings and data: exact versions of the libraries `names` and of those that
    compute everywhere, of Python, and the machine's architecture. As installed now, or as this process has `loaded`
    them."""
    import platform  # not needed by a run with nothing to do

    found = _exact((*_COMPUTING, *names), loaded=loaded)
    return {**found, "python": ".".join(map(str, sys.version_info[:2])), "machine": platform.machine()}


def _exact(names: Iterable[str], *, loaded: bool) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {name: one for name in names if (one := installed_version(name)) is not None}
    for name in found if loaded else ():
        for module in [_COMPUTING[name]] if name in _COMPUTING else _modules_of(name):
            version = getattr(sys.modules.get(module), "__version__", None)
            if isinstance(version, str):
                found[name] = version
                break
    return found


def _modules_of(distribution: str) -> list[str]:
    """Top-level modules that an installed distribution has."""
    from importlib import metadata

    text = metadata.distribution(distribution).read_text("top_level.txt")
    if text:
        return text.split()
    files = metadata.files(distribution) or ()
    return sorted({path.parts[0] for path in files if len(path.parts) > 1 and path.suffix == ".py"})


def root_of(name: str) -> Module:
    """A component's own module, by its name in sys.modules. Raises PipelineError where it has no source file."""
    place = getattr(sys.modules.get(name), "__file__", None)
    if place is None and name not in sys.modules:
        found = find_module(name)
        place = None if found is None else str(found.file)
    if place is None or not place.endswith(".py"):
        raise PipelineError(
            "the component's code has no source file, so that a change of it could not be seen",
            where=f"module {name}",
            fix='keep the .py file, or give the component a version: @component(version="1")',
        )
    return module_at(name, Path(place).absolute())


def _made_by() -> list[int]:
    """Marks the code that made the cache, so that entries of an earlier version of it are not believed."""
    return [Path(file).stat().st_mtime_ns for file in (__file__, str(fingerprint.__file__))]


def _read_facts(file: Path) -> FileFacts:
    import tokenize

    try:
        data = file.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        source = io.TextIOWrapper(io.BytesIO(data), encoding).read()
        imports = tuple(_imports(source))  # first: the parser says where a fault is, the tokenizer does not
        definitions = fingerprint.definition_hashes(source)
        content = hashlib.blake2b(data, digest_size=16).hexdigest()
        return FileFacts(fingerprint.source_hash(source), content, definitions, imports)
    except (OSError, SyntaxError, UnicodeDecodeError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None)
        raise PipelineError(
            f"cannot read code: {getattr(error, 'msg', error)}",
            where=f"{file}:{line}" if line else str(file),
            fix="correct the file",
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
