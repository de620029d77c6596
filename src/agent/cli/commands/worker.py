"""`agent worker`: works off the run queue without serving anything."""

from __future__ import annotations

import argparse
import logging

from agent import settings as agent_settings
from agent.runtime.signals import stop_on_signals
from agent.service.trust import warn_of_own
from agent.service.wiring import around_runs
from agent.service.worker import Worker
from agent.store.database import engine, migrations
from agent.store.database.engine import Database

HELP = "Work off the run queue; any number of workers may do so on one database."
logger = logging.getLogger("tidemill.worker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--once", action="store_true", help="work off what is queued now, then end")


def run(options: argparse.Namespace) -> int:
    """Work until asked to stop, or until the queue is empty."""
    settings = agent_settings.load(options.project_dir)
    warn_of_own(settings.base)
    own = engine.open_engine(settings.database_url)
    migrations.ensure_current(own, automatic=settings.is_embedded)
    database = Database(control=own, project=own)
    worker = Worker(settings, database, around_runs())
    try:
        with stop_on_signals() as stop:
            if options.once:
                while stop() is None and worker.process(lambda: stop() is not None):
                    logger.info("a batch is done")
            else:
                worker.run(lambda: stop() is not None)
    finally:
        database.close()
    return 0
