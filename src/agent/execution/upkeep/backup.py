"""Backup: state, catalog and the files it refers to in one tar file; and the way back, onto either kind of database.

A backup is consistent while runs go on: rows are read in one transaction, and a file never changes once a row refers
to it. Layout: `tables/NAME.jsonl`, `lake/PATH`, `inbox/PATH`, and at the end `manifest.json` with the hash of every
entry.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from agent.errors import AgentError, Conflict, UsageError
from agent.execution import lake_owner
from agent.execution.pointer import point_to_current
from agent.execution.upkeep import inbox_backup
from agent.execution.workspace import Workspace, open_workspace, read_settings
from agent.store import dump, lake_identity
from agent.store.database import migrations
from agent.store.database.engine import consistent, open_engine, reading, writing
from pipelines.lake import fsync_folder
from pipelines.private import make_folder, open_new
from pipelines.values import dataclass

_FORMAT = 1
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Backup:
    """What a backup holds."""

    tables: int
    rows: int
    files: int
    bytes: int
    revision: str


class DamagedBackup(AgentError):
    """The backup is not what was written; nothing was changed."""

    exit_code = 2


def write_backup(workspace: Workspace, target: Path, now: datetime) -> Backup:
    """Write everything to `target`, which appears there only when it is whole.

    Raises UsageError where it is there already, AgentError for a file of the lake that is missing or altered.
    """
    if target.exists():
        raise UsageError("there is a file of that name already", where=str(target), fix="give another name")
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb", opener=open_new) as file:
            done = _write(workspace, file, now)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        fsync_folder(target.absolute().parent)
    except OSError as error:
        raise AgentError(
            f"cannot write the backup: {error.strerror or error}", where=str(target), fix="choose another folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return done


def _write(workspace: Workspace, file: IO[bytes], now: datetime) -> Backup:
    entries: dict[str, str] = {}
    rows, files = 0, {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        with consistent(workspace.database.project) as conn:
            names = dump.table_names(conn)
            for name in names:
                with tempfile.TemporaryFile() as spool:
                    for row in dump.rows_of(conn, name):
                        spool.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                        rows += 1
                        if name == "partitions":
                            files[row["path"]] = row["file_hash"]
                    entries[f"tables/{name}.jsonl"] = _add(tar, f"tables/{name}.jsonl", spool)
        size = 0
        for path, expected in sorted(files.items()):
            entries[f"lake/{path}"], one = _add_partition(tar, workspace.settings.lake_path, path, expected)
            size += one
        for page_file in inbox_backup.files_of(workspace.settings.inbox_path):
            name = f"{inbox_backup.FOLDER}/{page_file.name}"
            entries[name] = _add(tar, name, io.BytesIO(page_file.content))
            size += len(page_file.content)
        revision = migrations.revisions()[-1]
        manifest = {"format": _FORMAT, "revision": revision, "made_at": now.isoformat(), "entries": entries}
        _add(tar, _MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()))
    return Backup(len(names), rows, len(files), size, revision)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> str:
    """Add `content` as entry `name`; returns its hash."""
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, os.SEEK_END)
    content.seek(0)
    reader = _Hashing(content)
    tar.addfile(info, reader)
    return reader.hexdigest()


def _add_partition(tar: tarfile.TarFile, lake: Path, path: str, expected: str) -> tuple[str, int]:
    where = lake / path
    try:
        with where.open("rb") as content:
            found = _add(tar, f"lake/{path}", content)
            size = content.tell()
    except FileNotFoundError as error:
        raise AgentError(
            "a file that the catalog refers to is missing",
            where=str(where),
            fix="back up again: gc may have taken it meanwhile; if it stays, `agent checks --deep` says whose it is",
        ) from error
    if found != expected:
        raise AgentError(
            "a file was altered since it was written",
            where=str(where),
            fix="run `agent checks --deep`, which finds and marks such files, then `agent run`, then back up again; "
            "one of an older output alone goes with `agent gc --keep-releases 1 --keep-days 0`",
        )
    return found, size


class _Hashing:
    """A reader that hashes what passes through."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content, self._hasher = content, hashlib.blake2b(digest_size=16)

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        data = self._content.read(count)
        self._hasher.update(data)
        return data

    def hexdigest(self) -> str:
        """Hash of all that was read, as pipelines.lake.hash_file gives it."""
        return self._hasher.hexdigest()


def restore_backup(source: Path, base: Path | None, *, force: bool = False) -> Backup:
    """Bring back what `source` holds into the project in folder `base`: its files, then its rows in one transaction.

    Raises DamagedBackup where a hash does not match, Conflict where something is there already unless `force`, Busy
    while a process holds a lease; nothing was changed then.
    """
    settings, _ = read_settings(base)
    make_folder(settings.home)
    draft = Path(tempfile.mkdtemp(prefix=".restore-", suffix=".draft", dir=settings.home))
    engine = open_engine(settings.database_url)
    try:
        manifest = _unpack(source, draft)
        with reading(engine) as conn:
            dump.refuse_if_held(conn)
            if not force and lake_owner.is_claimed(settings.lake_path):
                identity = lake_identity.load(conn) if dump.has_tables(conn) else None
                lake_owner.require(settings.lake_path, identity)
            if not force and not dump.is_empty(conn):
                raise Conflict(
                    "there is a state here already",
                    where=str(settings.home),
                    fix="restore into an empty AGENT_HOME, or give --force to replace what is there",
                )
        files, size = _move_files(draft, settings.lake_path)
        inbox_backup.bring_back(draft / inbox_backup.FOLDER, settings.inbox_path)
        tables = _Tables(draft / "tables")
        migrations.load_at(engine, manifest["revision"], lambda conn: dump.replace_all(conn, tables))
        with writing(engine) as conn:
            identity = lake_identity.make(conn)
        lake_owner.replace(settings.lake_path, identity)
    finally:
        engine.dispose()
        shutil.rmtree(draft, ignore_errors=True)
    with open_workspace(base) as workspace:
        point_to_current(workspace)
    return Backup(len(tables), tables.rows, files, size, manifest["revision"])


class _Tables(Mapping[str, Iterator[dict[str, Any]]]):
    """Unpacked tables, read row by row: events may be many."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
        self.rows = 0

    def __getitem__(self, name: str) -> Iterator[dict[str, Any]]:
        return self._read(self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def _read(self, path: Path) -> Iterator[dict[str, Any]]:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                self.rows += 1
                yield json.loads(line)


def _unpack(source: Path, draft: Path) -> dict[str, Any]:
    """Unpack into `draft` and check every entry against the manifest, which is returned."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(source, mode="r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                content = tar.extractfile(member)
                if content is None or name.is_absolute() or ".." in name.parts:
                    raise _damaged(source, f"entry {member.name!r} does not belong in a backup")
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                reader = _Hashing(content)
                with open(path, "wb", opener=open_new) as file:
                    while data := reader.read(_CHUNK):
                        file.write(data)
                found[member.name] = reader.hexdigest()
        manifest: dict[str, Any] = json.loads((draft / _MANIFEST).read_text(encoding="utf-8"))
        entries = manifest["entries"]
    except FileNotFoundError as error:
        if not source.exists():
            raise UsageError("there is no such file", where=str(source), fix="correct the path") from error
        raise _damaged(source, "its end is missing: it has no manifest") from error
    except (tarfile.TarError, ValueError, KeyError, EOFError) as error:
        raise _damaged(source, f"it cannot be read: {error}") from error
    if manifest.get("format") != _FORMAT:
        raise _damaged(source, f"its format {manifest.get('format')!r} is not known to this program")
    del found[_MANIFEST]
    wrong = sorted(name for name in entries.keys() | found.keys() if entries.get(name) != found.get(name))
    if wrong:
        shown = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        raise _damaged(source, f"{len(wrong)} of {len(entries)} entries are not what was written: {shown}")
    return manifest


def _damaged(source: Path, what: str) -> DamagedBackup:
    return DamagedBackup(
        f"the backup is refused: {what}", where=str(source), fix="take another backup; nothing was changed"
    )


def _age(row: Mapping[str, Any]) -> int:
    """Order of rows of `partitions`; the first name is that of backups made before snapshots shared them."""
    return int(row["snapshot_id"] if "snapshot_id" in row else row["first_snapshot"])


def _move_files(draft: Path, lake: Path) -> tuple[int, int]:
    """Move the files to their places, with the times the catalog knows, so that none counts as touched."""
    rows = sorted(_Tables(draft / "tables")["partitions"], key=_age)
    times = {row["path"]: row["file_mtime_ns"] for row in rows}  # of the newest snapshot that has the file
    make_folder(lake)
    folders, size = {lake}, 0
    for path, mtime_ns in times.items():
        unpacked, target = draft / "lake" / path, lake / path
        make_folder(target.parent)
        with unpacked.open("rb") as file:
            os.fsync(file.fileno())
            size += file.seek(0, os.SEEK_END)
        os.utime(unpacked, ns=(mtime_ns, mtime_ns))
        unpacked.replace(target)
        folders |= {folder for folder in target.parents if folder.is_relative_to(lake)}
    for folder in sorted(folders):
        fsync_folder(folder)
    return len(times), size
