"""`agent try`: a change beside production, which pays only for what it changes."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from agent import console, orchestrator
from agent.cli.commands.tries import _grid
from agent.cli.output import emit
from agent.errors import UsageError
from agent.execution.tries import change, grids
from agent.execution.tries.code import TryCode, find_code
from agent.execution.tries.cost_text import cost_lines
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_database, read_settings
from agent.runtime.signals import stop_on_signals
from agent.service.trust import require_trusted_code
from agent.settings import load
from agent.settings_typed import plain
from agent.store import state
from agent.store.outputs import tries
from pipelines.lake import Lake
from pipelines.settings import read_toml

HELP = "Try a change beside production: compute only what it reaches, publish nothing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    say = "SECTION.KEY=VALUE, as in agent.toml; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="SETTING", help=say)
    parser.add_argument("--settings", type=Path, metavar="FILE", help="a TOML file whose settings go over agent.toml's")
    code = "own modules of this folder, or of this commit of the project's repository, instead of the project's"
    parser.add_argument("--code", metavar="DIR|REF", help=code)
    parser.add_argument("--name", help="what to call it (else by what it sets); the same name goes on with it")
    parser.add_argument("--target", action="append", default=[], help="only this component and what it needs")
    parser.add_argument("--show", metavar="NAME", help="show a try, or the table of a grid, and compute nothing")
    _grid.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Perform a try, or show one."""
    if options.show is not None:
        return _show(options)
    values = change.read(options.set)
    if options.settings is not None:
        if not options.settings.is_file():
            raise UsageError("there is no such file", where=str(options.settings), fix="correct the path")
        values = change.over(plain(read_toml(options.settings), str(options.settings)), values)
    if options.grid:
        return _grid.perform(options, values, None if options.code is None else _code(options, options.code))
    if options.max_runs is not None or options.max_minutes is not None:
        raise UsageError("that is of a grid", where="--max-runs, --max-minutes", fix="add --grid, or leave it out")
    name, targets, given = options.name, tuple(options.target), options.code
    if not values and given is None and name is not None:
        with suppress(LookupError):
            values, targets, given = _known(options, name)
    code = None if given is None else _code(options, given)
    name = name or change.name_of(values if code is None else {**values, "code": Path(code.given).name})
    with open_try(options.project_dir, values, name, targets, code) as (one, workspace):
        with stop_on_signals() as stop, console.ProgressReporter() as watch:
            report = perform(workspace, one, stop=stop, watchers=(watch,))
        with workspace.database.reading() as connections:
            cost = tries.cost(connections, one)
    found = {"name": one.name, **orchestrator.report_json(report), "cost": cost}
    lines = [f"Try {one.name}: {report.status.lower()}." if report.error is None else f"Try {one.name}: {report.error}"]
    emit(options, found, "\n".join([*lines, *cost_lines(cost), f"`agent diff {one.name} current` compares it."]))
    return 0 if report.status == "COMPLETED" else 1


def _code(options: argparse.Namespace, given: str) -> TryCode:
    """Code that nobody but us could have put there. Raises UsageError and Untrusted."""
    base = (options.project_dir or Path.cwd()).resolve()
    found = find_code(base, given, load(base).home)
    require_trusted_code(found.folder, base)
    return found


def _known(options: argparse.Namespace, name: str) -> tuple[dict[str, object], tuple[str, ...], str | None]:
    """What a try of that name tries. Raises LookupError where there is none."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database, database.reading() as connections:
        found = tries.find(connections.project, name)
    if found is None:
        raise LookupError(name)
    return dict(found.settings), tuple(found.targets), found.code


def _show(options: argparse.Namespace) -> int:
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database:
        with database.reading() as connections:
            if tries.of_grid(connections.project, options.show):
                cells = grids.load_cells(connections, Lake(settings.lake_path), options.show)
                _grid.show(options, options.show, cells)
                return 0
            one = tries.load(connections.project, options.show)
            cost = tries.cost(connections, one)
        with database.of_try(one.id).reading() as connections:
            versions = {name: row.output_version for name, row in state.load_states(connections.project).items()}
    sets = [f"  {key} = {value!r}" for key, value in change.flat(one.settings).items()]
    if one.code is not None:
        sets.append(f"  code of {one.code}" + (f", commit {one.code_commit[:12]}" if one.code_commit else ""))
    made = [f"  {name}  {(version or 'no output yet')[:12]}" for name, version in versions.items()]
    emit(
        options,
        {"try": one, "versions": versions, "cost": cost},
        "\n".join([one.name, *sets, *cost_lines(cost), *made]),
    )
    return 0
