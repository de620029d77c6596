"""Files that lie behind a URL (https, s3, gs and what else fsspec knows): which there are, and copies of them.

A file's token comes from what the server says of it (see `token_of`); its copy lies in a folder whose name has the
token, so a file is fetched again only when its token differs, and a copy is never written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pipelines.data.file_tables.find import JSON, KNOWN, format_of
from pipelines.data.file_tables.remote_faults import connecting, explained, shown
from pipelines.errors import BadInput, TransientError
from pipelines.values import dataclass

if TYPE_CHECKING:
    import tempfile

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
_SURE = ("ETag", "etag", "e_tag", "generation", "sha", "Content-MD5", "Digest", "md5Hash")
_TIMES = ("Last-Modified", "LastModified", "last_modified", "updated", "mtime", "modified")
_AT_ONCE = 8  # requests to one server
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 30
_KEPT_SECONDS = 3600  # a copy that no part refers to any more may be in use by a run that began before


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL. path: where its copy lies, or will. size: bytes, None where the server does not say.
    changed_at: seconds since 1970, None where it does not say."""

    url: str
    token: str
    size: int | None
    changed_at: float | None
    path: Path


class RemoteFiles:
    """The files of a project that lie behind URLs, listed once until `forget`, copied into `folder` when read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[str, list[Path]] = {}
        self._files: dict[Path, RemoteFile] = {}

    def forget(self) -> None:
        """List again at the next question."""
        self._listed.clear()
        self._files.clear()

    def of(self, path: Path) -> RemoteFile | None:
        """The file that `path` is the copy of; None: a file of this machine."""
        return self._files.get(path)

    def find(self, url: str) -> list[Path]:
        """Where copies of the files lie, or will, that `url` (file, folder or glob) means, in order.

        Raises BadInput where there is none or access is refused, TransientError where nobody answers.
        """
        if url not in self._listed:
            with explained(url):
                found = self._list(url)
            self._files |= {file.path: file for file in found}
            self._listed[url] = [file.path for file in found]
        return self._listed[url]

    def bring(self, paths: Iterable[Path]) -> None:
        """Fetch the copies among `paths` that are not there. Raises as `find` does; what was fetched stays."""
        wanted = {path: self._files[path] for path in paths if path in self._files}
        for path in wanted:
            with contextlib.suppress(OSError):
                os.utime(path.parent)  # in use: see `clear`
        missing = [file for path, file in wanted.items() if not path.is_file()]
        if missing:
            _for_each(self._fetch, missing)

    def clear(self) -> None:
        """Delete copies that no file listed refers to, and that nobody used for an hour."""
        if not self._folder.is_dir():
            return
        import shutil

        kept = {path.parent.name for path in self._files}
        old = time.time() - _KEPT_SECONDS
        with contextlib.suppress(OSError):  # another process clears too, or the folder is read-only
            for entry in os.scandir(self._folder):
                if entry.name not in kept and entry.stat().st_mtime < old:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _list(self, url: str) -> list[RemoteFile]:
        system, root = _system(url)
        system.invalidate_cache()
        if _has_wildcard(url):
            infos = [info for info in system.glob(root, detail=True).values() if info["type"] == "file"]
        else:
            info = system.info(root)
            if info["type"] != "directory":
                if format_of(Path(_name(info["name"]))) not in KNOWN:
                    raise BadInput(
                        f"the name {_name(info['name'])!r} does not say which format the file has",
                        where=shown(url),
                        fix=f"one of {', '.join(KNOWN)}",
                    )
                return [self._file(system, info)]
            infos = list(system.find(root, detail=True).values())
            infos = [one for one in infos if format_of(Path(_name(one["name"]))) not in (".txt", JSON)]
        infos = [info for info in infos if format_of(Path(_name(info["name"]))) in KNOWN]
        if not infos:
            raise BadInput(
                "no file matches", where=shown(url), fix=f"correct the URL in agent.toml; formats: {', '.join(KNOWN)}"
            )
        return _for_each(lambda info: self._file(system, info), sorted(infos, key=lambda one: one["name"]))

    def _file(self, system: Any, info: Mapping[str, Any]) -> RemoteFile:
        url = system.unstrip_protocol(info["name"])
        with explained(url):
            info, token = _known(system, info)
            if token is not None:
                return self._placed(url, token, info)
            # Nothing tells whether it changed: only its content does, which is then here too.
            with _drafts(self._folder) as folder:
                draft = Path(folder, "draft")
                system.get_file(info["name"], str(draft))
                with draft.open("rb") as content:
                    token = hashlib.file_digest(content, "sha256").hexdigest()
                file = self._placed(url, token, info)
                if not file.path.is_file():
                    _place(draft, file)
            return file

    def _placed(self, url: str, token: str, info: Mapping[str, Any]) -> RemoteFile:
        digest = hashlib.sha256(f"{url}\n{token}".encode()).hexdigest()[:24]
        readable = re.sub(r"[^A-Za-z0-9.\-]+", "_", shown(url).partition("://")[2]).strip("._")[-80:]
        path = self._folder / f"{readable}-{digest}" / _name(url)
        return RemoteFile(url, token, info.get("size"), _changed_at(info), path)

    def _fetch(self, file: RemoteFile) -> None:
        with explained(file.url), _drafts(self._folder) as folder:
            system, root = _system(file.url)
            draft = Path(folder, "draft")
            system.get_file(root, str(draft))
            size = draft.stat().st_size
            if file.size is not None and size != file.size:
                raise TransientError(
                    f"{size} bytes came of {file.size}", where=shown(file.url), fix="run again: it is fetched again"
                )
            system.invalidate_cache()
            token = _known(system, system.info(root))[1]
            if token is not None and token != file.token:
                raise TransientError("the file changed while it was fetched", where=shown(file.url), fix="run again")
            _place(draft, file)


def _for_each(do: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """What `do` makes of each item, a few at once. Raises what the first one raises that fails."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(do, items))


def _drafts(folder: Path) -> tempfile.TemporaryDirectory[str]:
    import tempfile

    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder)


def token_of(info: Mapping[str, Any]) -> str | None:
    """What tells one state of a file from another, by what its server says of it: a checksum or generation; else its
    size and time of change; None where there is neither: a size alone says nothing."""
    for name in _SURE:
        if info.get(name):
            return f"{name.lower()}:{info[name]}"
    for name in _TIMES:
        if info.get(name):
            return f"{info.get('size')}:{info[name]}"
    return None


def _known(system: Any, info: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """What is known of a file and its token: what a listing leaves out is asked for."""
    token = token_of(info)
    if token is None:
        info = system.info(info["name"])
        token = token_of(info)
    if token is None:
        with contextlib.suppress(NotImplementedError):
            info = {**info, "modified": system.modified(info["name"])}
            token = token_of(info)
    return info, token


def _changed_at(info: Mapping[str, Any]) -> float | None:
    value = next((info[name] for name in _TIMES if info.get(name)), None)
    if isinstance(value, int | float):
        return float(value)
    at = _read_time(value) if isinstance(value, str) else value
    if not isinstance(at, datetime):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _read_time(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError):
            return read(text)
    return None


def _place(draft: Path, file: RemoteFile) -> None:
    """Make a complete file the copy. Its time is the one that the server gave: bars that run at it are not over."""
    if file.changed_at is not None:
        os.utime(draft, (file.changed_at, file.changed_at))
    file.path.parent.mkdir(exist_ok=True)
    draft.replace(file.path)


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what the file is called there."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url, **connecting(urlsplit(url).scheme, _CONNECT_SECONDS, _SILENT_SECONDS))
    return system, root


def _has_wildcard(url: str) -> bool:
    is_web = url.lower().startswith(("http://", "https://"))  # where "?" begins the query
    return any(sign in (url.partition("?")[0] if is_web else url) for sign in ("*[" if is_web else "*?["))


def _name(url: str) -> str:
    path = urlsplit(url).path if url.lower().startswith(("http://", "https://")) else url
    return path.rstrip("/").rpartition("/")[2] or "file"
