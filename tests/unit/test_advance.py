"""How far a run has come is what its components say, is seen while they say it, and stops nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.events import Progress, RunFailed
from agent.core.explain import progress_text
from agent.runtime.advance import Noticeboard, load_advance

FOLDS, PARTS = Progress("model", 3, 7, "fold from 2006"), Progress("ticks", 9, 0, "reading day.csv")


def test_the_last_that_each_component_said_is_read_until_the_end(tmp_path: Path) -> None:
    board = Noticeboard(tmp_path, lambda: 5)
    board(RunFailed("the disk is full"))
    assert list(tmp_path.iterdir()) == [], "a run that says nothing leaves nothing"
    for one in (Progress("model", 1, 7, "folds of a very long name"), PARTS, FOLDS):
        board(one)
    assert load_advance(tmp_path, 5) == {"model": FOLDS, "ticks": PARTS}
    assert load_advance(tmp_path, 6) == {}
    board.close()
    assert load_advance(tmp_path, 5) == {}
    assert list(tmp_path.iterdir()) == []
    board(FOLDS)  # a component that was left behind
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=60))
def test_a_file_in_the_middle_of_a_change_says_nothing(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    home = tmp_path_factory.getbasetemp()
    (home / "progress-1.json").write_bytes(text)
    assert load_advance(home, 1) == {}


def test_a_disk_that_takes_nothing_stops_no_run(tmp_path: Path) -> None:
    board = Noticeboard(tmp_path / "gone", lambda: 1)
    board(FOLDS)
    board.close()
    assert not (tmp_path / "gone").exists()


def test_what_a_killed_process_left_is_removed_a_week_later(tmp_path: Path) -> None:
    for run, days in ((1, 8), (2, 1)):
        file = tmp_path / f"progress-{run}.json"
        file.write_text("[]")
        os.utime(file, (time.time() - days * 86400,) * 2)
    board = Noticeboard(tmp_path, lambda: 3)
    board(FOLDS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["progress-2.json", "progress-3.json"]


def test_words() -> None:
    assert progress_text(FOLDS) == "3 of 7: fold from 2006"
    assert progress_text(PARTS) == "reading day.csv"
    assert progress_text(Progress("ticks", 1200, 10000, "")) == "1,200 of 10,000"
