"""`agent sources`: which data sources there are, whether they answer, and what became of their rows."""

from __future__ import annotations

import argparse
import time
from typing import Any

from agent.cli.output import emit
from agent.console import table
from agent.errors import NotFound
from agent.execution.row_account import row_accounts
from agent.execution.workspace import open_workspace, read_settings
from pipelines.data.tick_parts.account import warnings
from pipelines.errors import PipelineError
from pipelines.plugins.discovery import builtin_names, source_names, summary
from pipelines.settings import public_values
from pipelines.source import Source

HELP = "List the data sources and whether each answers, or report what became of every row of them."

_COUNTS = ("read", "kept", "replaced", "repeated", "filtered", "running", "quarantined")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what", nargs="?", choices=["report"], help="report: the rows of each file, read, kept and left out, and why"
    )


def run(options: argparse.Namespace) -> int:
    """Probe every configured source, or report. Exit code 1 where one does not answer."""
    if options.what == "report":
        return _report(options)
    _, project = read_settings(options.project_dir)
    found = [
        {
            "name": name,
            "summary": summary("sources", name) if name in builtin_names("sources") else "from an installed package",
            "is_configured": name in project.sources,
            "settings": public_values(project.source_settings[name]) if name in project.sources else None,
            **(_probe(project.sources[name]) if name in project.sources else {}),
        }
        for name in source_names()
    ]
    rows = [
        (str(one["name"]), "yes" if one["is_configured"] else "", _answer(one), str(one["summary"])) for one in found
    ]
    parts = [table(rows, ("source", "configured", "answer", "what it is"))]
    parts += [f"{one['name']}: {one['error']}" for one in found if one.get("error")]
    emit(options, found, "\n\n".join(parts))
    return 1 if any(one.get("error") for one in found) else 0


def _report(options: argparse.Namespace) -> int:
    with open_workspace(options.project_dir) as workspace:
        found = row_accounts(workspace)
    if found is None:
        raise NotFound("ticks has no output yet", where="ticks", fix="`agent run` computes it")
    rows = [(one.source, one.part, *(f"{getattr(one, name):,}" for name in _COUNTS)) for one in found]
    if len(found) > 1:
        rows.append(("all", "", *(f"{sum(getattr(one, name) for one in found):,}" for name in _COUNTS)))
    odd = warnings(found)
    parts = [table(rows, ("source", "file or part", *_COUNTS), right=set(range(2, 2 + len(_COUNTS))))]
    parts += [f"warning: {text}" for text in odd]
    emit(options, {"parts": found, "warnings": odd}, "\n".join(parts))
    return 0


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
