"""What lies in examples/ works as it stands, in a copy of its folder."""

from __future__ import annotations

import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

from tests.paths import PROJECT, SHARED_DATA, needs_shared_data
from tests.processes import Nursery
from tests.terminal import Terminal

EXAMPLES = PROJECT / "examples"


def install(package: Path, site: Path) -> None:
    """What pip does with a package of one module and entry points, without a build backend from the network."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    (module,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    name, version = project["project"]["name"], project["project"]["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    shutil.move(package / module, site)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = project["project"]["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) for group, keys in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_own_source_own_component_and_notebook(tmp_path: Path, heavy_nursery: Nursery) -> None:
    folder, site = tmp_path / "project", tmp_path / "site"
    terminal = Terminal(folder, heavy_nursery, {"PYTHONPATH": str(site)})
    shutil.copytree(EXAMPLES / "own_source", folder)
    install(folder, site)
    component = tmp_path / "component"
    shutil.copytree(EXAMPLES / "own_component", component)
    install(component, site)
    terminal.run("python", "make_prices.py")
    assert "2 parts, historical" in terminal.run("agent", "sources")
    said = terminal.run("agent", "run")
    assert "report.html" in said
    assert "turnover " in said

    with closing(sqlite3.connect(folder / "prices.sqlite")) as prices, prices:
        prices.execute(
            "UPDATE bars SET volume = volume + 1, changed_at = '2026' WHERE symbol = 'IBM' AND day LIKE '2011%'"
        )
    said = terminal.run("agent", "explain", "ticks")
    assert "ticks runs because there is new data in the source price_database (IBM changed)." in said

    shown = terminal.run("python", str(EXAMPLES / "notebook.py"))
    assert "price_database:MSFT" in shown
    assert "plotly" in (folder / "notebook.html").read_text(encoding="utf-8")


@needs_shared_data
def test_crypto(tmp_path: Path, terminal: Terminal) -> None:
    shutil.copy(EXAMPLES / "crypto" / "agent.toml", tmp_path)
    (tmp_path / "data").mkdir()
    name = "NXT_BTC-5m.feather"
    (tmp_path / "data" / name).symlink_to(SHARED_DATA / "crypto-5m" / name)
    assert "report.html" in terminal.run("agent", "run")
