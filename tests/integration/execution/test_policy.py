"""A policy may defer more of the same data, never another meaning of it."""

from __future__ import annotations

from pathlib import Path

from agent.core.model import Mark
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import open_workspace
from agent.store import state
from tests.tiny import steps

COMPONENTS = '''"""A copy of a file, tidied, and a learner that never wants to learn again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.component import Context, Deferral, Observation, component
from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    ending: str = setting("", "put after the content")


@component(name="copied", settings=Settings, heavy=False)
def copied(ctx: Context, settings: Settings) -> None:
    ctx.write_bytes("all", (ctx.base / "input.txt").read_bytes() + settings.ending.encode())


@component(name="tidied", upstream=["copied"], heavy=False)
def tidied(ctx: Context, settings: Any) -> None:
    ctx.write_bytes("all", ctx.inputs["copied"].read_bytes("all").strip())


def never(seen: Observation) -> Deferral:
    return Deferral("a better day")


@component(name="learner", upstream=["tidied"], heavy=False, policy=never)
def learner(ctx: Context, settings: Any) -> None:
    ctx.write_bytes("model", ctx.inputs["tidied"].read_bytes("all"))
'''


def run(folder: Path) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        return steps(perform(workspace, Request(targets=("learner",))))


def mark(folder: Path, component: str) -> None:
    with open_workspace(folder) as workspace, workspace.database.writing() as connections:
        state.mark_dirty(connections.project, component, Mark(reason="test"))


def test_new_data_is_deferred_and_a_new_definition_upstream_is_not(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(COMPONENTS, encoding="utf-8")
    toml = tmp_path / "agent.toml"
    toml.write_text("[project]\nmodules = ['own.py']\n[executor]\nkind = 'inline'\n[copied]\nending = ''\n")
    (tmp_path / "input.txt").write_text("one")
    assert set(run(tmp_path).values()) == {"compute"}
    (tmp_path / "input.txt").write_text("two")
    mark(tmp_path, "copied")
    assert run(tmp_path) == {"copied": "compute", "tidied": "compute", "learner": "defer"}
    toml.write_text(toml.read_text().replace("ending = ''", "ending = '!'"))
    assert run(tmp_path) == {"copied": "compute", "tidied": "compute", "learner": "compute"}
    assert set(run(tmp_path).values()) == {"skip"}
