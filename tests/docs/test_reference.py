"""docs/reference/ says what settings classes, tables and docstrings say (the commands: test_cli_reference)."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from agent.core import events
from agent.settings import section_names
from agent.store.tables import in_one_schema
from tests.paths import PROJECT


@cache
def generator(name: str = "make_reference") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["events.md", "settings.md", "tables.md", "trading.md"])
def test_page_is_not_stale(name: str) -> None:
    made: dict[Path, str] = generator().pages()
    page = PROJECT / "docs" / "reference" / name
    assert page.is_file(), "run: make docs"
    assert page.read_text(encoding="utf-8") == made[page], f"docs/reference/{name} is stale; run: make docs"


def test_every_table_and_section_has_its_place() -> None:
    tables, settings = generator().tables_page(), generator().settings_page()
    for name in in_one_schema().tables:
        assert f"\n## {name}\n" in tables
    components = ("ticks", "features", "model", "backtest", "publish")
    for name in (*section_names(), "sources.sample", "sources.files", *components):
        assert f"\n## [{name}]\n" in settings


def test_every_event_has_its_place() -> None:
    page = generator().events_page()
    for kind in events.kinds():
        phase = getattr(kind, "phase", "")
        assert f"\n## {kind.type}{f', {phase}' if phase else ''}\n" in page


def test_what_markdown_would_swallow_is_escaped() -> None:
    assert "idle \\| running \\| failed" in generator().tables_page()
    assert "(?P&lt;market>" in generator().settings_page()


def test_the_python_api_is_not_stale() -> None:
    made = generator("make_python_reference")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "docs/reference/python.md is stale; run: make docs"
    assert "pipelines.component.component" in made.PAGE.read_text(encoding="utf-8")


def test_long_signatures_are_cut_at_their_parameters() -> None:
    cut = generator("make_python_reference")._cut
    assert cut("f(a: int) -> None") == "f(a: int) -> None"
    long = f"f(a: dict[int, str], b: C = lambda x, y: (x, y), {'c' * 90}: int = 1) -> dict[str, int]"
    assert cut(long).splitlines() == [
        "f(",
        "    a: dict[int, str],",
        "    b: C = lambda x, y: (x, y),",
        f"    {'c' * 90}: int = 1,",
        ") -> dict[str, int]",
    ]
