"""`agent sources parse`: what a source makes of replies that were saved, for reports of what it gets wrong."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from agent.cli.output import emit
from agent.errors import UsageError
from agent.execution.workspace import read_settings
from pipelines.errors import BadInput
from pipelines.feed import Feed, FeedFault, Parsed, Stream
from pipelines.plugins.discovery import load_feed, load_source, settings_of_source
from pipelines.settings import Faults, build

_SHOWN = 3  # rows, and rows in quarantine, shown of each reply
_WRAPPERS = ("_metadata", "_request", "url")  # beside `response`: written by who recorded the reply


def run_parse(options: argparse.Namespace) -> int:
    """Parse each file. Exit code 1 where a row is quarantined or a reply cannot be read."""
    if len(options.names) < 2:
        raise UsageError(
            "give a source and the files with its replies",
            where="agent sources parse",
            fix="agent sources parse polymarket FILE…",
        )
    name, *files = options.names
    feed = _feed(name, options.project_dir)
    found = [{"file": file, **_look_at(feed, Path(file))} for file in files]
    emit(options, found, "\n".join(_told(one) for one in found))
    return 1 if any(one["quarantined"] or one["error"] for one in found) else 0


def _feed(name: str, folder: Path | None) -> Feed:
    """The feed as the project sets it, else with its defaults."""
    feed_class = load_feed(name)
    _, project = read_settings(folder)
    settings = project.source_settings.get(name)
    if settings is None:
        settings = build(settings_of_source(load_source(name)), {}, f"sources.{name}", Faults(""))
    return feed_class(settings)


def _look_at(feed: Feed, file: Path) -> dict[str, Any]:
    nothing: dict[str, Any] = {"kind": None, "rows": 0, "quarantined": [], "passed_over": {}, "unknown_fields": {}}
    try:
        body = _reply(file.read_bytes())
    except OSError as error:
        raise BadInput(f"the file cannot be read: {error.strerror}", where=str(file), fix="correct the path") from error
    try:
        stream = feed.recognise(body)
        if isinstance(stream, str):
            return {**nothing, "note": stream, "error": None}
        parsed = feed.parse(stream, body)
    except FeedFault as fault:
        return {**nothing, "note": None, "error": fault.why}
    return _facts(stream, parsed)


def _reply(data: bytes) -> bytes:
    """The reply itself, where it was saved together with its request."""
    try:
        found = json.loads(data)
    except ValueError:
        return data
    if isinstance(found, dict) and "response" in found and any(name in found for name in _WRAPPERS):
        return json.dumps(found["response"]).encode()
    return data


def _facts(stream: Stream, parsed: Parsed) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "kind": stream.kind,
        "read": parsed.read,
        "rows": parsed.frame.height,
        "quarantined": parsed.quarantined.to_dicts(),
        "passed_over": dict(parsed.passed_over),
        "unknown_fields": dict(parsed.unknown),
        "first_rows": parsed.frame.head(_SHOWN).to_dicts(),
        "note": None,
        "error": "more than 5 % of its rows are bad: the collector refuses it" if parsed.is_refused else None,
    }
    if parsed.kind == "markets":
        facts["statuses"] = dict(Counter(parsed.frame.get_column("status")))
    return facts


def _told(one: dict[str, Any]) -> str:
    lines = [f"{one['file']}: {one['note'] or ''}".rstrip(": ") if one["note"] else f"{one['file']}: {_counts(one)}"]
    if one["error"]:
        lines.append(f"  error: {one['error']}")
    lines += [f"  {count} passed over: {reason}" for reason, count in one["passed_over"].items()]
    lines += [f"  quarantined: {bad['where']}: {bad['rule']}" for bad in one["quarantined"][:_SHOWN]]
    if len(one["quarantined"]) > _SHOWN:
        lines.append(f"  and {len(one['quarantined']) - _SHOWN} more quarantined")
    if one["unknown_fields"]:
        lines.append(f"  unknown fields: {', '.join(sorted(one['unknown_fields']))}")
    return "\n".join(lines)


def _counts(one: dict[str, Any]) -> str:
    if one["kind"] is None:
        return "no reply that can be read"
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(one.get("statuses", {}).items()))
    return f"{one['rows']} of {one['read']} rows as {one['kind']}{f' ({statuses})' if statuses else ''}"
