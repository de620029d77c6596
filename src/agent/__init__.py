"""The orchestrator of the market pipeline: state, staleness, plans, runs, leases, and what serves them."""

from __future__ import annotations

import importlib.util
import os
import sys


def _refuse_another_pipelines() -> None:
    """Raise ImportError where a package `pipelines` of the user's own goes before the one that belongs to this package:
    `python -m` looks in the current folder first. As a program, say so and end with 2."""
    spec = importlib.util.find_spec("pipelines")
    place = next(iter(spec.submodule_search_locations or [spec.origin or ""])) if spec is not None else "(missing)"
    ours = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pipelines")  # noqa: PTH100, PTH118, PTH120
    if os.path.realpath(place) == os.path.realpath(ours):
        return
    what = "another package called `pipelines` goes before the one of tidemill"
    fix = "use the `agent` command, which looks there last (agent run, agent plan, …), or rename that folder"
    if sys.argv[:1] == ["-m"]:  # Python looks for the program that it is to run: nobody catches an error
        print(f"error: {what}\n  where: {place}\n  fix:   {fix}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(f"{what} ({place}); {fix}")


_refuse_another_pipelines()
