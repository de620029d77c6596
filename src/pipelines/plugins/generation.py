"""Whether what this process has in memory is what its files say: one generation of code, checked and never assumed.

A file's stamp (inode, size, change time) is noted before it is imported for the first time. As long as the file has the
same stamp it has the same content, so that what was imported in between is that content, and its hash now is the hash
of what runs. A change within the clock tick of an earlier one could hide behind an equal stamp: a stamp younger than
that is not noted before the tick is over.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import marshal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.errors import PipelineError
from pipelines.plugins import closure
from pipelines.plugins.closure import Module, is_framework, is_library
from pipelines.plugins.code import content_of
from pipelines.values import dataclass

_TICK_NS = 20_000_000  # file systems take their times from a clock that moves 100 to 1000 times a second
_LOOKS = 10  # at a file that somebody keeps writing: a fifth of a second
_QUICK_NS = 2_000_000_000  # bytecode is checked by the second of its source's last change


@dataclass(frozen=True)
class Stamp:
    """What changes whenever a file does. Unlike the time of modification nobody can set the change time."""

    inode: int
    size: int
    ctime_ns: int


# (name in sys.modules, file) -> its stamp before it was imported; None where it was in memory already, from nobody
# knows when. A process has one memory, so this is one for all of it.
_SEEN: dict[tuple[str, str], Stamp | None] = {}


def stamp_of(file: str | Path) -> Stamp | None:
    """The file's stamp, taken when a later change is sure to give another one; None where there is no such file, or
    where it is written so often that no moment is sure."""
    for _ in range(_LOOKS):
        try:
            found = Path(file).stat()
        except OSError:
            return None
        age = time.time_ns() - found.st_ctime_ns
        if not 0 <= age < _TICK_NS:
            return Stamp(found.st_ino, found.st_size, found.st_ctime_ns)
        time.sleep((_TICK_NS - age) / 1e9)
    return None


def content_now(file: str | Path) -> tuple[Stamp, str] | None:
    """Stamp and hash of the bytes of one and the same moment; None where the file is gone or changes meanwhile."""
    before = stamp_of(file)
    try:
        found = content_of(Path(file))
    except PipelineError:
        return None
    return None if before is None or stamp_of(file) != before else (before, found)


def note(modules: Iterable[Module]) -> None:
    """Note the stamps of modules that may be imported from now on, each once in the life of this process."""
    for module in modules:
        key = module.imported_as, str(module.file)
        if key not in _SEEN:
            _SEEN[key] = _first_stamp(module)


def moved(modules: Iterable[Module]) -> list[str]:
    """Files of `modules` that are not, or not for certain, what this process has in memory or would import now."""
    return sorted({str(module.file) for module in modules if not _is_as_noted(module)})


def import_all(modules: Sequence[Module]) -> None:
    """Import all of `modules`. One that cannot be imported is left out: only code that asks for it may fail."""
    importlib.invalidate_caches()
    for module in modules:
        try:
            importlib.import_module(module.imported_as)
        except (Exception, SystemExit):  # noqa: S112 - it fails again, and is reported, where it is needed
            continue


def differing(modules: Sequence[Module], expected: Mapping[str, str]) -> list[str]:
    """Files whose code in memory is not what `expected` (path -> hash of bytes) says, and files that only one of the
    two knows. Empty means: the code that runs here is the code that was asked for."""
    found = set(moved(modules))
    mine = {str(module.file) for module in modules}
    found |= mine ^ expected.keys()
    for file in mine & expected.keys():
        now = content_now(file)
        if now is None or now[1] != expected[file]:
            found.add(file)
    found |= set(moved(modules))  # the stamps again: the hashes are of the same moment
    return sorted(found)


def loaded() -> frozenset[str]:
    """Names of all modules in memory."""
    return frozenset(sys.modules)


def strangers(before: frozenset[str], modules: Iterable[Module]) -> list[str]:
    """Names of project modules imported since `before` that are not among `modules`: their code counts for nobody."""
    new = sys.modules.keys() - before
    known = {str(module.file) for module in modules} if new else set()
    found = []
    for name in sorted(new):
        module = sys.modules.get(name)
        if module is sys.modules.get("__main__"):
            continue  # multiprocessing gives it a second name when it is imported
        place, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
        real = name if spec is None else spec.name
        if place is None or not place.endswith(".py") or is_framework(real) or is_library(place):
            continue
        if str(Path(place).absolute()) not in known:
            found.append(name)
    return found


def _first_stamp(module: Module) -> Stamp | None:
    found = stamp_of(module.file)
    if module.imported_as not in sys.modules or is_library(str(module.file)):
        return found
    # In memory already. Whatever was imported after a known moment, from a file not changed since then, is that file.
    names = list(sys.modules)
    is_later = names.index(module.imported_as) > names.index(closure.__name__)
    is_old = found is not None and found.ctime_ns < closure.BEGUN_NS - _TICK_NS
    return found if is_later and is_old else None


def _is_as_noted(module: Module) -> bool:
    noted = _SEEN.get((module.imported_as, str(module.file)))
    if noted is None or stamp_of(module.file) != noted:
        return False
    loaded_module = sys.modules.get(module.imported_as)
    if loaded_module is None or is_library(str(module.file)):
        return True
    place = getattr(loaded_module, "__file__", None)
    if place is None or Path(place).absolute() != module.file:
        return False  # another file of this name was first
    spec = getattr(loaded_module, "__spec__", None)
    return not _is_stale_bytecode(module.file, noted, spec)


def _is_believed(bytecode: bytes, file: Path) -> bool:
    """Whether Python takes bytecode for that of `file` as it is: by second and size, as PEP 552 has it in its head."""
    flags, second, size = (int.from_bytes(bytecode[at : at + 4], "little") for at in (4, 8, 12))
    source = file.stat()
    return flags != 0 or (second, size) == (int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)


def _is_stale_bytecode(file: Path, source: Stamp, spec: importlib.machinery.ModuleSpec | None) -> bool:
    """Whether the module was loaded from bytecode of an earlier source of the same size and second."""
    if spec is None or spec.cached is None or type(spec.loader) is not importlib.machinery.SourceFileLoader:
        return False
    try:
        if Path(spec.cached).stat().st_mtime_ns > source.ctime_ns + _QUICK_NS:
            return False
        data = Path(spec.cached).read_bytes()
        if not _is_believed(data, file):  # left behind: where bytecode is not written, nobody replaces it
            return False
        cached = marshal.loads(data[16:])  # noqa: S302 - Python itself has loaded it
        return bool(cached != compile(file.read_bytes(), str(file), "exec", dont_inherit=True))
    except (OSError, ValueError, EOFError, SyntaxError):
        return False  # no bytecode: it was loaded from its source


class FromSource(importlib.machinery.SourceFileLoader):
    """Loads a module from its source, whatever bytecode lies beside it."""

    def path_stats(self, path: str) -> Mapping[str, int]:
        """Deny that bytecode could be compared: the import machinery then reads the source, and writes none."""
        raise OSError(f"no bytecode is used of {path}")


def import_from_source() -> None:
    """From now on this process uses no bytecode of files outside site-packages and the standard library: its check by
    second and size misses quick edits."""
    details = (
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (FromSource, importlib.machinery.SOURCE_SUFFIXES),
    )

    def hook(folder: str) -> importlib.machinery.FileFinder:
        if is_library(folder) or not Path(folder or ".").is_dir():
            raise ImportError(f"{folder} is left to others")
        return importlib.machinery.FileFinder(folder, *details)

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
