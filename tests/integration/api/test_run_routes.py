"""/projects, /runs and /worker: the queue over HTTP, without a worker so that runs stay where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.store.control import attempts
from agent.store.database.engine import database_now, open_engine, writing
from tests.integration.api.conftest import MakeClient
from tests.served import FAILING, INLINE, wait_until
from tests.tiny import tiny_project


def test_a_project_gets_number_1_and_its_folder(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    folder = tmp_path / "made" / "by-us"
    created = client.post("/projects", params={"name": "test", "local_path": str(folder)})
    assert created.status_code == 201
    assert created.json()["id"] == 1
    assert folder.is_dir()
    assert [one["id"] for one in client.get("/projects").json()] == [0, 1]
    again = client.post("/projects", params={"name": "test", "local_path": str(folder)})
    assert again.status_code == 409


@pytest.mark.parametrize(
    "path",
    ["/etc/x", "/", "../x", "relative", "", "/tmp/../etc/x", "/tmp", "~root/../../etc/x", "~nobody-of-that-name/x"],
)
def test_a_path_outside_the_roots_is_refused(make_client: MakeClient, path: str) -> None:
    refused = make_client().post("/projects", params={"name": "bad", "local_path": path})
    assert refused.status_code == 422, refused.text
    assert refused.json()["fix"]


def test_a_server_whose_user_has_no_home_has_the_temporary_folder(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is run under a mere number."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    client = make_client()
    monkeypatch.setattr(Path, "home", home)
    refused = client.post("/projects", params={"name": "bad", "local_path": "/etc/x"})
    assert refused.status_code == 422, refused.text
    assert refused.json()["fix"].startswith("choose a folder below ")


def test_a_link_out_of_the_roots_is_refused(make_client: MakeClient, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to("/etc")
    client = make_client(f'[api]\nproject_roots = ["{root}"]\n[worker]\nenabled = false\n')
    assert client.post("/projects", params={"name": "a", "local_path": str(root / "out" / "x")}).status_code == 422
    assert client.post("/projects", params={"name": "b", "local_path": str(tmp_path / "x")}).status_code == 422
    assert client.post("/projects", params={"name": "c", "local_path": str(root / "x")}).status_code == 201


def test_a_project_whose_folder_became_a_link_is_not_opened(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    folder = tmp_path / "later-a-link"
    client.post("/projects", params={"name": "test", "local_path": str(folder)})
    folder.rmdir()
    folder.symlink_to("/etc")
    assert client.post("/runs", json={"project_id": 1, "goal": "publish"}).status_code == 422


def test_a_goal_that_names_nothing_known_says_so_in_the_first_event(make_client: MakeClient) -> None:
    client = make_client()
    run = client.post("/runs", json={"project_id": 0, "goal": "Test execution"})
    assert run.status_code == 201
    assert (run.json()["status"], run.json()["targets"]) == ("QUEUED", [])
    first = client.get(f"/runs/{run.json()['id']}/events").json()[0]
    assert (first["seq"], first["type"]) == (1, "RUN_CREATED")
    assert "names no component" in first["payload"]["meaning"]


def test_an_unknown_target_is_422_and_lists_what_is_possible(make_client: MakeClient) -> None:
    refused = make_client().post("/runs", json={"project_id": 0, "goal": "x", "targets": ["feature"]})
    assert refused.status_code == 422
    assert "features" in refused.json()["fix"]


def test_no_such_project_or_run_is_404(make_client: MakeClient) -> None:
    client = make_client()
    assert client.post("/runs", json={"project_id": 9, "goal": "publish"}).status_code == 404
    for address in ("/runs/9", "/runs/9/events", "/runs/9/events/stream", "/backtests/runs/9"):
        assert client.get(address).status_code == 404, address
    for action in ("cancel", "approve", "reject"):
        assert client.post(f"/runs/9/{action}").status_code == 404, action


def test_the_same_key_gives_the_same_run(make_client: MakeClient) -> None:
    client = make_client()
    body = {"project_id": 0, "goal": "publish"}
    first = client.post("/runs", json=body, headers={"Idempotency-Key": "k1"})
    again = client.post("/runs", json=body, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(client.get(f"/runs/{first.json()['id']}/events").json()) == 1
    other = client.post("/runs", json={"project_id": 0, "goal": "retrain"}, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 409


def test_pages_of_runs(make_client: MakeClient) -> None:
    client = make_client()
    ids = [client.post("/runs", json={"goal": f"run {number}"}).json()["id"] for number in range(5)]
    client.post(f"/runs/{ids[0]}/cancel")
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = client.get("/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(ids, reverse=True)
    cancelled = client.get("/runs", params={"status": "CANCELLED"}).json()["runs"]
    assert [run["id"] for run in cancelled] == [ids[0]]
    assert client.get("/runs", params={"status": "DONE"}).status_code == 422


def test_cancel_before_it_began(make_client: MakeClient) -> None:
    client = make_client()
    run_id = client.post("/runs", json={"goal": "publish"}).json()["id"]
    assert client.post(f"/runs/{run_id}/cancel").json()["status"] == "CANCELLED"
    assert client.post(f"/runs/{run_id}/cancel").status_code == 409
    types = [event["type"] for event in client.get(f"/runs/{run_id}/events").json()]
    assert types == ["RUN_CREATED", "RUN_CANCELLED"]


def test_an_approved_run_goes_ahead_and_its_stream_tells_all(make_client: MakeClient) -> None:
    client = make_client(INLINE + "[worker]\ncheck_interval = 0.1\n")
    assert client.get("/worker/status").json() == {"running": True, "check_interval": 0.1}
    body = {"goal": "refresh markets", "require_approval": True}
    run_id = client.post("/runs", json=body).json()["id"]

    def status() -> str:
        return str(client.get(f"/runs/{run_id}").json()["status"])

    wait_until(lambda: status() == "AWAITING_APPROVAL")
    assert [step["component"] for step in client.get(f"/runs/{run_id}").json()["plan"]] == ["markets"]
    assert client.post(f"/runs/{run_id}/approve", json={"reason": "looks right"}).status_code == 200
    assert client.post(f"/runs/{run_id}/approve").status_code == 409
    wait_until(lambda: status() == "COMPLETED")
    told = client.get(f"/runs/{run_id}/events/stream").text
    seen = [line.removeprefix("event: ") for line in told.splitlines() if line.startswith("event: ")]
    assert seen[:5] == ["RUN_CREATED", "AGENT_THINKING", "PLAN_GENERATED", "APPROVAL_REQUESTED", "APPROVAL_GIVEN"]
    assert seen[5:8] == ["RUN_STARTED", "AGENT_THINKING", "PLAN_GENERATED"]
    assert seen[-2:] == ["EXECUTING", "RUN_COMPLETED"]
    rest = client.get(f"/runs/{run_id}/events/stream", headers={"Last-Event-ID": str(len(seen) - 1)}).text
    assert [line for line in rest.splitlines() if line.startswith("id: ")] == [f"id: {len(seen)}"]
    over = client.get(f"/runs/{run_id}/events/stream", headers={"Last-Event-ID": str(len(seen))})
    assert over.status_code == 204


def test_a_rejected_run_is_over(make_client: MakeClient) -> None:
    client = make_client(INLINE + "[worker]\ncheck_interval = 0.1\n")
    run_id = client.post("/runs", json={"goal": "markets", "require_approval": True}).json()["id"]
    wait_until(lambda: client.get(f"/runs/{run_id}").json()["status"] == "AWAITING_APPROVAL")
    rejected = client.post(f"/runs/{run_id}/reject", json={"reason": "not now"}).json()
    assert rejected["status"] == "CANCELLED"
    assert "not now" in rejected["error"]


def test_process_works_off_a_batch_where_the_worker_is_off(make_client: MakeClient) -> None:
    client = make_client()
    assert client.get("/worker/status").json() == {"running": False, "check_interval": 5}
    run_id = client.post("/runs", json={"goal": "refresh markets"}).json()["id"]
    assert client.post("/worker/process").json() == {"status": "triggered", "queued": 1}
    wait_until(lambda: client.get(f"/runs/{run_id}").json()["status"] == "COMPLETED")


@pytest.mark.parametrize("bad", ["a\x1b[2Jb", "a\rb", "a\nb", "a\x7fb", "a\x9bb", "a\u202eb", "a\u2028b"])
def test_goals_and_names_with_control_characters_are_refused(make_client: MakeClient, tmp_path: Path, bad: str) -> None:
    client = make_client()
    assert client.post("/runs", json={"goal": bad}).status_code == 422
    assert client.post("/projects", params={"name": bad, "local_path": str(tmp_path / "own")}).status_code == 422


def test_a_run_that_is_over_can_be_retried_and_shows_its_attempts(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(FAILING + "[worker]\nenabled = false\n")
    folder = tiny_project(tmp_path / "tiny")
    project = client.post("/projects", params={"name": "tiny", "local_path": str(folder)}).json()["id"]
    assert client.get(f"/projects/{project}").json()["name"] == "tiny"
    assert client.get("/projects/77").status_code == 404
    wanted = {"goal": "recompute board", "project_id": project, "targets": ["board"], "require_approval": False}
    first = client.post("/runs", json=wanted).json()
    refused = client.post(f"/runs/{first['id']}/retry")
    assert (refused.status_code, "QUEUED" in refused.json()["detail"]) == (409, True)
    client.post(f"/runs/{first['id']}/cancel")
    again = client.post(f"/runs/{first['id']}/retry")
    assert again.status_code == 201
    second = again.json()
    same = ("project_id", "goal", "targets", "force", "require_approval")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert (second["status"], second["id"] > first["id"]) == ("QUEUED", True)
    assert client.get(f"/runs/{first['id']}").json()["status"] == "CANCELLED"
    assert [one["id"] for one in client.get(f"/runs?project_id={project}").json()["runs"]] == [
        second["id"],
        first["id"],
    ]
    assert client.get("/runs?project_id=0").json()["runs"] == []
    assert client.post("/runs/999/retry").status_code == 404
    assert client.get("/runs/999/attempts").status_code == 404


def test_attempts_tell_a_traceback_without_its_passwords(make_client: MakeClient, database_url: str) -> None:
    client, engine = make_client(AGENT_DATABASE_URL=database_url), open_engine(database_url)
    client.post("/runs", json={"goal": "refresh"})
    with writing(engine) as conn:
        now = database_now(conn)
        attempt = attempts.start_attempt(
            conn, run_id=1, component="ticks", number=1, token=1, owner="me", reasons=(), now=now
        )
        said = "Traceback\n  postgresql://u:hunter22@h/d refused; api_key=hunter22"
        attempts.finish_attempt(conn, attempt, status="failed", now=now, error="refused", traceback=said)
    engine.dispose()
    (shown,) = client.get("/runs/1/attempts").json()
    assert (shown["component"], shown["status"], shown["error"]) == ("ticks", "failed", "refused")
    assert shown["traceback"].startswith("Traceback\n")
    assert "hunter22" not in shown["traceback"]
