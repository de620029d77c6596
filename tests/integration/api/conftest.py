"""A client of the application in this process, for any settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.served import INLINE, copy_home

if TYPE_CHECKING:
    from tests.asgi import TestClient

MakeClient = Callable[..., "TestClient"]


@pytest.fixture
def make_client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeClient]:
    """Makes clients of an application in `tmp_path` with this agent.toml and environment; by default from this machine
    under its own name, with the worker off."""
    from agent.api.app import create_app
    from tests.asgi import TestClient

    # What is made first ends last: a server looks at its runner's row each second, and has a connection out meanwhile.
    if "database_url" in request.fixturenames:
        request.getfixturevalue("database_url")
    for name in ("AGENT_DATABASE_URL", "AGENT_API_TOKEN", "AGENT_HOME", "WORKER_CHECK_INTERVAL", "TRADING_MODE"):
        monkeypatch.delenv(name, raising=False)

    with ExitStack() as stack:

        def make(
            toml: str = INLINE + "[worker]\nenabled = false\n",
            *,
            client: str = "127.0.0.1",
            base_url: str = "http://localhost:8000",
            user: int | None = os.geteuid(),  # who is at the other end: there is no socket here to tell by
            **env: str,
        ) -> TestClient:
            (tmp_path / "agent.toml").write_text(toml, encoding="utf-8")
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            app = create_app(tmp_path, peer=lambda _client, _server: user)
            return stack.enter_context(
                TestClient(app, base_url=base_url, client=(client, 50000), follow_redirects=False)
            )

        yield make


@pytest.fixture
def published(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tmp_path` with a published sample in it."""
    return copy_home(tmp_path_factory, tmp_path)
