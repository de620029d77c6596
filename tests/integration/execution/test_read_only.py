"""A mount that only lets read, and one without a free byte: what only reads works, and gc frees."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.main import main
from tests.integration.execution.test_full_volume import fill, mounted
from tests.tiny import run, tiny_project

READING = [
    *(("state",), ("plan",), ("runs",), ("events", "2"), ("checks",), ("explain", "board"), ("settings",)),
    *(("runs", "--json"), ("gc", "--dry-run"), ("checks", "--deep")),
]


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MB."""
    with mounted(tmp_path / "volume", 24) as folder:
        yield folder


@pytest.fixture
def project(volume: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny project on the volume that has run twice."""
    folder = tiny_project(volume / "project")
    run(folder)
    run(folder, (4, 5))
    monkeypatch.chdir(folder)
    return folder


def test_a_read_only_mount_is_read(
    project: Path, volume: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(volume)], check=True)
    for command in READING:
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert "total 9" in (project / ".tidemill" / "releases" / "current" / "board.txt").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(("run", "--target", "board", "--force", "total")) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_volume_without_a_free_byte_is_read_and_gc_frees(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = project / ".tidemill"
    assert (home / "reserve").stat().st_size >= 1 << 20
    loose = home / "lake" / "total" / "total.0123456789ab.t1"
    loose.write_bytes(bytes(100_000))
    fill(home / "ballast", free=0)
    for command in READING:
        assert main(command) == 0, (command, capsys.readouterr().err)
    capsys.readouterr()
    assert main(("gc", "--keep-days", "0")) == 0, capsys.readouterr().err
    assert not loose.exists()
    assert main(("db", "vacuum")) == 0, capsys.readouterr().err
    (home / "ballast").unlink()
    assert main(("gc",)) == 0
    assert (home / "reserve").exists(), "kept for the next time"


def test_without_a_reserve_gc_takes_what_no_row_refers_to(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = project / ".tidemill"
    (home / "reserve").unlink()
    loose = home / "lake" / "total" / "total.0123456789ab.t1"
    loose.write_bytes(bytes(4_000_000))
    fill(home / "ballast", free=0)
    assert main(("gc", "--keep-days", "0")) == 0, capsys.readouterr().err
    assert not loose.exists()
