"""Forgetting old runs as [retention] says, at most once an hour per project, whichever process ends a run."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from agent.settings import Settings
from agent.store.control import retention, schedules
from agent.store.database.engine import Database

EVERY = timedelta(hours=1)
_NAME = "upkeep"
_RULE = "at most hourly"


def schedule_of(project_id: int) -> str:
    """The name of a project's row in `schedules`, which lie with the server; the default project's is the plain one."""
    return f"{_NAME} of project {project_id}" if project_id else _NAME


def is_due(database: Database, now: datetime) -> bool:
    """Whether an hour has gone by since this project was last tidied up; if so the next hour begins now.

    The time lies in SQL, so that only one of several processes gets it, and processes that live for one run take turns.
    """
    name = schedule_of(database.project_id)
    with database.reading() as connections:  # most look in vain, and need no writing transaction
        known = schedules.load_due(connections.control, name)
    if known is not None and not schedules.is_over(known.next_due_at, now, EVERY):
        return False
    with database.writing() as connections:
        return schedules.claim(connections.control, name, _RULE, every=EVERY, now=now)


def forget_runs(settings: Settings, database: Database, now: datetime) -> int:
    """Forget runs that are older than [retention] says, a batch in each transaction; returns how many."""
    keep, total = settings.retention, 0
    before = now - timedelta(days=keep.keep_days)
    while True:
        with database.writing() as connections:
            count = retention.forget_runs(connections.control, keep_runs=keep.keep_runs, before=before)
        total += count
        if count < retention.BATCH:
            return total
        time.sleep(retention.GIVE_WAY_SECONDS)
