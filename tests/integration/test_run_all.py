"""The plain chain: one status per step, the release, and what a person is told when a step fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.component import Component, Context, component
from pipelines.errors import SettingsError
from pipelines.run_all import main, run_all, steps_of
from pipelines.snapshot import EVERYTHING
from tests.processes import Nursery
from tests.terminal import Terminal

STEPS = [
    "ingest_markets",
    "ingest_ticks",
    "build_features",
    "train_model",
    "run_inference",
    "run_backtest",
    "publish_artifacts",
]
QUICK = '[sources.sample]\nsymbols = ["IBM"]\n[model]\nkind = "logistic"\n[publish]\nmax_brier_excess = 1.0\n'
FAILING = """
from pipelines.component import Context, component
from pipelines.errors import BadInput

@component(upstream=["features"], name="zeal")
def show_zeal(ctx: Context, settings: object) -> None:
    {body}
"""


def test_the_command_prints_a_status_a_step_and_makes_a_release(tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "agent.toml").write_text(QUICK, encoding="utf-8")
    said = Terminal(tmp_path, nursery).run("python", "-m", "pipelines.run_all", "--out", "made")
    assert said.splitlines() == [f"{step}: success" for step in STEPS]
    release = tmp_path / "made" / "release"
    assert {"manifest.json", "predictions.csv", "report.html"} <= {path.name for path in release.iterdir()}
    assert "features" in json.dumps(json.loads((release / "manifest.json").read_text()))
    assert not list(tmp_path.rglob("*.sqlite*")), "no database"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "raise BadInput('the zeal is broken', where='line 3', fix='fix it')",
            "error: the zeal is broken\n  where: li",
        ),
        ("raise KeyError('bug')", "KeyError: 'bug'"),
    ],
)
def test_what_follows_a_failed_step_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, said: str
) -> None:
    (tmp_path / "zeal.py").write_text(FAILING.format(body=body), encoding="utf-8")
    toml = tmp_path / "agent.toml"
    toml.write_text("[project]\nmodules = ['zeal.py']\n[sources.sample]\nsymbols = ['IBM']", encoding="utf-8")
    assert main(["--settings", str(toml), "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[:4] == [f"{step}: success" for step in STEPS[:3]] + ["show_zeal: failed"]
    assert lines[4:] == [f"{step}: skipped" for step in STEPS[3:]]
    assert said in shown.err


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert main(["--out", str(tmp_path)]) == 2
    assert "the folder for the output is not empty" in capsys.readouterr().err
    assert (tmp_path / "lake" / "thesis.txt").exists()


def test_bad_settings_stop_it_before_anything_is_run(tmp_path: Path) -> None:
    toml = tmp_path / "agent.toml"
    toml.write_text("[featuers]", encoding="utf-8")
    with pytest.raises(SettingsError, match="featuers"):
        run_all(toml, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def chain(**upstream: list[str]) -> dict[str, Component]:
    def nothing(ctx: Context, settings: object) -> None:
        """Only its place in the order counts here."""

    return {
        name: component(upstream=dict.fromkeys(reads, EVERYTHING), name=name)(nothing)
        for name, reads in upstream.items()
    }


def test_the_order_is_upstream_first_and_does_not_depend_on_the_mapping() -> None:
    graph = {"publish": ["model", "inference", "backtest"], "backtest": ["model"], "inference": ["model"], "model": []}
    expected = ["model", "inference", "backtest", "publish"]
    assert [one.name for one in steps_of(chain(**graph))] == expected
    assert [one.name for one in steps_of(chain(**dict(reversed(graph.items()))))] == expected


def test_a_circle_and_an_unknown_upstream_are_named() -> None:
    with pytest.raises(SettingsError, match=r"circle: (a → b → a|b → a → b)"):
        steps_of(chain(a=["b"], b=["a"]))
    with pytest.raises(SettingsError, match="'a' reads 'nowhere', which does not exist"):
        steps_of(chain(a=["nowhere"]))
