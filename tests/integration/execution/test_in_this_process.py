"""A command's project lies in its own process, also where it has loaded what compares releases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPENED = """
import sys
from pathlib import Path
import agent.cli.commands.outputs.diff, agent.service.grid_runs
from agent.execution.workspace import open_workspace
with open_workspace(Path(sys.argv[1])) as workspace:
    print(workspace.host.is_here)
"""


def test_what_the_agent_imports_of_the_pipelines_counts_as_no_component_s_code(tmp_path: Path) -> None:
    """Code that was in memory before it could be watched sends the project to a second process, which starts anew."""
    command = [sys.executable, "-c", OPENED, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
