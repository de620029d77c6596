"""The pages at / judge components as the dashboard and `agent plan` do: by what changed since the last run, too."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from agent.api import outlook
from agent.api.outlook import Foreseen, Outlook
from agent.core.model import Skip, State
from pipelines.errors import PipelineError
from tests.asgi import TestClient
from tests.integration.api.conftest import MakeClient
from tests.served import INLINE

OFF = INLINE + "[worker]\nenabled = false\n"


def _words(page: str) -> dict[str, str]:
    """Component -> the word that the table says of it."""
    return dict(re.findall(r'/ui/components/(\w+)">\w+</a></td><td[^>]*class="state[^>]*>([^<]+)<', page))


def test_a_setting_that_changed_since_makes_it_stale(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    assert set(_words(client.get("/").text).values()) == {"up to date"}
    (published / "agent.toml").write_text(OFF + "[inference]\nmargin = 0.03\n", encoding="utf-8")
    _forget(client)
    for address in ("/", "/ui/components"):
        found = _words(client.get(address).text)
        assert (found["model"], found["inference"], found["publish"]) == ("up to date", "stale", "maybe stale")
    own = client.get("/ui/components/inference").text
    assert re.search(r'class="state paused">stale<', own)
    assert "inference runs because the setting margin changed from 0.0 to 0.03." in own
    assert "inference runs because the setting margin changed" in client.get("/ui/components/publish").text
    (published / "agent.toml").write_text(OFF, encoding="utf-8")
    _forget(client)
    assert set(_words(client.get("/").text).values()) == {"up to date"}


def test_settings_that_cannot_be_read_hide_no_page(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    (published / "agent.toml").write_text("[inference]\nmargin = 'wide'\n", encoding="utf-8")
    for address in ("/", "/ui/components/model"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "What the next run would do is not known" in answer.text
        assert "[inference] margin" in answer.text
        assert ">up to date<" in answer.text


def test_who_died_does_not_run_any_more(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    with client.app.state.server.database.writing() as connections:  # type: ignore[attr-defined]
        connections.project.exec_driver_sql(
            "UPDATE orchestrator_state SET status = 'running', lease_owner = 'gone', lease_expires_at = '2001-01-01'"
            " WHERE component = 'model'"
        )
    assert _words(client.get("/").text)["model"] == "died"


def test_code_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "_WAIT_SECONDS", 0.01)
    states, found = {"model": State("model")}, Foreseen({"model": Skip("model")})
    asked: list[Future[Foreseen]] = []

    def begin() -> Future[Foreseen]:
        asked.append(Future())
        return asked[-1]

    def look(now: Mapping[str, State]) -> Foreseen:
        return asyncio.run(kept.foreseen(now, begin))

    kept, later = Outlook(), {"model": State("model", run_count=1)}
    for _ in range(2):
        assert look(states).steps is None
        assert "load the page again" in look(states).why_not
    asked[0].set_result(found)
    for _ in range(2):
        assert look(states) == found
    assert len(asked) == 1, "it is kept for a moment"
    look(later)
    assert len(asked) == 2, "for these states"
    asked[1].set_result(found)
    kept._asked_at -= 6
    look(later)
    assert len(asked) == 3, "and no longer"
    asked[2].set_result(found)

    def refuse() -> Future[Foreseen]:
        raise PipelineError("too many ask", fix="ask later")

    assert asyncio.run(kept.foreseen(states, refuse)) == Foreseen(None, "too many ask\n  fix:   ask later")
    assert look(later) == found


def _forget(client: TestClient) -> None:
    """As if some seconds had gone by."""
    client.app.state.server.outlook._asked_at = -100.0  # type: ignore[attr-defined]
