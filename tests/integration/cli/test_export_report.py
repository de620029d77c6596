"""`agent export report`: the report of a release as one page, the script that draws in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from tests.tiny import run, tiny_project

PAGE = """
    ctx.write_bytes("report.html", b'<script src="../shared/draw-1.js"></script><p>' + ctx.inputs["total"].read_bytes(
        "total"))
    ctx.write_bytes(".shared/draw-1.js", b"draw()")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tiny_project(tmp_path / "project")
    code = folder / "tiny.py"
    code.write_text(code.read_text(encoding="utf-8") + PAGE, encoding="utf-8")
    return folder


def export(project: Path, *arguments: str) -> int:
    return main(["--project-dir", str(project), "export", "report", *arguments])


def test_the_current_or_a_named_release_becomes_one_page(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first.html"
    assert export(project, "--to", str(first)) == 2
    assert "there is no release yet" in capsys.readouterr().err
    run(project)
    assert export(project, "--to", str(first), "--json") == 0
    name = json.loads(capsys.readouterr().out)["release"]
    assert first.read_text(encoding="utf-8") == "<script>draw()</script><p>6"
    run(project, (5, 6))
    newer, named = tmp_path / "newer.html", tmp_path / "named.html"
    assert export(project, "--to", str(newer)) == export(project, name, "--to", str(named)) == 0
    assert newer.read_text(encoding="utf-8") == "<script>draw()</script><p>11"
    assert named.read_text(encoding="utf-8") == first.read_text(encoding="utf-8")


def test_what_cannot_be_exported_is_said_and_leaves_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project)
    for arguments, says in (
        (["none", "--to", str(tmp_path / "x.html")], "there is no release 'none'"),
        (["--to", str(tmp_path / "x.csv")], "cannot tell the format"),
        (["--to", str(tmp_path / "no" / "x.html")], "cannot write"),
    ):
        assert export(project, *arguments) == 2
        assert says in capsys.readouterr().err
    assert main(["--project-dir", str(project), "export", "ticks", "name", "--to", str(tmp_path / "x.csv")]) == 2
    assert "ticks has no releases" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
