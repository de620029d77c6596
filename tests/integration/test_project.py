"""agent.toml as a whole: what a person gets told who mistypes it, and what a right one gives."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.project import load_project
from pipelines.settings import Faults

OWN_COMPONENT = '''
"""Counts the ticks."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.component import Context, component
from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    at_least: int = setting(1, "Fewest rows", low=0)


@component(upstream=["ticks"], settings=Settings)
def count_ticks(ctx: Context, settings: Settings) -> None:
    ctx.write_bytes("count", str(len(ctx.inputs["ticks"].keys)).encode())
'''


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_sample_is_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = load_project()
    assert list(project.sources) == ["sample"]
    assert project.base == tmp_path
    assert {"markets", "ticks", "features"} <= set(project.components) == set(project.settings)
    assert project.extra == {}


def test_all_faults_are_reported_together_with_the_nearest_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [featuers]
        interval = 60
        [features]
        max_raech = 3.0
        [sources.sampel]
        [sources.sample]
        colour = "red"
        """,
    )
    with pytest.raises(SettingsError) as caught:
        load_project(path)
    text = str(caught.value)
    assert "[featuers] unknown section; did you mean [features]?" in text
    assert "[features] unknown setting 'max_raech'; did you mean 'max_reach'?" in text
    assert "there is no source 'sampel'; did you mean [sources.sample]?" in text
    assert "[sources.sample] unknown setting 'colour'" in text
    assert str(path) in text


def test_faults_of_the_caller_come_out_in_the_same_error(tmp_path: Path) -> None:
    faults = Faults("agent.toml")
    faults.add("database", "unknown setting 'ulr'")
    with pytest.raises(SettingsError, match=r"2 settings are wrong(?s:.*)'ulr'(?s:.*)featuers"):
        load_project(write(tmp_path, "[featuers]\n[database]\nulr = 'x'"), faults=faults)


def test_sections_of_the_agent_are_handed_over(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, "[database]\nurl = 'sqlite://'\n[worker]\nbatch_size = 3"))
    assert project.extra == {"database": {"url": "sqlite://"}, "worker": {"batch_size": 3}}


def test_an_own_component_is_one_file_with_its_own_section(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(OWN_COMPONENT, encoding="utf-8")
    project = load_project(write(tmp_path, "[project]\nmodules = ['count.py']\n[count]\nat_least = 5"))
    assert project.components["count"].upstream.keys() == {"ticks"}
    assert project.settings["count"].at_least == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[project]\nmodules = ['nowhere.py']", "there is no file 'nowhere.py'"),
        ("[project]\nmodules = 'x.py'", "modules = 'x.py' is not a list of text"),
        ("[project]\nmodules = ['broken.py']", "cannot load 'broken.py': ZeroDivisionError"),
        ("[project]\nmodules = ['ticks.py']", "'ticks' (pipelines.components.ticks and ticks.py)"),
        ("[project]\nmodules = ['api.py']", "a component cannot be called 'api'"),
        ("features = 3", "features = 3 is not a section; write [features]"),
        ("[sources]\nsample = 3", "sample = 3 is not a section; write [sources.sample]"),
        ("[features", "cannot read the settings"),
    ],
)
def test_each_fault_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    for name in ("api.py", "ticks.py"):
        (tmp_path / name).write_text(OWN_COMPONENT, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_project(write(tmp_path, text))
    assert said in str(caught.value)


def test_a_settings_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such settings file"):
        load_project(tmp_path / "agent.toml")


def test_an_own_module_can_use_its_neighbours_and_go_to_a_child_process(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("LEAST = 7", encoding="utf-8")
    own = OWN_COMPONENT.replace("from dataclasses", "from .helper import LEAST\nfrom dataclasses")
    (tmp_path / "count.py").write_text(own.replace("setting(1,", "setting(LEAST,"), encoding="utf-8")
    settings = load_project(write(tmp_path, "[project]\nmodules = ['count.py']")).settings["count"]
    assert settings.at_least == 7
    assert pickle.loads(pickle.dumps(settings)) == settings
