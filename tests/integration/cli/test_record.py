"""`agent record verify` over real runs: what was published is sealed, and a change of it is found."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.cli.main import main
from agent.execution.sealing import NOTES, verify
from agent.execution.workspace import Workspace
from tests import tiny

SEALED = 'ctx.write_bytes("decisions.json", ctx.inputs["total"].read_bytes("total"))'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two publications of a tiny project whose release has decisions."""
    folder = tiny.tiny_project(tmp_path / "project")
    code, last = (folder / "tiny.py").read_text(encoding="utf-8"), 'ctx.write_bytes("metrics.json"'
    (folder / "tiny.py").write_text(code.replace(last, f"{SEALED}\n    {last}"), encoding="utf-8")
    tiny.run(folder)
    tiny.run(folder, (4, 5))
    return folder


def verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = main(["--project-dir", str(folder), "--json", "record", "verify"])
    return code, json.loads(capsys.readouterr().out)


def test_publications_are_sealed_and_noted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verified(project, capsys)
    assert code == 0
    assert said["publications"] == 2
    assert said["faults"] == []
    with tiny.opened(project) as workspace:
        notes = (workspace.settings.releases_path / NOTES).read_text(encoding="utf-8").splitlines()
    assert len(notes) == 2
    assert notes[-1].endswith(str(said["newest"]))


def test_a_run_that_publishes_nothing_seals_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.run(project)
    assert verified(project, capsys)[1]["publications"] == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE forward_record SET decisions = '7' WHERE id = 1",
        "UPDATE forward_record SET sealed_at = '2020-01-01T00:00:00+00:00' WHERE id = 2",
        "DELETE FROM forward_record WHERE id = 1",
        "DELETE FROM forward_record WHERE id = 2",
    ],
)
def test_a_change_in_the_database_is_found(project: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    with tiny.opened(project) as workspace, workspace.database.writing() as connections:
        connections.project.execute(sa.text(change))
    code, said = verified(project, capsys)
    assert code == 1
    assert said["faults"]


def test_a_change_in_the_release_is_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tiny.opened(project) as workspace:
        path = workspace.settings.releases_path / "current" / "decisions.json"
    path.chmod(0o600)
    path.write_bytes(b"8")
    code, said = verified(project, capsys)
    assert code == 1
    assert "the release's files hold other decisions" in str(said["faults"])


def test_any_byte_changed_in_the_record_or_its_releases_is_found(project: Path) -> None:
    """200 edits at random: of a row, of the notes, of a file of a release, in the database itself and on disk."""
    chance, columns = random.Random(7), ("release", "sealed_at", "decisions", "previous_hash", "hash")
    with tiny.opened(project) as workspace:
        assert verify(workspace)[1] == []
        root = workspace.settings.releases_path
        files = sorted(path for path in root.rglob("*") if path.is_file())
        assert {path.name for path in files} == {"metrics.json", "board.txt", "decisions.json", NOTES}
        places: list[Path | str] = [*files, *columns]
        for number in range(200):
            place = chance.choice(places)
            with contextlib.ExitStack() as undo:
                if isinstance(place, Path):
                    edit_file(place, chance, undo)
                else:
                    edit_row(workspace, place, chance, undo)
                assert verify(workspace)[1], f"edit {number} of {place} was not found"
        assert verify(workspace)[1] == []


def edit_file(path: Path, chance: random.Random, undo: contextlib.ExitStack) -> None:
    before = path.read_bytes()
    path.chmod(0o600)
    undo.callback(path.write_bytes, before)
    path.write_bytes(other_byte(before, chance))


def edit_row(workspace: Workspace, column: str, chance: random.Random, undo: contextlib.ExitStack) -> None:
    row = chance.choice([1, 2])
    with workspace.database.reading() as connections:
        query = sa.text(f"SELECT {column} FROM forward_record WHERE id = :id")
        before: str = connections.project.execute(query, {"id": row}).scalar_one()

    def write(text: str) -> None:
        with workspace.database.writing() as connections:
            change = sa.text(f"UPDATE forward_record SET {column} = :text WHERE id = :id")
            connections.project.execute(change, {"text": text, "id": row})

    undo.callback(write, before)
    write(other_byte(before.encode(), chance).decode("latin-1"))


def other_byte(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([(content[place] + chance.randrange(1, 128)) % 128]) + content[place + 1 :]


def test_a_note_that_was_lost_with_its_process_is_written_by_the_next(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tiny.opened(project) as workspace:
        path = workspace.settings.releases_path / NOTES
    first = path.read_text(encoding="utf-8").splitlines(keepends=True)[0]
    path.write_text(first, encoding="utf-8")
    assert verified(project, capsys)[0] == 0
    tiny.run(project, (6, 7))
    assert verified(project, capsys) == (0, verified(project, capsys)[1])
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3
