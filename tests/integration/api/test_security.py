"""Who may ask: token, cookie, CSRF, Host and Origin, body size, rate; and what every answer carries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.cli.main import main
from agent.errors import UsageError
from tests.integration.api.conftest import MakeClient
from tests.lazy import Lazy

if TYPE_CHECKING:
    from tests.asgi import TestClient

security = Lazy("agent.api.security")

TOKEN = "a-long-secret-that-nobody-knows"
OFF = "[worker]\nenabled = false\n"


def form_token(client: TestClient, page: str = "/") -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get(page).text)
    assert found
    return found[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_no_start_on_another_address_without_a_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AGENT_API_TOKEN", raising=False)
    assert main(["--project-dir", str(tmp_path), "serve", "--host", host]) == 2
    told = capsys.readouterr().err
    assert host in told
    assert "AGENT_API_TOKEN" in told


def test_loopback_or_a_token_may_start() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        security.require_safe_address(host, "")
    security.require_safe_address("0.0.0.0", TOKEN)
    with pytest.raises(UsageError):
        security.require_safe_address("0.0.0.0", "")


def test_without_a_token_only_this_machine_is_served(make_client: MakeClient) -> None:
    assert make_client(client="192.168.1.7").get("/api/agent/status").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "", "["]
)
def test_a_name_that_points_here_does_not_help(make_client: MakeClient, host: str) -> None:
    assert make_client().get("/api/agent/status", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9000", "http://localhost"])
def test_another_site_s_page_may_not_ask(make_client: MakeClient, origin: str) -> None:
    client = make_client()
    assert client.post("/api/agent/start", headers={"Origin": origin}).status_code == 403
    assert client.get("/api/agent/status").json()["state"] == "stopped"
    assert client.get("/api/state", headers={"Origin": origin}).status_code == 403


def test_a_cross_site_post_without_origin_is_refused(make_client: MakeClient) -> None:
    refused = make_client().post("/api/agent/start", headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403


def test_with_a_token_everything_but_healthz_needs_it(make_client: MakeClient) -> None:
    client = make_client(OFF, client="10.0.0.9", base_url="http://mill.example", AGENT_API_TOKEN=TOKEN)
    assert client.get("/healthz").status_code == 200
    for address in ("/api/agent/status", "/runs", "/metrics", "/readyz", "/openapi.json", "/ui/runs"):
        refused = client.get(address)
        assert (refused.status_code, refused.headers.get("www-authenticate")) == (401, "Bearer"), address
    for wrong in ("Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"):
        assert client.get("/runs", headers={"Authorization": wrong}).status_code == 401, wrong
    assert client.get("/runs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.post("/api/agent/start", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_page_logs_in_once_and_its_cookie_needs_the_form_token(make_client: MakeClient) -> None:
    client = make_client(OFF, base_url="http://mill.example", AGENT_API_TOKEN=TOKEN)
    sent = client.get("/", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    done = client.post("/login", data={"token": TOKEN})
    assert done.status_code == 303
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert client.post("/ui/agent/start", data={"csrf": "0" * 64}).status_code == 403
    assert client.post("/ui/agent/start").status_code == 403
    assert client.post("/api/agent/start").status_code == 403
    assert client.get("/api/agent/status").json()["state"] == "stopped"
    assert client.post("/ui/agent/start", data={"csrf": form_token(client)}).status_code == 303
    assert client.get("/api/agent/status").json()["state"] == "running"
    assert client.post("/api/agent/stop", headers={"X-CSRF-Token": form_token(client)}).status_code == 200


def test_a_forged_cookie_is_none(make_client: MakeClient) -> None:
    client = make_client(OFF, AGENT_API_TOKEN=TOKEN)
    for value in ("x", "9999999999.abc.def", "9999999999.abc." + "0" * 64, ".", "9999999999..é"):
        answer = client.get("/runs", headers={"Cookie": f"tidemill_session={value}".encode()})
        assert answer.status_code == 401, value


def test_forms_without_a_token_set_need_theirs_too(make_client: MakeClient) -> None:
    client = make_client()
    assert client.post("/ui/agent/start").status_code == 403
    assert client.post("/ui/agent/start", data={"csrf": form_token(client)}).status_code == 303
    refused = client.post("/ui/agent/interval", data={"csrf": form_token(client), "interval_minutes": "0"})
    assert refused.status_code == 422
    assert "out of bounds" in refused.text


def test_too_large_a_body_is_413(make_client: MakeClient) -> None:
    client = make_client(OFF + "[api]\nmax_body_bytes = 2000\n")
    body = {"goal": "x" * 3000}
    assert client.post("/runs", json=body).status_code == 413
    chunks = (b"x" * 500 for _ in range(10))
    assert client.post("/runs", content=chunks, headers={"Content-Type": "application/json"}).status_code == 413
    assert client.post("/runs", json={"goal": "x" * 1000}).status_code == 201


def test_too_many_changes_are_429_with_a_time_and_reading_goes_on(make_client: MakeClient) -> None:
    client = make_client(OFF + "[api]\nrate_limit_per_minute = 3\n")
    codes = [client.post("/worker/process").status_code for _ in range(4)]
    assert codes == [202, 202, 202, 429]
    refused = client.post("/runs", json={"goal": "publish"})
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert client.get("/runs").status_code == 200


def test_rate_limit_counts_a_minute_and_each_client() -> None:
    limit = security.RateLimit(2)
    assert [limit.wait_seconds("a", now) for now in (0.0, 10.0, 20.0)] == [0, 0, 40]
    assert limit.wait_seconds("b", 20.0) == 0
    assert limit.wait_seconds("a", 60.0) == 0


def test_every_answer_carries_the_headers(make_client: MakeClient) -> None:
    client = make_client()
    for answer in (
        client.get("/"),
        client.get("/api/state"),
        client.get("/nothing"),
        client.get("/", headers={"Host": "x"}),
    ):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_no_secret_in_answers_or_logs(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "postgres-password-123"
    client = make_client(OFF + f'[alerts]\nurls = ["json://{secret}@127.0.0.1:1/"]\n', AGENT_API_TOKEN=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    told = [
        client.get(page, headers=headers).text for page in ("/", "/api/state", "/readyz", "/metrics", "/openapi.json")
    ]
    told.append(client.get("/runs", headers={"Authorization": f"Bearer {TOKEN}x"}).text)
    assert not any(TOKEN in text or secret in text for text in [*told, caplog.text])
