"""Which files a path in agent.toml means, and their formats. A run with nothing to do needs no more than this."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipelines.errors import BadInput

COMPRESSED = (".gz", ".bz2", ".zst", ".zip")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}
JSON_LINES = (".jsonl", ".ndjson")
JSON = ".json"  # one array of records, or of arrays as freqtrade and exchanges write them
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow", ".ipc")
KNOWN = (*SEPARATORS, *JSON_LINES, JSON, *PARQUET, *ARROW)
ENDINGS = (*KNOWN, *COMPRESSED)
REMOTE_FOLDER = Path(".tidemill") / "remote"  # copies of files behind URLs, where nothing else is said
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*@)?")


def is_url(path: str) -> bool:
    """Whether a path of agent.toml is a URL."""
    return _URL.match(path) is not None


def has_login(path: str | tuple[str, ...] | None) -> bool:
    """Whether a path of agent.toml is a URL with a user or password in it, or several are and one of them is so."""
    paths = (path,) if isinstance(path, str) else path or ()
    return any(found[1] is not None for one in paths if (found := _URL.match(one)))


def find_files(base: Path, path: str | tuple[str, ...]) -> list[Path]:
    """The data files that `path` (file, folder, glob or several, relative to `base`) means, in order.

    Raises BadInput where one of them means none. In a folder or a glob, files of other formats are passed over, and so
    is what lies in a hidden folder, such as the lake in `.tidemill`; a file named outright must be of a known format.
    """
    if isinstance(path, tuple):
        return sorted({file for one in path for file in find_files(base, one)})
    target = base / path
    if target.is_file():
        if format_of(target) not in KNOWN:
            raise BadInput(
                f"a file ending in {target.suffix!r} cannot be read",
                where=str(target),
                fix=f"one of {', '.join(KNOWN)}",
            )
        return [target]
    root = target
    if target.is_dir():
        # A .txt or .json in a folder is a note or a setting as often as a table: it is to be named.
        found: Iterable[Path] = (
            file for file in walk(root) if format_of(file) not in (".txt", JSON) and file.is_file()
        )
    else:
        # Path.glob takes no absolute pattern: start at the part of it that has no wildcard.
        parts = target.parts
        first = next((n for n, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
        root = Path(*parts[:first])
        found = _matching(root, parts[first:]) if first < len(parts) and root.is_dir() else []
    depth = len(root.parts)
    known = (file for file in found if format_of(file) in KNOWN)
    shown = (file for file in known if not any(part.startswith(".") for part in file.parts[depth:]))
    files = sorted(shown, key=lambda file: file.parts)
    if not files:
        raise BadInput(
            "no file matches",
            where=str(target),
            fix=f"correct the path in agent.toml; it starts from {base}; formats: {', '.join(KNOWN)}",
        )
    return files


def _matching(root: Path, pattern: Sequence[str]) -> Iterator[Path]:
    """Files that a glob below `root` means. In one folder the listing itself says what is a file: thousands need not be
    asked for what they are. Raises BadInput where it cannot be listed."""
    if len(pattern) > 1 or "**" in pattern[0]:
        yield from (file for file in root.glob(str(Path(*pattern))) if file.is_file())
        return
    matches = re.compile(fnmatch.translate(pattern[0])).match
    try:
        entries = os.scandir(root)
    except OSError as error:
        raise BadInput(
            f"the folder cannot be read: {error.strerror}", where=str(root), fix="check its permissions, then run again"
        ) from error
    with entries:
        yield from (root / entry.name for entry in entries if matches(entry.name) and entry.is_file())


def walk(root: Path) -> Iterable[Path]:
    """Every file below a folder, those of linked folders too; a folder that links to one above it is entered once."""
    entered: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        yield from (Path(folder, name) for name in files)


def format_of(file: Path) -> str:
    """The ending that tells the format, compression left out."""
    stem, ending = _split(file.name.lower())
    if ending not in COMPRESSED:
        return ending
    inner = _split(stem)[1]
    # BTCUSDT-1m-2024-01.zip and such: what is in it is a table of text unless its own name says otherwise.
    return ".csv" if ending == ".zip" and inner not in KNOWN else inner


def stem(file: Path) -> str:
    """A file's name without the endings that say its format."""
    name = file.name
    while (cut := _split(name))[1].lower() in ENDINGS:
        name = cut[0]
    return name


def _split(name: str) -> tuple[str, str]:
    """A name before its ending, and the ending with its dot. (Path.suffix costs ten times as much, for every file.)"""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem else (name, "")
