"""A project that another user could change is refused at POST and at each open, before anything of it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.errors import Untrusted
from agent.service.trust import finding_in, require_trusted
from tests.integration.api.conftest import MakeClient, make_client  # noqa: F401 (a fixture)
from tests.served import INLINE
from tests.tiny import run, tiny_project

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
EVIL = "from pathlib import Path\nPath({mark!r}).write_text('ran')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with own modules: one by file, what it imports, and one by dotted name."""
    own = tmp_path / "own"
    (own / "parts").mkdir(parents=True)
    (own / "agent.toml").write_text(
        "[project]\nmodules = ['first.py']\n[features]\nmodules = ['more.py']\n", encoding="utf-8"
    )
    (own / "more.py").write_text("", encoding="utf-8")
    (own / ".env").write_text("WORKER_BATCH_SIZE=3\n", encoding="utf-8")
    (own / "first.py").write_text("from .second import x\nimport parts.third\n", encoding="utf-8")
    (own / "second.py").write_text(EVIL.format(mark=str(tmp_path / "ran")) + "x = 1\n", encoding="utf-8")
    (own / "parts" / "__init__.py").write_text("", encoding="utf-8")
    (own / "parts" / "third.py").write_text("", encoding="utf-8")
    return own


def test_a_project_of_ones_own_is_trusted(folder: Path) -> None:
    require_trusted(folder)


def open_up(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


WAYS = [pytest.param(open_up, id="writable"), pytest.param(give_away, id="another-owner", marks=needs_root)]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize(
    "part",
    [
        *(
            ".",
            "..",
            "agent.toml",
            ".env",
            "first.py",
            "more.py",
            "second.py",
            "parts",
            "parts/third.py",
            "parts/__init__.py",
        ),
        *("__pycache__", ".tidemill", ".tidemill/lake", ".tidemill/state.sqlite"),
    ],
)
def test_whatever_could_be_changed_is_found(folder: Path, part: str, change: Callable[[Path], None]) -> None:
    path = folder / part
    if not path.exists():
        path.mkdir(parents=True)
    change(path)
    with pytest.raises(Untrusted) as refused:
        require_trusted(folder)
    assert refused.value.where == str(path.parent.parent if part == ".." else folder if part == "." else path)
    assert refused.value.fix.startswith(("chmod o-w ", "chown "))


def test_a_link_and_what_it_leads_to_count(folder: Path, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (far / "code.py").write_text("", encoding="utf-8")
    (folder / "second.py").unlink()
    (folder / "second.py").symlink_to(far / "code.py")
    require_trusted(folder)
    far.chmod(0o777)
    found = finding_in(folder)
    assert found is not None
    assert found.path == str(far)


def test_the_path_as_it_was_written_counts(folder: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (loose / "here").symlink_to(folder)
    require_trusted(folder)
    with pytest.raises(Untrusted) as refused:
        require_trusted(folder, loose / "here")
    assert refused.value.where == str(loose)


def test_http_refuses_it_at_post_and_at_each_open_and_runs_nothing(
    make_client: MakeClient,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    client = make_client(INLINE + f'[worker]\nenabled = false\n[api]\nproject_roots = ["{tmp_path}"]\n')
    (folder / "second.py").chmod(0o666)
    params = {"name": "own", "local_path": str(folder)}
    refused = client.post("/projects", params=params)
    assert refused.status_code == 403
    assert refused.json()["where"] == str(folder / "second.py")
    assert refused.json()["fix"] == f"chmod o-w {folder / 'second.py'}"
    assert len(client.get("/projects").json()) == 1
    (folder / "second.py").chmod(0o644)
    assert client.post("/projects", params=params).status_code == 201
    (folder / "agent.toml").chmod(0o666)
    for answer in (
        client.get("/api/state", params={"project_id": 1}),
        client.get("/api/plan", params={"project_id": 1}),
        client.post("/runs", json={"project_id": 1, "goal": "publish"}),
    ):
        assert answer.status_code == 403
    assert not (tmp_path / "ran").exists()
    (folder / "agent.toml").chmod(0o644)
    assert client.get("/api/state", params={"project_id": 1}).status_code in (200, 409)
    assert (tmp_path / "ran").exists()


def test_the_server_s_own_folder_is_only_warned_about(
    make_client: MakeClient,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tmp_path.chmod(0o777)
    try:
        assert make_client().get("/api/state").status_code == 200
    finally:
        tmp_path.chmod(0o700)
    assert "another user could change the code that runs here" in caplog.text
    assert f"chmod o-w {tmp_path}" in caplog.text


def test_a_backup_that_another_user_could_have_written_is_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_project(tmp_path / "tiny")
    run(folder)
    backup, other = tmp_path / "backup.tar", tiny_project(tmp_path / "other")
    assert main(["--project-dir", str(folder), "backup", str(backup)]) == 0
    assert backup.stat().st_mode & 0o077 == 0, "models and secrets of the state are in it"
    backup.chmod(0o666)
    command = ["--project-dir", str(other), "restore", str(backup)]
    assert main(command) == 2
    assert "--trust" in capsys.readouterr().err
    assert not (other / ".tidemill" / "lake").exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _question: "no")
    assert main(command) == 2
    assert main([*command, "--trust"]) == 0
