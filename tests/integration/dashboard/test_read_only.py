"""A published project on a mount that only lets read: exports and every tab of the dashboard show it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from agent.cli.main import main
from pipelines.loading import TABLES
from tests.integration.execution.test_full_volume import mounted
from tests.lazy import Lazy
from tests.paths import PROJECT
from tests.served import INLINE, copy_home

data, sqlbox = Lazy("dashboard.data"), Lazy("dashboard.sqlbox")
testing = Lazy("streamlit.testing.v1")
TABS = sorted(path.stem for path in (PROJECT / "dashboard" / "tabs").glob("[a-z]*.py"))


@pytest.fixture
def mount(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's folder, which nothing can be written to, as the current one."""
    with mounted(tmp_path / "volume", 48) as folder:
        copy_home(tmp_path_factory, folder)
        (folder / "agent.toml").write_text(INLINE + "[dashboard]\nread_only = true\n", encoding="utf-8")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        monkeypatch.chdir(folder)
        yield folder
        monkeypatch.chdir(tmp_path)
        import_module("dashboard.data")._open.clear()
        import_module("agent.service.projects").PLANNERS.close()


def test_exports_and_tabs_read_it(mount: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (mount / "probe").touch()
    for name in sorted(set(TABLES) - {"quarantine"}):  # which has no rows here
        for ending in ("parquet", "csv"):
            target = tmp_path / f"{name}.{ending}"
            assert main(("export", name, "--to", str(target))) == 0, capsys.readouterr().err
            assert target.stat().st_size > 0
    for tab in TABS:
        page = testing.AppTest.from_function(_page, default_timeout=120, args=(tab,)).run()
        assert not page.exception, (tab, page.exception)
        assert [one.value for one in page.error] == [], tab
    assert sqlbox.ask(data.open_desk(), "SELECT count(*) AS n FROM bars").frame.item() > 0


def _page(tab: str) -> None:
    import importlib

    from dashboard import data

    importlib.import_module(f"dashboard.tabs.{tab}").show(data.open_desk())
