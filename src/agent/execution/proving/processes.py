"""The outside of a proving process: started under its conditions, asked once, ended."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.execution.host import wire
from agent.execution.host.failures import error_of
from agent.execution.host.interface import Origin, ProjectDied
from agent.execution.host.process import environment_of_host, search_path
from agent.execution.proving.values import Conditions, Evidence, Pass, PassResult
from pipelines.errors import PipelineError

_PROGRAM = "agent.execution.proving"
_LAST = 2000  # characters of what it printed


def run_passes(
    origin: Origin, component: str, conditions: Conditions, passes: Sequence[Pass], root: Path, timeout: float
) -> list[PassResult]:
    """Make `passes` one after the other in a new process. Files go below `root`, whose parent has the cut inputs.

    Raises PipelineError where it takes longer than `timeout` seconds, ProjectDied, and what loading raises."""
    root.mkdir(parents=True)
    request = {
        "path": search_path(origin.base),
        "origin": origin,
        "component": component,
        "conditions": dict(vars(conditions)),
        "passes": [dict(vars(one)) for one in passes],
        "root": str(root),
    }
    asked = io.BytesIO()
    wire.write_frame(asked, 1, request)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", _PROGRAM],
            input=asked.getvalue(),
            capture_output=True,
            env=_environment(conditions),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PipelineError(
            f"the proof took longer than {timeout:g} s and was ended",
            where=f"component {component}",
            fix="raise [executor] timeout_seconds, or prove fewer components with --component",
        ) from error
    frame = wire.read_frame(io.BytesIO(done.stdout))
    if frame is None:
        raise ProjectDied(
            f"the process that proved {component} exited with code {done.returncode} before it was done",
            where=done.stderr.decode("utf-8", "replace")[-_LAST:].strip(),
            fix="check what its code does, and the machine's memory",
            code=done.returncode,
        )
    if "failed" in frame[1]:
        raise error_of(frame[1]["failed"])
    return [_result(one) for one in frame[1]["done"]]


def _result(found: dict[str, object]) -> PassResult:
    evidence = [Evidence(**one) for one in found["evidence"]]  # type: ignore[attr-defined]
    return PassResult(**{**found, "evidence": evidence})  # type: ignore[arg-type]


def _environment(conditions: Conditions) -> dict[str, str]:
    found = environment_of_host() | {"PYTHONHASHSEED": str(conditions.hash_seed)}
    if conditions.timezone is not None:
        found["TZ"] = conditions.timezone
    if conditions.is_foreign:
        found["LC_ALL"] = foreign_locale() or found.get("LC_ALL", "C")
    if conditions.threads is not None:
        names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        found |= dict.fromkeys(names, str(conditions.threads))
    return found


@functools.cache
def foreign_locale() -> str | None:
    """An installed locale whose numbers look otherwise, None where there is none."""
    try:
        listed = subprocess.run(["locale", "-a"], capture_output=True, check=False, text=True).stdout.split()
    except OSError:
        return None
    usual = ("C", "POSIX", "en_", os.environ.get("LC_ALL") or os.environ.get("LANG") or "C")
    return next((one for one in listed if not one.startswith(usual)), None)
