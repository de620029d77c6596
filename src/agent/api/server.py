"""What every route works with: settings, database, runner and worker of this server, opened once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from agent.api.lanes import Lanes
from agent.api.metrics import Metrics
from agent.api.outlook import Foreseen, Outlook
from agent.clock import SystemClock
from agent.core.explain import chain
from agent.execution.planning import think
from agent.execution.runlog import Request as RunRequest
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace
from agent.service.projects import DEFAULT_PROJECT, open_project, open_tables
from agent.service.runner import AgentRunner
from agent.service.worker import Worker
from agent.settings import Settings
from agent.store.database.engine import Connections, Database
from agent.store.database.reader import Reader
from agent.store.state import load_states
from pipelines.errors import PipelineError
from pipelines.values import dataclass

_T = TypeVar("_T")


@dataclass(frozen=True)
class Server:
    """This process's server. `worker` has a thread of its own unless [worker] enabled is off."""

    settings: Settings
    database: Database
    reader: Reader
    runner: AgentRunner
    worker: Worker
    metrics: Metrics
    lanes: Lanes = field(default_factory=Lanes)
    outlook: Outlook = field(default_factory=Outlook)
    clock: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        """The present instant, UTC."""
        return self.clock.now()

    async def read(
        self, work: Callable[[Connections], _T], project_id: int = DEFAULT_PROJECT, *, is_long: bool = False
    ) -> _T:
        """What `work` makes of a project's tables. is_long: it reads more than a page of rows.

        Another project than the default one is read in a thread, since its files are looked at first. Raises what
        opening it raises, such as NotFound.
        """
        if project_id == DEFAULT_PROJECT:
            return await self.reader.read(work, is_long=is_long)
        return await asyncio.to_thread(self._read_elsewhere, work, project_id)

    def _read_elsewhere(self, work: Callable[[Connections], _T], project_id: int) -> _T:
        with (
            open_tables(self.settings, self.database, project_id) as opened,
            opened.reading() as connections,
        ):
            return work(connections)

    async def with_project(self, project_id: int, work: Callable[[Workspace], _T]) -> _T:
        """What `work` makes of a project with its components, as its files are now, in the project's own thread.

        Raises what opening the project raises, and ProjectBusy (503) where too many requests wait for it."""
        return await self.lanes.run(project_id, lambda: self._opened(project_id, work))

    def _opened(self, project_id: int, work: Callable[[Workspace], _T]) -> _T:
        with open_project(self.settings, self.database, project_id) as workspace:
            return work(workspace)

    async def foreseen(self) -> Foreseen:
        """What a run of the server's own project would do now."""

        def look(workspace: Workspace) -> Foreseen:
            plan = think(workspace, Inspector(workspace), RunRequest(), now=self.now()).plan
            steps = {step.component: step for step in plan.steps}
            return Foreseen(steps, sentences={name: chain(name, workspace.specs, steps) for name in steps})

        def find() -> Foreseen:
            try:
                return self._opened(DEFAULT_PROJECT, look)
            except PipelineError as error:
                return Foreseen(None, str(error))

        states = await self.read(lambda at: load_states(at.project))
        return await self.outlook.foreseen(states, lambda: self.lanes.submit(DEFAULT_PROJECT, find))


async def server_of(request: Request) -> Server:
    """The server that a request reached. A coroutine: FastAPI runs plain functions in a thread."""
    server: Server = request.app.state.server
    return server


ServerHere = Annotated[Server, Depends(server_of)]
ProjectId = Annotated[int, Query(ge=0, le=2**31 - 1, description="Whose state; 0 is the server's own project.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many, newest first.")]
