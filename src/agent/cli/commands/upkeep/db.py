"""`agent db`: the database's tables: bring them up to date, take them back, tidy up."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.errors import UsageError
from agent.execution import reserve
from agent.execution.workspace import open_workspace, read_settings
from agent.runtime.retention import forget_runs
from agent.store.control.retention import vacuum
from agent.store.database import migrations
from agent.store.database.engine import open_engine
from agent.store.database.urls import shown

HELP = "Bring the database's tables to this program's version or back, or forget old runs and give the space back."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upgrade = actions.add_parser("upgrade", help="bring the tables to this program's version")
    upgrade.add_argument("revision", nargs="?", default="head", help="stop at this version (the newest)")
    downgrade = actions.add_parser(
        "downgrade", help="take the tables back to an earlier version; what they lack is lost"
    )
    downgrade.add_argument("revision", help="such as 0001, or base for no tables at all")
    actions.add_parser("vacuum", help="forget runs past [retention] keep_days and keep_runs, and give the space back")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    return _vacuum(options) if options.action == "vacuum" else _migrate(options)


def _migrate(options: argparse.Namespace) -> int:
    """Needs no tables to be there yet, unlike every other command."""
    settings, _ = read_settings(options.project_dir)
    known = (*migrations.revisions(), "head", "base")
    if options.revision not in known:
        raise UsageError(
            f"there is no version {options.revision!r}", where="agent db", fix=f"known are: {', '.join(known)}"
        )
    engine = open_engine(settings.database_url)
    try:
        move = migrations.upgrade if options.action == "upgrade" else migrations.downgrade
        move(engine, options.revision)
        where = shown(engine.url)
    finally:
        engine.dispose()
    emit(options, {"database": where, "revision": options.revision}, f"{where}: tables at {options.revision}")
    return 0


def _vacuum(options: argparse.Namespace) -> int:
    settings, _ = read_settings(options.project_dir)
    with reserve.released(settings.home), open_workspace(options.project_dir) as workspace:
        database = workspace.database
        count = forget_runs(workspace.settings, database, database.now())
        vacuum(database.control)
        where = shown(database.control.url)
    emit(options, {"database": where, "forgotten_runs": count}, f"{where}: forgot {count} runs, gave the space back")
    return 0
