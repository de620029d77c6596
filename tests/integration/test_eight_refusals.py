"""The gate from end to end: a good release, then each of the eight things that refuse the next one. Each time the run
fails with its own sentence, the good release stays current, and what was refused is sealed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from agent.core.model import Mark
from agent.execution.engine import Report
from agent.execution.runlog import Request
from agent.execution.sealing import read_notes, verify
from agent.execution.session import perform
from agent.execution.workspace import open_workspace
from agent.store import state
from agent.store.outputs import catalog, promises, record, releases
from agent.store.tables import partitions
from pipelines.costs import DEFAULTS
from pipelines.plugins.discovery import load_source
from tests.small import MARKETS, OWN_FEATURE, START, small_project, write_bars

Change = Callable[[Path], None]
DAYS = 45


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a release."""
    folder = small_project(tmp_path_factory.mktemp("eight"), DAYS)
    assert run(folder).status == "COMPLETED"
    return folder


@pytest.fixture
def project(good: Path) -> Iterator[Path]:
    """The project with its release, its files and catalog afterwards as they were."""
    files = [good / "agent.toml", good / "own.py"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    with open_workspace(good) as workspace, workspace.database.reading() as connections:
        rows = connections.project.execute(sa.select(partitions).where(partitions.c.component == "features")).mappings()
        before = [dict(row) for row in rows]
    yield good
    for path, text in zip(files, texts, strict=True):
        if path.read_text(encoding="utf-8") != text:  # else the code would count as another one
            path.write_text(text, encoding="utf-8")
    (good / "data" / "OIL.csv").unlink(missing_ok=True)
    for market in MARKETS:
        write_bars(good, market, DAYS)
    with open_workspace(good) as workspace, workspace.database.writing() as connections:
        for row in before:
            same = [partitions.c[name] == row[name] for name in ("component", "key", "first_snapshot")]
            facts = {name: value for name, value in row.items() if name != "replaced_by"}
            connections.project.execute(sa.update(partitions).where(*same).values(**facts))


def run(folder: Path) -> Report:
    with open_workspace(folder) as workspace:
        return perform(workspace, Request(targets=("publish",)))


def current(folder: Path) -> str:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        found = releases.current_release(connections.project)
    assert found is not None
    return found.name


def settings(text: str) -> Change:
    """More lines of [publish]."""
    return lambda folder: _replace(folder / "agent.toml", "[publish]\n", f"[publish]\n{text}\n")


def feature(formula: str, bars: int = 1) -> Change:
    """One more own feature."""
    code = (
        f"\n\n@feature(bars={bars})\ndef odd(bars: Bars) -> pl.Expr:\n    import polars as pl\n\n    return {formula}\n"
    )
    return lambda folder: (folder / "own.py").write_text(OWN_FEATURE + code, encoding="utf-8") and None


def bars(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    """Other bars in the newest partition of features, under the same name: somebody was at the lake and the catalog."""

    def plant(folder: Path) -> None:
        with open_workspace(folder) as workspace:
            with workspace.database.reading() as connections:
                number = catalog.latest_snapshot_id(connections.project, "features")
                assert number is not None
                snapshot = catalog.load_snapshot(connections.project, number)
            key = max(one.key for one in snapshot.select("bars/"))
            frame = change(workspace.lake.read_table(snapshot.by_key[key]))
            new = workspace.lake.write_table("features", key, frame, attempt="planted", time="end")
            workspace.lake.flush()
            here = (partitions.c.component == "features", partitions.c.key == key, partitions.c.replaced_by.is_(None))
            names = ("path", "rows", "content_hash", "column_hashes", "file_hash", "file_size", "file_mtime_ns")
            values = {name: getattr(new, name) for name in names}
            with workspace.database.writing() as connections:
                connections.project.execute(sa.update(partitions).where(*here).values(**values))
                state.mark_dirty(connections.project, "publish", Mark("test", None, "look again"))

    return plant


def a_kind_of_ones_own(folder: Path) -> None:
    """A market of a kind for which nothing says what trading costs."""
    write_bars(folder, "OIL", 10)
    text = (folder / "agent.toml").read_text(encoding="utf-8")
    more = text[text.index("[[sources") :].replace("data/*.csv", "data/OIL.csv").replace('"spot"', '"future"')
    (folder / "agent.toml").write_text(text.replace("data/*.csv", "data/[AX]*.csv") + more, encoding="utf-8")


def more_bars(folder: Path) -> None:
    """Bars that the model was not trained on, and no drift allowed."""
    for market in MARKETS:
        write_bars(folder, market, DAYS + 10)
    _replace(folder / "agent.toml", "[model]\n", '[model]\nretrain = "rows"\nretrain_rows = 1000000\n')
    settings("max_drift = 0")(folder)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def nothing(folder: Path) -> None:
    """Time passes."""
    with open_workspace(folder) as workspace, workspace.database.writing() as connections:
        state.mark_dirty(connections.project, "publish", Mark("test", None, "look again"))


LOW = pl.when(pl.int_range(pl.len()) == 3).then(1e-6)
# Those that change code come last: it is loaded in another process then, and the model is another one.
REFUSED: dict[str, tuple[Change, str]] = {
    "1 contract": (
        bars(lambda frame: frame.with_columns(high=LOW.otherwise("high"))),
        r"the data contract is broken by bars of files:(ABC|XYZ): ",
    ),
    "2 scrambled": (
        bars(lambda frame: frame.with_columns(pl.col("open", "high", "low", "close") * 1.01)),
        r"bars are not what the sources gave in 1 partition\(s\), the first bars/",
    ),
    "3 stale": (nothing, rf"the data of files are stale: its newest bar was over [\d,.]+ bars ago \({START.year}-02-"),
    "7 drift": (more_bars, r"the features have drifted .* median PSI is [\d.]+, max_drift is 0"),
    "4 costs": (a_kind_of_ones_own, r"nothing says what trading costs in markets of kind future: set \[markets"),
    "8 edge": (settings('require = "edge"'), r'the model is not tradable, and require = "edge": '),
    "5 leak": (feature("bars.close.shift(-1) / bars.close"), r"feature 'odd' sees the future: \d+ values change"),
    "6 not tested": (feature("pl.lit(None, pl.Float32)"), r"not tested for leaks, for want of values.*: odd"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_release_leaves_the_good_one_current(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, sealed = current(project), seals(project)
    change, sentence = REFUSED[name]
    change(project)
    if name == "4 costs":  # as it is for a kind of one's own
        monkeypatch.setattr("pipelines.costs.DEFAULTS", {one: DEFAULTS[one] for one in DEFAULTS if one != "future"})
    if name == "3 stale":
        monkeypatch.setattr(load_source("files"), "historical", False)
    report = run(project)
    errors = {one.component: one.error for one in report.components if one.error}
    assert report.status == "FAILED"
    assert re.search(sentence, "\n".join(errors.values())), errors
    assert current(project) == before
    with open_workspace(project) as workspace:
        rows, faults = verify(workspace)
        notes = read_notes(workspace.settings.releases_path)
    assert not [fault for fault in faults if "hold other" not in fault]
    assert [row.hash for row in rows] == [one.hash for one in notes]
    if name == "7 drift":  # more bars: what was published has an outcome now, whatever became of the next release
        assert kept(project) > 0
    if "publish" in errors:
        assert len(rows) == sealed + 1
        assert rows[-1].release.startswith("refused: the release is refused: ")
        run(project)
        assert seals(project) == sealed + 1, "what is refused again says nothing new"


def kept(folder: Path) -> int:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        found = promises.load_promise(connections.project)
    assert found is not None
    assert found.promised is not None
    return found.count


def seals(folder: Path) -> int:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        return len(record.load_seals(connections.project))
