"""Nothing is passed over in silence, and no header, cookie or body is answered with a 5xx."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.service.runner import AgentRunner
from agent.settings import load
from tests.asgi import TestClient
from tests.integration.api.conftest import MakeClient
from tests.integration.api.test_security import OFF, TOKEN, form_token

BODIES = [
    ("POST", "/runs", {"goal": "publish"}, "require_aproval", "require_approval"),
    ("POST", "/runs", {"goal": "publish"}, "target", "targets"),
    ("PUT", "/api/agent/interval", {"interval_minutes": 5}, "interval_minute", "interval_minutes"),
    ("POST", "/runs/1/approve", {}, "reasn", "reason"),
    ("POST", "/runs/1/reject", {}, "reasons", "reason"),
    ("POST", "/api/state/ticks/mark-dirty", {}, "partition", "partitions"),
]


@pytest.mark.parametrize(("method", "path", "body", "wrong", "right"), BODIES)
def test_an_unknown_field_is_422_with_the_nearest_name(
    make_client: MakeClient, method: str, path: str, body: dict[str, object], wrong: str, right: str
) -> None:
    client = make_client()
    refused = client.request(method, path, json={**body, wrong: True})
    assert refused.status_code == 422
    assert f"unknown field '{wrong}': did you mean '{right}'?" in refused.json()["detail"]
    assert client.get("/runs").json()["runs"] == []


def test_an_unknown_parameter_is_422_with_the_nearest_name_on_every_route(make_client: MakeClient) -> None:
    client = make_client()
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            address = path.format(run_id=1, component="ticks", snapshot_id=1, project_id=1, lock_id=1)
            refused = client.request(method, address, params={"projectid": 1})
            assert refused.status_code == 422, (method, path)
            assert "unknown parameter 'projectid'" in refused.text, (method, path)
    told = client.get("/api/state", params={"project": 1}).json()["detail"]
    assert told == "unknown parameter 'project': did you mean 'project_id'?"
    assert client.get("/ui/runs", params={"utm_source": "x"}).status_code == 200


def test_a_body_where_none_is_taken_is_422(make_client: MakeClient) -> None:
    client = make_client()
    refused = client.post("/api/agent/start", json={"interval_minutes": 5})
    assert (refused.status_code, refused.json()["detail"]) == (422, "this address takes no body")
    assert client.get("/api/agent/status").json()["state"] == "stopped"
    refused = client.post("/projects", json={"name": "x", "local_path": "/tmp/x"})
    assert refused.status_code == 422
    for empty in (b"", b"{}", b" null\n"):
        assert client.post("/api/agent/start", content=empty).status_code in (200, 409)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/agent/interval", {"interval_minutes": True}),
        ("/api/agent/interval", {"interval_minutes": "30"}),
        ("/api/agent/interval", {"interval_minutes": 30.0}),
        ("/api/agent/interval", {"interval_minutes": 1.5}),
        ("/runs", {"goal": "publish", "project_id": False}),
        ("/runs", {"goal": "publish", "project_id": "0"}),
        ("/runs", {"goal": "publish", "require_approval": 1}),
        ("/runs", {"goal": "publish", "require_approval": "false"}),
        ("/runs", {"goal": 5}),
        ("/runs", {"goal": "publish", "targets": "ticks"}),
        ("/runs", {"goal": "publish", "targets": [1]}),
        ("/runs", ["publish"]),
    ],
)
def test_a_value_of_another_type_is_422(make_client: MakeClient, path: str, body: object) -> None:
    client = make_client()
    method = "PUT" if path.startswith("/api") else "POST"
    assert client.request(method, path, json=body).status_code == 422
    assert client.get("/api/agent/status").json()["interval_minutes"] == 60


@pytest.mark.parametrize("minutes", [1.5, True, 5.0, "5", float("nan"), 0, 10081])
def test_the_runner_takes_whole_minutes_alone(tmp_path: Path, minutes: object) -> None:
    settings = load(tmp_path, {})
    with pytest.raises(UsageError, match="interval_minutes"):
        AgentRunner(minutes, settings=settings)  # type: ignore[arg-type]

    async def update() -> None:
        runner = AgentRunner(settings=settings)
        try:
            with pytest.raises(UsageError, match="interval_minutes"):
                await runner.update_interval(minutes)  # type: ignore[arg-type]
            assert runner.get_status()["interval_minutes"] == 60
        finally:
            await runner.close()

    asyncio.run(update())


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_said_to_be_json_is_told_so(make_client: MakeClient, content_type: str | None) -> None:
    client = make_client()
    headers = {} if content_type is None else {"Content-Type": content_type}
    refused = client.post("/runs", content=b'{"goal": "publish"}', headers=headers)
    assert refused.status_code == 422
    assert "Content-Type" in refused.json()["detail"]
    assert refused.json()["fix"] == "send the header Content-Type: application/json"


WEIRD = ["http://[", "[", "://", "\xff\xfe", "a" * 5000, "9" * 4400, "-1", "²", ";;=;", "%", "bytes=9-1", "null", ""]
HEADERS = [
    *("Origin", "Host", "Cookie", "Authorization", "Content-Type", "Content-Length", "Accept", "Sec-Fetch-Site"),
    *("Last-Event-ID", "Idempotency-Key", "X-CSRF-Token", "HX-Request", "Range", "If-None-Match", "If-Modified-Since"),
    *("Accept-Encoding", "Forwarded", "X-Forwarded-For", "Referer", "Transfer-Encoding", "Expect"),
]


ASKED = [
    ("GET", "/"),
    ("GET", "/static/style.css"),
    ("GET", "/runs/1/events/stream"),
    ("POST", "/runs"),
    ("POST", "/login"),
]


def test_no_header_is_answered_with_a_5xx(make_client: MakeClient) -> None:
    client = make_client(OFF)
    client.app.state.wrong.step = 0.0  # type: ignore[attr-defined]  # each login here is a wrong one
    quiet = TestClient(
        client.app, base_url=str(client.base_url), client=("127.0.0.1", 1), raise_server_exceptions=False
    )
    codes = {
        (name, value, method, path): quiet.request(
            method,
            path,
            headers=[(name.encode(), value.encode("latin-1"))],
            content=b"{}" if method == "POST" else None,
        ).status_code
        for name in HEADERS
        for value in WEIRD
        for method, path in ASKED
    }
    assert {asked: code for asked, code in codes.items() if code >= 500} == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; charset=idna",
        "multipart/form-data; boundary=x; charset=undefined",
        "multipart/form-data; boundary=x; charset=no-such",
        "application/x-www-form-urlencoded; charset=idna",
    ],
)
def test_a_form_that_cannot_be_read_is_4xx(make_client: MakeClient, content_type: str) -> None:
    client = make_client(OFF, AGENT_API_TOKEN=TOKEN)
    body = b'--x\r\nContent-Disposition: form-data; name="token\xff..\xc3"\r\n\r\n\xff..\r\n--x--\r\n'
    answer = client.post("/login", content=body, headers={"Content-Type": content_type})
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "foreign", ["a[b]=1", "ключ=1", "x", "a b=1", 'q="', "@=2", "=;=", "tidemill_session=old", "{}=1", "a,b=c"]
)
def test_a_foreign_cookie_breaks_neither_forms_nor_logins(make_client: MakeClient, foreign: str) -> None:
    client = make_client(OFF)
    page = form_token(client)
    own = client.cookies["tidemill_session"]
    for header in (f"{foreign}; tidemill_session={own}", f"tidemill_session={own}; {foreign}"):
        sent = {"Cookie": header.encode()}
        client.cookies.clear()
        assert (
            client.post("/ui/agent/interval", data={"csrf": page, "interval_minutes": "7"}, headers=sent).status_code
            == 303
        )
