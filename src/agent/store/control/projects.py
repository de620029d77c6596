"""Projects: folders with their own agent.toml, lake and state. Project 0 is the default one."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from agent.errors import Conflict, NotFound
from agent.store.database.engine import insert
from agent.store.tables import alerts, projects, runs, schedules
from pipelines.values import dataclass


@dataclass(frozen=True)
class Project:
    """A row of projects."""

    id: int
    name: str
    local_path: str
    settings_file: str | None
    created_at: datetime


def create_project(
    conn: sa.Connection, *, name: str, local_path: str, settings_file: str | None = None, now: datetime
) -> Project:
    """A new project. Raises Conflict where the name is taken."""
    values = {"name": name, "local_path": local_path, "settings_file": settings_file, "created_at": now}
    new = insert(conn, projects).values(**values).on_conflict_do_nothing(index_elements=["name"])
    project_id = conn.scalar(new.returning(projects.c.id))
    if project_id is None:
        raise Conflict(f"there is a project called {name!r} already", where="projects", fix="choose another name")
    return load_project(conn, project_id)


def lock_projects(conn: sa.Connection) -> None:
    """Let nobody else register or change a project until this transaction ends."""
    conn.execute(sa.select(projects.c.id).where(projects.c.id == 0).with_for_update())


def load_project(conn: sa.Connection, project_id: int) -> Project:
    """A project. Raises NotFound."""
    row = conn.execute(sa.select(projects).where(projects.c.id == project_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no project {project_id}", where="projects", fix="GET /projects lists them")
    return Project(**row)


def delete_project(conn: sa.Connection, project_id: int, schedule: str) -> int:
    """Delete a project with its runs (their events, attempts and approvals go with them), its schedule and what is
    known of its alerts; returns how many runs."""
    count = conn.execute(sa.delete(runs).where(runs.c.project_id == project_id)).rowcount
    conn.execute(sa.delete(schedules).where(schedules.c.name == schedule))
    of_it = sa.or_(alerts.c.cause == f"run/project {project_id}", alerts.c.cause.like(f"% of project {project_id}"))
    conn.execute(sa.delete(alerts).where(of_it))
    conn.execute(sa.delete(projects).where(projects.c.id == project_id))
    return count


def drop_schema(conn: sa.Connection, project_id: int) -> None:
    """Drop the schema with a project's tables. On SQLite they are a file in its home."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.schema.DropSchema(f"project_{project_id}", cascade=True, if_exists=True))


def list_projects(conn: sa.Connection) -> list[Project]:
    """Every project, the default one first."""
    return [Project(**row) for row in conn.execute(sa.select(projects).order_by(projects.c.id)).mappings()]
