"""Removes what nothing refers to any more: old releases, old snapshots, and files that attempts left behind.

Rows go first, in one transaction, files after it: a crash in between leaves files that nothing refers to, which the
next gc takes. A file is taken only where no snapshot refers to it and no held lease could still commit it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agent.errors import Conflict
from agent.execution.lake_owner import require_own
from agent.execution.release import POINTER
from agent.sections import lake
from agent.settings import Settings
from agent.store.database.engine import Connections, Database
from agent.store.outputs import garbage
from pipelines.lake import SHARED, SHARED_FOLDER, files_below
from pipelines.values import dataclass

# Who reads looks up the newest snapshot and then opens its files: what was replaced this recently is left alone. Also
# more than the clocks of two hosts may differ.
READER_TIME = timedelta(minutes=15)
_DRAFT_TIME = timedelta(hours=1)  # a release takes seconds to write; a draft this old has no one
# See Lake: KEY.CONTENT.ATTEMPT[.SUFFIX], of an attempt of production or of a try (see agent.execution.attempt).
_ATTEMPT_FILE = re.compile(r"\.[0-9a-f]{12}\.(?:t|y(\d+)-)(\d+)(\.[A-Za-z0-9]+)?$")


@dataclass(frozen=True)
class Collected:
    """What was taken, or would be. `unknown`: files in the lake that no attempt wrote; they are left alone."""

    releases: tuple[str, ...]
    snapshots: int
    files: int
    bytes: int
    folders: tuple[str, ...]
    unknown: tuple[str, ...]


def collect(
    settings: Settings,
    database: Database,
    releasing: Collection[str],
    *,
    keep_releases: int,
    keep_days: float,
    now: datetime,
    dry_run: bool = False,
    files_only: bool = False,
) -> Collected:
    """Take what a project does not need; with `dry_run` only say what that is. With `files_only` no row is removed, and
    nothing written: files that no row refers to, which even a volume without a free byte lets go.

    releasing: names of its components that make releases. keep_releases: newest releases to keep beside the current
    one. keep_days: outputs that no kept release and no component's state needs stay this long after they were replaced.

    Results stay as long as [lake] keep_results_days says. Raises Conflict where the lake is another database's.
    """
    # Listed before the database is asked: a file that is written later belongs to an attempt that is not asked about.
    files = list(files_below(settings.lake_path)) if settings.lake_path.is_dir() else []
    folders = list(settings.releases_path.iterdir()) if settings.releases_path.is_dir() else []
    beside = settings.releases_path / SHARED_FOLDER
    shared = list(beside.iterdir()) if beside.is_dir() else []
    with database.reading() as connections:
        require_own(connections, settings.lake_path)
        _refuse_foreign(connections, settings.lake_path, files)
    with database.reading() if dry_run or files_only else database.writing() as connections:
        doomed = (
            garbage.Collectable((), ())
            if files_only
            else garbage.find_doomed(
                connections.project,
                keep_releases=keep_releases,
                releases_before=now - READER_TIME,
                snapshots_before=now - max(READER_TIME, timedelta(days=keep_days)),
                results_before=now - max(READER_TIME, timedelta(days=settings.of(lake.Settings).keep_results_days)),
                slack=READER_TIME,
                removes=not dry_run,
            )
        )
        if not dry_run and not files_only:
            garbage.remove(connections.project, doomed)
            sys.audit("tidemill.point", "gc.rows.removed")
    with database.reading() as connections:
        # Leases first: an attempt that commits between the two questions gives up its lease with the same commit that
        # makes its files referred to.
        held = garbage.held_tokens(connections.project)
        paths = garbage.paths_without(connections.project, doomed)
        names = garbage.release_names(connections.project) - set(doomed.releases)
        linked = {key.removeprefix(SHARED) for key in garbage.shared_keys(connections.project, names)}
    loose, unknown = _loose(settings.lake_path, files, paths, held)
    is_publishing = any(name in releasing for name, _ in held)
    old = _old_folders(folders, {*names, SHARED_FOLDER}, now, is_publishing=is_publishing)
    old += _old_folders(shared, linked, now, is_publishing=is_publishing)
    size = 0
    for path in loose:
        size += _size(path)
        if not dry_run:
            sys.audit("tidemill.point", "gc.file.removing")
            path.unlink(missing_ok=True)
            sys.audit("tidemill.point", "gc.file.removed")
    if not dry_run:
        for folder in old:
            _remove_folder(folder)
    return Collected(
        doomed.releases,
        len(doomed.snapshots),
        len(loose),
        size,
        tuple(folder.name for folder in old),
        tuple(sorted(unknown)),
    )


def _refuse_foreign(connections: Connections, lake: Path, files: Sequence[Path]) -> None:
    """Raise Conflict where the lake is not this database's: nothing in it would look needed."""
    names = {path.relative_to(lake).as_posix() for path in files}
    tokens = garbage.newest_tokens(connections.project)
    for name in sorted(names):
        written_by = _writer_of(name)
        # A try that is not there was dropped: its files are nobody's.
        if written_by is not None and written_by[1] > tokens.get(
            written_by[0], written_by[1] if written_by[0][1] else 0
        ):
            raise _foreign(lake, f"no attempt on record wrote {name}")
    missing = sorted(garbage.current_paths(connections.project) - names)
    gone = [name for name in missing if not (lake / name).exists()]  # some may have been written since the listing
    if gone:
        raise _foreign(lake, f"{len(gone)} files of the current outputs are not in it, such as {gone[0]}")


def _foreign(lake: Path, what: str) -> Conflict:
    return Conflict(
        f"the lake and the database do not belong together: {what}",
        where=str(lake),
        fix="check AGENT_DATABASE_URL, AGENT_HOME and --project-dir; nothing was removed. If they are right, run "
        "`agent run`, which makes lost files again; where the database was lost, restore a backup or delete the lake",
    )


def _loose(
    lake: Path, files: Sequence[Path], referred: Collection[str], held: Mapping[garbage.Attempting, int]
) -> tuple[list[Path], list[str]]:
    """Files that may go, and names of those that no attempt wrote."""
    loose, unknown = [], []
    for path in files:
        name = path.relative_to(lake).as_posix()
        if name in referred:
            continue
        written_by = _writer_of(name)
        if written_by is None:
            unknown.append(name)
        elif held.get(written_by[0]) != written_by[1]:
            loose.append(path)
    return loose, unknown


def _writer_of(name: str) -> tuple[garbage.Attempting, int] | None:
    """Whose attempt wrote a file of the lake: component and try, and the token; None where none did."""
    found = _ATTEMPT_FILE.search(name)
    return None if found is None else ((name.partition("/")[0], int(found[1] or 0)), int(found[2]))


def _old_folders(folders: Sequence[Path], names: Collection[str], now: datetime, *, is_publishing: bool) -> list[Path]:
    """Folders of releases that have no row (or files beside them that none refers to), and drafts that their writers
    left behind.

    A folder is complete before its row is committed: while a release is being made none is taken.
    """
    found = []
    for folder in folders:
        if folder.name == POINTER or folder.name in names:
            continue
        if folder.name.startswith("."):
            try:
                changed_at = datetime.fromtimestamp(folder.lstat().st_mtime, now.tzinfo)
            except FileNotFoundError:
                continue
            if now - changed_at > _DRAFT_TIME:
                found.append(folder)
        elif (folder.is_dir() or folder.parent.name == SHARED_FOLDER) and not is_publishing:
            found.append(folder)
    return found


def _remove_folder(folder: Path) -> None:
    """Out of sight in one step, then piece by piece: no one sees half a release.

    Another process may be removing it as well: what it has taken is no fault.
    """
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    gone = folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.{os.getpid()}.draft")
    with contextlib.suppress(FileNotFoundError):
        if gone is not folder:
            folder.replace(gone)
            sys.audit("tidemill.point", "gc.release.moved")
        shutil.rmtree(gone)
    sys.audit("tidemill.point", "gc.release.removed")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
