"""How long the server computes at each tab of the dashboard, whatever the browser and its machine take.

    python benchmarks/pages.py FOLDER             seconds of each tab on the project in FOLDER, as JSON
    python benchmarks/pages.py FOLDER PROFILE     the same under cProfile, whose figures go to the file PROFILE.TAB

Each tab is drawn by its own script, as Streamlit's own tests do: "first" by the first viewer after a start, "viewer" by
a second one, "again" by that one's next look.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from cProfile import Profile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABS = ("overview", "agent", "component", "runs", "signals", "markets", "diagnostics", "backtest", "data")
LOOKS = ("first", "viewer", "again")
taken: list[float] = []  # seconds, one per drawing
profiler: list[Profile] = []  # the one to use, where one is wanted


def measured(folder: Path, profile: str | None = None) -> dict[str, dict[str, float]]:
    """Tab -> one of LOOKS -> seconds. Raises RuntimeError for a tab that shows an error."""
    from streamlit.testing.v1 import AppTest

    os.chdir(folder)
    found: dict[str, dict[str, float]] = {tab: {} for tab in TABS}
    for looks in (LOOKS[:1], LOOKS[1:]):
        for tab in TABS:
            page = AppTest.from_function(_script, default_timeout=300, args=(tab,))
            for look in looks:
                profiler[:] = [] if profile is None else [Profile()]
                page.run()
                if page.exception or page.error:
                    raise RuntimeError(f"{tab}: {page.exception or page.error}")
                found[tab][look] = round(taken[-1], 3)
                for one in profiler:
                    one.dump_stats(f"{profile}.{tab}.{look}")
    importlib.import_module("agent.service.projects").PLANNERS.close()
    return found


def show(tab: str) -> None:
    """Draw a tab and note how long that took."""
    from dashboard import data

    drawn = importlib.import_module(f"dashboard.tabs.{tab}").show
    begun = time.perf_counter()
    desk = data.open_desk()
    if profiler:
        profiler[0].runcall(drawn, desk)
    else:
        drawn(desk)
    taken.append(time.perf_counter() - begun)


def _script(tab: str) -> None:
    # Streamlit takes this text alone, without what is around it.
    from benchmarks.pages import show

    show(tab)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    # Under its name, by which the scripts find it: Streamlit puts each of them in the place of `__main__`.
    found = importlib.import_module("benchmarks.pages").measured(Path(sys.argv[1]).resolve(), *sys.argv[2:])
    print(json.dumps(found))
