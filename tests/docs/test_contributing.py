"""What contributors find fits the project: CI tests the Pythons we name, and calls what the Makefile has."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.paths import PROJECT

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
HOOKS = PROJECT / ".pre-commit-config.yaml"


def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return found


def test_ci_tests_every_python_that_we_name() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert jobs()["test"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
    assert set(jobs()["wheel"]["strategy"]["matrix"]["python"]) <= set(named)


def test_ci_and_hooks_call_what_the_makefile_has() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8")))
    called = set(re.findall(r"\bmake ([a-z-]+)", WORKFLOW.read_text(encoding="utf-8")))
    hooks = [
        hook["entry"] for repo in yaml.safe_load(HOOKS.read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]
    ]
    called |= {entry.removeprefix("make ") for entry in hooks if entry.startswith("make ")}
    assert {"test", "wheel", "site", "lint"} <= called
    assert called <= targets


def test_the_wheel_is_built_installed_and_run_on_both_databases() -> None:
    for name in ("wheel", "postgresql"):
        steps = "\n".join(step.get("run", "") for step in jobs()[name]["steps"])
        assert "make wheel" in steps
        assert "install dist/*.whl" in steps
        assert 'plan | grep "Nothing would run."' in steps
    assert "AGENT_DATABASE_URL" in jobs()["postgresql"]["env"]
