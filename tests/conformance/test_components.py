"""Every built-in component passes the suite that outside packages use too: found by discovery.

Its inputs are what the components before it made of a small real project at three moments.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.component import Component
from pipelines.lake import Lake
from pipelines.plugins.discovery import builtin_names
from pipelines.project import Project, load_project
from pipelines.testing import ComponentSuite, Moment
from tests import small
from tests.chain import perform_all

DAYS = (40, 42, 41)  # of each market at each moment: added, then removed


def chain(folder: Path) -> tuple[list[Moment], Project]:
    """The whole chain from scratch at each moment, in one lake."""
    lake, moments = Lake(folder / "lake"), []
    for number, days in enumerate(DAYS):
        base = folder / f"moment{number}"
        base.mkdir()
        project = load_project(small.small_project(base, days) / "agent.toml")
        made = perform_all(project, lake, f"chain-{number}")
        moments.append(Moment(lake, made, project.sources, base))
    return moments, project


class Suite(ComponentSuite):
    """The suite for a component of the chain."""

    def __init__(self, which: Component, moments: list[Moment], settings: Any) -> None:
        self.which, self.chain, self.values = which, moments, settings

    @property
    def component(self) -> Component:  # type: ignore[override]
        return self.which

    def moments(self, folder: Path) -> Iterable[Moment]:
        return self.chain

    def settings(self) -> Any:
        return self.values


def test_every_built_in_component_passes(tmp_path: Path) -> None:
    """One test for all, so that the chain is computed once however many processes share the tests."""
    moments, project = chain(tmp_path)
    tests = [name for name in dir(ComponentSuite) if name.startswith("test_")]
    assert len(tests) >= 4
    for name in builtin_names("components"):
        suite = Suite(project.components[name], moments, project.settings[name])
        for test in tests:
            try:
                getattr(suite, test)(tmp_path)
            except Exception as error:
                error.add_note(f"component {name}")
                raise
