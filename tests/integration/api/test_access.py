"""Who may ask, beyond a token: the user at the other end, how long a token must be, and what wrong ones cost."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agent.api.limits import WrongTokens
from agent.api.security import require_safe_address
from agent.cli.token import write_new_token
from agent.errors import UsageError
from tests.integration.api.conftest import MakeClient
from tests.integration.api.test_security import OFF, TOKEN, form_token
from tests.served import INLINE, served

NOBODY = 65534
ASK = """
import encodings.idna, os, socket, sys  # before the user changes, who may not read the library
os.setuid(int(sys.argv[2]))
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.sendall(sys.argv[3].encode())
print(one.makefile().read())
"""


def test_without_a_token_another_user_of_this_machine_is_refused(make_client: MakeClient) -> None:
    client = make_client(user=os.geteuid() + 1)
    for answer in (client.get("/api/agent/status"), client.post("/api/agent/start"), client.get("/healthz")):
        assert answer.status_code == 403
        assert "AGENT_API_TOKEN" in answer.json()["fix"] or "--new-token" in answer.json()["fix"]


def test_where_the_system_cannot_tell_reading_goes_on_and_changes_need_a_token(make_client: MakeClient) -> None:
    client = make_client(user=None)
    assert client.get("/api/agent/status").status_code == 200
    refused = client.post("/api/agent/start")
    assert (refused.status_code, "need a token" in refused.json()["detail"]) == (403, True)


def test_with_a_token_it_does_not_matter_whose_socket_it_is(make_client: MakeClient) -> None:
    client = make_client(OFF, user=os.geteuid() + 1, AGENT_API_TOKEN=TOKEN)
    assert client.post("/api/agent/start", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])
def test_without_a_token_nothing_comes_through_a_proxy(make_client: MakeClient, name: str) -> None:
    assert make_client().get("/api/agent/status", headers={name: "127.0.0.1"}).status_code == 403


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can ask as another user")
def test_a_real_request_of_another_user_is_refused(tmp_path: Path) -> None:
    """curl as somebody else against a server in a process of its own; the same with a header that claims to be us."""
    with served(tmp_path) as server:
        assert httpx.get(f"{server.url}/api/agent/status").status_code == 200
        port = server.url.rpartition(":")[2]
        for more in ("", "X-Forwarded-For: 127.0.0.1\r\n"):
            sent = f"POST /api/agent/start HTTP/1.1\r\nHost: localhost\r\n{more}Connection: close\r\n\r\n"
            done = subprocess.run(
                [sys.executable, "-c", ASK, port, str(NOBODY), sent],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            assert " 403 " in done.stdout.splitlines()[0], done.stdout
        assert httpx.get(f"{server.url}/api/agent/status").json()["state"] == "stopped"


@pytest.mark.parametrize("token", ["", " ", "short", "123456789012345", " 1234567890123 "])
def test_a_token_that_can_be_guessed_opens_no_address_but_loopback(token: str) -> None:
    require_safe_address("127.0.0.1", token)
    with pytest.raises(UsageError) as refused:
        require_safe_address("0.0.0.0", token)
    assert "--new-token" in refused.value.fix
    assert not token.strip() or token.strip() not in str(refused.value)
    require_safe_address("0.0.0.0", "1234567890123456")


@pytest.mark.parametrize(("address", "code"), [("10.0.0.9", 403), ("127.0.0.1", 200)])
def test_under_another_server_a_short_token_serves_this_machine_alone(
    make_client: MakeClient, address: str, code: int
) -> None:
    client = make_client(OFF, client=address, AGENT_API_TOKEN="short")
    assert client.get("/runs", headers={"Authorization": "Bearer short"}).status_code == code


def test_a_new_token_replaces_the_old_one_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_API_TOKEN", raising=False)
    path = tmp_path / ".env"
    path.write_text("# mine\nexport AGENT_API_TOKEN=old\nWORKER_BATCH_SIZE=3\n", encoding="utf-8")
    path.chmod(0o644)
    assert write_new_token(tmp_path) == path
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["# mine", "WORKER_BATCH_SIZE=3"]
    name, _, value = lines[2].partition("=")
    assert (len(lines), name, len(value) >= 40) == (3, "AGENT_API_TOKEN", True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("AGENT_API_TOKEN", "x")
    with pytest.raises(UsageError, match="environment"):
        write_new_token(tmp_path)


def test_serve_with_a_new_token_wants_it(tmp_path: Path) -> None:
    with served(tmp_path, "--new-token") as server:
        token = (tmp_path / ".env").read_text(encoding="utf-8").strip().partition("=")[2]
        assert httpx.get(f"{server.url}/runs").status_code == 401
        assert httpx.get(f"{server.url}/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert token not in server.log()


def test_wrong_tokens_are_answered_one_after_the_other() -> None:
    wrong = WrongTokens(free=2, step=1.0, longest=2.5)
    assert [wrong.delay_seconds("a", 0.0) for _ in range(6)] == [0, 0, 1, 2, None, None]
    assert wrong.delay_seconds("b", 0.0) == 0, "another client is not slowed by this one"
    assert wrong.delay_seconds("a", 1.5) == 1.5
    assert wrong.delay_seconds("a", 70.0) == 0, "a minute later all is forgotten"


def test_the_right_token_passes_while_wrong_ones_are_slowed_and_neither_spends_the_general_limit(
    make_client: MakeClient,
) -> None:
    client = make_client(OFF + "[api]\nrate_limit_per_minute = 2\n", AGENT_API_TOKEN=TOKEN)
    client.app.state.wrong.longest = 0.5  # type: ignore[attr-defined]  # every one after the free ones is too many
    client.app.state.wrong.free = 2  # type: ignore[attr-defined]
    codes = [client.post("/login", data={"token": "wrong"}).status_code for _ in range(4)]
    assert codes == [401, 401, 429, 429]
    assert client.get("/runs", headers={"Authorization": "Bearer wrong"}).status_code == 429
    assert client.post("/login", data={"token": TOKEN}).status_code == 303
    assert client.get("/runs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.post("/worker/process", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 202


def test_what_ends_something_waits_for_no_limit(make_client: MakeClient) -> None:
    client = make_client(INLINE + OFF + "[api]\nrate_limit_per_minute = 2\n")
    client.post("/api/agent/start")
    run = client.post("/runs", json={"goal": "publish"}).json()
    assert client.post("/worker/process").status_code == 429
    assert client.post(f"/runs/{run['id']}/cancel").json()["status"] == "CANCELLED"
    assert client.post("/api/agent/stop").status_code == 200
    data = {"csrf": form_token(client)}
    assert client.post("/ui/agent/stop", data=data).status_code == 409
    assert client.post(f"/ui/runs/{run['id']}/cancel", data=data).status_code == 409


def test_a_project_s_folder_and_files_are_its_owner_s_alone(published: Path, make_client: MakeClient) -> None:
    home = published / ".tidemill"
    home.chmod(0o755)
    assert make_client().get("/api/state").status_code == 200
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in home.rglob("*") if not path.is_symlink()}
    assert len(modes) > 20
    open_to_others = [f"{path}: {mode:o}" for path, mode in modes.items() if mode & 0o077]
    assert open_to_others == []
