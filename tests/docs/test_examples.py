"""What lies in examples/ works as it stands, in a copy of its folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

from tests.paths import PROJECT, SHARED_DATA, needs_shared_data

EXAMPLES = PROJECT / "examples"


def run(folder: Path, *command: str, site: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


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


def test_own_source_and_notebook(tmp_path: Path) -> None:
    folder, site = tmp_path / "project", tmp_path / "site"
    shutil.copytree(EXAMPLES / "own_source", folder)
    install(folder, site)
    run(folder, "make_prices.py")
    assert "2 parts, historical" in run(folder, "-m", "agent", "sources", site=site)
    assert "report.html" in run(folder, "-m", "agent", "run", site=site)

    with closing(sqlite3.connect(folder / "prices.sqlite")) as prices, prices:
        prices.execute(
            "UPDATE bars SET volume = volume + 1, changed_at = '2026' WHERE symbol = 'IBM' AND day LIKE '2011%'"
        )
    said = run(folder, "-m", "agent", "explain", "ticks", site=site)
    assert "ticks runs because the source price_database has new data (IBM changed)." in said

    shown = run(folder, str(EXAMPLES / "notebook.py"), site=site)
    assert "price_database:MSFT" in shown
    assert "plotly" in (folder / "notebook.html").read_text(encoding="utf-8")


@needs_shared_data
def test_crypto(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "crypto" / "agent.toml", tmp_path)
    (tmp_path / "data").mkdir()
    name = "NXT_BTC-5m.feather"
    (tmp_path / "data" / name).symlink_to(SHARED_DATA / "crypto-5m" / name)
    assert "report.html" in run(tmp_path, "-m", "agent", "run")
