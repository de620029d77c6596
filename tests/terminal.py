"""Commands as people type them in a folder, carried out by processes that a nursery forks.

What a process of its own costs is its imports: half a second for a command that plans, three for one that computes. The
forked one has them, and is otherwise the real thing: its own folder, environment, output and exit code.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import Nursery

_PROGRAMS = {  # first words of a command -> program of the nursery
    ("agent",): "agent",
    ("python", "-m", "agent"): "agent",
    ("python", "-m", "agent.orchestrator"): "orchestrator",
    ("python", "-m", "pipelines.run_all"): "run_all",
    ("python",): "python",
}


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Terminal:
    """A folder to type commands in; `env` is added to the environment of each."""

    folder: Path
    nursery: Nursery
    env: dict[str, str] = field(default_factory=dict)

    def type(self, *words: str) -> Done:
        """Carry out a command: `agent …`, `python -m agent.orchestrator …`, `python FILE`, `python -c CODE`."""
        start = next(start for start in _PROGRAMS if words[: len(start)] == start)
        with tempfile.TemporaryDirectory() as where:
            output, errors = Path(where) / "output", Path(where) / "errors"
            process = self.nursery.start(
                self.folder, _PROGRAMS[start], words[len(start) :], output, self.env, errors=errors
            )
            code = process.wait()
            return Done(code, output.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8"))

    def run(self, *words: str, code: int = 0) -> str:
        """Carry out a command that must end with exit code `code`; what it printed."""
        done = self.type(*words)
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout
