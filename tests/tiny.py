"""A project of three tiny own components that computes in milliseconds: numbers -> total -> board (a release)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.execution.engine import Report
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import Workspace, open_workspace

COMPONENTS = '''"""Three tiny components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.component import Context, component
from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    values: tuple[int, ...] = setting((1, 2, 3), "numbers, one partition each")


@component(name="numbers", settings=Settings, heavy=False)
def numbers(ctx: Context, settings: Settings) -> None:
    for position, value in enumerate(settings.values):
        ctx.write_bytes(f"n{position}", str(value).encode())
        ctx.progress(position, len(settings.values), "counting")


@component(name="total", upstream=["numbers"], heavy=False)
def total(ctx: Context, settings: Any) -> None:
    values = ctx.inputs["numbers"]
    ctx.write_bytes("total", str(sum(int(values.read_bytes(key)) for key in values.keys)).encode())


@component(name="board", upstream=["numbers", "total"], heavy=False, is_release=True)
def board(ctx: Context, settings: Any) -> None:
    ctx.write_bytes("board.txt", b"total " + ctx.inputs["total"].read_bytes("total"), suffix=".txt")
    ctx.write_bytes("metrics.json", b"{}", suffix=".json")
'''


def tiny_project(folder: Path, values: tuple[int, ...] = (1, 2, 3), url: str = "") -> Path:
    """Write the project's files, or give it other numbers."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.py").write_text(COMPONENTS, encoding="utf-8")
    (folder / "agent.toml").write_text(
        f"[project]\nmodules = ['tiny.py']\n[executor]\nkind = 'inline'\n[database]\nurl = {json.dumps(url)}\n"
        f"[numbers]\nvalues = {list(values)}\n",
        encoding="utf-8",
    )
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Workspace]:
    """The project opened for work."""
    with open_workspace(folder) as workspace:
        yield workspace


def bring_up_to_date(workspace: Workspace, **options: Any) -> Report:
    """One run of the three components."""
    return perform(workspace, Request(targets=("board",)), **options)


def run(folder: Path, values: tuple[int, ...] | None = None) -> Report:
    """One run in a fresh workspace, after the numbers were changed to `values`."""
    if values is not None:
        path = folder / "agent.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.index("values =")] + f"values = {list(values)}\n", encoding="utf-8")
    with opened(folder) as workspace:
        return bring_up_to_date(workspace)


def steps(report: Report) -> dict[str, str]:
    """Component -> what was done: compute, skip, defer or block."""
    return {one.component: type(one.step).__name__.lower() for one in report.components}
