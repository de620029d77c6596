"""`agent sources add|test|coverage|compact`, and what `agent sources` says of remote sources."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agent import settings as agent_settings
from agent.cli.output import emit, moment
from agent.collect.looking import StreamCoverage, call, coverage, join_files
from agent.collect.passing import keys, remote_sources
from agent.console import table
from agent.errors import AgentError, UsageError
from agent.execution.workspace import open_database
from agent.settings import SETTINGS_FILE, Settings
from agent.settings_line import replace_file
from agent.store import collecting
from pipelines.figures import percent_text
from pipelines.plugins.discovery import load_feed, load_source, settings_of_source
from pipelines.settings import Faults, build, read_toml

_SHOWN = 3  # holes shown of each stream


def add(options: argparse.Namespace) -> int:
    """Write a section for a remote source into agent.toml, and try it. Exit code 1 where it does not answer."""
    settings = agent_settings.load(options.project_dir)
    name = _one_name(options)
    load_feed(name)
    cls = settings_of_source(load_source(name))
    known = {item.name for item in dataclasses.fields(cls)}
    given = {"query": options.query, "limit": options.limit}
    values = {key: value for key, value in given.items() if value is not None}
    for key in values:
        if key not in known:
            raise UsageError(
                f"source {name!r} has no setting {key!r}",
                where=f"agent sources add {name}",
                fix=f"its settings: {', '.join(sorted(known))}",
            )
    path = settings.base / SETTINGS_FILE
    if name in read_toml(path).get("sources", {}):
        raise UsageError(f"there is a section [sources.{name}] already", where=str(path), fix="change it there")
    faults = Faults(f"agent sources add {name}")
    build(cls, values, f"sources.{name}", faults)
    faults.raise_if_any()
    lines = [
        f"[sources.{name}]",
        *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
    ]
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    replace_file(path, before.rstrip() + ("\n\n" if before.strip() else "") + "\n".join(lines) + "\n")
    (source,) = remote_sources(settings, [name]).values()
    try:
        found, error = call(source, keys(settings, source)), None
    except AgentError as fault:
        found, error = None, fault
    told = [*lines, "", f"added to {path}"]
    if found is not None:
        told += [f"it answers: {found.rows} markets on its first page", "next: agent collect --once, then agent run"]
    elif error is not None:
        told += [f"it does not answer now: {error.what}", "next, where there is a network: agent collect --once"]
    facts = {"file": str(path), "section": values, "markets": None if found is None else found.rows}
    emit(options, {**facts, "error": None if error is None else error.what}, "\n".join(told))
    return 0 if error is None else 1


def test(options: argparse.Namespace) -> int:
    """One real call of a source, and what is wrong where there is no answer."""
    settings = agent_settings.load(options.project_dir)
    name = _one_name(options)
    (source,) = remote_sources(settings, [name]).values()
    found = call(source, keys(settings, source))
    offset = "" if found.offset_seconds is None else f", its clock {found.offset_seconds:+.0f} s from ours"
    bad = f", {found.quarantined} quarantined" if found.quarantined else ""
    emit(
        options,
        {"source": name, **vars(found)},
        f"{name} answers: {found.rows} markets{bad} in {found.seconds:.2f} s{offset}",
    )
    return 0


def show_coverage(options: argparse.Namespace) -> int:
    """How much of each stream is known, in per cent, and its holes."""
    settings = agent_settings.load(options.project_dir)
    now = datetime.now(UTC)
    found = {name: coverage(source, now) for name, source in remote_sources(settings, options.names).items()}
    rows = [(name, *_coverage_row(one)) for name, streams in found.items() for one in streams]
    emit(options, found, table(rows, ("source", "stream", "known", "pages", "rows", "holes"), right={2, 3, 4}))
    return 0


def _coverage_row(one: StreamCoverage) -> tuple[str, ...]:
    shown = "; ".join(f"{moment(low)} to {moment(high)}" for low, high in one.holes[:_SHOWN])
    more = f" and {len(one.holes) - _SHOWN} more" if len(one.holes) > _SHOWN else ""
    return one.stream, percent_text(one.fraction), f"{one.pages:,}", f"{one.rows:,}", shown + more


def join(options: argparse.Namespace) -> int:
    """Join files of the inbox of months that are over."""
    settings = agent_settings.load(options.project_dir)
    now, joined = datetime.now(UTC), {}
    with open_database(settings) as database:
        for name, source in remote_sources(settings, options.names).items():
            joined[name] = join_files(source, database, settings.executor.lease_seconds, now)
    emit(options, joined, "\n".join(f"{name}: {count} files joined" for name, count in joined.items()))
    return 0


def overview(settings: Settings, names: Iterable[str], now: datetime) -> dict[str, dict[str, Any]]:
    """Of each remote source of `names`: when it last answered, how far behind it is, what failed, and holes."""
    wanted = list(names)
    if not wanted:
        return {}
    with open_database(settings) as database, database.reading() as connections:
        collectors = collecting.load_collectors(connections.project)
        streams = collecting.load_streams(connections.project)
    return {
        name: _facts(collectors.get(name, {}), [one for one in streams if one.source == name], now) for name in wanted
    }


def _facts(collector: Any, streams: list[collecting.StreamRow], now: datetime) -> dict[str, Any]:
    prices = [one for one in streams if one.kind != collecting.SOURCE_LIST]
    newest = max((one.covered_to for one in prices if one.covered_to is not None), default=None)
    failing = [one for one in streams if one.failures]
    errors = [collector.get("last_error"), *(one.last_error for one in failing)]
    return {
        "last_answer_at": collector.get("last_ok_at"),
        "collected_to": newest,
        "lag_seconds": None if newest is None else (now - newest).total_seconds(),
        "streams": len(streams),
        "failing": len(failing),
        "holes": sum(one.holes for one in streams),
        "rows": sum(one.rows for one in streams),
        "clock_offset_seconds": collector.get("clock_offset_seconds"),
        "last_error": next((one for one in errors if one), None),
    }


def overview_text(found: dict[str, dict[str, Any]]) -> str:
    """The overview as a table, and the newest error of each source."""
    rows = [
        (
            name,
            moment(one["last_answer_at"]),
            "-" if one["lag_seconds"] is None else f"{one['lag_seconds']:,.0f} s",
            f"{one['streams']:,}",
            f"{one['failing']:,}",
            f"{one['holes']:,}",
            f"{one['rows']:,}",
        )
        for name, one in found.items()
    ]
    columns = ("remote source", "last answer", "lag", "streams", "failing", "holes", "rows")
    errors = [f"{name}: {one['last_error']}" for name, one in found.items() if one["last_error"]]
    return "\n".join([table(rows, columns, right=set(range(2, 7))), *errors])


def watched(settings: Settings) -> dict[str, Any] | None:
    """When `agent collect` last looked at the files of one's own, when it last found some new or changed, and why it
    could not look; None: they are not watched."""
    if not settings.home.exists():
        return None
    with open_database(settings) as database, database.reading() as connections:
        row = collecting.load_collectors(connections.project).get("files")
    if row is None:
        return None
    return {"last_look_at": row["last_pass_at"], "last_change_at": row["last_ok_at"], "last_error": row["last_error"]}


def watched_text(found: dict[str, Any]) -> str:
    """What `watched` found, in a line."""
    error = f"; {found['last_error']}" if found["last_error"] else ""
    look, change = moment(found["last_look_at"]), moment(found["last_change_at"])
    return f"files: watched, last look {look}, last new or changed file {change}{error}"


def _one_name(options: argparse.Namespace) -> str:
    if len(options.names) != 1:
        raise UsageError(
            "name one remote source", where=f"agent sources {options.what}", fix=f"agent sources {options.what} kalshi"
        )
    return str(options.names[0])
