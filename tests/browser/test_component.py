"""A component closely, in a real browser on both surfaces: how it stands, what it made and from what, its attempts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import orchestrator
from agent.orchestrator import load_state
from agent.store.control import attempts
from agent.store.control.attempts import Attempt
from agent.store.database import engine
from tests.browser.conftest import Dashboard, rows_of
from tests.chrome import SLOW, needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]


@pytest.fixture
def changed(project: Path) -> Path:
    """The project after a second run, of another margin, and with one more setting changed since."""
    text = (project / "agent.toml").read_text(encoding="utf-8")
    (project / "agent.toml").write_text(f"{text}[inference]\nmargin = 0.01\n", encoding="utf-8")
    assert orchestrator.run_once(project).status == "COMPLETED"
    (project / "agent.toml").write_text(f"{text}[inference]\nmargin = 0.03\n", encoding="utf-8")
    return project


def test_both_say_how_it_stands_and_what_it_made(
    changed: Path, serve: Callable[..., Dashboard], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    made = load_state(changed)["inference"]
    (newest, oldest) = sorted((one.name for one in (changed / ".tidemill" / "releases").glob("20*")), key=_age(changed))
    board = serve(changed)
    with served(changed, WORKER_ENABLED="false") as server:
        for place in (f"{server.url}/ui/components/inference", f"{board.url}/component?component=inference"):
            page = open_page(place)
            said = "inference runs because the setting margin changed from 0.01 to 0.03."
            expect(page.get_by_text(said).first).to_be_visible(timeout=SLOW)
            expect(page.get_by_text("stale", exact=True).first).to_be_visible()
            outputs, listed = (
                rows_of(page.locator(f"[aria-label={name.title()}] table, table[aria-label={name}]"))
                for name in ("outputs", "attempts")
            )
            assert [(made.output_version or "").startswith(one[0]) for one in outputs] == [True, False]
            assert [(one[2], one[3], one[5]) for one in outputs] == [("2", "2", newest), ("1", "2", oldest)]
            assert [one[0] for one in listed] == ["2", "1"]
            assert listed[0][3] == "the setting margin changed from 0.0 to 0.01"
            tried = [(one.rows, one.recomputed_partitions, one.carried_partitions) for one in _tried(changed)]
            assert [tuple(map(int, one[5:])) for one in listed] == tried
            curve = re.compile("Seconds of each success")
            page.get_by_label(curve).or_(page.get_by_alt_text(curve)).first.wait_for(state="attached", timeout=SLOW)
            expect(page.get_by_text(re.compile("^Made by run 2|run 2")).first).to_be_visible()
        # What is up to date says so beside it.
        page = open_page(f"{server.url}/ui/components/model")
        expect(page.get_by_text(re.compile("^model is up to date")).first).to_be_visible()


def _age(project: Path) -> Callable[[str], float]:
    folder = project / ".tidemill" / "releases"
    return lambda name: -(folder / name / "manifest.json").stat().st_mtime


def _tried(project: Path) -> list[Attempt]:
    """The attempts of `inference`, newest first."""
    opened = engine.open_engine(f"sqlite:///{project / '.tidemill' / 'state.sqlite'}")
    with engine.reading(opened) as conn:
        found = attempts.of_component(conn, 0, "inference", 10)
    opened.dispose()
    return found
