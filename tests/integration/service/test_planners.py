"""Warm processes of projects: kept, replaced when a file changes, ended when nobody asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.execution.host.child import ChildHost
from agent.execution.host.interface import Host, Origin
from agent.execution.host.planners import Planners
from tests.served import wait_until

OWN = """
from pipelines.component import component

@component(name="own")
def own(ctx, settings):
    ctx.write_bytes("n", b"{}")
"""


def origin(folder: Path) -> Origin:
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN.format(1), encoding="utf-8")
    return Origin(folder, {"project": {"modules": ["own.py"]}}, folder / "lake", folder / "code.json")


@pytest.fixture
def planners() -> Iterator[Planners]:
    made = Planners()
    yield made
    made.close()


def pid(host: Host) -> int:
    assert isinstance(host, ChildHost)
    assert host.pid is not None
    return host.pid


def is_gone(number: int) -> bool:
    return not Path(f"/proc/{number}").exists()


def test_one_is_kept_and_replaced_when_a_file_changes_and_a_block_keeps_its_own(
    planners: Planners, tmp_path: Path
) -> None:
    project = origin(tmp_path / "project")
    with planners.lease(project) as first:
        number, version = pid(first), first.facts.components["own"].code
        with planners.lease(project) as second:
            assert pid(second) == number
        (project.base / "own.py").write_text(OWN.format(2), encoding="utf-8")
        with planners.lease(project) as third:
            assert pid(third) != number
            assert third.facts.components["own"].code != version
            assert first.probe("sample").error is None, "a run goes on with the generation that it began with"
            newer = pid(third)
        assert not is_gone(number)
    assert is_gone(number)
    assert planners.pids() == [newer]


def test_those_that_nobody_has_are_ended_the_oldest_first(tmp_path: Path) -> None:
    planners = Planners(most=2)
    try:
        numbers = []
        for name in ("a", "b", "c"):
            with planners.lease(origin(tmp_path / name)) as host:
                numbers.append(pid(host))
        assert planners.pids() == numbers[1:]
        assert is_gone(numbers[0])
        planners.idle_seconds = 0.0
        wait_until(lambda: all(is_gone(number) for number in numbers), what="idle ones to be ended")
        assert planners.pids() == []
    finally:
        planners.close()
