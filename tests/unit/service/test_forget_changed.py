"""A long-lived process takes up the code on disk: changed project modules are unloaded, and nothing else."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from pipelines import discovery
from pipelines.modules import load_module
from tests.served import wait_until

OWN = """
from helper_of_forget import CONSTANT
VALUE = CONSTANT
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "helper_of_forget", raising=False)  # of the test before, in another folder
    write(tmp_path / "helper_of_forget.py", "CONSTANT = 1\n", age=10)
    write(tmp_path / "own_of_forget.py", OWN, age=10)
    return tmp_path


def write(path: Path, text: str, *, age: int) -> None:
    """A file last changed `age` seconds ago: an edit within a clock tick of another would not show."""
    path.write_text(text, encoding="utf-8")
    at = path.stat().st_mtime_ns - age * 1_000_000_000
    os.utime(path, ns=(at, at))


def value(project: Path) -> int:
    found: int = load_module("own_of_forget.py", project).VALUE
    return found


def test_a_change_in_what_a_module_imports_is_taken_up(project: Path) -> None:
    discovery.forget_changed()
    assert value(project) == 1
    assert discovery.forget_changed() == ()
    before = sys.modules["helper_of_forget"]
    assert value(project) == 1
    write(project / "helper_of_forget.py", "CONSTANT = 22\n", age=5)
    assert discovery.forget_changed() == ("helper_of_forget",)
    assert value(project) == 22
    assert sys.modules["helper_of_forget"] is not before
    assert discovery.forget_changed() == ()


def test_a_change_between_loading_and_the_first_look_is_seen(project: Path) -> None:
    discovery.forget_changed()
    assert value(project) == 1
    write(project / "own_of_forget.py", "VALUE = 333\n", age=0)
    assert [name for name in discovery.forget_changed() if name.endswith("own_of_forget")]
    assert value(project) == 333


def test_a_change_at_the_very_moment_of_a_look_is_seen_by_the_next(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovery.forget_changed()
    assert value(project) == 1
    real, own = discovery._mark, project / "own_of_forget.py"

    def mark_then_edit(path: Path) -> tuple[int, int] | None:
        found = real(path)
        if path == own and "55555" not in own.read_text():
            write(own, "VALUE = 55555\n", age=5)
        return found

    monkeypatch.setattr(discovery, "_mark", mark_then_edit)
    assert discovery.forget_changed() == ()
    assert [name for name in discovery.forget_changed() if name.endswith("own_of_forget")]
    assert value(project) == 55555


def test_the_framework_and_libraries_stay(project: Path) -> None:
    discovery.load_components()
    discovery.forget_changed()
    component, errors = sys.modules["pipelines.component"], sys.modules["pipelines.errors"]
    old = sys.modules["pipelines.components.markets"]
    assert value(project) == 1
    discovery.forget_changed()
    write(project / "own_of_forget.py", "VALUE = 4444\n", age=3)
    discovery.forget_changed()
    discovery.load_components()
    assert sys.modules["pipelines.component"] is component
    assert sys.modules["pipelines.errors"] is errors
    assert sys.modules["pipelines.components.markets"] is not old


def test_a_thread_does_not_meet_a_module_that_another_is_loading(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from pipelines.component import component\n"
        "folder = Path(__file__).parent\n"
        "(folder / 'begun').touch()\n"
        "while not (folder / 'go on').exists():\n"
        "    time.sleep(0.01)\n"
        "@component(name='late')\n"
        "def late(ctx, settings):\n"
        "    pass\n",
        encoding="utf-8",
    )
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(discovery.load_components, ("slow.py",), tmp_path)
        wait_until((tmp_path / "begun").exists)
        second = threads.submit(discovery.load_components, ("slow.py",), tmp_path)
        waits = not wait([second], timeout=0.3).done
        (tmp_path / "go on").touch()
        assert "late" in first.result(60)
        assert "late" in second.result(60)
    assert waits
