"""A folder with a package `pipelines/` or `agent/` of its own: what is typed there works, or says why it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AGENT = str(Path(sys.executable).parent / "agent")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(params=["pipelines", "agent"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The user's package in a folder that has a project."""
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    return folder


def test_the_agent_command_does_not_meet_it(own: Path) -> None:
    done = run(own.parent, AGENT, "plan", "--target", "markets")
    assert (done.returncode, done.stderr) == (0, "")
    assert "markets" in done.stdout


def test_python_m_says_what_is_in_the_way(own: Path) -> None:
    modules = ["agent", "agent.orchestrator"] if own.name == "pipelines" else ["agent.orchestrator"]
    for module in modules:
        done = run(own.parent, sys.executable, "-m", module)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        if own.name == "pipelines":
            assert done.returncode == 2
            assert str(own) in done.stderr
            assert "rename that folder" in done.stderr
        else:  # Python finds no program in that package: none of our code is asked
            assert "No module named agent.orchestrator" in done.stderr


def test_a_script_gets_an_error_that_says_so(own: Path) -> None:
    if own.name == "pipelines":
        done = run(own.parent, sys.executable, "-c", "import agent.orchestrator")
        assert f"ImportError: another package called `pipelines` goes before the one of tidemill ({own})" in done.stderr
    else:
        done = run(own.parent, sys.executable, "-c", "import pipelines; pipelines.load('markets')")
        assert "cannot load entry point 'agent' of package tidemill" in done.stderr
        assert "rename a file or folder here" in done.stderr


def test_a_folder_that_is_no_package_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in ("pipelines", "agent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.py").write_text("", encoding="utf-8")
    done = run(tmp_path, sys.executable, "-m", "agent", "--help")
    assert done.returncode == 0, done.stderr
