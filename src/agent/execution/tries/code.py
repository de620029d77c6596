"""Own modules that a try computes with instead of the project's: of a folder, or of a commit of its repository."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.errors import UsageError
from agent.execution.host.process import search_path
from agent.store.outputs.tries import Try
from pipelines.plugins.code import files_behind
from pipelines.private import make_folder
from pipelines.values import dataclass

_COMMITS = Path("cache", "commits")  # below the project's home: files of commits that were tried
_SECONDS = 120.0
_PROGRAMS = r"^filter\..*\.(smudge|process|required)$"


@dataclass(frozen=True)
class TryCode:
    """given: an absolute folder, or what names a commit. folder: where its modules lie. commit: None for a folder."""

    given: str
    folder: Path
    commit: str | None = None


def find_code(base: Path, given: str, home: Path) -> TryCode:
    """The code that `--code` means in the project of folder `base`: a folder, else a commit, unpacked below the
    project's `home`. Raises UsageError."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        return TryCode(str(folder.resolve()), folder.resolve())
    commit = _git(base, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{given}^{{commit}}")
    if not commit:
        raise UsageError(
            f"{given!r} is neither a folder nor a commit of the repository that {base} lies in",
            where="--code",
            fix="give the path of a folder, or a branch, tag or commit that `git rev-parse` knows",
        )
    name = commit.decode("ascii").strip()
    return TryCode(given, _unpacked(base, name, home / _COMMITS / name), name)


def code_of(base: Path, one: Try, home: Path) -> TryCode | None:
    """The code that a try computed with the last time; None for the project's. Raises UsageError where it is gone."""
    if one.code is None:
        return None
    found = find_code(base, one.code_commit or one.code, home)
    return replace(found, given=one.code)


def differing(code: TryCode, base: Path, modules: Sequence[str]) -> list[str]:
    """Paths, relative to the project, of the files behind its own modules that the try has otherwise than it."""
    found: set[str] = set()
    for own, other in ((code.folder, base), (base, code.folder)):
        for file in (file for name in modules for file in files_behind(name, own)):
            if not file.is_relative_to(own):
                continue  # of what is installed, both have the same
            path = file.relative_to(own)
            if not (other / path).is_file() or (other / path).read_bytes() != file.read_bytes():
                found.add(path.as_posix())
    return sorted(found)


@contextmanager
def on_search_path(base: Path, code: TryCode | None) -> Iterator[None]:
    """Let imports find the modules of `code` instead of the project's, for the length of a block."""
    before = list(sys.path)
    if code is not None:
        sys.path[:] = search_path(base, code.folder)
    try:
        yield
    finally:
        sys.path[:] = before


def _unpacked(base: Path, commit: str, folder: Path) -> Path:
    """The project's folder as it is in a commit. A filter of the repository would be a program: none is run."""
    if folder.is_dir():
        return folder
    programs = (_git(base, "config", "--name-only", "--get-regexp", _PROGRAMS) or b"").decode().split("\n")
    without = [part for name in programs if name for part in ("-c", f"{name}={_none(name)}")]
    packed = _git(base, *without, "archive", "--format=tar", commit)
    if packed is None:
        raise UsageError(
            f"git could not give the files of {commit[:12]}",
            where=str(base),
            fix="run `git fsck`; fetch what is missing",
        )
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    make_folder(part)
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(part, filter="data")
    try:
        part.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(part)
    return folder


def _none(name: str) -> str:
    return "false" if name.endswith(".required") else ""


def _git(base: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails, or where there is none."""
    program = shutil.which("git")
    if program is None:
        return None
    quiet = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]
    done = subprocess.run(
        [program, "-C", str(base), *quiet, *arguments], capture_output=True, timeout=_SECONDS, check=False
    )
    return done.stdout if done.returncode == 0 else None
