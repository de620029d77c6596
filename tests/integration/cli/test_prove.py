"""`agent prove --noise` on a small real project."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.execution.proving.proof import prove as recompute
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import open_workspace
from agent.store import state
from tests.small import small_project

READS_SOURCES = "it reads sources, whose answers may change: not computed again"
SHIPPED_PROOFS = int(
    os.environ.get("EXAMPLES", "2")
)  # of shipped components; a thousand in tests/torture/test_prove.py


def test_the_rate_of_claims_on_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_project(tmp_path, days=40)
    prove = ["--project-dir", str(folder), "--json", "prove", "--noise"]
    assert main(prove) != 0
    assert "has no output yet" in capsys.readouterr().err
    with open_workspace(folder) as workspace:
        assert perform(workspace, Request(targets=("model",))).status == "COMPLETED"
        with workspace.database.reading() as connections:
            before = state.load_states(connections.project)
    capsys.readouterr()
    assert main([*prove, "--sets", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sets"] == sum(said["claims"].values()) == 2
    assert said["rate"]["value"] == said["claims"]["EDGE"] / 2
    assert said["rate"]["low"] <= said["rate"]["value"] <= said["rate"]["high"]
    assert main([*prove[:2], *prove[3:], "--sets", "5", "--max-minutes", "0.0001"]) == 0
    assert "of 1 set of noise" in capsys.readouterr().out, "the first set is always done, no other one in this time"
    with open_workspace(folder) as workspace:
        for seed in range(SHIPPED_PROOFS):
            proof = recompute(workspace, share=0.03, names=[("features", "model")[seed % 2]], seed=seed)
            assert not proof.findings, "a shipped component is accused"
        assert [one.component for one in recompute(workspace, share=0.03).components] == ["features"], "own features"
        skipped = recompute(workspace, share=0.03, names=["markets", "ticks"]).components
        assert [(one.recomputed, *one.notes) for one in skipped] == [(0, READS_SOURCES)] * 2, "and it is said"
        with workspace.database.reading() as connections:
            assert state.load_states(connections.project) == before, "nothing is recorded"


@pytest.mark.parametrize("wrong", [["--sets", "0"], ["--sets", "x"], ["--max-minutes", "-1"]])
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["prove", "--noise", *wrong])
    assert left.value.code == 2
    assert capsys.readouterr().err
