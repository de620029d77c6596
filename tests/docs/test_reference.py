"""docs/reference/ says what the settings classes and the tables say (the commands: test_cli_reference)."""

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

SCRIPT = PROJECT / "scripts" / "make_reference.py"


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["events.md", "settings.md", "tables.md"])
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
