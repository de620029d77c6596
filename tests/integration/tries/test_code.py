"""`agent try --code`: own modules of a folder, or of a commit, instead of the project's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import open_workspace
from agent.store import state
from agent.store.outputs import catalog, tries
from tests.integration.execution.test_reuse import edit, only, shop, what
from tests.integration.tries.test_try import now

__all__ = ["shop"]

LATER = '''"""A component with a helper beside it and a package of its own; reads a file of the project's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .helper import times
from own_rules_TAG.fee import fee
from pipelines.component import Context, component


@component(upstream=["total"], heavy=HEAVY, reads_files=["note.txt"])
def later(ctx: Context, settings: Any) -> None:
    value = times(int(ctx.inputs["total"].read_bytes("all"))) - fee()
    ctx.write_bytes("all", f"{value} {(ctx.base / 'note.txt').read_text()}".encode())
'''


@pytest.fixture(params=[False, True], ids=["here", "in a process"])
def project(shop: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shop with three more files, computed once, the folder of the moment."""
    tag = f"t{os.urandom(4).hex()}"  # a package stays in memory by its name
    (shop / "later.py").write_text(LATER.replace("HEAVY", str(request.param)).replace("TAG", tag))
    (shop / "helper.py").write_text("def times(value: int) -> int:\n    return value * 2\n")
    package = shop / f"own_rules_{tag}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "fee.py").write_text("def fee() -> int:\n    return 1\n")
    edit(shop / "agent.toml", "['own.py']", "['own.py', 'later.py']")
    if request.param:
        edit(shop / "agent.toml", "kind = 'inline'", "kind = 'processes'")
    monkeypatch.chdir(shop)
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as `python -m agent` has it
    yield shop
    for name in [name for name in sys.modules if tag in name]:
        del sys.modules[name]


def run(folder: Path) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        report = perform(workspace, Request(targets=("later",)))
    assert report.status == "COMPLETED", report.error
    return what(report)


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def written(folder: Path, try_name: str | None = None) -> bytes:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        number = 0 if try_name is None else tries.load(connections.project, try_name).id
        one = state.load_states(connections.project, try_id=number)["later"]
        assert one.output_snapshot_id is not None
        snapshot = catalog.load_snapshot(connections.project, one.output_snapshot_id)
        return workspace.lake.read_bytes(snapshot.by_key["all"])


def changed(folder: Path) -> None:
    """A helper and a package of its own, neither named in agent.toml."""
    edit(folder / "helper.py", "value * 2", "value * 10")
    (package,) = folder.glob("own_rules_*")
    edit(package / "fee.py", "return 1", "return 5")


def test_a_folder_stands_in_for_the_projects_modules(
    project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project)
    assert written(project) == b"5 note"
    before = now(project)
    other = tmp_path_factory.mktemp("other") / "code"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns(".tidemill*", "*.txt", "agent.toml", "data"))
    changed(other)
    cost = typed(capsys, "try", "--code", str(other), "--target", "later", "--name", "ten")["cost"]
    assert (cost["computed"], cost["reused"]) == (["later"], []), "what is the same there is the same"
    assert written(project, "ten") == b"25 note"
    before.require_kept(now(project))
    assert written(project) == b"5 note"
    promoted = typed(capsys, "promote", "ten")
    assert (promoted["code"], promoted["files"]) == (str(other), sorted([_fee(project), "helper.py"]))
    changed(project)
    assert typed(capsys, "promote", "ten")["files"] == []
    assert only(run(project), "compute") == set()
    assert written(project) == b"25 note"


def test_a_commit_is_unpacked_and_no_program_of_the_repository_runs(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project)
    (project / ".gitattributes").write_text("*.py filter=own\n")
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "as it is"],
        ["checkout", "-qb", "idea"],
    ):
        git(project, *words)
    changed(project)
    git(project, "commit", "-qam", "an idea")
    git(project, "checkout", "-q", "main")
    git(project, "config", "filter.own.smudge", f"touch {tmp_path}/filtered; cat")
    git(project, "config", "filter.own.required", "true")
    cost = typed(capsys, "try", "--code", "idea", "--target", "later")["cost"]
    assert cost["computed"] == ["later"]
    assert not (tmp_path / "filtered").exists()
    assert written(project, "code=idea") == b"25 note"
    assert written(project) == b"5 note"
    commit = git(project, "rev-parse", "idea")
    assert typed(capsys, "try", "--show", "code=idea")["try"]["code_commit"] == commit
    promoted = typed(capsys, "promote", "code=idea")
    assert promoted["code"] == commit
    assert promoted["files"] == sorted([_fee(project), "helper.py"])


def test_what_is_no_code_is_refused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--project-dir", str(shop), "try", "--code"]
    assert main([*options, "no-such-branch"]) == 2
    assert "neither a folder nor a commit" in capsys.readouterr().err
    theirs = shop / "theirs"
    theirs.mkdir()
    shutil.copy(shop / "own.py", theirs)
    (theirs / "own.py").chmod(0o666)
    assert main([*options, str(theirs)]) == 2
    assert f"o-w {theirs / 'own.py'}" in capsys.readouterr().err


def _fee(folder: Path) -> str:
    (package,) = folder.glob("own_rules_*")
    return f"{package.name}/fee.py"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
