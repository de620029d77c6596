"""The application: `uvicorn agent.api.app:app`, or `agent serve`."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from agent import settings as agent_settings
from agent.api import errors
from agent.api.limits import WrongTokens
from agent.api.metrics import Metrics
from agent.api.peers import PeerUser, user_at
from agent.api.security import Gate
from agent.api.server import Server
from agent.api.session import Sessions
from agent.execution.workspace import close_home
from agent.service.projects import PLANNERS
from agent.service.runner import get_agent_runner
from agent.service.trust import warn_of_own
from agent.service.worker import Worker
from agent.store.database.reader import Reader

_HERE = Path(__file__).parent


def create_app(base: Path | None = None, *, peer: PeerUser = user_at) -> FastAPI:
    """The application for the project in folder `base` (default: the current one). Raises SettingsError.

    `peer` says which user is at the other end of a connection, where there is no token to tell by.
    Runner and worker come to life with the server, not before. The runner is not started: a person does that.
    """
    settings = agent_settings.load(base)
    close_home(settings)
    warn_of_own(settings.base)
    metrics, sessions = Metrics(), Sessions(settings.api.token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runner = await asyncio.to_thread(get_agent_runner, settings.base)
        await runner.come_back()
        worker = Worker(settings, runner.database, runner.around)
        reader = Reader(runner.database)
        app.state.server = Server(settings, runner.database, reader, runner, worker, metrics)
        if settings.worker.enabled:
            worker.start()
        try:
            yield
        finally:
            app.state.leaving.set()
            app.state.server.lanes.close()
            PLANNERS.stop_loading()
            await asyncio.to_thread(worker.stop)
            await reader.close()
            await runner.close()
            await asyncio.to_thread(PLANNERS.close)

    app = FastAPI(
        title="Tidemill",
        summary="Keeps a market pipeline up to date and says why.",
        description="See docs/how-to/http-api.md. With AGENT_API_TOKEN set, send `Authorization: Bearer TOKEN`.",
        version=_version(),
        lifespan=lifespan,
        responses=errors.RESPONSES,
        docs_url=None,  # those load scripts from another site into ours; /ui/reference is our own
        redoc_url=None,
        generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}" if route.tags else route.name,
        redirect_slashes=False,
    )
    app.state.leaving = asyncio.Event()
    app.state.sessions = sessions
    app.state.wrong = WrongTokens()
    errors.install(app)
    for path in sorted((_HERE / "routes").glob("*.py")):
        if path.stem != "__init__":
            app.include_router(importlib.import_module(f"agent.api.routes.{path.stem}").router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_middleware(Gate, api=settings.api, sessions=sessions, metrics=metrics, wrong=app.state.wrong, peer=peer)
    return app


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tidemill")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def __getattr__(name: str) -> FastAPI:
    """`app`, made for the current folder when a server asks for it: importing this module reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = create_app()
    made: FastAPI = globals()["app"]
    return made
