"""`agent serve`: the HTTP API and the pages, with a worker inside."""

from __future__ import annotations

import argparse
import logging
from types import FrameType

from agent import settings as agent_settings
from agent.api.security import require_safe_address
from agent.arguments import port
from agent.cli.token import write_new_token

HELP = "Serve the HTTP API and the pages on http://127.0.0.1:8000, and work off the run queue."
_GRACE_SECONDS = 5
logger = logging.getLogger("tidemill.api")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", help="address to listen on ([api] host); any but loopback needs AGENT_API_TOKEN")
    parser.add_argument("--port", type=port, help="port to listen on ([api] port)")
    parser.add_argument(
        "--new-token", action="store_true", help="write a new AGENT_API_TOKEN to .env (mode 600) and serve with it"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    settings = agent_settings.load(options.project_dir)
    if options.new_token:
        path = write_new_token(settings.base)
        logger.info("a new token is in %s, as AGENT_API_TOKEN; those that were in use before no longer work", path)
        settings = agent_settings.load(options.project_dir)
    host = options.host or settings.api.host
    require_safe_address(host, settings.api.token)

    import uvicorn

    from agent.api.app import create_app
    from agent.service.runner import get_agent_runner

    get_agent_runner(
        settings.base
    )  # a database that is not there, or not migrated, is reported before anything listens
    app = create_app(options.project_dir)

    class Server(uvicorn.Server):
        """Lets event streams end when the server is asked to stop; they would otherwise hold it until they time out."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.leaving.set()
            super().handle_exit(sig, frame)

    port = settings.api.port if options.port is None else options.port
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        loop="asyncio",  # the same loop whatever else is installed: ccxt brings uvloop along
        access_log=options.debug,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # Without a token the client's address says who may ask: no header may change it.
        proxy_headers=bool(settings.api.token),
    )
    server = Server(config)
    server.run()
    return 0 if server.started else 1
