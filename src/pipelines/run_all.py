"""The plain chain: every component once, in order, everything from scratch. No state, no database.

python -m pipelines.run_all [--settings agent.toml] [--out DIR] [--as-known-at TIME]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pipelines.as_known import project_as_known
from pipelines.component import Component
from pipelines.errors import PipelineError, SettingsError
from pipelines.lake import SHARED_FOLDER, Lake, place_in_release
from pipelines.plugins.ordering import in_order
from pipelines.project import Project, compute, load_project
from pipelines.snapshot import Snapshot

OUT = Path(".tidemill") / "run_all"
_MARK = ".run_all"  # lies in a folder that this program made, and may empty
Status = Literal["success", "failed", "skipped"]


def run_all(
    settings: Path | None = None,
    out: Path = OUT,
    on_status: Callable[[str, Status], None] = lambda step, status: None,
    on_error: Callable[[Exception], None] = lambda error: None,
    as_known_at: datetime | None = None,
) -> dict[str, Status]:
    """Run every component of settings file `settings` (None: agent.toml here, or defaults) and return step -> status.

    A step is named by its function. What follows a failed one is skipped. Files go to `out`: lake/ with every
    partition, release/ with what a release component made. `as_known_at` (aware): with what remote sources had given by
    then. Raises SettingsError, and PipelineError for an instant that cannot be gone back to, before anything is run or
    removed.
    """
    project = load_project(settings)
    if as_known_at is not None:
        project = project_as_known(project, as_known_at)
    steps = steps_of(project.components)
    _empty(out)
    snapshots: dict[str, Snapshot] = {}
    statuses: dict[str, Status] = {}
    for component in steps:
        step = function_name(component)
        if "failed" in statuses.values():
            statuses[step] = "skipped"
        else:
            try:
                snapshots[component.name] = _run(component, project, snapshots, out)
                statuses[step] = "success"
            except Exception as error:
                statuses[step] = "failed"
                on_error(error)
        on_status(step, statuses[step])
    return statuses


def steps_of(components: Mapping[str, Component]) -> list[Component]:
    """Each after everything it reads. Raises SettingsError for an unknown upstream or a circle."""
    return [components[name] for name in in_order({name: one.upstream for name, one in components.items()})]


def function_name(component: Component) -> str:
    """The name of a component's function, such as build_features."""
    return getattr(component.function, "__name__", component.name)


def _run(component: Component, project: Project, snapshots: Mapping[str, Snapshot], out: Path) -> Snapshot:
    lake = Lake(out / "lake")
    snapshot = compute(project, component, snapshots, lake=lake, attempt="run-all")
    if component.is_release:
        for partition in snapshot.partitions:
            target = place_in_release(out / "release", partition.key)
            if target is None:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(lake.path_of(partition), target)
    return snapshot


def _empty(out: Path) -> None:
    """Make `out` an empty folder of ours. Raises SettingsError where it holds what this program did not make."""
    mark = out / _MARK
    if out.exists() and not mark.is_file() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError("the folder for the output is not empty", where=str(out), fix="name another after --out")
    for name in ("lake", "release", SHARED_FOLDER):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()


def main(argv: list[str] | None = None) -> int:
    """Print one status per step and return the exit code: 0 done, 1 a step failed, 2 settings."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.run_all", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--settings", type=Path, help="settings file (default: agent.toml here, if there is one)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for lake/ and release/ (default: %(default)s)")
    parser.add_argument(
        "--as-known-at",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="read what remote sources had given by then, such as 2026-11-20T00:00Z",
    )
    arguments = parser.parse_args(argv)
    try:
        statuses = run_all(
            arguments.settings,
            arguments.out,
            on_status=lambda step, status: print(f"{step}: {status}", flush=True),
            on_error=_tell,
            as_known_at=arguments.as_known_at,
        )
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if "failed" in statuses.values() else 0


def _tell(error: Exception) -> None:
    """An error of ours says all it has to; any other is a fault of the program, so its traceback is shown."""
    if not isinstance(error, PipelineError):
        traceback.print_exception(error, file=sys.stderr)
    print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
