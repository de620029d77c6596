"""`python -m agent.orchestrator`: brings the pipeline up to date once, or on a schedule. Wires, decides nothing.

Exit codes: 0 done (also: nothing to do), 1 a component failed, 2 usage or settings, 3 busy.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import console
from agent.arguments import Parser, number
from agent.clock import SystemClock
from agent.core.model import Compute, State
from agent.errors import UsageError
from agent.execution import session
from agent.execution.engine import Report
from agent.execution.runlog import Request
from agent.execution.workspace import Workspace, open_database, open_workspace
from agent.runtime.signals import stop_on_signals
from agent.service.wiring import around_runs
from agent.store import state
from agent.store.outputs import catalog, releases
from pipelines.errors import LakeError

if TYPE_CHECKING:
    from agent.service.schedule import Rule

DEFAULT_INTERVAL_SECONDS = 3600.0


def load_state(base: Path | None = None) -> dict[str, State]:
    """The state of every component, as recorded, of the project in folder `base` (default: the current one)."""
    with open_workspace(base) as workspace, workspace.database.reading() as connections:
        return state.load_states(connections.project)


def save_state(reasons: Mapping[str, str | None], base: Path | None = None) -> None:
    """Show in `orchestrator_state` why components are stale: component -> words, or None for one that is not.

    A run does this by itself at its end. Nothing else of the state can be set from outside: what a success recorded is
    written with its output, in one transaction.
    """
    with open_workspace(base) as workspace, workspace.database.writing() as connections:
        state.show_reasons(connections.project, reasons)


def run_once(
    base: Path | None = None,
    *,
    targets: Sequence[str] = (),
    force: Sequence[str] = (),
    wait: bool = False,
    stop: Callable[[], str | None] = lambda: None,
) -> Report:
    """Bring the pipeline up to date, computing what is stale and nothing else.

    Raises Busy where another process computes a component that is due and `wait` is off; SettingsError, DatabaseError.
    """
    with open_workspace(base) as workspace:
        return session.perform(workspace, _request(targets, force), wait=wait, stop=stop, around=around_runs())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    console.set_up_logging(options.log_format, debug=options.debug)
    mode = _scheduled if options.mode == "scheduled" else _once
    return console.exit_code_of(lambda: mode(options), debug=options.debug)


def show_run(workspace: Workspace, report: Report, *, as_json: bool) -> None:
    """Print the end of a run."""
    with workspace.database.reading() as connections:
        release = releases.current_release(connections.project)
        has_computed = any(isinstance(one.step, Compute) for one in report.components)
        left_out = catalog.quarantined(connections.project) if has_computed else []
    if as_json:
        print(json.dumps(report_json(report), default=str), flush=True)  # a scheduler's output may be a pipe
        return
    has_read = any(one.step.component == "ticks" and isinstance(one.step, Compute) for one in report.components)
    rows, odd = _rows_read(workspace) if has_read else (None, [])
    where = _from_here(workspace.settings.releases_path)
    quarantined = [(name, rows, _from_here(workspace.settings.lake_path / path)) for name, rows, path in left_out]
    text = console.report_text(report, release, where, SystemClock().now(), quarantined, odd, rows)
    print(console.visible(text), flush=True)


def _rows_read(workspace: Workspace) -> tuple[str | None, list[str]]:
    """What became of the sources' rows, in a sentence, and what is odd about them; None and nothing where that cannot
    be read, which `agent checks` reports."""
    from agent.execution.row_account import row_report  # not in a run with nothing to do
    from pipelines.data.tick_parts.account import sentence

    try:
        report = row_report(workspace)
    except LakeError:
        return None, []
    if report is None:
        return None, []
    found, odd = report
    return (sentence(found) if found else None), odd


def _from_here(path: Path) -> str:
    """A path as a person types it: relative where it lies below the present folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def report_json(report: Report) -> dict[str, Any]:
    """A run's end as plain values."""
    return {
        "run_id": report.run_id,
        "status": report.status,
        "error": report.error,
        "components": [
            {
                "component": one.component,
                "step": type(one.step).__name__.lower(),
                "reasons": [asdict(reason) for reason in getattr(one.step, "reasons", ())],
                "seconds": one.seconds,
                "rows": one.rows,
                "version": one.version,
                "is_cut_off": one.is_cut_off,
                "error": one.error,
            }
            for one in report.components
        ],
    }


def once(options: argparse.Namespace, base: Path | None = None) -> int:
    """What `--mode once` and `agent run` do: one run, its end printed; returns the exit code."""
    with open_workspace(base) as workspace:
        if options.dry_run:
            return _dry_run(workspace, options)
        with stop_on_signals() as stop, console.ProgressReporter() as watch:
            request = _request(options.target, options.force)
            report = session.perform(
                workspace, request, wait=options.wait, around=around_runs(), stop=stop, watchers=(watch,)
            )
        show_run(workspace, report, as_json=options.json)
        for one in report.components:
            if options.debug and one.trace:
                print(one.trace, file=sys.stderr)
    return 0 if report.status == "COMPLETED" else 1


def _dry_run(workspace: Workspace, options: argparse.Namespace, *, manual: bool = True) -> int:
    from agent.core.explain import plan_lines
    from agent.core.plan_json import plan_to_json
    from agent.execution.planning import think
    from agent.execution.survey import Inspector

    request = _request(options.target, options.force)
    plan = think(workspace, Inspector(workspace), request, now=SystemClock().now(), manual=manual).plan
    print(json.dumps(plan_to_json(plan)) if options.json else "\n".join(plan_lines(plan)))
    return 0


def _request(targets: Sequence[str], force: Sequence[str]) -> Request:
    goal = f"refresh {', '.join(targets)}" if targets else "refresh up to publish"
    return Request(goal=goal, targets=tuple(targets), force=tuple(force), trigger="person")


def run_scheduled(
    rule: Rule,
    stop: Callable[[], str | None],
    *,
    base: Path | None = None,
    request: Request | None = None,
    wait: bool = False,
    as_json: bool = False,
) -> None:
    """Run at once and then by `rule`, until `stop` says why to end. Survives failures, also of the database.

    Settings and component code are read again for each run. Raises SettingsError, DatabaseError where not even the
    first run could begin.
    """
    from agent.service.projects import PLANNERS
    from agent.service.schedule import Schedule

    asked = replace(request or _request((), ()), trigger="schedule")

    def cycle() -> None:
        with open_workspace(base, hosts=PLANNERS) as workspace, console.ProgressReporter() as watch:
            report = session.perform(
                workspace, asked, manual=False, wait=wait, around=around_runs(), stop=stop, watchers=(watch,)
            )
            show_run(workspace, report, as_json=as_json)

    with open_workspace(base, hosts=PLANNERS) as workspace:
        settings = workspace.settings
    with open_database(settings) as database:
        Schedule(rule, database, cycle, stop, jitter_seconds=settings.schedule.jitter_seconds).run()


def _scheduled(options: argparse.Namespace) -> int:
    from agent.service.schedule import rule_of

    rule = rule_of(options.interval_sec, options.cron, DEFAULT_INTERVAL_SECONDS, options.cron_timezone)
    if options.dry_run:
        with open_workspace() as workspace:
            return _dry_run(workspace, options, manual=False)
    request = _request(options.target, options.force)
    with stop_on_signals() as stop:
        run_scheduled(rule, stop, request=request, wait=options.wait, as_json=options.json)
    return 0


def _once(options: argparse.Namespace) -> int:
    if (options.interval_sec, options.cron, options.cron_timezone) != (None, None, None):
        raise UsageError(
            "an interval or a cron expression, and a single run",
            where="--mode once",
            fix="add --mode scheduled, or leave --interval-sec and --cron out",
        )
    return once(options)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of one run."""
    parser.add_argument("--target", action="append", default=[], help="only this component and what it needs")
    parser.add_argument("--force", action="append", default=[], help="recompute this component in any case")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and run nothing")
    parser.add_argument("--wait", action="store_true", help="wait for components another process computes")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m agent.orchestrator", description="Bring the market pipeline up to date.")
    parser.add_argument("--mode", choices=("once", "scheduled"), default="once")
    parser.add_argument(
        "--interval-sec", type=number(0.1, 366 * 86400), help="scheduled: seconds between runs (default 3600)"
    )
    parser.add_argument("--cron", help='scheduled: "minute hour day month weekday" instead of an interval')
    parser.add_argument("--cron-timezone", metavar="ZONE", help="of the cron expression, such as Europe/Paris (UTC)")
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a run")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--debug", action="store_true", help="log more, show tracebacks")
    return parser


if __name__ == "__main__":
    gc.freeze()  # what was imported stays: looking through it again and again takes a tenth of a run with nothing to do
    gc.set_threshold(50_000)  # rows of very many partitions are no garbage: each look for some costs as much as reading
    sys.exit(main())
