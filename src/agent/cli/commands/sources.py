"""`agent sources`: which data sources there are and whether they answer, what became of their rows, what files of your
own are taken to be, and what a reply of a venue is."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.cli.datasets import add_datasets
from agent.cli.output import emit
from agent.cli.remote import add, join, show_coverage, watched, watched_text
from agent.cli.remote import overview as remote_overview
from agent.cli.remote import overview_text as remote_text
from agent.cli.remote import test as test_remote
from agent.cli.replies import run_parse
from agent.console import table
from agent.errors import NotFound, UsageError
from agent.execution.row_account import row_report
from agent.execution.workspace import open_workspace, read_settings
from agent.settings import SETTINGS_FILE
from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import Guesses, guess, guess_preset
from pipelines.data.guessing.presets import PRESETS
from pipelines.data.tick_parts.account import FATES
from pipelines.errors import PipelineError
from pipelines.inbox.collected import CollectedSource
from pipelines.plugins.discovery import builtin_names, source_names, summary
from pipelines.settings import public_values
from pipelines.source import Source
from pipelines.sources.files import FilesSource

HELP = (
    "List the data sources; report what became of every row; guess what files of your own are, or import them; "
    "parse a venue's reply."
)


_REMOTE: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "add": add,
    "test": test_remote,
    "coverage": show_coverage,
    "compact": join,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=["report", "guess", "import", *_REMOTE, "parse"],
        help="report: the rows of each file, read, kept and left out, and why; guess FILE…: print the settings that "
        f"read these files or folders; import {'|'.join(PRESETS)} DIR: add those of a program's folder to agent.toml; "
        "add SOURCE: write a section for a remote source into agent.toml; test SOURCE: ask it once and say what is "
        "wrong; coverage: how much of it is collected, and its holes; compact: join old files of the inbox; "
        "parse SOURCE FILE…: what the source makes of replies that were saved",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="FILE",
        help="files or folders; of import the program and its folder; of parse the source and files",
    )
    group = parser.add_argument_group("of `add`")
    group.add_argument("--query", metavar="WORDS", help="take markets that have all these words")
    group.add_argument("--limit", type=int, metavar="N", help="so many markets at most")


def run(options: argparse.Namespace) -> int:
    """Probe every configured source, report, guess or import. Exit code 1 where a source does not answer."""
    if options.what == "guess":
        return _guess(options)
    if options.what == "import":
        return _import(options)
    if options.what == "parse":
        return run_parse(options)
    if options.what in _REMOTE:
        return _REMOTE[options.what](options)
    if options.names:
        raise UsageError(f"unknown argument {options.names[0]!r}", where="agent sources", fix="agent sources --help")
    if options.what == "report":
        return _report(options)
    settings, project = read_settings(options.project_dir)
    collected = [name for name, source in project.sources.items() if isinstance(source, CollectedSource)]
    remote = remote_overview(settings, collected, datetime.now(UTC))
    looks = watched(settings) if FilesSource.name in project.sources else None
    found = [
        {
            "name": name,
            "summary": summary("sources", name) if name in builtin_names("sources") else "from an installed package",
            "is_configured": name in project.sources,
            "settings": public_values(project.source_settings[name]) if name in project.sources else None,
            **(_probe(project.sources[name]) if name in project.sources else {}),
            "remote": remote.get(name),
            "watched": looks if name == FilesSource.name else None,
        }
        for name in source_names()
    ]
    rows = [
        (str(one["name"]), "yes" if one["is_configured"] else "", _answer(one), str(one["summary"])) for one in found
    ]
    parts = [table(rows, ("source", "configured", "answer", "what it is"))]
    parts += [f"{one['name']}: {one['error']}" for one in found if one.get("error")]
    parts += [remote_text(remote)] if remote else []
    parts += [watched_text(looks)] if looks else []
    emit(options, found, "\n\n".join(parts))
    return 1 if any(one.get("error") for one in found) else 0


def _report(options: argparse.Namespace) -> int:
    with open_workspace(options.project_dir) as workspace:
        report = row_report(workspace)
    if report is None:
        raise NotFound("ticks has no output yet", where="ticks", fix="`agent run` computes it")
    found, odd = report
    rows = [(one.source, one.part, *(f"{getattr(one, name):,}" for name in FATES)) for one in found]
    if len(found) > 1:
        rows.append(("all", "", *(f"{sum(getattr(one, name) for one in found):,}" for name in FATES)))
    parts = [table(rows, ("source", "file or part", *FATES), right=set(range(2, 2 + len(FATES))))]
    parts += [f"warning: {text}" for text in odd]
    emit(options, {"parts": found, "warnings": odd}, "\n".join(parts))
    return 0


def _guess(options: argparse.Namespace) -> int:
    if not options.names:
        raise UsageError("no file is given", where="agent sources guess", fix="agent sources guess FILE_OR_FOLDER…")
    found = guess(_base(options), [_there(name) for name in options.names])
    emit(options, _as_values(found), toml_text(found))
    return 0


def _import(options: argparse.Namespace) -> int:
    """Add the datasets of a program's folder to agent.toml."""
    if len(options.names) != 2 or options.names[0] not in PRESETS:
        known = "\n".join(f"  {name}: {one.about}" for name, one in PRESETS.items())
        raise UsageError(
            "give a program and the folder with its files",
            where="agent sources import",
            fix=f"agent sources import PROGRAM DIR, of\n{known}",
        )
    base = _base(options)
    found = guess_preset(base, options.names[0], _there(options.names[1]))
    add_datasets(base, found)
    path = base / SETTINGS_FILE
    emit(options, {"file": str(path), **_as_values(found)}, f"{toml_text(found)}\n\nadded to {path}\nnext: agent run")
    return 0


def _base(options: argparse.Namespace) -> Path:
    folder: Path = (options.project_dir or Path.cwd()).resolve()
    return folder


def _there(name: str) -> Path:
    return Path(name).resolve()


def _as_values(found: Guesses) -> dict[str, Any]:
    return {
        "datasets": [
            {
                "settings": one.settings,
                "files": one.files,
                "rows": [] if one.rows is None else one.rows.to_dicts(),
                "unsure": one.unsure,
            }
            for one in found.datasets
        ],
        "passed_over": [{"file": file, "reason": reason} for file, reason in found.passed_over],
    }


def _probe(source: Source) -> dict[str, Any]:
    started = time.monotonic()
    try:
        parts: int | None = len(source.probe().parts)
        error = None
    except PipelineError as fault:
        parts, error = None, str(fault)
    return {
        "is_historical": source.historical,
        "parts": parts,
        "error": error,
        "probe_seconds": round(time.monotonic() - started, 4),
    }


def _answer(one: dict[str, Any]) -> str:
    if not one["is_configured"]:
        return ""
    if one["error"]:
        return "does not answer"
    kind = "historical" if one["is_historical"] else "live"
    return f"{one['parts']} parts, {kind}, {one['probe_seconds'] * 1000:.0f} ms"
