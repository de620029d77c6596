"""`agent sources`: which data sources there are, which are configured, and whether they answer."""

from __future__ import annotations

import argparse
import time
from typing import Any

from agent.cli.output import emit
from agent.console import table
from agent.execution.workspace import read_settings
from pipelines.discovery import builtin_names, source_names, summary
from pipelines.errors import PipelineError
from pipelines.settings import public_values
from pipelines.source import Source

HELP = "List the data sources, what is configured of them, and whether each answers."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(options: argparse.Namespace) -> int:
    """Probe every configured source. Exit code 1 where one does not answer."""
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
