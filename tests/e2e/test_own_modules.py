"""Files of one's own that import each other: whatever works in a run works with every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.plugins.modules import load_module
from tests.paths import PROJECT

LEADERS = """
from helper import WORDS
from pipelines.component import component

@component(name="leaders", heavy=False)
def leaders(ctx, settings):
    ctx.write_bytes("leaders", WORDS)
"""
STARTED_AS = {
    "the agent command": "import sys; sys.path.pop(0); from agent.cli.main import main; sys.exit(main())",
    "the old way": "import runpy; runpy.run_module('agent', run_name='__main__', alter_sys=True)",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a component that imports the file beside it by its bare name."""
    (tmp_path / "agent.toml").write_text('[project]\nmodules = ["leaders.py"]\n', encoding="utf-8")
    (tmp_path / "leaders.py").write_text(LEADERS, encoding="utf-8")
    (tmp_path / "helper.py").write_text("WORDS = b'one'\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("started_as", STARTED_AS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_command_finds_the_files_beside_agent_toml(
    project: Path, tmp_path_factory: pytest.TempPathFactory, started_as: str, elsewhere: bool
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere") if elsewhere else project
    where = ["--project-dir", str(project)] if elsewhere else []
    done = subprocess.run(
        [sys.executable, "-c", STARTED_AS[started_as], "plan", "--target", "leaders", *where],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "leaders" in done.stdout


def test_where_a_bare_import_fails_the_error_says_how_to_write_it(project: Path) -> None:
    (project / "helper.py").rename(project / "aide_of_leaders.py")
    text = LEADERS.replace("from helper", "from aide_of_leaders")
    (project / "leaders.py").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_module("leaders.py", project)
    assert "write `from .aide_of_leaders import …`" in caught.value.fix
    (project / "leaders.py").write_text(text.replace("from aide", "from .aide"), encoding="utf-8")
    assert load_module("leaders.py", project).__name__.endswith(".leaders")


def test_a_plain_script_needs_no_main_guard(project: Path) -> None:
    """The process that computes is a program of its own: it does not import the script that asked for it."""
    text = LEADERS.replace(", heavy=False", "")
    (project / "leaders.py").write_text(text, encoding="utf-8")
    script = project / "script.py"
    script.write_text(
        "from agent.orchestrator import run_once\nprint('begun')\nprint(run_once(targets=['leaders']).status)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["begun", "COMPLETED"], done.stderr
