"""`agent prove` in full: every planted fault, and a thousand proofs of sound components without a false alarm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.execution.proving.proof import prove
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import Workspace, open_workspace
from tests.planted import FAULTS, FIRST, SOUND, planted_project
from tests.small import small_project

IS_LONG = os.environ.get("TORTURE") == "long"
PROOFS = int(os.environ.get("EXAMPLES", "1000"))
SHIPPED = ("features", "backtest", "publish")  # those that train are proved a few times: each proof trains five times
pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(not IS_LONG, reason="the bounded form is in tests/integration/cli"),
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    codes = {name: code for name, (_, code) in FAULTS.items() if name not in FIRST} | SOUND
    folder = planted_project(tmp_path_factory.mktemp("planted") / "project", codes)
    with open_workspace(folder) as opened:
        assert perform(opened, Request(targets=tuple(codes))).status == "COMPLETED"
        yield opened


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in FIRST])
def test_a_planted_fault_is_found(planted: Workspace, name: str) -> None:
    proof = prove(planted, share=0.03, names=[name])
    found = {one.kind for one in proof.findings}
    assert found, proof
    assert found <= FAULTS[name][0], proof
    assert proof.share <= 0.03


def test_sound_components_are_not_accused(planted: Workspace) -> None:
    for seed in range(PROOFS // 50):
        assert not prove(planted, share=0.03, names=list(SOUND), seed=seed).findings, seed


def test_shipped_components_are_not_accused(tmp_path: Path) -> None:
    folder = small_project(tmp_path, days=40)
    with open_workspace(folder) as workspace:
        assert perform(workspace, Request(targets=("publish",))).status == "COMPLETED"
        for seed in range(PROOFS):
            proof = prove(workspace, share=0.03, names=[SHIPPED[seed % len(SHIPPED)]], seed=seed)
            assert not proof.findings, (seed, proof)
        for seed in range(3):
            assert not prove(workspace, share=0.03, names=["model", "inference"], seed=seed).findings
