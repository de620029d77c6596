"""Projects whose code sleeps, leaves, raises or recurses at import: each harms its own requests, and nobody else's."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from agent.api import lanes
from agent.errors import NotFound
from agent.execution.host import child
from tests.asgi import TestClient
from tests.integration.api.conftest import MakeClient
from tests.served import served
from tests.tiny import tiny_project

# What stands at module level -> the status its requests are answered with.
BAD = {
    "sleeps": ("import time\ntime.sleep(45)\n", {503}),
    "exits": ("import os\nos._exit(3)\n", {409, 503}),
    "raises": ("raise ValueError('no')\n", {409, 503}),
    "recurses": ("def deeper():\n    deeper()\ndeeper()\n", {409, 503}),
    "leaves": ("raise SystemExit(2)\n", {409, 503}),
}
REQUESTS = 50


def bad_project(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "own.py").write_text(text, encoding="utf-8")
    (folder / "agent.toml").write_text("[project]\nmodules = ['own.py']\n", encoding="utf-8")
    return folder


def register(client: httpx.Client | TestClient, name: str, folder: Path) -> int:
    made = client.post("/projects", params={"name": name, "local_path": str(folder)})
    assert made.status_code == 201, made.text
    number: int = made.json()["id"]
    return number


def test_fifty_requests_to_bad_projects_are_all_answered_while_another_plans(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[worker]\nenabled = false\n", encoding="utf-8")
    good = tiny_project(tmp_path / "good")
    with served(tmp_path, "--project-dir", str(tmp_path)) as server, server.client() as client:
        bad = {name: register(client, name, bad_project(tmp_path / name, text)) for name, (text, _) in BAD.items()}
        ok = register(client, "good", good)
        names = [list(BAD)[number % len(BAD)] for number in range(REQUESTS)]

        def ask(name: str) -> tuple[str, httpx.Response]:
            return name, httpx.get(f"{server.url}/api/plan", params={"project_id": bad[name]}, timeout=300)

        with ThreadPoolExecutor(REQUESTS) as people:
            asked = [people.submit(ask, name) for name in names]
            planned = client.get("/api/plan", params={"project_id": ok, "target": "board"})
            assert planned.status_code == 200, planned.text
            assert not all(one.done() for one in asked)  # the one that sleeps was not waited for
            assert client.get("/api/agent/status").status_code == 200
            answers = [one.result() for one in asked]
    assert len(answers) == REQUESTS
    for name, answer in answers:
        assert answer.status_code in BAD[name][1], (name, answer.text)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0


def test_a_ninth_request_that_waits_is_sent_away(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOAD_SECONDS", 5.0)
    client = make_client()
    folder = bad_project(client.app.state.server.settings.base / "bad", BAD["sleeps"][0])  # type: ignore[attr-defined]
    number = register(client, "bad", folder)

    def ask(_: int) -> int:
        return client.get("/api/plan", params={"project_id": number}).status_code

    with ThreadPoolExecutor(lanes.MOST_WAITING + 4) as people:
        started = time.monotonic()
        answers = list(people.map(ask, range(lanes.MOST_WAITING + 4)))
    assert set(answers) == {503}
    assert time.monotonic() - started < 45 * 3  # not one after the other for as long as each would sleep


def test_what_goes_wrong_in_a_lane_is_raised_once_and_not_logged_as_forgotten() -> None:
    forgotten: list[object] = []

    def fail() -> None:
        raise NotFound("there is no such component", where="here", fix="none")

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: forgotten.append(context))
        with pytest.raises(NotFound):
            await lanes.Lanes().run(7, fail)
        gc.collect()

    asyncio.run(ask())
    assert forgotten == []
