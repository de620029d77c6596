"""Opens the newest snapshot of a component for `pipelines.load`, which may know nothing of SQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent import settings
from agent.errors import NotFound
from agent.store import catalog
from agent.store.engine import open_engine, reading
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot


def open_snapshot(component: str, home: Path | None = None) -> tuple[Lake, Snapshot]:
    """The lake and the newest snapshot of `component`, of the project in the current folder or with this `home`.

    Raises NotFound before the component's first success, DatabaseError where the database does not answer.
    """
    here = settings.load()
    if home is not None:
        here = replace(here, home=home.absolute())
    engine = open_engine(here.database_url)
    try:
        with reading(engine) as conn:
            snapshot_id = catalog.latest_snapshot_id(conn, component)
            if snapshot_id is None:
                raise NotFound(
                    f"{component} has no output yet",
                    where=str(here.home),
                    mend="run `agent run`, or name the home folder",
                )
            return Lake(here.lake_path), catalog.load_snapshot(conn, snapshot_id)
    finally:
        engine.dispose()
