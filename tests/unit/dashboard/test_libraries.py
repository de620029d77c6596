"""What is imported before the first viewer asks, and left out of collecting garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from dashboard import libraries


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("dashboard.libraries._left_out", libraries._LeftOut())
    yield
    gc.unfreeze()


def test_libraries_are_left_out_of_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    # Streamlit collects after each look, before its last words go out: with them it took 0.14 s, without 0.01.
    monkeypatch.setattr("dashboard.libraries._NEEDED", ("json",))
    libraries.fetch.__wrapped__().join()
    assert gc.get_freeze_count() > 10_000


def test_what_a_page_imports_later_is_left_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries.leave_out()
    before = gc.get_freeze_count()
    held = [[] for _ in range(5_000)]  # type: ignore[var-annotated]
    libraries.leave_out()
    assert gc.get_freeze_count() <= before, "what pages hold is collected as ever"
    for number in range(libraries._MANY):
        monkeypatch.setitem(sys.modules, f"later_{number}", ModuleType(f"later_{number}"))
    libraries.leave_out()
    assert gc.get_freeze_count() > before + len(held)
