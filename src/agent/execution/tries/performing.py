"""Performing a try: production's state copied once, then a run like any other that shows nowhere but in the try."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.clock import SystemClock
from agent.errors import Conflict
from agent.execution import session
from agent.execution.engine import Report
from agent.execution.host.hosts import Hosts
from agent.execution.runlog import Request, Watcher
from agent.execution.tries import change
from agent.execution.tries.code import TryCode, on_search_path
from agent.execution.workspace import Workspace, open_workspace
from agent.settings import section_names
from agent.store.outputs import tries
from agent.store.outputs.tries import Try


@contextmanager
def open_try(
    base: Path | None,
    settings: Mapping[str, Any],
    name: str,
    targets: Sequence[str] = (),
    code: TryCode | None = None,
    hosts: Hosts | None = None,
) -> Iterator[tuple[Try, Workspace]]:
    """The try called `name` and its workspace, its code in this process or in one of `hosts`; it begins where it is not
    there yet. Raises Conflict where one of that name tries something else or is a grid, SettingsError where the change
    is none that the project understands.
    """
    change.require_own(settings, section_names())
    folder, given, commit = (None, None, None) if code is None else (code.folder, code.given, code.commit)
    with (
        on_search_path((base or Path.cwd()).resolve(), code if hosts is None else None),
        open_workspace(
            base, hosts=hosts, change=lambda values: change.over(values, settings), other_code=folder
        ) as workspace,
    ):
        with workspace.database.writing() as connections:
            found = tries.find(connections.project, change.require_name(name))
            if found is None:
                _require_free(name, tries.grids(connections.project))
                now = SystemClock().now()
                found = tries.begin(connections.project, name, settings, targets, now, given)
            elif (found.settings, tuple(found.targets), found.code) != (settings, tuple(targets), given):
                raise Conflict(
                    f"there is a try {name!r} already, which tries something else",
                    where="tries",
                    fix=f"choose another --name, or `agent drop {name}`",
                )
            if found.code_commit != commit:
                tries.note_commit(connections.project, found, commit)
                found = replace(found, code_commit=commit)
            sys.audit("tidemill.point", "try.begun")
        own = replace(workspace, database=workspace.database.of_try(found.id))
        own.ensure_rows()
        yield found, own


def _require_free(name: str, grids: Collection[str]) -> None:
    if name in grids:
        raise Conflict(
            f"there is a grid {name!r} already, and a try needs a name of its own",
            where="tries",
            fix=f"choose another --name, or `agent drop {name}`",
        )


def perform(
    workspace: Workspace, one: Try, *, stop: Callable[[], str | None], watchers: tuple[Watcher, ...] = ()
) -> Report:
    """Compute what the change reaches, or what is left of it. Nothing goes before it and nothing follows it."""
    request = Request(goal=f"try {one.name}", targets=tuple(one.targets), trigger="try")
    return session.perform(workspace, request, wait=True, stop=stop, watchers=watchers)
