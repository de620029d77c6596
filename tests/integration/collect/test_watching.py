"""`agent collect` on files: what it reports, what it notes, and that copies are there before a run asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import fsspec
import pytest

from agent import settings as agent_settings
from agent.cli.main import main
from agent.collect.pace import RealPace
from agent.collect.watching import Look, files_source, watch
from agent.execution.workspace import open_database
from agent.store import collecting
from pipelines.errors import BadInput

CSV = "ts,open,high,low,close,volume\n2020-01-01T00:00:00Z,2,3,1,2.5,10\n"
TOML = '[[sources.files.datasets]]\npath = "{}"\nkind = "spot"\ninterval_seconds = 300\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars/BTC.csv").write_text(CSV)
    (tmp_path / "agent.toml").write_text(TOML.format("bars/*.csv"))
    return tmp_path


def watching(project: Path, steps: Sequence[Callable[[], object]]) -> list[Look]:
    """The looks at a project's files; one of `steps` is taken after each, and two looks follow the last."""
    settings = agent_settings.load(project)
    source = files_source(settings)
    assert source is not None
    looks: list[Look] = []

    def told(look: Look) -> None:
        looks.append(look)
        if len(looks) <= len(steps):
            steps[len(looks) - 1]()

    def stop() -> str | None:
        return "enough was seen" if len(looks) >= len(steps) + 2 else None

    with open_database(settings) as database:
        asyncio.run(watch(source, database, RealPace(), every=0.001, stop=stop, told=told))
    return looks


def noted(project: Path) -> dict[str, object]:
    with open_database(agent_settings.load(project)) as database, database.reading() as connections:
        return dict(collecting.load_collectors(connections.project)["files"])


def test_new_and_changed_files_are_noticed_when_they_are_whole(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = project / "bars/ETH.csv", project / "bars/BTC.csv"
    steps = [
        lambda: new.write_text(CSV[:40]),
        lambda: new.write_text(CSV),
        lambda: old.write_text(CSV + CSV.splitlines()[1].replace("00:00Z", "05:00Z")),
    ]
    looks = watching(project, steps)
    assert [name for look in looks for name in look.new] == ["bars/ETH.csv"]
    assert [name for look in looks for name in look.changed] == ["bars/BTC.csv"]
    assert not looks[1].new  # it was half-written
    row = noted(project)
    assert row["last_ok_at"] is not None
    assert row["last_error"] is None
    capsys.readouterr()
    assert main(["--project-dir", str(project), "sources"]) == 0
    assert "files: watched, last look " in capsys.readouterr().out


def test_an_error_is_noted_and_watching_goes_on(project: Path) -> None:
    file, away = project / "bars/BTC.csv", project / "BTC.away"
    looks = watching(project, [lambda: file.rename(away), lambda: away.rename(file)])
    assert isinstance(looks[1].error, BadInput)
    assert [look.parts for look in looks] == [1, 0, 1, 1]
    assert not any(look.is_news for look in looks)


def test_collecting_once_brings_copies_and_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = fsspec.filesystem("memory")
    root = f"/{project.name}"
    try:
        memory.pipe(f"{root}/BTC.csv", CSV.encode())
        (project / "agent.toml").write_text(TOML.format(f"memory://{root}/*.csv"))
        assert main(["--project-dir", str(project), "collect", "--once"]) == 0
        assert "files: 1 parts" in capsys.readouterr().err
        assert [file.name for file in (project / ".tidemill/remote").rglob("*.csv")] == ["BTC.csv"]
        assert main(["--project-dir", str(project), "collect", "--once", "files"]) == 0
        memory.rm(root, recursive=True)
        assert main(["--project-dir", str(project), "collect", "--once", "files"]) == 1
        assert "no file matches" in capsys.readouterr().err
        assert noted(project)["last_error"] == "no file matches"
    finally:
        if memory.exists(root):
            memory.rm(root, recursive=True)
