"""What every route works with: settings, database, runner and worker of this server, opened once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from agent.api.lanes import Lanes
from agent.api.metrics import Metrics
from agent.clock import SystemClock
from agent.execution.workspace import Workspace
from agent.service.projects import DEFAULT_PROJECT, open_project, open_tables
from agent.service.runner import AgentRunner
from agent.service.worker import Worker
from agent.settings import Settings
from agent.store.database.engine import Connections, Database

_T = TypeVar("_T")


@dataclass(frozen=True)
class Server:
    """This process's server. `worker` has a thread of its own unless [worker] enabled is off."""

    settings: Settings
    database: Database
    runner: AgentRunner
    worker: Worker
    metrics: Metrics
    lanes: Lanes = field(default_factory=Lanes)
    clock: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        """The present instant, UTC."""
        return self.clock.now()

    @contextmanager
    def reading(self, project_id: int = DEFAULT_PROJECT) -> Iterator[Connections]:
        """Reading transactions on a project's tables. Raises NotFound where there is no such project."""
        if project_id == DEFAULT_PROJECT:
            with self.database.reading() as connections:
                yield connections
        else:
            with (
                open_tables(self.settings, self.database, project_id) as opened,
                opened.reading() as connections,
            ):
                yield connections

    async def with_project(self, project_id: int, work: Callable[[Workspace], _T]) -> _T:
        """What `work` makes of a project with its components, as its files are now, in the project's own thread.

        Raises what opening the project raises, and ProjectBusy (503) where too many requests wait for it."""

        def do() -> _T:
            with open_project(self.settings, self.database, project_id) as workspace:
                return work(workspace)

        return await self.lanes.run(project_id, do)


def server_of(request: Request) -> Server:
    """The server that a request reached."""
    server: Server = request.app.state.server
    return server


ServerHere = Annotated[Server, Depends(server_of)]
ProjectId = Annotated[int, Query(ge=0, le=2**31 - 1, description="Whose state; 0 is the server's own project.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many, newest first.")]
