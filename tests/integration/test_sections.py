"""Sections of agent.toml: each is one file, and nothing lists them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import sections, settings
from agent.cli.commands.init import template
from agent.execution.workspace import read_settings
from pipelines.errors import SettingsError
from pipelines.plugins.discovery import other_sections
from pipelines.project import load_project
from tests.docs.test_reference import generator

NEW = '''
from dataclasses import dataclass
from pipelines.settings import setting

@dataclass(frozen=True)
class Settings:
    """[tides]"""
    height_m: float = setting(2.0, "Height of the tide.", unit="m", low=0)
'''


@pytest.fixture
def tides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of sections with one of its own."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "tides.py").write_text(NEW, encoding="utf-8")
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path / "more")])
    yield tmp_path
    sys.modules.pop("agent.sections.tides", None)
    vars(sections).pop("tides", None)


@pytest.mark.parametrize("name", settings.section_names())
def test_a_section_is_a_frozen_class_whose_settings_have_defaults_and_words(name: str) -> None:
    cls = settings.section_class(name)
    assert dataclasses.is_dataclass(cls)
    assert cls() == cls()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 1)
    assert all(one.metadata.get("doc") for one in dataclasses.fields(cls))


def test_one_file_makes_a_section_everywhere(tides: Path) -> None:
    (tides / "agent.toml").write_text("[tides]\nheight_m = 3.5\n", encoding="utf-8")
    found, project = read_settings(tides)
    assert found.section("tides").height_m == 3.5
    assert found.of(settings.section_class("tides")).height_m == 3.5
    assert settings.load(tides / "more").section("tides").height_m == 2.0  # by default
    assert project.extra == {"tides": {"height_m": 3.5}}
    assert "tides" in other_sections()
    assert load_project(tides / "agent.toml").extra == project.extra  # without the agent, as pipelines.load does
    assert "[tides]\n# height_m = 2.0  # Height of the tide. [m] (at least 0)" in template()
    assert "## [tides]" in generator().settings_page()


def test_its_faults_are_reported_with_all_others(tides: Path) -> None:
    (tides / "agent.toml").write_text("[tides]\nheight_m = -1\n[tidse]\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"did you mean \[tides\]") as raised:
        read_settings(tides)
    assert "[tides] height_m" in str(raised.value)


def test_a_run_with_nothing_to_do_makes_no_settings_of_the_server(tmp_path: Path) -> None:
    assert settings.load(tmp_path, environment={}).parts == {}
