"""Notices which files of a project's folder a component opens without having declared them.

Files that a library opens outside Python (Polars, Arrow) are not seen: this warns, it does not enforce.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

_CODE = (".py", ".pyc", ".so", ".pyd")
_MOST = 20
_active: list[Watched] = []
_installed = threading.Lock()


class Watched:
    """While the block runs, files opened for reading in this thread below one of `folders`, outside `allowed`, are
    gathered in `found`."""

    def __init__(self, folders: Sequence[Path], allowed: Iterable[str | Path]) -> None:
        self.found: list[str] = []
        self._folders = [str(one.resolve()) + os.sep for one in folders]
        allowed = [Path(one).resolve() for one in allowed]
        self._allowed = {str(one) for one in allowed}
        self._below = tuple(str(one) + os.sep for one in allowed)
        self._thread = threading.get_ident()

    def __enter__(self) -> Self:
        if self._folders:
            _install()
            _active.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in _active:
            _active.remove(self)

    def note(self, path: object, flags: object) -> None:
        """A file is about to be opened."""
        if threading.get_ident() != self._thread or not isinstance(path, str | os.PathLike):
            return
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        text = os.path.realpath(path)
        if not isinstance(text, str) or text.endswith(_CODE) or text in self._allowed or text.startswith(self._below):
            return
        below = [text.removeprefix(one) for one in self._folders if text.startswith(one)]
        is_hidden = any(part.startswith(".") for name in below for part in Path(name).parts)
        if below and not is_hidden and text not in self.found and len(self.found) < _MOST:
            self.found.append(text)


def _install() -> None:
    """Hook in, once: an audit hook stays for the life of the process."""
    if not _installed.acquire(blocking=False):
        return

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and _active:
            for one in _active:
                one.note(arguments[0], arguments[2] if len(arguments) > 2 else None)

    sys.addaudithook(hook)
