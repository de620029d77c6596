"""Whose code it is: which files and folders only the server's own user, or root, can change. Pure.

Code that another user could put in place would run as the server's user. So a project's files and every folder above
them must belong to that user or root, and nobody else may write to them. Access lists (ACLs) are not looked at.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterable

from pipelines.values import dataclass

_ROOT = 0
_GROUP_WRITES, _OTHERS_WRITE = 0o020, 0o002


@dataclass(frozen=True)
class Entry:
    """A file, folder or link as lstat shows it. `is_above`: a folder on the way to what is trusted, not part of it."""

    path: str
    uid: int
    gid: int
    mode: int
    is_above: bool = False


@dataclass(frozen=True)
class Finding:
    """Why an entry is not trusted, and the command that changes it."""

    path: str
    reason: str
    fix: str


def first_finding(entries: Iterable[Entry], user: int, is_own_group: Callable[[int, int], bool]) -> Finding | None:
    """The first of `entries` that somebody other than `user` or root can change; None where there is none.

    `is_own_group(gid, uid)`: whether group `gid` is that of user `uid` alone, without further members. `user` 0 (root)
    trusts root's files alone.
    """
    return next((found for entry in entries if (found := _finding(entry, user, is_own_group)) is not None), None)


def _finding(entry: Entry, user: int, is_own_group: Callable[[int, int], bool]) -> Finding | None:
    path = shlex.quote(entry.path)
    if entry.uid not in (user, _ROOT):
        whose = "root" if user == _ROOT else f"user {user}, who runs the server, or root"
        return Finding(
            entry.path,
            f"belongs to user {entry.uid}, not to {whose}",
            f"chown {user} {path} (as root), or make a copy of it",
        )
    if stat.S_ISLNK(entry.mode):
        return None  # whoever owns a link decides where it leads; its mode means nothing
    if entry.is_above and entry.mode & stat.S_ISVTX and stat.S_ISDIR(entry.mode):
        return None  # sticky, like /tmp: others may add to it, but not replace what is there
    if entry.mode & _OTHERS_WRITE:
        return Finding(entry.path, "can be written by every user", f"chmod o-w {path}")
    if entry.mode & _GROUP_WRITES and not is_own_group(entry.gid, entry.uid):
        return Finding(entry.path, f"can be written by group {entry.gid}, which has other members", f"chmod g-w {path}")
    return None
