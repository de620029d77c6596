"""The report of a release: the script that draws lies beside the releases once, and the page opens wherever it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.errors import NotFound
from agent.execution.release import has_files, is_whole, whole_page, write_release
from pipelines.component import Context
from pipelines.components.publish import _write_report
from pipelines.errors import PipelineError
from pipelines.lake import SHARED, Lake
from pipelines.modelling import report
from pipelines.snapshot import Snapshot
from tests import chrome
from tests.integration.test_publish import report_data

CHARTS = ["chart-equity", "chart-drawdown", "chart-calibration"]


def written(lake: Lake, attempt: str, previous: Snapshot | None = None, redo: frozenset[str] = frozenset()) -> Snapshot:
    """What publish writes for one and the same report."""
    ctx = Context("publish", lake, attempt, {}, previous, redo)
    _write_report(ctx, report_data())
    lake.flush()
    return ctx.result()


def script_of(snapshot: Snapshot) -> str:
    (key,) = (key for key in snapshot.by_key if key.startswith(SHARED))
    return key


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    (tmp_path / "releases").mkdir()
    return tmp_path / "releases"


def test_the_script_is_no_part_of_the_version_and_carried_over(lake: Lake) -> None:
    first = written(lake, "t1")
    again = written(lake, "t2", first)
    assert [one.key for one in first.select()] == ["report.html"]
    assert again.partitions == first.partitions
    assert first.rows == 0


def test_a_kept_page_keeps_its_script(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(lake, "t1")
    monkeypatch.setattr(report, "drawing_script", lambda: ("plotly-other.min.js", b"other"))
    kept = written(lake, "t2", first)
    assert kept.partitions == first.partitions
    with pytest.raises(PipelineError, match="another version of plotly"):
        written(lake, "t3", first, redo=frozenset({script_of(first)}))
    anew = written(lake, "t4", None)
    assert script_of(anew) == f"{SHARED}plotly-other.min.js"
    assert anew.version == first.version


def test_two_releases_share_the_script(lake: Lake, releases: Path) -> None:
    snapshot = written(lake, "t1")
    one, other = (write_release(lake, snapshot, releases, name) for name in ("one", "other"))
    script = releases / "shared" / script_of(snapshot).removeprefix(SHARED)
    assert [path.name for path in script.parent.iterdir()] == [script.name]
    assert sum(path.stat().st_size for path in one.iterdir()) < 300_000 < script.stat().st_size
    sizes = {part.key: part.file_size for part in snapshot.partitions}
    assert is_whole(one, snapshot)
    assert has_files(other, sizes)
    script.write_bytes(b"cut short")
    assert not is_whole(one, snapshot)
    assert not has_files(other, sizes)
    write_release(lake, snapshot, releases, "one")
    assert is_whole(one, snapshot)


def test_the_whole_page_needs_nothing_beside_it(lake: Lake, releases: Path) -> None:
    folder = write_release(lake, written(lake, "t1"), releases, "one")
    page = whole_page(folder)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    (folder / "report.html").write_text(page, encoding="utf-8")  # as releases made before have it
    assert whole_page(folder) == page
    with pytest.raises(NotFound, match="has no report"):
        whole_page(releases / "none")


@pytest.mark.browser
@chrome.needs_chrome
def test_the_page_draws_from_disk_and_as_one_page(tmp_path: Path, lake: Lake, releases: Path) -> None:
    folder = write_release(lake, written(lake, "t1"), releases, "one")
    (releases / "current").symlink_to("one")
    alone = tmp_path / "alone.html"
    alone.write_text(whole_page(folder), encoding="utf-8")
    with chrome.launched() as browser:
        context = browser.new_context(offline=True)
        for page in (folder / "report.html", releases / "current" / "report.html", alone):
            assert drawn(context, page.as_uri()) == CHARTS


def drawn(context: Any, address: str) -> list[str]:
    """Ids of the charts that were drawn."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3", timeout=chrome.SLOW)
    found: list[str] = page.eval_on_selector_all(".js-plotly-plot", "all => all.map(one => one.id)")
    page.close()
    return found
