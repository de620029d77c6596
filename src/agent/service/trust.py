"""Refuses a project whose code another user could change: looked at before anything of it is read."""

from __future__ import annotations

import importlib.util
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.core.ownership import Entry, Finding, first_finding
from agent.errors import Untrusted
from agent.settings import DATABASE_FILE, HOME_FOLDER, SETTINGS_FILE
from pipelines.errors import PipelineError
from pipelines.plugins.code import files_behind
from pipelines.project import named_modules
from pipelines.settings import read_toml

logger = logging.getLogger("tidemill.service")
_MOST_LINKS = 40
# Settings, secrets, and what is unpickled or believed: models lie in the lake, what belongs to it in the database.
_KEPT = (SETTINGS_FILE, ".env", HOME_FOLDER, f"{HOME_FOLDER}/lake", f"{HOME_FOLDER}/{DATABASE_FILE}")


def require_trusted(folder: Path, *also: Path) -> None:
    """Raise Untrusted unless only the server's user and root can change the project in `folder` and the code it names.

    `also`: other ways that the folder was written, whose links count too.
    """
    _require_none(finding_in(folder, *also))


def _require_none(found: Finding | None) -> None:
    if found is not None:
        raise Untrusted(
            f"the project's code could be changed by another user: {found.path} {found.reason}",
            where=found.path,
            fix=found.fix,
        )


def require_trusted_code(folder: Path, base: Path) -> None:
    """The same for a folder whose modules are to stand in for those of the project in `base`."""
    user, seen = os.geteuid(), dict[str, None]()
    _require_none(_look(folder, user, seen) or _about_code(list(_modules(base)), folder, user, seen))


def warn_of_own(folder: Path) -> None:
    """Log the same finding about the server's own project, which is the choice of the person who started it."""
    found = finding_in(folder)
    if found is not None:
        logger.warning(
            "another user could change the code that runs here: %s %s; %s", found.path, found.reason, found.fix
        )


def finding_in(folder: Path, *also: Path) -> Finding | None:
    """What is wrong with a project, in the order in which it would be read; None where nothing is."""
    user, seen = os.geteuid(), dict[str, None]()
    for start in (*also, folder):
        if (found := _look(start, user, seen)) is not None:
            return found
    for name in _KEPT:
        if (found := _look(folder / name, user, seen)) is not None:
            return found
    # Only now, what the settings name. They are read as text, and so are the files: nothing is executed.
    return _about_code(list(_modules(folder)), folder, user, seen)


def _about_code(modules: Sequence[str], folder: Path, user: int, seen: dict[str, None]) -> Finding | None:
    for file in _files(folder, modules):
        for part in (file, file.parent / "__pycache__", Path(importlib.util.cache_from_source(str(file)))):
            if (found := _look(part, user, seen)) is not None:
                return found
    return None


def finding_about(file: Path) -> Finding | None:
    """Why a single file, such as a backup, could be another user's; None where only we and root can have written it."""
    return _look(file, os.geteuid(), {})


def _look(path: Path, user: int, seen: dict[str, None]) -> Finding | None:
    """The path as it is written, and as the system resolves it."""
    for one in (path, path.resolve()):
        if (found := first_finding(_entries(one, seen), user, is_own_group)) is not None:
            return found
    return None


def _modules(folder: Path) -> Iterator[str]:
    try:
        yield from named_modules(read_toml(folder / SETTINGS_FILE))
    except PipelineError:
        return  # loading it says what is wrong


def _files(folder: Path, modules: Sequence[str]) -> Iterator[Path]:
    for name in modules:
        yield from files_behind(name, folder)


def _entries(path: Path, seen: dict[str, None]) -> Iterator[Entry]:
    """Every folder above `path` and `path` itself, as written; where one is a link, also what it leads to. Each once,
    and only what is there."""
    waiting, links = [(Path(os.path.abspath(path)), False)], 0  # noqa: PTH100 (links must stay)
    while waiting:
        whole, is_all_above = waiting.pop()
        for part in (*reversed(whole.parents), whole):
            is_above = is_all_above or part != whole
            key = f"{part}{'/' if is_above else ''}"
            try:
                found = part.lstat()
            except OSError:
                break  # the rest is not there either
            if key in seen and not stat.S_ISLNK(found.st_mode):
                continue
            seen[key] = None
            yield Entry(str(part), found.st_uid, found.st_gid, found.st_mode, is_above)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links <= _MOST_LINKS:
                    target = part.parent / part.readlink() / whole.relative_to(part)
                    waiting.append((Path(os.path.normpath(target)), is_all_above))
                break


def is_own_group(gid: int, uid: int) -> bool:
    """Whether group `gid` is the own group of user `uid`, and nobody else is in it."""
    import grp
    import pwd

    try:
        owner, members = pwd.getpwuid(uid), grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    others = [one.pw_uid for one in pwd.getpwall() if one.pw_gid == gid and one.pw_uid != uid]
    return owner.pw_gid == gid and not others and all(name == owner.pw_name for name in members)
