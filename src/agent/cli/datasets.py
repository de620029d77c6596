"""Datasets that were found in files, written into agent.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.settings import SETTINGS_FILE
from agent.settings_line import replace_file
from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import Guesses
from pipelines.settings import Faults, build
from pipelines.sources.files import Settings

_BY_HAND = "add the blocks by hand, as `agent sources guess` prints them"


def add_datasets(base: Path, found: Guesses) -> None:
    """Put the datasets at the end of agent.toml in `base` (which is made where there is none). Raises UsageError where
    there are none, where one of them stands there already, or where they do not fit in; the file is then as it was."""
    path = base / SETTINGS_FILE
    if not found.datasets:
        raise UsageError(
            "no file holds bars, trades or quotes",
            where=str(base),
            fix="\n".join(f"{file.name}: {why}" for file, why in found.passed_over[:5]) or "give another folder",
        )
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the settings: {error}", where=str(path), fix="correct the file") from error
    here = {str(one.get("path")) for one in _datasets(before, path)}
    again = [one for one in found.datasets if "path" in one.settings and str(one.settings["path"]) in here]
    if again:
        raise UsageError(
            f"there is a dataset of {again[0].settings['path']} already",
            where=str(path),
            fix="change it there, or remove it first",
        )
    after = before.rstrip() + ("\n\n" if before.strip() else "") + toml_text(found) + "\n"
    faults = Faults(str(path))
    build(Settings, {"datasets": _datasets(after, path)}, "sources.files", faults)
    faults.raise_if_any()
    try:
        replace_file(path, after)
    except OSError as error:
        raise UsageError(
            f"cannot write: {error.strerror or error}", where=str(path), fix="check the folder's permissions"
        ) from error


def _datasets(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = tomllib.loads(text).get("sources", {}).get("files", {}).get("datasets", [])
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise UsageError(f"the datasets do not fit in: {error}", where=str(path), fix=_BY_HAND) from error
    return found
