"""What users of other queues expect: priorities, filters by time, ending many runs, logs, and removing a project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.store.control import attempts
from agent.store.database.engine import database_now, open_engine, writing
from tests.integration.api.conftest import MakeClient
from tests.tiny import tiny_project

TOKEN = "a-token-of-some-length"
OFF = "[worker]\nenabled = false\n"


def ids(answer: dict[str, list[dict[str, int]]]) -> list[int]:
    return [run["id"] for run in answer["runs"]]


def test_runs_by_time_and_many_ended_at_once(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(OFF)
    client.post("/projects", params={"name": "p", "local_path": str(tiny_project(tmp_path / "p"))})
    made = [client.post("/runs", json={"goal": "publish"}).json() for _ in range(4)]
    other = client.post("/runs", json={"project_id": 1, "goal": "board"}).json()
    middle = made[2]["created_at"]
    assert ids(client.get("/runs", params={"created_after": middle}).json()) == [
        other["id"],
        made[3]["id"],
        made[2]["id"],
    ]
    assert ids(client.get("/runs", params={"created_before": middle}).json()) == [made[1]["id"], made[0]["id"]]
    assert client.get("/runs", params={"created_after": "yesterday"}).status_code == 422
    which = {"created_before": middle, "project_id": 0}
    assert client.post("/runs/cancel", json=which).json() == {
        "cancelled": [made[0]["id"], made[1]["id"]],
        "more": False,
    }
    assert client.post("/runs/cancel", json=which).json() == {"cancelled": [], "more": False}
    assert client.post("/runs/cancel", json={"statuses": ["RUNNING"]}).json()["cancelled"] == []
    assert client.post("/runs/cancel", json={"statuses": ["COMPLETED"]}).status_code == 422
    assert client.post("/runs/cancel", json={"project": 1}).status_code == 422  # would have ended all
    assert ids(client.get("/runs?status=QUEUED").json()) == [other["id"], made[3]["id"], made[2]["id"]]
    assert client.post("/runs/cancel", json={}).json()["cancelled"] == [made[2]["id"], made[3]["id"], other["id"]]
    assert client.get(f"/runs/{other['id']}").json()["status"] == "CANCELLED"


def test_a_priority_stays_with_the_run_and_its_retry(make_client: MakeClient) -> None:
    client = make_client(OFF)
    first = client.post("/runs", json={"goal": "publish", "priority": 5}).json()
    assert (first["priority"], first["retry_of"]) == (5, None)
    client.post(f"/runs/{first['id']}/cancel")
    again = client.post(f"/runs/{first['id']}/retry").json()
    assert (again["priority"], again["retry_of"]) == (5, first["id"])
    assert client.post("/runs", json={"goal": "publish", "priority": 101}).status_code == 422
    assert client.post("/runs", json={"goal": "publish", "priority": True}).status_code == 422


def test_the_log_of_a_run_has_its_events_and_tracebacks_and_no_password(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(OFF)
    run_id = client.post("/runs", json={"goal": "publish"}).json()["id"]
    with writing(open_engine(f"sqlite:///{tmp_path / '.tidemill' / 'state.sqlite'}")) as conn:
        now = database_now(conn)
        attempt = attempts.start_attempt(
            conn, run_id=run_id, component="ticks", number=1, token=1, owner="me", reasons=[], now=now
        )
        said = "Traceback …\nValueError: postgresql://me:hunter2hunter2@db/x"
        attempts.finish_attempt(conn, attempt, status="failed", now=now, error="bad", traceback=said)
    answer = client.get(f"/runs/{run_id}/log")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "RUN_CREATED: asked for: " in answer.text.splitlines()[0]
    assert "ticks, try 1, failed:" in answer.text
    assert "ValueError: postgresql://" in answer.text
    assert "hunter2" not in answer.text
    assert client.get("/runs/999/log").status_code == 404


def test_a_project_is_removed_with_its_runs_and_its_data_stay(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(OFF)
    folder = tiny_project(tmp_path / "p")
    client.post("/projects", params={"name": "p", "local_path": str(folder)})
    run = client.post("/runs", json={"project_id": 1, "goal": "board"}).json()
    refused = client.delete("/projects/1")
    assert (refused.status_code, "is not over" in refused.json()["detail"]) == (409, True)
    client.post("/runs/cancel", json={"project_id": 1})
    with_data = client.delete("/projects/1", params={"data": True})
    assert (with_data.status_code, "token" in with_data.json()["detail"]) == (403, True)
    gone = client.delete("/projects/1")
    home = str(folder / ".tidemill")
    assert gone.json() == {"id": 1, "runs": 1, "data": False, "home": home}
    assert client.get("/projects/1").status_code == 404
    assert client.get(f"/runs/{run['id']}").status_code == 404
    assert client.delete("/projects/1").status_code == 404
    assert client.delete("/projects/0").status_code == 409
    assert Path(home, "state.sqlite").exists()
    assert client.post("/projects", params={"name": "p", "local_path": str(folder)}).json()["id"] == 2


@pytest.mark.parametrize("trap", ["", "link", "foreign", "unowned", "is folder"])
def test_data_go_only_where_the_lake_is_the_project_s_own(make_client: MakeClient, tmp_path: Path, trap: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    settings = "[api]\nprojects_may_move = true\n" if trap == "is folder" else ""
    client = make_client(OFF + settings, AGENT_API_TOKEN=TOKEN)
    folder = tiny_project(tmp_path / "p")
    if trap == "is folder":
        (folder / ".env").write_text(f"AGENT_HOME={folder}\n")
    client.post("/projects", params={"name": "p", "local_path": str(folder)}, headers=headers)
    answer = client.post("/runs", json={"project_id": 1, "goal": "board"}, headers=headers)
    client.app.state.server.worker.process()  # type: ignore[attr-defined]
    assert client.get(f"/runs/{answer.json()['id']}", headers=headers).json()["status"] == "COMPLETED"
    home = folder if trap == "is folder" else folder / ".tidemill"
    owner = home / "lake" / ".owner"
    if trap == "link":
        os.rename(home, tmp_path / "elsewhere")
        home.symlink_to(tmp_path / "elsewhere")
    elif trap == "foreign":
        owner.write_text("another database")
    elif trap == "unowned":
        owner.unlink()
    gone = client.delete("/projects/1", params={"data": True}, headers=headers)
    if trap:
        assert gone.status_code == 409, gone.text
        assert (home / "lake").is_dir()
        assert client.get("/projects/1", headers=headers).status_code == 200
    else:
        assert (gone.status_code, gone.json()["data"]) == (200, True)
        assert not home.exists()
        assert (folder / "agent.toml").exists()
