"""Opens the newest snapshot of a component for `pipelines.load`, which may know nothing of SQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from agent import settings
from agent.errors import NotFound
from agent.store import state
from agent.store.database.engine import open_engine, reading
from agent.store.outputs import catalog, tries
from pipelines.lake import Lake
from pipelines.loading import TABLES
from pipelines.snapshot import Snapshot

_FIX = 'run `agent run` first, or say where the project keeps its data: home=Path("…/.tidemill")'


def open_snapshot(component: str, home: Path | None = None, of: str | None = None) -> tuple[Lake, Snapshot]:
    """The lake and the newest snapshot of `component`, of the project in the current folder or with this `home`; that
    of production, or of the try called `of`.

    Raises NotFound where nothing was ever run, for an unknown component or try and before its first success,
    DatabaseError where the database does not answer.
    """
    here = _here(home)
    if here.is_embedded and not (here.home / settings.DATABASE_FILE).is_file():
        raise NotFound("no pipeline has run here", where=str(here.home), fix=_FIX)
    engine = open_engine(here.database_url)
    try:
        with reading(engine) as conn:
            snapshot_id = catalog.latest_snapshot_id(conn, component) if of is None else _of_try(conn, of, component)
            if snapshot_id is None:
                known = sorted(state.load_states(conn))
                if component not in known:
                    raise NotFound(
                        f"there is no table or component {component!r}",
                        where=str(here.home),
                        fix=f"load one of: {', '.join(dict.fromkeys([*TABLES, *known]))}",
                    )
                raise NotFound(f"{component} has no output yet", where=str(here.home), fix=_FIX)
            return Lake(here.lake_path), catalog.load_snapshot(conn, snapshot_id)
    finally:
        engine.dispose()


def inbox_path(home: Path | None = None) -> Path:
    """Where replies of remote sources lie, of the project in the current folder or with this `home`."""
    return _here(home).inbox_path


def _here(home: Path | None) -> settings.Settings:
    here = settings.load()
    return here if home is None else replace(here, home=home.absolute())


def _of_try(conn: sa.Connection, name: str, component: str) -> int | None:
    """What a try has of a component, which may be production's; None where it has nothing yet."""
    states = state.load_states(conn, try_id=tries.load(conn, name).id)
    return states[component].output_snapshot_id if component in states else None
